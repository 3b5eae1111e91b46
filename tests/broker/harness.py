"""A broker on virtual time whose turns and log are driven by hand.

`tests.commands.harness` answers whatever is said at once. Here a test decides what comes before
which turn, how far the log has come, and looks at one turn at a time.
"""

from __future__ import annotations

import gc
from typing import Any

from workq.broker.broker import Broker
from workq.broker.session import STAY, Session
from workq.commands import COMMANDS
from workq.commands.base import Facts
from workq.engine.engine import Engine
from workq.engine.transitions import Transition
from workq.limits import Bounds

#: 2030-01-01T00:00:00Z: when every rig begins.
START_MS = 1_893_456_000_000

#: More turns than this without time passing are a broker that never comes to rest.
TURNS_MAX = 5_000


def job_id(number: int = 1) -> str:
    """The id of a test's n-th job."""
    return f"00000000-0000-4000-8000-{number:012x}"


def add(number: int, name: str = "q", payload: str = "x", options: str = "60000 600000") -> str:
    """A request that adds a test's n-th job; the options are its TTR and TTL."""
    return f"add {job_id(number)} {name} {options} {len(payload)}\r\n{payload}\r\n"


def run(number: int, name: str = "q", wait_ms: int = 1000, ttr_ms: int = 60_000) -> str:
    """A request that runs a test's n-th job in the foreground."""
    return f"run {job_id(number)} {name} {ttr_ms} {wait_ms} 1\r\nx\r\n"


def complete(number: int, result: str = "r") -> str:
    """A request that completes a test's n-th job."""
    return f"complete {job_id(number)} {len(result)}\r\n{result}\r\n"


def told(number: int, name: str = "q", payload: str = "x", ttr_ms: int = 60_000) -> str:
    """The reply that hands out a test's n-th job."""
    return f"+OK 1\r\n{job_id(number)} {name} {ttr_ms} {len(payload)}\r\n{payload}\r\n"


def result(number: int, value: str = "r", success: int = 1) -> str:
    """The reply that tells the result of a test's n-th job."""
    return f"+OK 1\r\n{job_id(number)} {success} {len(value)}\r\n{value}\r\n"


def sessions_alive() -> int:
    """How many sessions are referred to by anything, in the whole process."""
    gc.collect()
    return sum(type(one) is Session for one in gc.get_objects())


class Client:
    """A connection, from both sides.

    Attributes:
        session: its session.
        reads_on: what the broker said at the last input: whether the ring shall read on.
        ending: how the broker ended it, `STAY` while it has not.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.session = rig.broker.open()
        self.session.peer = self
        self.reads_on = True
        self.ending = STAY
        self._received = b""

    def put(self, text: str) -> None:
        """Send without a turn."""
        self.reads_on = self._rig.broker.receive(self.session, text.encode("latin-1"))

    def say(self, text: str) -> None:
        """Send, and have all turns that are wanted at this instant."""
        self.put(text)
        self._rig.settle()

    def ask(self, text: str) -> str:
        """Send; return what came at once."""
        self.say(text)
        return self.take()

    def take(self) -> str:
        """What has come since the last time."""
        data, self._received = self._received, b""
        return data.decode("latin-1")

    def shut(self) -> None:
        """Half-close, without a turn."""
        self._rig.broker.eof(self.session)

    def lose(self) -> None:
        """Lose the connection, without a turn."""
        self._rig.broker.lost(self.session)

    def accept(self, data: bytes, ending: int) -> None:
        """What the ring does with what the broker releases."""
        assert self.ending == STAY, "nothing is sent after the end"
        assert not self.session.lost, "nothing is sent to nobody"
        self._received += data
        self.ending = ending
        if ending != STAY:
            self._rig.broker.lost(self.session)


class Rig:
    """A broker, its engine, its time and its log.

    Args:
        safe: whether every commit is safe at once; else `sync` says so.
        bounds: what an operator can turn.

    Attributes:
        now_ms, offset_ms: the two times of the next turn.
        commits: every commit so far.
        turns: how many turns there were.
    """

    def __init__(self, *, safe: bool = True, bounds: Bounds | None = None) -> None:
        self.engine = Engine()
        self.broker = Broker(self.engine, COMMANDS, bounds)
        self.broker.facts = Facts("1.2.3", START_MS, 12345, 4096)
        self.now_ms = START_MS
        self.offset_ms = 0
        self.commits: list[list[Transition]] = []
        self.turns = 0
        self._safe = safe
        self.turn()

    def client(self) -> Client:
        """A new connection."""
        return Client(self)

    def clients(self, count: int) -> list[Client]:
        """Several new connections."""
        return [self.client() for _ in range(count)]

    def turn(self) -> list[Transition]:
        """One turn of the ring; return its commit."""
        self.turns += 1
        commit = self.broker.turn(self.now_ms, self.offset_ms)
        if commit:
            self.commits.append(commit)
            if self._safe:
                self.broker.safe(len(self.commits))
            self.broker.appended(len(self.commits))
        self.release()
        return commit

    def settle(self) -> None:
        """Have turns until none is wanted at this instant."""
        for _ in range(TURNS_MAX):
            self.turn()
            if self.broker.next_ms() > self.now_ms:
                return
        raise AssertionError("the broker does not come to rest")

    def advance(self, ms: int) -> None:
        """Let time pass, with a turn whenever one is wanted."""
        until_ms = self.now_ms + ms
        while (next_ms := self.broker.next_ms()) <= until_ms:
            self.now_ms = max(self.now_ms, next_ms)
            self.settle()
        self.now_ms = until_ms
        self.settle()

    def sync(self, position: int | None = None) -> None:
        """The log has come this far, or to its end; release what may leave now."""
        self.broker.safe(len(self.commits) if position is None else position)
        self.release()

    def release(self) -> None:
        """Do what the broker wants done."""
        for session, data, ending in self.broker.release():
            session.peer.accept(data, ending)

    def gauge(self, name: str) -> Any:
        """One of the broker's numbers."""
        return self.broker.gauges()[name]
