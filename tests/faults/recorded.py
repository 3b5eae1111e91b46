"""A log whose every state is known: written by a real broker on a simulated disk, from a seed.

The digest of the state is noted for each position, so whatever is done to the disk afterwards,
recovery must come to one of them, or refuse.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.simulation.disk import Inode, SimulatedDisk
from tests.simulation.worker import StepWorker
from workq.broker.broker import Broker
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Reading
from workq.cmdlog.settle import lock, settle
from workq.commands import COMMANDS
from workq.engine.dump import digest
from workq.engine.engine import Engine
from workq.errors import CorruptionError
from workq.recovery.records import bodies
from workq.recovery.replay import replay

START_MS = 1_893_456_000_000
QUEUES = ("a", "b")


def job_id(number: int) -> str:
    """The id of the n-th job."""
    return f"00000000-0000-4000-8000-{number:012x}"


def disk_of(files: dict[str, bytes]) -> SimulatedDisk:
    """A disk with these files, all of it safe."""
    disk = SimulatedDisk()
    for name, data in files.items():
        disk.put(name, Inode.of(data))
    return disk


class Recovered(NamedTuple):
    """What recovery came to."""

    position: int
    digest: bytes
    engine: Engine
    reading: Reading


def recover(disk: SimulatedDisk) -> Recovered:
    """Read a log back and settle it, as the server does at its start.

    Raises:
        CorruptionError: it refuses.
    """
    lock(disk)
    reading = Reading(disk)
    engine = Engine()
    replay(reading, engine)
    settle(disk, reading)
    return Recovered(reading.position, digest(engine), engine, reading)


class Recorded:
    """A server without sockets and clock.

    Args:
        disk: what its log is on; what is there is read back first.
        seed: of what is asked of it.
        segment_bytes: how long a segment becomes.
        sizes: of payloads and results, to draw from.
        digests: those that are known already.

    Attributes:
        digests: of the state at each position.
        safe: the position up to which the log has reported everything synced.
    """

    def __init__(
        self,
        disk: SimulatedDisk,
        seed: int,
        segment_bytes: int,
        sizes: tuple[int, ...] = (0, 20, 150),
        digests: dict[int, bytes] | None = None,
    ) -> None:
        self.disk = disk
        self.digests = {0: digest(Engine())} if digests is None else digests
        self._random = Random(seed)
        self._sizes = sizes
        lock(disk)
        reading = Reading(disk)
        self._engine = engine = Engine()
        replay(reading, engine)
        self._now_ms = max(START_MS, engine.now_ms) + 1
        end = settle(disk, reading)
        self._jobs = end.position
        self._worker = StepWorker()
        self.log = DirectoryLog(
            disk, self._worker, self, end, segment_bytes=segment_bytes, time_ms=self._now_ms,
            chance=Random(1).randbytes,
        )  # fmt: skip
        engine.resume(self.log.epoch)
        self.safe = self.log.position
        self.digests[self.log.position] = digest(engine)
        self._worker.run()
        self._broker = Broker(engine, COMMANDS, None)
        self._session = self._broker.open()

    # --- what the log reports ---------------------------------------------------------------

    def written(self, position: int) -> None:
        """It is written."""

    def synced(self, position: int) -> None:
        """It is safe."""
        self.safe = position

    def full(self, full: bool) -> None:
        """It does not run full."""

    def failed(self, reason: str) -> None:
        """Nor does it fail."""
        raise AssertionError(reason)

    # --- what is done with it ---------------------------------------------------------------

    def commit(self, count: int = 1) -> None:
        """Have so many turns that change something."""
        end = self.log.position + count
        while self.log.position < end:
            self._now_ms += self._random.randrange(400)
            self._broker.receive(self._session, self._wish().encode("latin-1"))
            commit = self._broker.turn(self._now_ms, 0)
            for records, body in bodies(commit) if commit else ():
                position = self.log.append(COMMIT, self._now_ms, records, body)
                assert position not in self.digests, "a commit took more than one frame"
                self.digests[position] = digest(self._engine)
                self._broker.appended(position)
            self._broker.safe(self.log.position)
            self._broker.release()

    def sync(self) -> None:
        """Sync, and let the disk do all that it has to."""
        self.log.sync()
        self._worker.run()

    def close(self) -> None:
        """Stop it."""
        self.log.close(self._now_ms, lambda: None)
        self._worker.run()
        self.digests[self.log.position] = digest(self._engine)

    def _wish(self) -> str:
        """A request, most of them about a job there is."""
        random = self._random
        block = "x" * random.choice(self._sizes)
        queue = random.choice(QUEUES)
        flags = random.choice(("", " -priority=3", " -max-fails=2"))
        some = job_id(random.randint(max(self._jobs - 6, 0), self._jobs))
        what = random.randrange(10)
        if what < 4:
            self._jobs += 1
            return f"add {job_id(self._jobs)} {queue} 500 9000 {len(block)}{flags}\r\n{block}\r\n"
        if what < 5:
            self._jobs += 1
            time = "2030-01-01T00:00:05Z"
            line = f"schedule {job_id(self._jobs)} {queue} 500 9000 {time} {len(block)}{flags}"
            return f"{line}\r\n{block}\r\n"
        if what < 8:
            return f"lease {queue} 0\r\n"
        if what < 9:
            verb = random.choice(("complete", "fail"))
            return f"{verb} {some} {len(block)}\r\n{block}\r\n"
        return f"delete {some}\r\n"


class Outcomes:
    """What became of a log that was damaged in many ways.

    Args:
        digests: of the state at each position.
        least: no prefix may be shorter.

    Attributes:
        refused: so many times it was refused.
        positions: how often a prefix ended at each position.
    """

    def __init__(self, digests: dict[int, bytes], least: int) -> None:
        self._digests = digests
        self._least = least
        self.refused = 0
        self.positions: dict[int, int] = {}

    def try_one(self, disk: SimulatedDisk, what: str) -> None:
        """Recover a damaged log: a refusal, or a prefix whose state there was.

        Args:
            disk: with the damage; it is changed.
            what: was done to it, for the message.
        """
        try:
            found = recover(disk)
        except CorruptionError:
            self.refused += 1
            return
        position = found.position
        assert position >= self._least, f"{what}: it ends at {position}, {self._least} was safe"
        assert found.digest == self._digests[position], f"{what}: another state at {position}"
        self.positions[position] = self.positions.get(position, 0) + 1

    @property
    def prefixes(self) -> int:
        """So many times there was a prefix."""
        return sum(self.positions.values())
