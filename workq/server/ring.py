"""The asyncio ring: does what the broker asks and tells it what became of it.

Whatever happens on the loop only notes itself and calls `wake`. One call of `_turn` then serves
all that has gathered: time in, commit to the log, replies out, one write per connection. One
timer stands for every deadline there is.
"""

from __future__ import annotations

import asyncio
from collections import deque

from workq import __version__
from workq.broker.broker import Broker
from workq.commands import COMMANDS
from workq.commands.base import Facts
from workq.engine.calendar import NEVER
from workq.engine.engine import Engine
from workq.limits import LARGE_CHUNKS_PER_TURN_MAX, LAST_TURNS_MAX, LONG_TURN_MS, Bounds
from workq.server.connection import Connection
from workq.server.gathering import Gathering
from workq.server.process import collect_young, descriptors_left, resident_bytes
from workq.server.storage import Storage
from workq.server.untaken import Untaken
from workq.server.watch import Watch
from workq.server.writer import ALWAYS, Writer

#: How often the wall clock and the process's memory are looked at.
SAMPLE_MS = 1000


class Ring:
    """A server within a running event loop.

    Args:
        bounds: what an operator can turn.
        storage: what it starts from and writes to; by default nothing.
        guest: whether the process is not the server's own. It touches nothing of it then: neither
            does it free memory for all, nor look for descriptors.

    Attributes:
        connections: those that stand.
        untaken: those whose clients do not take their replies.
        awake: whether a turn is due.
        deserted: set when a connection has gone and none is left.
        drained: set when, after `drain`, the last client is gone.
        failure: what made a turn or the log fail, which is the end; `failed` is set then.
        in_turn: whether a turn is being had.
    """

    def __init__(
        self, bounds: Bounds | None = None, storage: Storage | None = None, guest: bool = False
    ) -> None:
        storage = storage or Storage(Engine())
        self._guest = guest
        self.clock = storage.clock
        self.broker = Broker(storage.engine, COMMANDS, bounds)
        self.in_turn = False
        self._policy = storage.policy
        self._gathering: Gathering | None = None
        self.writer = Writer(self.broker, storage.policy, wake=self._woken, fail=self.fail)
        self.log = self.writer.log = storage.open(self.writer, self.clock.now_ms())
        self.connections: dict[Connection, None] = {}
        self._resting: deque[Connection] = deque()
        self.untaken = Untaken()
        self.deserted = asyncio.Event()
        self.drained = asyncio.Event()
        self.failure: Exception | None = None
        self.failed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.awake = False
        if self._policy.name == ALWAYS:
            self._gathering = Gathering(
                self.writer, self._loop.call_soon, lambda: self.awake, self.clock.now_ns
            )
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._begun_ms = self.clock.now_ms()
        self._started_ms = self._begun_ms + self.clock.offset_ms
        self._draining = False
        self._closing = False
        self._changes = 0  # since the collector came last
        self._long_turns = 0
        self._longest_turn_ns = 0
        self._watch = Watch()
        self._sample()
        if self._policy.interval_ms:
            self._sync()

    def connection(self) -> Connection:
        """What asyncio calls for each client."""
        return Connection(self)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        if not self.connections:
            self.deserted.set()

    def rest(self, connection: Connection) -> None:
        """A large chunk was read from a connection: the next one when its turn comes."""
        self._resting.append(connection)
        self.wake()

    def wake(self) -> None:
        """Something has happened: have a turn soon, one for all that happens until then."""
        if not self.awake:
            self.awake = True
            self._loop.call_soon(self._turn)

    def catch_up(self) -> None:
        """Have all turns that are due by now, at once: the clock has jumped, of which the timer
        knows nothing. For a server without a log, whose turns wait for nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._turn()
        while self.failure is None and self.broker.next_ms() <= self.clock.now_ms():
            self._turn()

    def _woken(self) -> None:
        """The log has come on: what waited for it may leave, in this turn or in one of its own."""
        if not self.in_turn:
            self.wake()
        if self._gathering is not None:
            self._gathering.go_on()

    def drain(self) -> None:
        """Begin to shut down; see `Broker.drain`."""
        self._draining = True
        self.broker.drain()
        self.wake()

    def end(self) -> None:
        """End what `drain` has left; see `Broker.end`."""
        self.broker.end()
        self.wake()

    async def close(self) -> None:
        """Have the last turns, for what the ends of connections have changed, and close the log."""
        for _ in range(LAST_TURNS_MAX):
            self._turn()
            if not self.broker.busy:
                break
        self._closing = True
        closed = asyncio.Event()
        self.log.close(self.clock.now_ms(), closed.set)
        await closed.wait()

    def _turn(self) -> None:
        """Have a turn. One that fails ends the server: what it left half done would be served."""
        if self.failure is not None or self._closing:
            return
        self.in_turn = True
        try:
            self._have_turn()
        except Exception as error:  # whatever it is, it is a mistake of ours
            self.fail(error)
        finally:
            self.in_turn = False

    def fail(self, error: Exception) -> None:
        """End the server: what it would answer could not be trusted. The first reason counts."""
        self.failure = self.failure or error
        self.failed.set()

    def _have_turn(self) -> None:
        self.awake = False
        broker = self.broker
        start_ns = self.clock.now_ns()
        now_ms = start_ns // 1_000_000
        commit = broker.turn(now_ms, self.clock.offset_ms)
        if commit:
            self.writer.append(commit, now_ms)
            if self._gathering is not None:
                self._gathering.begin()
        sends = broker.release()
        for session, data, ending in sends:
            transport = session.peer.transport
            if transport is None or transport.is_closing():
                broker.bounced(session)
            elif ending:
                session.peer.end(data, ending)
            else:
                transport.write(data)
        if self.untaken.connections:
            self.untaken.look(sends)
        for session in broker.resumed():
            if session.peer is not None:
                session.peer.set_reading(True)
        if self._resting:
            self._read_on()
        self._arm(now_ms)
        if self._draining and broker.drained:
            self.drained.set()
        if not self._guest:
            self._changes += len(commit)
            if collect_young(self._changes):
                self._changes = 0
        took_ns = self.clock.now_ns() - start_ns
        if took_ns > self._longest_turn_ns:
            self._longest_turn_ns = took_ns
        if took_ns > LONG_TURN_MS * 1_000_000:
            self._long_turns += 1

    def _read_on(self) -> None:
        """Read again from some of those that have rested."""
        for _ in range(min(len(self._resting), LARGE_CHUNKS_PER_TURN_MAX)):
            self._resting.popleft().read_on()
        if self._resting:
            self.wake()  # the others in the next turn, though nothing may come of these

    def _sync(self) -> None:
        """Have what was written synced, every so often, whether anything happens or not."""
        if self._closing:
            return
        self.log.sync()
        self._loop.call_later(self._policy.interval_ms / 1000, self._sync)

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
        self.observe()
        self._loop.call_later(SAMPLE_MS / 1000, self._sample)

    def observe(self) -> None:
        """Look at the wall clock, at the process and at what was counted."""
        self.clock.sample()
        if self.failure is None and not self._closing:
            self.log.tick(self.clock.now_ms())
        self.broker.facts = Facts(
            version=__version__,
            started_ms=self._started_ms,
            uptime_ms=self.clock.now_ms() - self._begun_ms,
            memory_bytes=resident_bytes(),
            long_turns=self._long_turns,
            longest_turn_us=self._longest_turn_ns // 1000,
            untaken_bytes=self.untaken.kept_bytes,
            cut_for_untaken=self.untaken.cut,
        )
        numbers = self.broker.gauges()
        numbers["long-turns"] = self._long_turns
        numbers["longest-turn-us"] = self._longest_turn_ns // 1000
        numbers["untaken-bytes"] = self.untaken.kept_bytes
        numbers["cut-for-untaken"] = self.untaken.cut
        numbers["jobs"] = self.broker.engine.size
        numbers["held-bytes"] = self.broker.engine.held_bytes
        self._watch.look(numbers, self._guest or descriptors_left())
        self.wake()
