"""A ring in a thread of the test's process, with peers on real sockets.

It is there at once, with whatever bounds, and what a process would not let a test decide can be
decided: what comes to one turn together, how late it is, how far the log has come. What each turn
did is noted.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import uvloop

from tests.bounds.program import PATIENCE_SECONDS, Listener, until
from tests.simulation.log import MemoryLog
from workq.cmdlog.log import Reports
from workq.engine.engine import Engine
from workq.limits import SEND_BUFFER_BYTES, Bounds
from workq.server.ring import Ring
from workq.server.storage import Storage

Result = TypeVar("Result")


class Turn(NamedTuple):
    """What a turn did.

    Attributes:
        requests: how many were executed.
        sends: to how many connections something was sent.
        evicted: how many jobs have reached their end.
        pending_names: how many names are not taken in yet.
    """

    requests: int
    sends: int
    evicted: int
    pending_names: int


class _Held(Storage):
    """A log in memory that comes on when the test says so."""

    log: MemoryLog

    def open(self, reports: Reports, time_ms: int) -> MemoryLog:
        self.log = MemoryLog(reports)
        return self.log


class Inside(Listener):
    """A ring in a thread of this process.

    Args:
        held: whether there is a command log that stands still until `come_on`.
        bounds: those that are not as they are if nobody turns them.

    Attributes:
        ring: the ring; what is asked of it is asked by `call`.
        turns: what each has done so far.
    """

    ring: Ring

    def __init__(self, *, held: bool = False, **bounds: int) -> None:
        super().__init__()
        self.faults: list[dict[str, Any]] = []
        self.turns: list[Turn] = []
        self._storage = _Held(Engine()) if held else Storage(Engine())
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(Bounds(**bounds),), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS)

    def _run(self, bounds: Bounds) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(bounds))

    async def _serve(self, bounds: Bounds) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.ring = ring = Ring(bounds, self._storage)
        self._note_turns()
        self._over = asyncio.Event()
        # As a server's own: else the system takes as much as it remembers of others.
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener = await self._loop.create_server(ring.connection, sock=sock)
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        listener.close()
        for connection in list(ring.connections):
            connection.abort()
        while ring.connections:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)

    def _note_turns(self) -> None:
        broker = self.ring.broker
        turn, release = broker.turn, broker.release
        before = (0, 0)

        def noted_turn(now_ms: int, offset_ms: int) -> Any:
            nonlocal before
            before = broker._requests, broker.engine.evicted
            return turn(now_ms, offset_ms)

        def noted_release() -> Any:
            sends = release()
            requests, evicted = broker._requests - before[0], broker.engine.evicted - before[1]
            self.turns.append(Turn(requests, len(sends), evicted, broker.names.pending))
            return sends

        broker.turn = noted_turn  # type: ignore[method-assign]
        broker.release = noted_release  # type: ignore[method-assign]

    def call(self, act: Callable[[], Result]) -> Result:
        """Do something between two turns; return what it returns."""
        done: Future[Result] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(act()))
        return done.result(PATIENCE_SECONDS)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let nothing be heard meanwhile: all that is sent comes to one turn, which is the first
        of those that are noted."""
        stands, go_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            go_on.wait(PATIENCE_SECONDS)
            self.turns.clear()

        self._loop.call_soon_threadsafe(stand)
        assert stands.wait(PATIENCE_SECONDS)
        try:
            yield
        finally:
            go_on.set()

    def pass_time(self, time_ms: int) -> None:
        """Let it be so much later."""
        self.ring.clock._base_ns += time_ms * 1_000_000
        self._loop.call_soon_threadsafe(self.ring.wake)

    def await_waiting(self, count: int) -> None:
        """Go on when so many requests wait."""
        broker = self.ring.broker
        until(lambda: self.call(broker.gauges)["waiting"] == count, f"{count} wait")

    def come_on(self) -> None:
        """Let the log write what it has been given, and from now on at once."""
        assert isinstance(self._storage, _Held)
        log = self._storage.log
        log.eager = True
        self.call(log.write)

    def end(self) -> None:
        """Let nothing of it be left; nothing went wrong in it that nobody caught."""
        self.hang_up()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE_SECONDS)
        assert not self.faults
        assert self.ring.failure is None
