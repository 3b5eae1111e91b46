"""What bad clients do: the scenarios of `abuse.py`, each with what the server may grow by."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

MIB = 1024 * 1024


@dataclass
class Spam:
    """One crowd of abusers: what each connection sends, and how."""

    text: bytes
    connections: int
    options: list[str] = field(default_factory=list)


@dataclass
class Scenario:
    """What is done to a server.

    Attributes:
        title: as the table has it.
        crowds: the abusers.
        flags: of the server.
        prepare: is called with a connection before anything else.
        meanwhile: is called once the abusers stand, and returns when the good client is over.
        memory_mib_max: what the server may grow by.
        check: is called with what `stats` tells at the end; returns what is wrong.
    """

    title: str
    crowds: list[Spam]
    flags: list[str] = field(default_factory=list)
    prepare: Callable[[Client], None] | None = None
    meanwhile: Callable[[int, int, Callable[[], bool]], None] | None = None
    memory_mib_max: float = 64
    judged: bool = True
    alone_too: bool = False  # `meanwhile` also while the good client is measured alone


def job(number: int) -> str:
    """An id that no good client uses."""
    return f"bad00000-0000-4000-8000-{number:012x}"


class Client:
    """A connection for what a scenario has to prepare."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.sock.makefile("rb")

    def ask(self, text: bytes | str) -> bytes:
        """Send a request; return the first line of its answer."""
        self.sock.sendall(text.encode() if isinstance(text, str) else text)
        return self.file.readline()

    def stats(self) -> dict[str, str]:
        """What `stats` tells."""
        assert self.ask("stats\r\n") == b"+OK 1\r\n"
        count = int(self.file.readline().split()[1])
        lines = [self.file.readline().decode().split(" ", 1) for _ in range(count)]
        return {key: value.strip() for key, value in lines}

    def add(self, number: int, payload: bytes, queue: str = "bad") -> None:
        """Add a job."""
        head = f"add {job(number)} {queue} 60000 3600000 {len(payload)}\r\n".encode()
        assert self.ask(head + payload + b"\r\n").startswith((b"+OK", b"-CLIENT-ERROR Dup"))

    def finish(self, number: int, result: bytes) -> None:
        """Complete a job."""
        head = f"complete {job(number)} {len(result)}\r\n".encode()
        assert self.ask(head + result + b"\r\n") == b"+OK\r\n"


def one_large_result(client: Client) -> None:
    """A job of a result of 64 KiB, and one of a megabyte."""
    for number, size in ((1, 65536), (2, MIB)):
        client.add(number, b"x")
        client.finish(number, b"r" * size)


def pour_results(port: int, _pid: int, over: Callable[[], bool]) -> None:
    """Finish jobs for which a thousand wait, one after the other."""
    client = Client(port)
    number = 1000
    while not over():
        with suppress(AssertionError):  # the last one
            client.finish(number, b"r" * 4096)
        number += 1
        time.sleep(0.05)


def many_jobs(client: Client) -> None:
    """The jobs whose results pour in."""
    for number in range(1000, 1600):
        client.add(number, b"x")


def hundred_thousand(client: Client) -> None:
    """Jobs to list."""
    for first in range(10_000, 110_000, 1000):
        adds = [
            f"add {job(n)} listed 60000 3600000 64\r\n{'x' * 64}\r\n"
            for n in range(first, first + 1000)
        ]
        client.sock.sendall("".join(adds).encode())
        for _ in adds:
            assert client.file.readline() == b"+OK\r\n"


def stop_and_go(_port: int, pid: int, over: Callable[[], bool]) -> None:
    """Stop the server for half a second, and let it go on, over and over."""
    while not over():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        time.sleep(1)


LONG_LEASE = ("lease " + " ".join(f"{i:03}" + "n" * 252 for i in range(255)) + " 0\r\n").encode()


def block(command: str, size: int, tail: str = "") -> bytes:
    """A request with a block of a size."""
    return f"{command} {size}{tail}\r\n".encode() + b"x" * size + b"\r\n"


LARGEST_LEGAL = b"".join(
    [
        block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ large 1000 2000", MIB),
        LONG_LEASE,
        b"ping" + b" " * 65530 + b"\r\n",
        b"inspect jobs large 0 100\r\n",
        b"lease large 0\r\n",
        b"inspect queues 0 100\r\n",
        block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ large 1 18446744073709551615", 0),
    ]
)
LARGEST_ILLEGAL = b"".join(
    [
        block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ large 1000 2000", MIB + 1),
        block("complete bad00000-0000-4000-8000-@@@@@@@@@@@@", 2 * MIB),
        b"lease " + b"n " * 300 + b"0\r\n",
        b"lease q " + b"9" * 65000 + b"\r\n",
        b"add " + b"-a=b " * 13000 + b"\r\n",
        b"inspect jobs q 99999999999999999999999 101\r\n",
        b"ping" + b" " * 65540 + b"\r\n",
    ]
)

