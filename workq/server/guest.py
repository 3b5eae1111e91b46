"""A server as a guest in another process, in a thread of its own, with a clock that can jump.

It is what `workq_client.testing` gives to those who test their programs: the ring, broker and
engine that serve everywhere, without a log. It changes nothing in the process, whose signals,
memory, log lines and limits are its host's; several may run side by side.

Time that is jumped over is not left out. `advance` goes from deadline to deadline with the clock
standing still in between, so that a chain of them (a lease runs out, its job is held back, comes
back, is leased to who waits, …) happens as it would have, each at its own millisecond.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from typing import Any, Final, TypeVar

from workq.engine.engine import Engine
from workq.engine.job import LEASED, READY
from workq.limits import BACKLOG_CONNECTIONS_MAX, Bounds
from workq.server.clock import VirtualClock
from workq.server.listen import TcpAddress, bind
from workq.server.ring import Ring
from workq.server.storage import Storage

#: Looks at the sockets that bring nothing, after which nothing is under way: a connection and a
#: request that were there before are seen in three.
_QUIET_LOOKS: Final = 4

#: Looks at the sockets after which it goes on though clients never cease to ask.
_LOOKS_MAX: Final = 1000

#: Workers are looked after in every round of the loop at first, later once in so long.
_HASTY_LOOKS: Final = 200
_LOOK_SECONDS: Final = 0.001

#: How often who waits for the server's thread looks whether it is still there.
_LOOK_AFTER_SECONDS: Final = 1

_ENDED: Final = "the server does not run any more"

_Result = TypeVar("_Result")


class _Loop(asyncio.SelectorEventLoop):
    """The loop everybody has: it is made in less time than uvloop, and quick enough here.

    It asks the system for the time in a way of which no test that fakes `time.monotonic` knows.
    """

    def time(self) -> float:
        """Seconds, for what waits in real time."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)


