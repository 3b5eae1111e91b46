"""systemd hears what it should, over a real socket; and nothing that goes wrong matters."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from workq.limits import NOTIFY_STATUS_CHARACTERS_MAX
from workq.server.notify import Notifier, watchdog_interval_ms


@pytest.fixture
def system(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as systemd has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


@pytest.fixture
def notifier(system: socket.socket) -> Notifier:
    """A notifier that tells it."""
    return Notifier({"NOTIFY_SOCKET": system.getsockname()})


def test_ready_brings_a_status(system: socket.socket, notifier: Notifier) -> None:
    """One datagram has both."""
    assert notifier.ready("listening on 127.0.0.1:9922")
    assert system.recv(1000) == b"READY=1\nSTATUS=listening on 127.0.0.1:9922"


def test_the_other_words_are_those_of_systemd(system: socket.socket, notifier: Notifier) -> None:
    """Each is one datagram; times are microseconds there."""
    assert notifier.ready()
    assert notifier.watchdog()
    assert notifier.extend_timeout(1500)
    assert notifier.stopping("3 replies to send")
    heard = [system.recv(1000) for _ in range(4)]
    assert heard == [
        b"READY=1",
        b"WATCHDOG=1",
        b"EXTEND_TIMEOUT_USEC=1500000",
        b"STOPPING=1\nSTATUS=3 replies to send",
    ]


def test_a_status_cannot_say_more_than_a_status(system: socket.socket, notifier: Notifier) -> None:
    """A line end in it would begin another word, and its length is bounded."""
    assert notifier.stopping("a\nREADY=1\r" + "x" * 1000)
    said = system.recv(5000)
    assert said.startswith(b"STOPPING=1\nSTATUS=a READY=1 xxx")
    assert len(said) == len("STOPPING=1\nSTATUS=") + NOTIFY_STATUS_CHARACTERS_MAX


def test_a_socket_may_be_abstract() -> None:
    """It is written with @ where the system has a zero byte."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # Linux chooses an abstract name
        name = listener.getsockname().decode("ascii").replace("\0", "@")
        assert Notifier({"NOTIFY_SOCKET": name}).watchdog()
        assert listener.recv(100, socket.MSG_DONTWAIT) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/nowhere/to/be/found"},
        {"NOTIFY_SOCKET": "/" + "x" * 200},
        {"NOTIFY_SOCKET": "/with\0zero"},
        {"NOTIFY_SOCKET": "/\ud800"},
        {"NOTIFY_SOCKET": "@nobody-is-here-4711"},
    ],
)
def test_without_a_listener_nothing_happens(environ: dict[str, str]) -> None:
    """Nothing is told and nothing raised."""
    notifier = Notifier(environ)
    assert not notifier.ready("up")
    assert not notifier.stopping()
    assert not notifier.watchdog()
    assert not notifier.extend_timeout(1)


def test_a_socket_nobody_reads_holds_nobody_up(system: socket.socket, notifier: Notifier) -> None:
    """Once it is full, words are dropped after a short wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.sendto(b"x" * 1000, system.getsockname())
        assert not notifier.watchdog()
    system.recv(2000)
    assert notifier.watchdog()


@pytest.mark.parametrize(
    "environ, interval_ms",
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "30000000"}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "77"}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "78"}, 0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"}, 0),
        ({"WATCHDOG_USEC": "1"}, 1),
        ({"WATCHDOG_USEC": "0"}, 0),
        ({"WATCHDOG_USEC": "-5"}, 0),
        ({"WATCHDOG_USEC": "30s"}, 0),
        ({"WATCHDOG_USEC": "\u0663"}, 0),
        ({"WATCHDOG_USEC": "9" * 5000}, 0),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(
    environ: dict[str, str], interval_ms: int
) -> None:
    """Half of what systemd waits, if it waits for this process; 0 for nonsense."""
    assert watchdog_interval_ms(environ, 77) == interval_ms
