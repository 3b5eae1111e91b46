"""The broker under a program of steps by several clients. The target is `check`.

Data: the profile of bounds, then steps. A step is a byte: what happens (the low four bits), to
which of four clients (two bits), and which turns follow (two bits); then come the bytes that it
chooses from. `fuzz.world` has the clients, the clock, the log, and what must hold.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from fuzz.bounds import bounds
from fuzz.peer import Peer
from fuzz.words import IDS, Source, expand
from fuzz.world import DAY_MS, World

CLIENTS: Final = 4
STEPS_MAX: Final = 200
RAW_BYTES_MAX: Final = 63

#: What happens in a step, by number. The order is part of the corpus.
STEPS: Final = (
    "say", "say", "say_several", "say_in_part", "say_raw", "say_to_all", "shut", "lose", "stall",
    "pass_little_time", "pass_much_time", "walk_little", "walk_much", "step_wall", "log", "operate",
)  # fmt: skip

#: What may follow `operate`; any other byte does nothing.
DRAIN: Final = 0xFF
END: Final = 0xFE

_NAMES = (b"mails", b"letters", b"a", b"-q")
_TTR = (b"1000", b"1", b"20", b"86400000")
_TTL = (b"60000", b"1", b"30", b"1048576", b"18446744073709551615", b"0")
_WAITS = (b"0", b"1", b"25", b"1500", b"86400000", b"x")
_SIZES = (1, 0, 2, 7, 60, 300, 512, 513, 1025)
_FLAGS = (
    b"", b"", b" -priority=1", b" -priority=-1", b" -priority=%d", b" -max-attempts=1",
    b" -max-attempts=2", b" -max-fails=2", b" -max-fails=3", b" -max-attempts=1 -max-fails=2",
    b" -x=1", b" -priority=",
)  # fmt: skip

#: Bytes from here on ask for commands, or flags, that came later, by the second list.
LATER: Final = 0xE0
_LATER_KINDS = (
    "hello", "complete", "fail", "touch", "release", "add", "schedule",
    "lease", "result", "inspect job", "tagged",
)  # fmt: skip
_LATER_FLAGS = (
    b" -max-fails=9 -retry-delay=20", b" -max-fails=9 -retry-delay=5 -backoff=3 -retry-max=100",
    b" -retry-delay=1000 -max-attempts=3", b" -max-fails=9 -retry-delay=31536000000 -backoff=100",
)  # fmt: skip
_COUNTS = (b"2", b"1", b"3", b"100", b"0")
_DELAYS = (b"", b" -delay=0", b" -delay=1", b" -delay=25", b" -delay=1500", b" -delay=31536000000")
SMALL_MS: Final = (1, 2, 5, 19, 20, 25, 100, 999)
LARGE_MS: Final = (1000, 1024, 1500, 60_000, 2**20, DAY_MS, 2**30, 2**32, 2**40)
_LOOKS = (
    b"inspect job %b\r\n", b"inspect jobs mails 0 2\r\n", b"inspect scheduled-jobs mails 0 100\r\n",
    b"inspect queue mails\r\n", b"inspect queues 0 3\r\n", b"inspect server\r\n", b"stats\r\n",
    b"help\r\n", b"help lease\r\n", b"inspect jobs letters 1 1\r\n", b"nosuch\r\n", b"inspect\r\n",
)  # fmt: skip

#: Which command a byte asks for: the frequent ones several times.
_KINDS = (
    "add", "lease", "run", "complete", "add", "lease", "fail", "result", "schedule", "delete",
    "look", "lease2", "ping", "add", "lease", "quit",
)  # fmt: skip


def check(data: bytes) -> None:
    """Carry out a program, end it, and look at what must hold all the while."""
    source = Source(data)
    with bounds(source.byte()) as bounded:
        program = Program(source, World(bounded))
        for _ in range(STEPS_MAX):
            if source.done or program.over:
                break
            program.step()
        if not program.over:
            program.finish()


class Program:
    """The steps in some data, carried out one after the other.

    Args:
        source: the data.
        world: where they are carried out.

    Attributes:
        over: whether the server has been shut down.
    """

    def __init__(self, source: Source, world: World) -> None:
        self._source = source
        self._world = world
        self.over = False
        self._tag = 1
        self._clients: list[Peer | None] = [None] * CLIENTS
        self._unsent = [b""] * CLIENTS  # what is left of a request that was sent in part
        self._index = 0
        self._steps: list[Callable[[], None]] = [getattr(self, f"_{name}") for name in STEPS]

    def step(self) -> None:
        """Carry out one step."""
        byte = self._source.byte()
        world = self._world
        world.hang_up()
        self._index = byte >> 4 & 3
        self._steps[byte & 15]()
        turns = byte >> 6
        if self.over:
            return
        if turns == 2:
            world.turn()
        elif turns != 1:
            world.rest()

    def finish(self) -> None:
        """Close all clients, half of them politely, and let time go on until nobody waits."""
        world = self._world
        world.end_ms *= 2  # leases may end a little after what the program has seen
        world.catch_up(0)
        for number, peer in enumerate(world.peers):
            world.stall(peer, False)
            if number % 2:
                world.lose(peer)
            else:
                world.shut(peer)
        world.rest()
        requests = sum(len(peer.open) for peer in world.peers)
        for _ in range(requests + 2):
            world.hang_up()
            world.rest()
            if not world.peers:
                break
            world.pass_time(DAY_MS)
            world.rest()
        world.hang_up()
        world.rest()
        world.check_end()

    # --- the steps --------------------------------------------------------------------------------

    def _client(self) -> Peer:
        """The client of this step; a new one if it is gone."""
        peer = self._clients[self._index]
        if peer is None or peer.session.lost:
            peer = self._clients[self._index] = self._world.open()
            self._unsent[self._index] = b""
        return peer

    def _send(self, data: bytes) -> None:
        """Send what the client had left, and more."""
        peer = self._client()
        data, self._unsent[self._index] = self._unsent[self._index] + data, b""
        self._world.send(peer, data)

    def _say(self) -> None:
        self._send(self._request())

    def _say_several(self) -> None:
        count = self._source.byte() % 8 + 2
        self._send(b"".join(self._request() for _ in range(count)))

    def _say_in_part(self) -> None:
        share = self._source.byte()
        data = self._request()
        size = len(data) * share // 256
        self._send(data[:size])
        self._unsent[self._index] = data[size:]

    def _say_raw(self) -> None:
        self._send(expand(self._source.take(self._source.byte() % (RAW_BYTES_MAX + 1))))

    def _say_to_all(self) -> None:
        data = self._request()
        for self._index in range(CLIENTS):
            self._send(data)

    def _shut(self) -> None:
        self._world.shut(self._client())

    def _lose(self) -> None:
        self._world.lose(self._client())

    def _stall(self) -> None:
        peer = self._client()
        self._world.stall(peer, not peer.session.stalled)

    def _pass_little_time(self) -> None:
        self._world.pass_time(self._source.pick(SMALL_MS))

    def _pass_much_time(self) -> None:
        self._world.pass_time(self._source.pick(LARGE_MS))

    def _walk_little(self) -> None:
        self._world.walk(self._source.pick(SMALL_MS), 20)

    def _walk_much(self) -> None:
        self._world.walk(self._source.pick(LARGE_MS), 50)

    def _step_wall(self) -> None:
        byte = self._source.byte()
        ms = (*SMALL_MS, *LARGE_MS)[(byte >> 1) % (len(SMALL_MS) + len(LARGE_MS))]
        self._world.step_wall(-ms if byte & 1 else ms)

    def _log(self) -> None:
        self._world.catch_up(self._source.byte() % 4)

    def _operate(self) -> None:
        byte = self._source.byte()
        if byte == DRAIN:
            self._world.drain()
        elif byte == END:
            self._world.end()
            self.over = True

    # --- requests ---------------------------------------------------------------------------------

    def _request(self) -> bytes:
        """A request as a client would write it, mostly."""
        source = self._source
        byte = source.byte()
        if byte >= LATER:
            return self._later_request(_LATER_KINDS[byte % len(_LATER_KINDS)])
        kind = _KINDS[byte % len(_KINDS)]
        if kind == "look":
            text = source.pick(_LOOKS)
            return text % source.pick(IDS) if b"%b" in text else text
        if kind in ("ping", "quit"):
            return kind.encode() + b"\r\n"
        if kind in ("lease", "lease2"):
            names = [source.pick(_NAMES) for _ in range(2 if kind == "lease2" else 1)]
            return b"lease %b %b\r\n" % (b" ".join(names), source.pick(_WAITS))
        job_id = source.pick(IDS)
        if kind == "delete":
            return b"delete %b\r\n" % job_id
        if kind == "result":
            return b"result %b %b\r\n" % (job_id, source.pick(_WAITS))
        head = b"%b %b" % (kind.encode(), job_id)
        if kind in ("complete", "fail"):
            return head + self._block(b"")
        head += b" %b %b" % (source.pick(_NAMES), source.pick(_TTR))
        if kind == "run":
            return head + b" " + source.pick(_WAITS) + self._block(b"")
        head += b" " + source.pick(_TTL)
        if kind == "schedule":
            head += b" " + self._time()
        flags = source.pick(_FLAGS)
        return head + self._block(flags % source.byte() if b"%d" in flags else flags)

    def _block(self, flags: bytes) -> bytes:
        """The end of a line, and the block behind it."""
        byte = self._source.byte()
        size = _SIZES[byte % len(_SIZES)]
        end = b"\n" if byte >= 0xF8 else b"\r\n"
        block = (b"x\r\n"[: size % 4] + b"y" * size)[:size]
        return b" %d%b%b%b%b" % (size, flags, end, block, end)

    def _later_request(self, kind: str) -> bytes:
        """A request that there was not from the beginning."""
        if kind == "hello":
            return b"hello 2\r\n"
        if kind == "tagged":
            byte = self._source.byte()
            line, end, block = self._request().partition(b"\n")
            self._tag += 1
            tag = b" -tag=%d\r" % (self._tag if byte else 1)
            return line.removesuffix(b"\r") + tag + end + block
        source = self._source
        if kind == "lease":
            line = b"lease %b %b -count=%b\r\n"
            return line % (source.pick(_NAMES), source.pick(_WAITS), source.pick(_COUNTS))
        head = b"%b %b" % (kind.encode(), source.pick(IDS))
        if kind in ("result", "inspect job"):
            head += b" %b %b" % (source.pick(IDS), source.pick(IDS))
            return head + (b" 0\r\n" if kind == "result" else b"\r\n")
        if kind in ("add", "schedule"):
            head += b" %b %b %b" % (source.pick(_NAMES), source.pick(_TTR), source.pick(_TTL))
            more = source.pick(_DELAYS) if kind == "add" else b""
            head += b"" if kind == "add" else b" " + self._time()
            return head + self._block(source.pick(_LATER_FLAGS) + more)
        if kind == "release":
            return head + self._lease() + b"\r\n"
        if kind == "touch":
            ttr = source.pick((b"", b" -ttr=1", b" -ttr=30", b" -ttr=86400000"))
            return head + ttr + self._lease() + b"\r\n"
        more = source.pick((*_DELAYS, b" -final=1", b" -final=1 -delay=5"))
        return head + self._block(self._lease() + (more if kind == "fail" else b""))

    def _lease(self) -> bytes:
        """A flag that names a lease, one of the last that were given; or none."""
        byte = self._source.byte()
        tokens = list(self._world.engine.leases)[-8:]
        return b" -lease=%d" % tokens[-1 - byte % len(tokens)] if tokens and byte % 4 else b""

    def _time(self) -> bytes:
        """A time, mostly near the wall clock's."""
        byte = self._source.byte()
        if byte >= 0xF0:
            return (b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59.999Z", b"today")[byte % 3]
        ms = (0, *SMALL_MS, *LARGE_MS[:7], -1, -1000, -50_000, -DAY_MS)[byte % 20]
        wall_ms = self._world.now_ms + self._world.offset_ms + ms
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=wall_ms)
        text = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
        return text.encode() + b"Z"