class Guest:
    """A server on a free port of 127.0.0.1. It runs from here on, until `stop`.

    Args:
        bounds: what an operator can turn.
        start_ms: what time it is at the start, in ms since 1970; by default what the wall clock
            shows.

    Attributes:
        port: its port.
        failure: what has ended it, if it was not told to stop: a mistake of its own.

    Raises:
        ListenError: it can listen nowhere.
    """

    def __init__(self, bounds: Bounds | None = None, start_ms: int | None = None) -> None:
        self.port = 0
        self.failure: Exception | None = None
        self._clock = VirtualClock(start_ms)
        self._bounds = bounds
        self._ring: Ring
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._advancing: asyncio.Lock
        self._listener: asyncio.Server | None = None
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="workq server for tests", daemon=True
        )
        self._thread.start()
        try:
            ready.result()
        except Exception:
            self._thread.join()
            raise

    def now_ms(self) -> int:
        """The time, in ms since 1970."""
        return self._clock.now_ms()

    def advance(self, by_us: int, patience_s: float = 0) -> None:
        """Let time pass. Everything that ends meanwhile does so at its time, in order, and the
        replies that tell of it are sent when this returns.

        What was sent to the server before is read first. Without patience nothing is read from
        then on until all is over, so the outcome is the same every time. With it, workers get the
        chance to react: wherever time has come to something, it stands still until no job is
        ready and none is leased. The ends of waits (of `lease`, `result` and `run`) are then no
        reason to stop: those that come between two stops come with the later one.

        Args:
            by_us: how much, in microseconds; not negative.
            patience_s: how long to wait at each stop at the most, in seconds of real time. For a
                lease, or a queue with ready jobs, that has outlasted this it does not wait again.
        """
        self._call(self._advance(by_us * 1000, patience_s))

    def cut(self) -> None:
        """Cut all connections, as a network does that fails; what was leased stays leased."""
        self._call(self._cut())

    def refuse(self) -> None:
        """Cut all connections, and refuse new ones until `accept`."""
        self._call(self._refuse())

    def accept(self) -> None:
        """Listen again, on the same port.

        Raises:
            ListenError: somebody else has taken it.
        """
        self._call(self._listen())

    def stop(self) -> None:
        """End it; when this returns, its thread is gone and all its sockets are closed. Again: no
        matter."""
        with suppress(RuntimeError):  # its loop is closed: it has ended before
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _call(self, what: Coroutine[Any, Any, _Result]) -> _Result:
        """Have something done in the server's thread."""
        try:
            future = asyncio.run_coroutine_threadsafe(what, self._loop)
        except RuntimeError as error:  # its loop is closed
            what.close()
            raise RuntimeError(_ENDED) from (self.failure or error)
        while not wait([future], timeout=_LOOK_AFTER_SECONDS).done:
            if not self._thread.is_alive():
                what.close()  # nobody will ever begin it
                raise RuntimeError(_ENDED) from self.failure
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError(_ENDED) from self.failure

    # --- in its thread ------------------------------------------------------------------------

    def _run(self, ready: Future[None]) -> None:
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._serve(ready))
        except Exception as error:  # whatever it is, who uses the server shall hear of it
            if ready.done():
                self.failure = self.failure or error
            else:
                ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._advancing = asyncio.Lock()
        self._ring = ring = Ring(self._bounds, Storage(Engine(), clock=self._clock), guest=True)
        await self._listen()
        ready.set_result(None)
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, ring.failed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await self._refuse()
        self.failure = ring.failure
        await ring.close()

    async def _listen(self) -> None:
        if self._listener is None:
            (bound,) = bind(TcpAddress("127.0.0.1", self.port), insecure=False)
            self._listener = await self._loop.create_server(
                self._ring.connection, sock=bound, backlog=BACKLOG_CONNECTIONS_MAX
            )
            self.port = bound.getsockname()[1]

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._cut()

    async def _cut(self) -> None:
        await self._quiet()  # who is being accepted is cut as well
        ring = self._ring
        while ring.connections:
            ring.deserted.clear()
            for connection in list(ring.connections):
                connection.abort()
            await ring.deserted.wait()

    async def _quiet(self) -> None:
        """Do what was asked until now."""
        quiet = 0
        for _ in range(_LOOKS_MAX):
            await asyncio.sleep(0)
            quiet = 0 if self._ring.awake else quiet + 1
            if quiet == _QUIET_LOOKS:
                break

    # --- time that is jumped over -------------------------------------------------------------

    async def _advance(self, by_ns: int, patience_s: float) -> None:
        async with self._advancing:
            clock, ring = self._clock, self._ring
            await self._quiet()
            clock.stop()
            to_ns = clock.now_ns() + by_ns
            workers = _Workers(ring.broker.engine, patience_s)
            soonest_ms = ring.broker.engine.next_ms if patience_s else ring.broker.next_ms
            try:
                ring.catch_up()
                await workers.done()
                while ring.failure is None and (next_ns := soonest_ms() * 1_000_000) < to_ns:
                    clock.set(max(next_ns, clock.now_ns()))
                    ring.catch_up()
                    await workers.done()
                clock.set(to_ns)
                ring.catch_up()
                await workers.done()
            finally:
                clock.go_on()
            ring.observe()
            if ring.failure is not None:
                raise RuntimeError("the server has failed") from ring.failure


class _Workers:
    """Waits in real time for those who work on jobs, while the server's time stands still.

    Args:
        engine: has the jobs.
        patience_s: how long to wait at a stretch.
    """

    def __init__(self, engine: Engine, patience_s: float) -> None:
        self._engine = engine
        self._patience_s = patience_s
        self._hopeless: set[int | bytes] = set()  # tokens of leases, and names of queues

    async def done(self) -> None:
        """Wait until no job is ready and none is leased, but not longer than patience lasts."""
        if not self._patience_s:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        looks = 0
        while under_way := self._under_way():
            if loop.time() > until:
                self._hopeless |= under_way
                return
            looks += 1
            await asyncio.sleep(0 if looks < _HASTY_LOOKS else _LOOK_SECONDS)

    def _under_way(self) -> set[int | bytes]:
        engine = self._engine
        found: set[int | bytes] = set()
        if any(engine.counts[state] for state in (READY, LEASED)):
            found.update(lease.token for lease in engine.deadlines.timers())
            found.update(queue.name for queue in engine.queues.values() if queue.ready.size)
        return found - self._hopeless
