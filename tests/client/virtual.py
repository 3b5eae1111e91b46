"""Time that passes as soon as nothing else can happen, and a server in it: for long bounds.

`Virtual.run` runs an `AsyncClient`, or a worker whose handlers are tasks, with all that it does in
one event loop whose time is a number.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from workq_client import Worker
from workq_client.addresses import Address
from workq_client.aio import AsyncPlaces
from workq_client.network import Late
from workq_client.worker.leasing import Conductor

from tests.client.fake import HELLO, Clock

T = TypeVar("T")

#: Words of requests behind which a block comes.
BLOCKS = ("add", "complete", "fail")


class Selector(selectors.DefaultSelector):
    """Lets the time pass that it should wait.

    Args:
        clock: whose time.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        """What there is to read or to write now."""
        events = super().select(0)
        if not events:
            assert timeout is not None, "nothing is ever going to happen"
            self._clock.now += max(timeout, 0.0)
        return events


class Loop(asyncio.SelectorEventLoop):
    """An event loop of such a time.

    Args:
        clock: it.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(Selector(clock))
        self._clock = clock

    def time(self) -> float:
        """The time."""
        return self._clock.now


class Peer:
    """What is on the other side of all connections.

    Attributes:
        jobs: how many there are to be leased; they have their number in their id.
        ttr_ms: of these.
        alike: answers that are given instead, by command; b"" for none, ever.
        latency_s: how long an answer takes.
        connect_s: how long it takes to connect.
        heard: what was asked, after how many seconds: of each exchange a list of words.
        open, most: connections that stand, and how many did at most.
    """

    def __init__(self, clock: Clock) -> None:
        self.jobs = 0
        self.ttr_ms = 3_600_000
        self.alike: dict[str, bytes] = {}
        self.latency_s = 0.001
        self.connect_s = 0.0
        self.heard: list[tuple[float, list[list[str]]]] = []
        self.open = self.most = 0
        self._clock = clock
        self._begun = clock.now

    def told(self, command: str) -> list[tuple[float, list[str]]]:
        """When a command came, in seconds, and its words."""
        return [
            (at, words)
            for at, all_words in self.heard
            for words in all_words
            if words[0] == command
        ]

    def times(self, command: str) -> list[float]:
        """When a command came, in seconds."""
        return [at for at, _ in self.told(command)]

    def together(self, command: str) -> list[int]:
        """How many of a command came in each exchange in which it did."""
        counts = [sum(words[0] == command for words in all_words) for _, all_words in self.heard]
        return [count for count in counts if count]

    def hear(self, requests: list[list[str]]) -> None:
        """Take note."""
        self.heard.append((self._clock.now - self._begun, requests))

    def answer(self, words: list[str]) -> tuple[float, bytes]:
        """After how long there is an answer, and what."""
        if words[0] in self.alike:
            reply = self.alike[words[0]]
            return (self.latency_s if reply else math.inf), reply
        if words[0] == "hello":
            return 0.0, HELLO
        if words[0] == "lease":
            return self._leased(words)
        return self.latency_s, b"+OK\r\n"

    def _leased(self, words: list[str]) -> tuple[float, bytes]:
        fixed = [word for word in words if "=" not in word]
        flags = dict(word[1:].split("=") for word in words if "=" in word)
        count = min(int(flags.get("count", 1)), self.jobs)
        if not count:
            return self.latency_s + int(fixed[-1]) / 1000, b"-TIMEOUT\r\n"
        jobs = [
            b"c0ffee00-1111-4222-8333-%012d %b %d 2 token=7 attempt=1\r\nhi\r\n"
            % (number, fixed[1].encode(), self.ttr_ms)
            for number in range(self.jobs, self.jobs - count, -1)
        ]
        self.jobs -= count
        return self.latency_s, b"+OK %d\r\n%b" % (count, b"".join(jobs))


class Wire:
    """See `Wire`; one to a peer.

    Args:
        peer: it.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._sent = b""
        self._coming: deque[tuple[float, bytes]] = deque()
        self._closed = asyncio.Event()
        peer.open += 1
        peer.most = max(peer.most, peer.open)

    async def exchange(self, data: bytes, timeout_s: float) -> bytes:
        """See `Wire.exchange`."""
        loop = asyncio.get_running_loop()
        self._sent += data
        if requests := self._requests():
            self._peer.hear(requests)
        for words in requests:
            after_s, reply = self._peer.answer(words)
            before = self._coming[-1][0] if self._coming else 0.0
            self._coming.append((max(loop.time() + after_s, before), reply))
        due = self._coming[0][0] if self._coming else math.inf
        until = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(min(due, until)):
                await self._closed.wait()
            raise ConnectionError("closed meanwhile")
        except TimeoutError:
            pass
        if due > until:
            raise Late
        received = b""
        while self._coming and self._coming[0][0] <= due:
            received += self._coming.popleft()[1]
        return received

    def _requests(self) -> list[list[str]]:
        """Those that were sent whole."""
        requests = []
        while b"\r\n" in self._sent:
            line, _, rest = self._sent.partition(b"\r\n")
            words = line.decode().split(" ")
            if words[0] in BLOCKS:
                rest = rest[int([word for word in words if "=" not in word][-1]) + 2 :]
            self._sent = rest
            requests.append(words)
        return requests

    def quiet(self) -> bool:
        """See `Wire.quiet`."""
        return not (self._closed.is_set() or self._coming)

    def close(self) -> None:
        """See `Wire.close`."""
        if not self._closed.is_set():
            self._closed.set()
            self._peer.open -= 1


