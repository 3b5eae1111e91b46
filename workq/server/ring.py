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
from workq.server.clock import Clock
from workq.server.connection import Connection
from workq.server.process import resident_bytes

#: How often the wall clock and the process's memory are looked at.
SAMPLE_MS = 1000


class Ring:
    """A server within a running event loop."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.broker = Broker(Engine(), COMMANDS)
        self.log: Log = NoLog(self.broker.safe)
        self.connections: dict[Connection, None] = {}
        self.paused: dict[Connection, None] = {}
        self._loop = asyncio.get_running_loop()
        self._awake = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._started_ms = time.time_ns() // 1_000_000
        self._sample()

    def connection(self) -> Connection:
        """What asyncio calls for each client."""
        return Connection(self)

    def wake(self) -> None:
        """Something has happened: have a turn soon, one for all that happens until then."""
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._turn)

    def pause(self, connection: Connection) -> None:
        """Read no more from a connection until the broker wants it."""
        connection.set_reading(False)
        self.paused[connection] = None

    def _turn(self) -> None:
        self._awake = False
        broker = self.broker
        now_ms = self.clock.now_ms()
        commit = broker.turn(now_ms, self.clock.offset_ms)
        if commit:
            broker.appended(self.log.append(commit))
        for session, data, ending in broker.release():
            if ending:
                session.peer.end(data, ending)
            elif (transport := session.peer.transport) is not None:
                transport.write(data)
        for connection in list(self.paused) if self.paused else ():
            if broker.reads_on(connection.session):
                del self.paused[connection]
                connection.set_reading(True)
        self._arm(now_ms)

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
        self.broker.facts = Facts(__version__, self._started_ms, resident_bytes())
        self._loop.call_later(SAMPLE_MS / 1000, self._sample)
        self.wake()
