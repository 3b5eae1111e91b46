"""What a service manager hears of a server, on a datagram socket like its own; and the log."""

import contextlib
import json
import os
import signal
import socket
import time

import pytest

from tests.talk import OK


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The socket of a service manager, and the variables that tell of it."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("notify")
        listener.settimeout(10)
        yield listener, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def heard(listener):
    """The words of the next datagram."""
    return listener.recv(1000).decode().split("\n")


def test_readiness_is_told_once_the_server_listens(start, manager):
    """And stopping at once when it is told to, not at the end."""
    listener, environ = manager
    server = start(environ=environ)
    assert "READY=1" in heard(listener)
    worker, caller = server.peers(2)
    worker.send("lease q 80000000\r\n")
    caller.send("run 00000000-0000-4000-8000-000000000001 q 60000 60000 0\r\n\r\n")
    worker.read(20)
    server.signal(signal.SIGTERM)
    assert "STOPPING=1" in heard(listener)
    assert server.process.poll() is None
    worker.send("complete 00000000-0000-4000-8000-000000000001 0\r\n\r\n")
    assert server.ended() == 0


def test_the_watchdog_is_fed_more_often_than_asked(start, manager):
    """Also while the server drains; and not by a server that stands still."""
    listener, environ = manager
    server = start("--shutdown-timeout", "2s", environ=environ | {"WATCHDOG_USEC": "200000"})
    assert "READY=1" in heard(listener)
    begun = time.monotonic()
    assert [heard(listener) for _ in range(5)] == [["WATCHDOG=1"]] * 5
    assert time.monotonic() - begun < 1
    server.signal(signal.SIGSTOP)
    listener.settimeout(0.3)
    with contextlib.suppress(TimeoutError):  # what was said before it stood still
        for _ in range(5):
            heard(listener)
    with pytest.raises(TimeoutError):
        heard(listener)
    server.signal(signal.SIGCONT)
    listener.settimeout(10)
    assert heard(listener) == ["WATCHDOG=1"]
    worker, caller = server.peers(2)
    worker.send("lease q 80000000\r\n")
    caller.send("run 00000000-0000-4000-8000-000000000001 q 60000 60000 0\r\n\r\n")
    worker.read(20)
    server.signal(signal.SIGTERM)
    words = [heard(listener) for _ in range(6)]
    assert ["STOPPING=1"] in words
    assert words[-2:] == [["WATCHDOG=1"]] * 2
    worker.send("complete 00000000-0000-4000-8000-000000000001 0\r\n\r\n")
    assert server.ended() == 0


def test_the_watchdog_of_another_process_is_not_fed(start, manager):
    """What systemd asked of a parent is not for the server."""
    listener, environ = manager
    wanted = {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    server = start(environ=environ | wanted)
    assert "READY=1" in heard(listener)
    server.peer().ask("ping\r\n" * 10, OK * 10)
    listener.settimeout(0.1)
    with pytest.raises(TimeoutError):
        heard(listener)


def test_a_manager_that_does_not_listen_is_no_reason_to_fail(start, tmp_path):
    """Nobody is at that path."""
    server = start(environ={"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "2000"})
    server.peer().ask("ping\r\n", OK)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0


def test_every_log_line_is_an_object(start):
    """With a time, a level and a message, in ASCII; at every level of a server's life."""
    server = start("--log-level", "debug", "--shutdown-timeout", "0", "--max-connections", "1")
    peer = server.peers(1)[0]
    server.peer().rest()
    peer.send('\x1b[31m"forged\n{"level":"error"}\npi')
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    for line in server.lines:
        one = json.loads(line)
        assert line.isascii()
        assert list(one)[:3] == ["time", "level", "message"]
        assert one["time"].endswith("Z")
    messages = [one["message"] for one in server.records]
    assert messages[0].startswith("Listening on ")
    assert "shutting down" in messages
    assert messages[-1] == "stopped"
