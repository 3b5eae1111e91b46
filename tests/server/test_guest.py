"""The life of a server in a thread of another process. What users see of it: tests/client."""

import socket
import threading
import time

import pytest

from tests.talk import OK, add
from workq.errors import ListenError
from workq.server import guest
from workq.server.guest import Guest
from workq.server.listen import TcpAddress


@pytest.fixture
def running():
    """A guest, which is stopped at the end."""
    one = Guest()
    yield one
    one.stop()


def connect(one):
    """A client of a guest."""
    return socket.create_connection(("127.0.0.1", one.port), timeout=20)


def test_one_that_can_listen_nowhere_says_so_and_is_gone(monkeypatch):
    """Where it was made, not in its thread."""
    before = set(threading.enumerate())

    def bind(address: TcpAddress, insecure: bool) -> list[socket.socket]:
        raise ListenError(str(address), "no room")

    monkeypatch.setattr(guest, "bind", bind)
    with pytest.raises(ListenError, match="no room"):
        Guest()
    assert set(threading.enumerate()) == before


def test_one_that_has_stopped_says_so():
    """Whatever is asked of it; stopping it again is no matter."""
    one = Guest()
    one.stop()
    one.stop()
    with pytest.raises(RuntimeError, match="does not run any more"):
        one.advance(0)
    assert one.failure is None


def test_a_stop_ends_an_advance_that_waits_for_workers(running):
    """Who waits for that hears of it."""
    raised = []

    def advance():
        try:
            running.advance(1_000_000, patience_s=60)
        except RuntimeError as error:
            raised.append(str(error))

    with connect(running) as sock:
        sock.sendall(add(1).encode())
        assert sock.recv(5).decode() == OK
        waiting = threading.Thread(target=advance)
        waiting.start()
        while not running._advancing.locked():
            time.sleep(0)
        running.stop()
        waiting.join()
    assert raised == ["the server does not run any more"]


def test_connections_can_be_cut_while_workers_are_waited_for(running):
    """A test of what happens to a worker then does so, from the worker."""
    with connect(running) as sock:
        sock.sendall(add(1).encode())
        assert sock.recv(5).decode() == OK
        waiting = threading.Thread(target=running.advance, args=(1_000_000, 0.05))
        waiting.start()
        running.cut()
        assert sock.recv(1) == b""
        waiting.join()


def test_one_after_the_other_lets_time_pass(running):
    """Two that ask for it at once get both."""
    before_ms = running.now_ms()
    threads = [threading.Thread(target=running.advance, args=(3_600_000_000,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running.now_ms() >= before_ms + 4 * 3_600_000


def test_it_listens_once_however_often_it_is_told(running):
    """And refuses as well."""
    port = running.port
    running.accept()
    running.refuse()
    running.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(running)
    running.accept()
    connect(running).close()
    assert running.port == port


def test_clients_that_never_cease_to_ask_do_not_keep_time_from_passing(running):
    """What was sent before is done first, but nobody can go on for ever."""
    stopping = threading.Event()

    def ask():
        with connect(running) as sock:
            while not stopping.is_set():
                sock.sendall(b"ping\r\n" * 100)
                left = 500
                while left:
                    left -= len(sock.recv(left))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            running.advance(1000)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
