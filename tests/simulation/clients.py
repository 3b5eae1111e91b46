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
        version: of the protocol, as far as it knows.
    """

    def __init__(self, number: int, random: Random, world: Any) -> None:
        self.number = number
        self._random = random
        self._world = world
        self.wire: Wire | None = None
        self.kind = ("worker", "worker", "producer", "caller", "looker")[number % 5]
        self.version = 1
        self._leased: list[tuple[bytes, int]] = []  # 0 for a token that it was not told
        self._tag = 0
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
            self.version = 1
            self.wire = world.connect(self)
            return
        if not wire.reading and world.now_us >= self._deaf_until_us:
            wire.read_on()
        self._listen(wire)
        if wire.shut:
            return
        chance = random.random()
        if self.version == 1 and self.number % 4 != 3 and random.random() < 0.4:
            self.version = 2
            wire.send(b"hello 2%b\r\n" % random.choice((b"", b" -name=c-%d" % self.number)))
        elif chance < 0.02:
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
            if len(words) >= 4 and words[1] in NAMES and len(words[0]) == 36:
                tokens = [word[6:] for word in words if word.startswith(b"token=")]
                token = int(tokens[0]) if tokens and tokens[0].isdigit() else 0
                self._leased.append((words[0], token))
                if token:
                    self._world.tokens.append(self._leased[-1])
                    del self._world.tokens[:-40]
        wire.inbox.clear()

    # --- what it says -------------------------------------------------------------------------

    def request(self) -> bytes:
        """Something to send."""
        data = self._request()
        chance = self._random.random()
        if chance < (0.4 if self.version == 2 else 0.01):
            data = self._tagged(data)
        return data

    def _tagged(self, data: bytes) -> bytes:
        """A request with a tag, which is mostly another than those before."""
        random = self._random
        line, end, block = data.partition(b"\n")
        if not end:
            return data
        self._tag += 1
        chance = random.random()
        tag = b" -tag=%d" % (self._tag if chance > 0.06 else 1 if chance > 0.03 else 2**64 - 1)
        if chance < 0.02:
            tag = random.choice((b" -tag=", b" -tag=x", b" -tag=1 -tag=2", b" -tag=%d" % 2**64))
        body = line.removesuffix(b"\r")
        return body + tag + line[len(body) :] + end + block

    def _request(self) -> bytes:
        random = self._random
        if random.random() < 0.04:
            return self._nonsense()
        if self._leased and random.random() < 0.6:
            job_id, token = self._leased.pop(random.randrange(len(self._leased)))
            lease = b" -lease=%d" % token if token and random.random() < 0.7 else b""
            chance = random.random()
            if chance < 0.2:
                self._leased.append((job_id, token))
                return self._touch_of(job_id, lease)
            if chance < 0.3:
                return b"release %b%b\r\n" % (job_id, lease)
            if chance < 0.55:
                return self._fail_of(job_id, lease)
            return self._block(b"complete " + job_id, lease)
        weights = {
            "worker": (4, 2, 1, 14, 1, 1, 1, 1, 2, 1, 2),
            "producer": (12, 4, 0, 1, 1, 1, 0, 0, 2, 1, 2),
            "caller": (2, 1, 10, 2, 2, 1, 1, 1, 3, 2, 2),
            "looker": (4, 2, 1, 2, 3, 3, 2, 2, 6, 2, 8),
        }[self.kind]
        kinds: tuple[Callable[[], bytes], ...] = (
            self._add, self._schedule, self._run, self._lease, self._complete, self._fail,
            self._touch, self._release, self._result, self._delete, self._inspect,
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
        if random.random() < 0.5:
            flags += b" -max-fails=%d" % random.choice((0, 1, 2, 3, 5, 9))
        if random.random() < 0.4:
            flags += b" -retry-delay=%d" % random.choice((0, 1, 30, 30, 200, 200, 900, 3000))
            if random.random() < 0.6:
                flags += b" -backoff=%d" % random.choice((1, 2, 2, 3, 100))
            if random.random() < 0.4:
                flags += b" -retry-max=%d" % random.choice((0, 50, 300, 1_000_000))
        return flags

    def _add(self) -> bytes:
        line = b"add %b %b %d %d" % (self._id(), self._name(), self._long_ttr(), self._ttl())
        delay = b""
        if self._random.random() < 0.2:
            delay = b" -delay=%d" % self._random.choice((0, 1, 30, 300, 300, 900, 2000, 3_000_000))
        return self._block(line, self._flags() + delay)

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
        count = b""
        if self._random.random() < 0.35:
            count = b" -count=%d" % self._random.choice((1, 2, 2, 3, 5, 100))
        return b"lease %b %d%b\r\n" % (b" ".join(names), self._wait(), count)

    def _of(self) -> tuple[bytes, bytes]:
        """Any job, and perhaps a token that somebody was told, of its lease or of an older one."""
        tokens, random = self._world.tokens, self._random
        chance = random.random()
        if chance < 0.4 and tokens:
            job_id, token = random.choice(tokens)
            return (job_id if chance < 0.35 else self._id()), b" -lease=%d" % token
        return self._id(), random.choice((b" -lease=1", b" -lease=%d" % (2**64 - 1), *7 * (b"",)))

    def _complete(self) -> bytes:
        job_id, lease = self._of()
        return self._block(b"complete " + job_id, lease)

    def _fail(self) -> bytes:
        return self._fail_of(*self._of())

    def _fail_of(self, job_id: bytes, flags: bytes) -> bytes:
        random = self._random
        if random.random() < 0.4:
            flags += b" -delay=%d" % random.choice((0, 1, 40, 40, 300, 3000))
        if random.random() < 0.25:
            flags += b" -final=%d" % random.choice((0, 1, 1))
        return self._block(b"fail " + job_id, flags)

    def _touch(self) -> bytes:
        return self._touch_of(*self._of())

    def _touch_of(self, job_id: bytes, flags: bytes) -> bytes:
        if self._random.random() < 0.4:
            flags += b" -ttr=%d" % self._random.choice((1, 50, 300, 2500, 86_400_000))
        return b"touch %b%b\r\n" % (job_id, flags)

    def _release(self) -> bytes:
        return b"release %b%b\r\n" % self._of()

    def _several(self) -> bytes:
        numbers = self._random.sample(range(self._world.ids), self._random.randint(2, 5))
        return b" ".join(b"c0ffee00-1111-4222-8333-%012d" % number for number in numbers)

    def _result(self) -> bytes:
        if self._random.random() < 0.2:
            return b"result %b %d\r\n" % (self._several(), self._random.choice((0, 0, 0, 0, 1)))
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
                b"inspect job %b\r\n" % self._several(),
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
                b"hello 3\r\n",
                b"lease red 0 -count=101\r\n",
                b"touch %b -lease=0\r\n" % self._id(),
                b"fail %b 99999999999\r\n" % self._id(),
                b"quit\r\n",
                b"GET / HTTP/1.1\r\n",
                b"x" * 70_000 if self._random.random() < 0.1 else b"\r\n",
            )
        )
