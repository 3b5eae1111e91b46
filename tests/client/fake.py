"""A network without sockets for the client's core, whose every step can be the last.

`Server` answers like a small job server. `World` is the network: each of its steps suspends, so
that a test decides what happens there: it goes on, is cancelled, breaks, is late. Time does not
pass by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from workq_client.addresses import Address
from workq_client.codec import BYTES
from workq_client.core import Core
from workq_client.network import Late
from workq_client.requests import Request

T = TypeVar("T")

HELLO = (
    b"+OK 1\r\nhello 7\r\nversion 0\r\nprotocol 2\r\nline-bytes 65536\r\nblock-bytes 1048576\r\n"
    b"lease-names 256\r\nlease-count 100\r\nids 100\r\n"
)
JOB = "c0ffee00-1111-4222-8333-000000000001"


class Server:
    """What is on the other side: it does what it gets, and answers.

    Attributes:
        done: every request that was done, as words.
        jobs: states by id.
        alike: answers that are given instead, by command.
    """

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []
        self.jobs: dict[str, str] = {}
        self.alike: dict[str, bytes] = {}

    def answer(self, words: tuple[str, ...], block: bytes) -> bytes:
        """Do a request."""
        if words[0] != "hello":
            self.done.append(words)
        if words[0] in self.alike:
            return self.alike[words[0]]
        match words:
            case ("hello", *_):
                return HELLO
            case ("ping",):
                return b"+OK\r\n"
            case ("add" | "schedule", job, *_):
                if job in self.jobs:
                    return b"-CLIENT-ERROR Duplicate job\r\n"
                self.jobs[job] = "ready"
                return b"+OK\r\n"
            case ("lease", *_):
                return b"+OK 1\r\n%b mails 1000 2 token=7 attempt=1\r\nhi\r\n" % JOB.encode()
            case ("complete" | "fail", job, *_):
                if self.jobs.get(job) == "done":
                    return b"-CLIENT-ERROR Duplicate result\r\n"
                self.jobs[job] = "done"
                return b"+OK\r\n"
            case ("release", job, *_):
                if self.jobs.get(job) == "ready":
                    return b"-CLIENT-ERROR Lease lost\r\n"
                self.jobs[job] = "ready"
                return b"+OK\r\n"
            case ("delete", job):
                return b"+OK\r\n" if self.jobs.pop(job, None) else b"-NOT-FOUND\r\n"
            case ("result" | "run", job, *_):
                return b"+OK 1\r\n%b 1 4\r\ndone\r\n" % job.encode()
        return b"+OK\r\n"

    def read(self, data: bytes) -> tuple[bytes, bytes]:
        """Do the whole requests there are; return the answers, and what is left."""
        answers = b""
        while (end := data.find(b"\r\n")) >= 0:
            words = tuple(data[:end].decode().split(" "))
            at = end + 2
            block = b""
            if words[0] in ("add", "schedule", "run", "complete", "fail"):
                size = int([word for word in words if "=" not in word][-1])
                if len(data) < at + size + 2:
                    break
                block, at = data[at : at + size], at + size + 2
            data = data[at:]
            answers += self.answer(words, block)
        return answers, data


class Suspended:
    """A step of the network: what it wants, until the test says how it goes on."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __await__(self) -> Generator[Suspended, None, None]:
        yield self


class Wire:
    """One connection to the server.

    Args:
        world: its network.

    Attributes:
        piece: how many bytes of answers come at a time.
        reach: how many bytes of what is sent from now on arrive at the server; None for all.
        fate: what happens when no more comes.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.closed = False
        self.used = 0
        self.piece = world.hello_piece
        self.reach: int | None = None
        self._sent = b""
        self._coming = b""

    async def exchange(self, data: bytes, timeout_s: float) -> bytes:
        """See `Wire.exchange`."""
        assert not self.closed, "a connection that was given up is used again"
        self.used += 1
        self.world.times.append(timeout_s)
        if data and not data.startswith(b"hello"):
            data = data[: self.reach]
            self.piece = self.world.piece
        answers, self._sent = self.world.server.read(self._sent + data)
        self._coming += answers
        await Suspended("exchange")
        if self.closed:
            raise ConnectionError("closed meanwhile")
        if not self._coming:
            raise Late
        piece, self._coming = self._coming[: self.piece], self._coming[self.piece :]
        return piece

    def quiet(self) -> bool:
        """See `Wire.quiet`."""
        return not (self.closed or self._coming)

    def close(self) -> None:
        """See `Wire.close`."""
        self.closed = True


class Places:
    """See `Places`."""

    def __init__(self, count: int) -> None:
        self.free = count

    async def take(self, timeout_s: float) -> bool:
        """See `Places.take`."""
        await Suspended("take")
        if self.free < 1:
            return False
        self.free -= 1
        return True

    def give_back(self) -> None:
        """See `Places.give_back`."""
        self.free += 1


class World:
    """A network between a client and one server.

    Args:
        server: it.
        piece: how many bytes of answers come at a time.
        hello_piece: the same of the answer to hello.
    """

    def __init__(
        self, server: Server | None = None, piece: int = 1000, hello_piece: int = 1000
    ) -> None:
        self.server = server or Server()
        self.piece = piece
        self.hello_piece = hello_piece
        self.wires: list[Wire] = []
        self.pauses: list[float] = []
        self.times: list[float] = []
        self.refusals = 0
        self.all_places: list[Places] = []

    async def connect(self, address: Address, timeout_s: float) -> Wire:
        """See `Network.connect`."""
        await Suspended("connect")
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError("nobody listens")
        self.wires.append(Wire(self))
        return self.wires[-1]

    async def pause(self, seconds: float) -> None:
        """See `Network.pause`."""
        self.pauses.append(seconds)
        await Suspended("pause")

    def places(self, count: int) -> Places:
        """See `Network.places`."""
        self.all_places.append(Places(count))
        return self.all_places[-1]

    def core(self, timeout_s: float = 60.0) -> Core:
        """A client on this network, that may have one connection of each kind."""
        return Core(self, Address(), BYTES, None, timeout_s, 1.0, 1, 1)

    @property
    def in_use(self) -> int:
        """How many connections are in somebody's hands."""
        return sum(1 - places.free for places in self.all_places)


def drive(
    coroutine: Coroutine[Any, Any, T], at: Callable[[int, Suspended], BaseException | None]
) -> T:
    """Run a coroutine to its end.

    Args:
        coroutine: of the client's core.
        at: told the number and the kind of each step; an exception that it returns is what happens
            there.
    """
    number = 0
    thrown: BaseException | None = None
    try:
        while True:
            step = coroutine.throw(thrown) if thrown else coroutine.send(None)
            thrown = at(number, step)
            number += 1
    except StopIteration as end:
        value: T = end.value
        return value


def through(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, with nothing in its way."""
    return drive(coroutine, lambda number, step: None)


def steps(request: Request[Any], world: World) -> list[str]:
    """The steps of a call that nothing disturbs."""
    seen: list[str] = []

    def noted(_: int, step: Suspended) -> None:
        seen.append(step.what)

    world.server.jobs[JOB] = "leased"
    drive(world.core().call(request), noted)
    return seen


class Clock:
    """Time that a test moves, in place of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
