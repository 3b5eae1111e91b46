"""What a server listens on: Unix sockets and their files, several addresses, one server only."""

import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.bounds.program import ENVIRONMENT, PATIENCE_SECONDS, SERVER, Peer, until
from tests.talk import OK
from workq.limits import BACKLOG_CONNECTIONS_MAX, KEEPALIVE_IDLE_MS


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where the socket is to be: short, for a path may have a hundred characters only."""
    monkeypatch.chdir(tmp_path)
    return Path("s")


def ask(path, text="ping\r\n", answer=OK):
    """Ask a server at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(str(path))
        Peer(sock).ask(text, answer)


def refused(*arguments):
    """What a server says that does not start, and its exit status."""
    done = subprocess.run(
        [SERVER, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("query, mode", [("", 0o660), ("?mode=0600", 0o600), ("?mode=0666", 0o666)])
def test_a_unix_socket_has_the_mode_that_was_asked_for(start, path, query, mode):
    """Whatever the umask; and its file is gone when the server is."""
    umask = os.umask(0o077)
    try:
        server = start("--listen", f"unix:{path}{query}")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    ask(path)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not path.exists()


def test_tcp_and_unix_clients_meet(start, path):
    """Addresses are ways to one server."""
    server = start("--listen", "127.0.0.1:0", "--listen", f"unix:{path}")
    server.peer().ask("lease meeting 0\r\n", "-TIMEOUT\r\n")
    shown = "+OK 1\r\nmeeting 2\r\nready-len 0\r\nscheduled-len 0\r\n"
    ask(path, "inspect queue meeting\r\n", shown)


def silence_left(server, client):
    """How many seconds of silence the kernel still bears before it asks a client whether it is
    there; None while it waits for something else, or /proc/net/tcp shows no such connection.

    That is read in pieces, and may lack a line when others come and go meanwhile. And another's
    connection may have the same port at one of its ends: both have to be right.
    """
    ends = [f"0100007F:{port:04X}" for port in (server.port, client.getsockname()[1])]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        kind, left = fields[5].split(":")
        if fields[1:3] == ends and int(kind, 16) == 2:
            return int(left, 16) / os.sysconf("SC_CLK_TCK")
    return None


def test_the_system_watches_over_silent_clients(server):
    """What the listening socket was told holds for those it has accepted."""
    peer = server.peer()
    peer.ask("ping\r\n", OK)
    left_s = until(lambda: silence_left(server, peer.sock))  # once the reply is acknowledged
    assert KEEPALIVE_IDLE_MS / 1000 - PATIENCE_SECONDS <= left_s <= KEEPALIVE_IDLE_MS / 1000


def test_the_socket_of_a_server_that_was_killed_is_replaced(start, path):
    """Nobody has to remove its file."""
    first = start("--listen", f"unix:{path}")
    first.process.kill()
    first.process.wait()
    first.process.returncode = 0  # it was meant to
    assert path.is_socket()
    start("--listen", f"unix:{path}")
    ask(path)


def test_the_socket_of_a_living_server_is_refused(start, path):
    """It goes on, and its file stays; also when it is stopped just now."""
    server = start("--listen", f"unix:{path}")
    status, text = refused("--listen", f"unix:{path}")
    assert (status, "another server listens there" in text) == (3, True)
    ask(path)
    server.signal(signal.SIGSTOP)
    assert refused("--listen", f"unix:{path}")[0] == 3
    server.signal(signal.SIGCONT)
    ask(path)


def test_a_file_that_is_no_socket_is_not_touched(path):
    """It is somebody's."""
    path.write_text("mine")
    status, text = refused("--listen", f"unix:{path}")
    assert (status, "no socket" in text) == (3, True)
    assert path.read_text() == "mine"


def test_a_server_that_cannot_listen_everywhere_leaves_no_socket_behind(server, path):
    """One of its addresses is in use: it is told, and listens on none."""
    status, text = refused("--listen", f"unix:{path}", "--listen", f"127.0.0.1:{server.port}")
    assert (status, "Address already in use" in text) == (3, True)
    assert list(Path().iterdir()) == []


def test_a_path_that_is_too_long_is_told(tmp_path):
    """The system has a bound of its own."""
    status, text = refused("--listen", f"unix:{tmp_path}/{'x' * 200}")
    assert (status, text.count("\n")) == (3, 1)
    assert "too long" in text


def test_a_stopping_server_leaves_the_socket_of_its_successor(start, path):
    """Its own file was removed and replaced by another's meanwhile."""
    first = start("--listen", f"unix:{path}")
    path.unlink()
    start("--listen", f"unix:{path}")
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    ask(path)


@pytest.fixture
def many_descriptors():
    """This process may have as many files open as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_crowd_that_comes_at_once_waits_to_be_accepted(start, path, many_descriptors):
    """While the server stands still, up to a bound; beyond it the system turns clients away."""
    server = start("--listen", f"unix:{path}")
    server.signal(signal.SIGSTOP)
    system_max = int(Path("/proc/sys/net/core/somaxconn").read_text())
    crowd = min(BACKLOG_CONNECTIONS_MAX, system_max) + 1  # the system counts so
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(crowd + 1)]
        for sock in socks:
            sock.setblocking(False)
        for sock in socks[:crowd]:
            sock.connect(str(path))
        with pytest.raises(BlockingIOError):
            socks[crowd].connect(str(path))
        server.signal(signal.SIGCONT)
        socks[crowd - 1].settimeout(PATIENCE_SECONDS)
        Peer(socks[crowd - 1]).ask("ping\r\n", OK)
