"""The asyncio ring: does what the broker asks and tells it what became of it.

Whatever happens on the loop only notes itself and calls `wake`. One call of `_turn` then serves
all that has gathered: time in, commit to the log, replies out, one write per connection. One
timer stands for every deadline there is.
"""

from __future__ import annotations

import asyncio
import time

from workq import __version__
from workq.broker.broker import Broker
from workq.cmdlog.log import Log, NoLog
from workq.commands import COMMANDS
from workq.commands.base import Facts
from workq.engine.calendar import NEVER
from workq.engine.engine import Engine
from workq.errors import LogError
from workq.limits import LONG_TURN_MS, Bounds
from workq.server.clock import Clock
from workq.server.connection import Connection
from workq.server.process import collect_young, descriptors_left, resident_bytes
from workq.server.watch import Watch

#: How often the wall clock and the process's memory are looked at.
SAMPLE_MS = 1000


class Ring:
    """A server within a running event loop.

    Args:
        bounds: what an operator can turn.

    Attributes:
        connections: those that stand.
        drained: set when, after `drain`, the last client is gone.
        failure: what made a turn or the log fail, which is the end; `failed` is set then.
        in_turn: whether a turn is being had.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.clock = Clock()
        self.broker = Broker(Engine(), COMMANDS, bounds)
        self.log: Log = NoLog(_Reports(self))
        self.in_turn = False
        self.connections: dict[Connection, None] = {}
        self.drained = asyncio.Event()
        self.failure: Exception | None = None
        self.failed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._awake = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._begun_ms = self.clock.now_ms()
        self._started_ms = time.time_ns() // 1_000_000
        self._draining = False
        self._long_turns = 0
        self._longest_turn_ns = 0
        self._watch = Watch()
        self._sample()

    def connection(self) -> Connection:
        """What asyncio calls for each client."""
        return Connection(self)

    def wake(self) -> None:
        """Something has happened: have a turn soon, one for all that happens until then."""
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._turn)

    def drain(self) -> None:
        """Begin to shut down; see `Broker.drain`."""
        self._draining = True
        self.broker.drain()
        self.wake()

    def end(self) -> None:
        """End what `drain` has left; see `Broker.end`."""
        self.broker.end()
        self.wake()

    def _turn(self) -> None:
        """Have a turn. One that fails ends the server: what it left half done would be served."""
        if self.failure is not None:
            return
        self.in_turn = True
        try:
            self._have_turn()
        except Exception as error:  # whatever it is, it is a mistake of ours
            self.fail(error)
        finally:
            self.in_turn = False

    def fail(self, error: Exception) -> None:
        """End the server: what it would answer could not be trusted."""
        self.failure = error
        self.failed.set()

    def _have_turn(self) -> None:
        self._awake = False
        broker = self.broker
        start_ns = self.clock.now_ns()
        now_ms = start_ns // 1_000_000
        commit = broker.turn(now_ms, self.clock.offset_ms)
        if commit:
            broker.appended(self.log.append(b""))  # it keeps nothing and wants no bytes
        for session, data, ending in broker.release():
            transport = session.peer.transport
            if transport is None or transport.is_closing():
                broker.bounced(session)
            elif ending:
                session.peer.end(data, ending)
            else:
                transport.write(data)
        for session in broker.resumed():
            if session.peer is not None:
                session.peer.set_reading(True)
        self._arm(now_ms)
        if self._draining and broker.drained:
            self.drained.set()
        collect_young()
        took_ns = self.clock.now_ns() - start_ns
        if took_ns > self._longest_turn_ns:
            self._longest_turn_ns = took_ns
        if took_ns > LONG_TURN_MS * 1_000_000:
            self._long_turns += 1

    def _arm(self, now_ms: int) -> None:
        """See to it that the next deadline finds a turn."""
        next_ms = self.broker.next_ms()
        if next_ms >= NEVER:
            return
        if next_ms <= now_ms:
            self.wake()
            return
        timer = self._timer
        if timer is not None:
            if self._timer_ms <= next_ms:
                return  # it comes early enough, and arms itself anew
            timer.cancel()
        self._timer_ms = next_ms
        self._timer = self._loop.call_later((next_ms - now_ms) / 1000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.wake()

    def _sample(self) -> None:
        self.clock.sample()
        self.broker.facts = Facts(
            version=__version__,
            started_ms=self._started_ms,
            uptime_ms=self.clock.now_ms() - self._begun_ms,
            memory_bytes=resident_bytes(),
            long_turns=self._long_turns,
            longest_turn_us=self._longest_turn_ns // 1000,
        )
        numbers = self.broker.gauges()
        numbers["long-turns"] = self._long_turns
        numbers["longest-turn-us"] = self._longest_turn_ns // 1000
        self._watch.look(numbers, descriptors_left())
        self._loop.call_later(SAMPLE_MS / 1000, self._sample)
        self.wake()


class _Reports:
    """What the log tells the ring (`workq.cmdlog.log.Reports`).

    Args:
        ring: learns it.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def written(self, position: int) -> None:
        """Without a log that keeps anything nothing is safer: replies wait for this."""
        self._ring.broker.safe(position)
        if not self._ring.in_turn:
            self._ring.wake()

    def synced(self, position: int) -> None:
        """There is no policy yet under which a reply waits for it."""

    def failed(self, reason: str) -> None:
        """The server ends."""
        self._ring.fail(LogError(reason))
