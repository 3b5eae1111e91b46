"""Telling whether a worker works: by a file, or by a port."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from workq_client import InvalidRequest, Worker
from workq_client.limits import HEALTH_REQUEST_BYTES_MAX, HEALTH_REQUESTS_MAX
from workq_client.worker import health, leasing
from workq_client.worker.settings import Settings

from tests.client.worker.conftest import PATIENCE_S


@pytest.fixture
def quick(monkeypatch):
    """Seconds are shorter."""
    monkeypatch.setattr(leasing, "HEALTHY_S", 0.3)
    monkeypatch.setattr(leasing, "HEALTH_S", 0.05)
    monkeypatch.setattr(health, "HEALTH_S", 0.01)


def free_port():
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def made(server, where):
    """A worker."""
    worker = Worker(server.url, health=where)
    worker.job("q")(lambda payload: payload)
    return worker


def until(true):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def asked(port):
    """What the port answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return None


def test_a_file_has_its_time_set_while_the_server_answers(quick, server, tmp_path):
    """And is gone when the worker has ended."""
    path = tmp_path / "alive"
    with made(server, str(path)).running():
        until(path.exists)
        first = path.stat().st_mtime_ns
        until(lambda: path.stat().st_mtime_ns > first)
        with server.away():
            time.sleep(0.5)
            last = path.stat().st_mtime_ns
            time.sleep(0.1)
            assert path.stat().st_mtime_ns == last
        until(lambda: path.stat().st_mtime_ns > last)
    assert not path.exists()


@pytest.mark.parametrize("form", [int, "127.0.0.1:{}".format])
def test_a_port_tells_it_by_http(quick, server, form):
    """Paused is healthy."""
    port = free_port()
    worker = made(server, form(port))
    with worker.running():
        until(lambda: asked(port) == (200, b"ok\n"))
        worker.pause()
        assert asked(port) == (200, b"paused\n")
        worker.resume()
        with server.away():
            until(lambda: asked(port) == (503, b"unreachable\n"))
        until(lambda: asked(port) == (200, b"ok\n"))


def test_a_worker_that_has_all_places_taken_is_healthy(quick, server, client):
    """Though it takes no jobs for a while, it asks whether the server is there."""
    port = free_port()
    worker = Worker(server.url, health=port, concurrency=1)
    worker.job("q")(lambda payload: time.sleep(0.8))
    with worker.running():
        job_id = client.add("q")
        time.sleep(0.5)
        assert asked(port) == (200, b"ok\n")
        client.result(job_id, wait=PATIENCE_S)


class Places:
    """A pool that has as many places as it is told."""

    places = 0

    def __init__(self, finished, changed):
        self.changed = changed

    async def close(self):
        """Nothing runs."""

    def change(self, places):
        """Have so many, and tell of it."""
        self.places = places
        self.changed()


def conducted(server, where):
    """What takes jobs for such a pool, which it has been given."""
    make: Any = Places
    settings = Settings(url=server.url, health=where)
    conductor: Any = leasing.Conductor(settings, made(server, None).handlers, make)
    conductor.start()
    return conductor


def test_a_worker_without_a_place_for_a_handler_is_not_healthy(quick, server, monkeypatch):
    """So it is before the first process has come up; a moment in which one is replaced is none."""
    port = free_port()
    conductor = conducted(server, port)

    def change(places):
        conductor._loop.call_soon_threadsafe(conductor._pool.change, places)

    until(lambda: asked(port) == (503, b"no processes\n"))
    change(1)
    until(lambda: asked(port) == (200, b"ok\n"))
    monkeypatch.setattr(leasing, "HEALTHY_S", 10)
    change(0)
    assert asked(port) == (200, b"ok\n")
    monkeypatch.setattr(leasing, "HEALTHY_S", 0.3)
    until(lambda: asked(port) == (503, b"no processes\n"))
    conductor.stop()
    assert conductor.ended.result(PATIENCE_S)


def test_a_file_is_old_until_there_is_a_place(quick, server, tmp_path):
    """And not as young as the worker."""
    path = tmp_path / "alive"
    conductor = conducted(server, str(path))
    until(lambda: conductor.trouble == "no processes")
    time.sleep(0.05)
    assert path.stat().st_mtime == 0
    conductor.stop()
    assert conductor.ended.result(PATIENCE_S)


def test_who_asks_badly_is_no_harm(quick, server, monkeypatch):
    """Too much, too slowly, nothing at all."""
    monkeypatch.setattr(health, "HEALTH_REQUEST_S", 0.1)
    port = free_port()
    with made(server, port).running():
        until(lambda: asked(port) == (200, b"ok\n"))
        for data in (b"x" * 100_000, b"GET / HTTP/1.1\r\n", b""):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
                sock.sendall(data)
                with suppress(ConnectionResetError):
                    assert sock.recv(1) == b""
        assert asked(port) == (200, b"ok\n")


@pytest.mark.parametrize("where", ["", 0, -1, 65536, "65536", "::1:99999", 1.5, True, "/"])
def test_what_is_neither_a_file_nor_a_port_is_told_before_anything_is_begun(where):
    """And not by the system, or when all is over."""
    with pytest.raises(InvalidRequest, match=r"health is .*; (it has to be|a port is)"):
        Worker(health=where)


@pytest.mark.parametrize(
    "where, place",
    [
        (8080, ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),  # from the environment, say
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("alive", Path("alive")),
        ("a:b", Path("a:b")),
        (None, None),
    ],
)
def test_a_place_is_a_port_if_it_is_written_like_one(where, place):
    """Else it is a file."""
    assert health.health_place(where) == place


def answered(sock, data=b""):
    """What comes on a connection, up to its end."""
    with suppress(ConnectionError):
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(4096), b""))
    return b""


@pytest.mark.parametrize("more, is_answered", [(0, True), (1, False)])
def test_a_request_may_be_so_long(server, more, is_answered):
    """HEALTH_REQUEST_BYTES_MAX, without the empty line at its end."""
    port = free_port()
    request = b"GET / HTTP/1.1\r\nX: "
    request += b"x" * (HEALTH_REQUEST_BYTES_MAX - len(request) + more) + b"\r\n\r\n"
    with made(server, port).running():
        until(lambda: asked(port) is not None)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
            assert answered(sock, request).startswith(b"HTTP/1.1 ") is is_answered


def test_so_many_may_ask_at_a_time(server, monkeypatch):
    """HEALTH_REQUESTS_MAX: one more is closed at once, and none of those suffers."""
    monkeypatch.setattr(health, "HEALTH_REQUEST_S", PATIENCE_S)
    port = free_port()
    with made(server, port).running(), ExitStack() as stack:
        until(lambda: asked(port) is not None)
        socks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            for _ in range(HEALTH_REQUESTS_MAX + 1)
        ]
        assert answered(socks.pop()) == b""
        for sock in socks:
            assert answered(sock, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 ")


def test_a_port_that_is_taken_ends_the_worker_before_it_begins(server):
    """With the system's words."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = made(server, listener.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            worker.run()
