"""A client that reads as strictly as the original's own client library, against our server.

That library (in Go) writes each command at once, has one in flight, and reads through a buffer of
4,096 bytes. It splits errors at the first space, counts the fields of headers, wants the count of
a reply to be 1, and reads the line end behind a block with a single read: a reply that came in
two pieces there would be "malformed" to it. So every reply must come in one.
"""

from __future__ import annotations

import re
import shlex
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conform import Server

BUFFER_BYTES = 4096
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Malformed(Exception):
    """The library does not understand a reply."""


class Refused(Exception):
    """An error reply: its class and its text."""


class Original:
    """One connection of the original's client library."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    # --- commands ---------------------------------------------------------------------------------

    def write(self, line: str, block: bytes | None = None) -> None:
        """Send a command in one piece, the size of its block put in for `{}`."""
        data = line.format(0 if block is None else len(block)).encode() + b"\r\n"
        self.sock.sendall(data if block is None else data + block + b"\r\n")

    def done(self, line: str, block: bytes | None = None) -> None:
        """A command that is answered with a plain OK."""
        self.write(line, block)
        said = self._line()
        if said != "+OK":
            raise Malformed(said)

    def lease(self, *names: str, wait: int = 0) -> tuple[str, str, int, bytes]:
        """Lease a job: id, name, TTR and payload."""
        self.write(f"lease {' '.join(names)} {wait}")
        return self.read_job()

    def result(self, job: str, wait: int = 0) -> tuple[bool, bytes]:
        """The result of a job: whether it succeeded, and the bytes."""
        self.write(f"result {job} {wait}")
        return self.read_result()

    # --- replies ----------------------------------------------------------------------------------

    def read_job(self) -> tuple[str, str, int, bytes]:
        """What `lease` is answered with."""
        self._expect_one()
        fields = self._line().split(" ")
        if len(fields) != 4 or not NAME.fullmatch(fields[1]):
            raise Malformed(fields)
        uuid.UUID(fields[0])
        return fields[0], fields[1], int(fields[2]), self._block(int(fields[3]))

    def read_result(self) -> tuple[bool, bytes]:
        """What `result` and `run` are answered with."""
        self._expect_one()
        fields = self._line().split(" ")
        if len(fields) != 3 or fields[1] not in ("0", "1"):
            raise Malformed(fields)
        return fields[1] == "1", self._block(int(fields[2]))

    def _expect_one(self) -> None:
        said = self._line()
        if not said.startswith("+OK ") or int(said[4:]) != 1:
            raise Malformed(said)

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\n")
        if not line.endswith(b"\r") or len(line) < 2:
            raise Malformed(line)
        said = line[:-1].decode("ascii")
        if said.startswith("-"):
            code, space, text = said[1:].partition(" ")
            if space and not text:
                raise Malformed(said)
            raise Refused(code, text)
        return said

    def _block(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        block, self._buffer = self._buffer[:size], self._buffer[size:]
        if not self._buffer:
            self._fill()  # one read, and what it did not bring is missing
        end, self._buffer = self._buffer[:2], self._buffer[2:]
        if end != b"\r\n":
            raise Malformed(end)
        return block

    def _fill(self) -> None:
        data = self.sock.recv(BUFFER_BYTES)
        if not data:
            raise EOFError
        self._buffer += data


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The installed server, on a free port of loopback."""
    program = Path(sys.executable).with_name("workq-server")
    server = Server(f"{shlex.quote(str(program))} --listen 127.0.0.1:{{port}}")
    yield server
    server.discard()


@pytest.fixture
def client(server: Server) -> Iterator[Original]:
    """A connection."""
    client = Original(server.address)
    yield client
    client.sock.close()


@pytest.fixture
def worker(server: Server) -> Iterator[Original]:
    """Another connection."""
    worker = Original(server.address)
    yield worker
    worker.sock.close()


@pytest.fixture
def job() -> str:
    """A fresh id."""
    return str(uuid.uuid4())


def test_the_life_of_a_background_job(client: Original, worker: Original, job: str) -> None:
    """Handed in with all flags in the library's order, leased, completed, asked for, deleted."""
    flags = "-priority=10 -max-attempts=3 -max-fails=1"
    client.done(f"add {job} {job} 5000 60000 {{}} {flags}", b"ping")

    assert worker.lease(job, wait=1000) == (job, job, 5000, b"ping")
    worker.done(f"complete {job} {{}}", b"pong")
    assert client.result(job, 1000) == (True, b"pong")
    client.done(f"delete {job}")


def test_a_scheduled_job_that_fails(client: Original, worker: Original, job: str) -> None:
    """Its time as the library writes it."""
    client.done(f"schedule {job} {job} 5000 18446744073709551615 2020-02-29T23:59:59Z {{}}", b"")
    worker.lease(job, wait=1000)
    worker.done(f"fail {job} {{}}", b"why")

    assert client.result(job, 1000) == (False, b"why")


def test_a_foreground_job(client: Original, worker: Original, job: str) -> None:
    """The caller reads the result when the worker is done."""
    client.write(f"run {job} {job} 5000 5000 {{}} -priority=1", b"ping")
    assert worker.lease(job, wait=4000)[3] == b"ping"
    worker.done(f"complete {job} {{}}", b"pong")

    assert client.read_result() == (True, b"pong")


def test_errors_have_a_class_and_perhaps_a_text(client: Original, job: str) -> None:
    """Without a text there is no space either; the connection can be used further."""
    for line, block, code, text in (
        (f"lease {job} 1", None, "TIMEOUT", ""),
        (f"result {job} 1", None, "NOT-FOUND", ""),
        (f"delete {job}", None, "NOT-FOUND", ""),
        (f"complete {job} {{}}", b"x", "NOT-FOUND", ""),
        (f"run {job} {job} 1000 1 {{}}", b"x", "TIMEOUT", ""),
        (f"add {job} {job} 0 1 {{}}", b"x", "CLIENT-ERROR", "Invalid TTR"),
    ):
        with pytest.raises(Refused) as refused:
            client.done(line, block)
        assert refused.value.args == (code, text)


@pytest.mark.parametrize("size", [0, 1, 1400, 3900, 5000, 16_000])
def test_every_reply_comes_in_one_piece(
    client: Original, worker: Original, job: str, size: int
) -> None:
    """One read of a large enough buffer brings all of it, whatever the command. Larger ones the
    kernel may cut itself: it sends on when half of what the other side has room for is written."""
    block = b"\r\n".ljust(size, b"x")[:size]
    shown = size, block
    replies = [
        (f"add {job} {job} 60000 60000 {{}}", block, b"+OK\r\n"),
        (f"lease {job} 1000", None, f"+OK 1\r\n{job} {job} 60000 %d\r\n%b\r\n".encode() % shown),
        (f"complete {job} {{}}", block, b"+OK\r\n"),
        (f"result {job} 1000", None, f"+OK 1\r\n{job} 1 %d\r\n%b\r\n".encode() % shown),
        (f"delete {job}", None, b"+OK\r\n"),
    ]
    for line, sent, reply in replies:
        client.write(line, sent)
        assert client.sock.recv(1 << 18) == reply

    client.write(f"run {job} {job} 60000 4000 {{}}", block)
    worker.write(f"lease {job} 4000")
    assert worker.sock.recv(1 << 18) == replies[1][2]
    worker.done(f"fail {job} {{}}", block)
    assert client.sock.recv(1 << 18) == f"+OK 1\r\n{job} 0 %d\r\n%b\r\n".encode() % shown