SCENARIOS = {
    "none": Scenario("nobody: the noise of the measurement", []),
    "idle": Scenario(
        "10,000 idle connections",
        [Spam(b"", 9980)],
        memory_mib_max=160,
    ),
    "unread": Scenario(
        "1,000 that never read, each asking for 400 results of 64 KiB",
        [Spam(f"result {job(1)} 0\r\n".encode() * 400, 1000,
              ["--no-read", "--receive", "4096", "--once"])],
        prepare=one_large_result,
        memory_mib_max=400,
    ),
    "unread-large": Scenario(
        "1,000 that never read, each asking for 20 results of 1 MiB",
        [Spam(f"result {job(2)} 0\r\n".encode() * 20, 1000,
              ["--no-read", "--receive", "4096", "--once"])],
        prepare=one_large_result,
        memory_mib_max=1500,
    ),
    "pour": Scenario(
        "1,000 that never read and wait for results of 4 KiB, which come 20 times a second",
        [Spam("".join(f"result {job(n)} 80000000\r\n" for n in range(1000, 1600)).encode(), 1000,
              ["--no-read", "--receive", "4096", "--once"])],
        prepare=many_jobs,
        meanwhile=pour_results,
        memory_mib_max=200,
    ),
    "dribble": Scenario(
        "1,000 that dribble a byte a second",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ slow 1000 2000", 1000), 1000,
              ["--rate", "1"])],
    ),
    "dribble-block": Scenario(
        "200 that dribble 100 bytes a second of a megabyte",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ slow 1000 2000", MIB - 9), 200,
              ["--rate", "100"])],
    ),
    "dribble-together": Scenario(
        "the same 200, all in the same moment",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ slow 1000 2000", MIB - 9), 200,
              ["--rate", "100", "--together"])],
    ),
    "flood": Scenario(
        "flood: 10 connections ping as fast as they can",
        [Spam(b"ping\r\n" * 1000, 10)],
    ),
    "flood-errors": Scenario(
        "flood: 100 connections of wrong requests",
        [Spam((b"what\r\nlease -x=1 q 0\r\nadd 1 2 3 4 1\r\nx\r\ninspect queue ?\r\n") * 100, 100)],
    ),
    "flood-lists": Scenario(
        "flood: 10 connections list 100 jobs of 100,000, over and over",
        [Spam(b"inspect jobs listed 50000 100\r\n" * 100, 10)],
        prepare=hundred_thousand,
        memory_mib_max=100,
    ),
    "flood-leases": Scenario(
        "flood: 10 connections lease of 256 empty queues, over and over",
        [Spam(("lease " + " ".join(f"e{i}" for i in range(256)) + " 0\r\n").encode() * 20, 10)],
    ),
    "flood-jobs": Scenario(
        "flood: 20 connections add jobs beyond --max-memory 64MiB",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ grow 1000 5000", 64) * 100, 20)],
        flags=["--max-memory", "64MiB"],
        memory_mib_max=140,
    ),
    "flood-connections": Scenario(
        "flood: 200 connections at a time beyond --max-connections 100, over and over",
        [Spam(b"ping\r\n", 200, ["--churn", "--once"])],
        flags=["--max-connections", "100"],
    ),
    "churn": Scenario(
        "churn: connect, ping, close, 50 at a time",
        [Spam(b"ping\r\n", 50, ["--churn", "--once"])],
    ),
    "flood-behind": Scenario(
        "flood: 20 connections send more than 2 MiB behind a wait, over and over",
        [Spam(b"lease never 80000000\r\n" + b"ping\r\n" * 400_000, 20, ["--churn", "--once"])],
        memory_mib_max=200,
    ),
    "largest-legal": Scenario(
        "the largest legal everything, 10 connections",
        [Spam(LARGEST_LEGAL, 10)],
        flags=["--max-memory", "256MiB"],
        memory_mib_max=600,
    ),
    "largest-illegal": Scenario(
        "the largest illegal everything, 10 connections",
        [Spam(LARGEST_ILLEGAL, 10)],
        memory_mib_max=200,
    ),
    "waiters": Scenario(
        "1,000 that wait for 256 queues each, and give up every 100 ms",
        [Spam(("lease " + " ".join(f"w{i}" for i in range(256)) + " 100\r\n").encode(), 1000,
              ["--rate", "15000", "--together"])],
        memory_mib_max=200,
    ),
    "stop": Scenario(
        "SIGSTOP for 500 ms and SIGCONT, every 1.5 s",
        [],
        meanwhile=stop_and_go,
        judged=False,
    ),
}  # fmt: skip
