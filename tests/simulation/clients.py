"""Clients that want everything at once: the workload of a seed.

A client opens a connection, sends what it can think of, in pieces or in heaps, reads or does not,
and begins anew when the connection is over. What it is told it uses only to go on: to finish the
job that it was handed, or not to. Whether it was told right is for the checkers.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.model import moment
from tests.simulation.network import Wire

NAMES = (b"red", b"green", b"blue")
LONG = 10_000_000_000


class Client:
    """A client.

    Args:
        number: which of them.
        random: of this client.
        world: where it lives.

    Attributes:
        wire: its connection; None while it has none.
        kind: a worker leases more, a caller runs more, and so on.
    """

    def __init__(self, number: int, random: Random, world: Any) -> None:
        self.number = number
        self._random = random
        self._world = world
        self.wire: Wire | None = None
        self.kind = ("worker", "worker", "producer", "caller", "looker")[number % 5]
        self._leased: list[bytes] = []
        self._deaf_until_us = self._silent_until_us = 0

    # --- what it does -------------------------------------------------------------------------

    def act(self) -> None:
        """Do the next thing, and come back for more."""
        world, random = self._world, self._random
        if world.winding_down:
            return
        world.later(random.choice((300, 3000, 50_000, 150_000)), self.act)
        if world.now_us < self._silent_until_us:
            return
        wire = self.wire
        if wire is None or wire.closed or wire.seen_end or wire.vanished:
            if wire is not None:
                wire.reset()
            self._leased.clear()
            self.wire = world.connect(self)
            return
        if not wire.reading and world.now_us >= self._deaf_until_us:
            wire.read_on()
        self._listen(wire)
        if wire.shut:
            return
        chance = random.random()
        if chance < 0.02:
            wire.half_close()
        elif chance < 0.03:
            wire.reset()
        elif chance < 0.05:
            data = self.request()
            cut = random.randrange(len(data))
            wire.send(data[:cut])
            random.choice((wire.reset, wire.half_close, self._pause, lambda: None))()
        elif chance < 0.25:
            count = random.choice((2, 5, 12, 80) if chance < 0.06 else (2, 3, 5))
            wire.send(b"".join(self.request() for _ in range(count)))
        elif chance < 0.32:
            data = self.request()
            for at in range(0, len(data), 9):
                world.later(at * 100, lambda piece=data[at : at + 9]: wire.send(piece))
        else:
            wire.send(self.request())

    def be_deaf(self, for_ms: int) -> None:
        """Do not read for a while, but ask for much."""
        if self.wire is not None and not self.wire.closed:
            self.wire.reading = False
            self._deaf_until_us = self._world.now_us + for_ms * 1000
            self.wire.send(b"".join(self._listing() for _ in range(30 if for_ms % 2 else 4)))
            if for_ms % 3:
                self.wire.send(self._lease())

    def _pause(self) -> None:
        """Say nothing for a while, though something is half said."""
        pause_us = self._random.choice((100_000, 900_000, 3_000_000))
        self._silent_until_us = self._world.now_us + pause_us

    def _listen(self, wire: Wire) -> None:
        """Take note of the jobs that it was handed."""
        for line in bytes(wire.inbox).split(b"\r\n"):
            words = line.split(b" ")
            if len(words) == 4 and words[1] in NAMES and len(words[0]) == 36:
                self._leased.append(words[0])
        wire.inbox.clear()

    # --- what it says -------------------------------------------------------------------------

    def request(self) -> bytes:
        """Something to send."""
        random = self._random
        if random.random() < 0.04:
            return self._nonsense()
        if self._leased and random.random() < 0.6:
            job_id = self._leased.pop(random.randrange(len(self._leased)))
            return self._block(random.choice((b"complete ", b"complete ", b"fail ")) + job_id)
        weights = {
            "worker": (4, 2, 1, 14, 1, 1, 2, 1, 2),
            "producer": (12, 4, 0, 1, 1, 1, 2, 1, 2),
            "caller": (2, 1, 10, 2, 2, 1, 3, 2, 2),
            "looker": (4, 2, 1, 2, 3, 3, 6, 2, 8),
        }[self.kind]
        kinds: tuple[Callable[[], bytes], ...] = (
            self._add, self._schedule, self._run, self._lease, self._complete, self._fail,
            self._result, self._delete, self._inspect,
        )  # fmt: skip
        return random.choices(kinds, weights)[0]()

    def _id(self) -> bytes:
        number = self._random.randrange(self._world.ids)
        return b"c0ffee00-1111-4222-8333-%012d" % number

    def _name(self) -> bytes:
        return self._random.choice(NAMES)

    def _data(self) -> bytes:
        size = self._random.choice((0, 1, 3, 20, 20, 100, 700))
        if self._random.random() < 0.3:  # many begin alike
            return (b"begin alike " * 60)[: size - 1] + b"abc"[: min(size, 1)]
        return bytes(self._random.choices(b"abc\r\n ", k=size))

    def _block(self, line: bytes, flags: bytes = b"") -> bytes:
        data = self._data()
        return b"%b %d%b\r\n%b\r\n" % (line, len(data), flags, data)

    def _wait(self) -> int:
        return self._random.choice((0, 0, 1, 30, 120, 200, 500, 1500))

    def _ttr(self) -> int:
        return self._random.choice((1, 20, 80, 150, 400, 600, 1500))

    def _long_ttr(self) -> int:
        return 1_000_000 if self._random.random() < 0.1 else self._ttr()

    def _ttl(self) -> int:
        lives = (60, 600, 600, 4000, 4000, 60_000, 60_000, 950_000, 40_000_000, 2**64 - 1)
        return self._random.choice(lives)

    def _flags(self) -> bytes:
        random = self._random
        flags = b""
        if random.random() < 0.4:
            flags += b" -priority=%d" % random.choice((-5, 0, 3, 7))
        if random.random() < 0.4:
            flags += b" -max-attempts=%d" % random.randrange(4)
        if random.random() < 0.4:
            flags += b" -max-fails=%d" % random.randrange(4)
        return flags

    def _add(self) -> bytes:
        line = b"add %b %b %d %d" % (self._id(), self._name(), self._long_ttr(), self._ttl())
        return self._block(line, self._flags())

    def _schedule(self) -> bytes:
        ahead_ms = self._random.choice((-3000, -200, 0, 300, 700, 700, 1500, 5_000_000))
        time = moment(self._world.wall_ms() + ahead_ms)[:-1]
        time += b".%03dZ" % self._random.randrange(1000)
        line = b"schedule %b %b %d %d %b"
        line %= (self._id(), self._name(), self._ttr(), self._ttl(), time)
        return self._block(line, self._flags())

    def _run(self) -> bytes:
        line = b"run %b %b %d %d" % (self._id(), self._name(), self._ttr(), self._wait())
        return self._block(line, b" -priority=%d" % self._random.choice((0, 5)))

    def _lease(self) -> bytes:
        names = self._random.sample(NAMES, self._random.choice((1, 1, 1, 2, 3)))
        return b"lease %b %d\r\n" % (b" ".join(names), self._wait())

    def _complete(self) -> bytes:
        return self._block(b"complete " + self._id())

    def _fail(self) -> bytes:
        return self._block(b"fail " + self._id())

    def _result(self) -> bytes:
        return b"result %b %d\r\n" % (self._id(), self._wait())

    def _delete(self) -> bytes:
        return b"delete %b\r\n" % self._id()

    def _listing(self) -> bytes:
        return b"inspect jobs %b 0 %d\r\n" % (self._name(), self._random.choice((3, 100)))

    def _inspect(self) -> bytes:
        random = self._random
        return random.choice(
            (
                b"inspect job %b\n" % self._id(),
                b"inspect job %b\r\n" % self._id(),
                b"inspect jobs %b %d 5\r\n" % (self._name(), random.randrange(3)),
                b"inspect scheduled-jobs %b 0 9\r\n" % self._name(),
                b"inspect queue %b\r\n" % random.choice((*NAMES, b"unknown")),
                b"inspect queues 0 10\r\n",
                b"inspect server\r\n",
                b"stats\r\n",
                b"ping\n",
                b"help lease\r\n",
            )
        )

    def _nonsense(self) -> bytes:
        return self._random.choice(
            (
                b"nonsense\r\n",
                b"lease\r\n",
                b"lease no/name 0\r\n",
                b"add x\r\n",
                b"add no-id red 5 5 2\r\nxx\r\n",
                b"complete %b 3\r\ntoo long\r\n" % self._id(),
                b"result %b -1\r\n" % self._id(),
                b"delete %b -x=1\r\n" % self._id(),
                b"fail %b 99999999999\r\n" % self._id(),
                b"quit\r\n",
                b"GET / HTTP/1.1\r\n",
                b"x" * 70_000 if self._random.random() < 0.1 else b"\r\n",
            )
        )