class Network:
    """See `Network`; it leads to a peer.

    Args:
        peer: it.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def connect(self, address: Address, timeout_s: float) -> Wire:
        """See `Network.connect`."""
        await asyncio.sleep(min(timeout_s, self._peer.connect_s))
        if timeout_s < self._peer.connect_s:
            raise Late
        return Wire(self._peer)

    async def pause(self, seconds: float) -> None:
        """See `Network.pause`."""
        await asyncio.sleep(seconds)

    def places(self, count: int) -> AsyncPlaces:
        """See `Network.places`."""
        return AsyncPlaces(count)


class Virtual:
    """A world of such a time.

    Args:
        monkeypatch: for as long as it lasts, the client and the worker are in it.

    Attributes:
        clock: its time.
        peer: the only server in it.
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.clock = Clock()
        self._acts: list[tuple[float, Callable[[], object]]] = []
        self.peer = Peer(self.clock)
        for name, module in list(sys.modules.items()):
            if name.startswith("workq_client.") and getattr(module, "time", None) is time:
                monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setattr("workq_client.aio.AsyncNetwork", lambda: Network(self.peer))
        monkeypatch.setattr(Conductor, "start", _start)

    @property
    def passed_s(self) -> float:
        """How much time has passed since it began."""
        return self.clock.now - 1000.0

    def later(self, after_s: float, act: Callable[[], object]) -> None:
        """Do something after so many seconds of what runs next."""
        self._acts.append((after_s, act))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        with asyncio.Runner(loop_factory=lambda: Loop(self.clock)) as runner:
            for after_s, act in self._acts:
                runner.get_loop().call_later(after_s, act)
            self._acts.clear()
            return runner.run(main)

    def work(self, worker: Worker, stop_s: float, *, at_once: bool = False) -> bool:
        """Have a worker of the pool `tasks` work, and stop.

        Args:
            worker: it.
            stop_s: after how many seconds it is stopped.
            at_once: whether what runs is interrupted then.

        Returns:
            Whether everything was finished.
        """
        self.later(stop_s, lambda: worker.stop(at_once=at_once))
        return self.run(worker._serve_in_loop(worker.settings))


def _start(conductor: Conductor) -> None:
    """Have a conductor do in the running loop what it does in a thread else."""

    async def conducted() -> None:
        try:
            conductor.ended.set_result(await conductor._conduct())
        except BaseException as error:
            conductor.ended.set_exception(error)

    conductor.task = asyncio.get_running_loop().create_task(conducted())  # type: ignore[attr-defined]
