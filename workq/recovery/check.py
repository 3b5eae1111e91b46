"""Looking a whole log through: is it sound, and what is in it?

The log is read and replayed as a server would at its start; on the way everything is counted.
Nothing is changed and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from workq.cmdlog import frames, segment
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import STOP, Frame
from workq.cmdlog.scan import Reading
from workq.engine import dump, transitions
from workq.engine.job import Job
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.errors import CorruptionError
from workq.recovery.repair import REPAIRED
from workq.recovery.replay import replay

#: The kinds of frames by name.
KIND_NAMES = {
    frames.EPOCH: "epoch",
    frames.COMMIT: "commit",
    frames.STOP: "stop",
    frames.MARK: "mark",
    frames.REPAIR: "repair",
}


@dataclass(frozen=True, slots=True)
class Damage:
    """What a server would refuse this log for.

    Attributes:
        path: of the file.
        offset: where in it, in bytes.
        problem: what is wrong.
    """

    path: str
    offset: int
    problem: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """The snapshot where the log begins.

    Attributes:
        number: of the first segment that is not in it.
        position: of the last frame that is in it.
        records, bytes: how much it holds.
    """

    number: int
    position: int
    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class LooseEnd:
    """What the next start would cut.

    Attributes:
        segment, offset: where it begins, in bytes.
        position: of the first frame that is not whole.
        frames: whole ones that are in it nevertheless.
        later_segments: the numbers of segments that would go with it.
    """

    segment: int
    offset: int
    position: int
    frames: int
    later_segments: list[int]


@dataclass(slots=True)
class Share:
    """What is in a queue.

    Attributes:
        jobs: how many.
        bytes: their payloads and results.
    """

    jobs: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Report:
    """What was found. Where there is damage, the rest tells of what is before it.

    Attributes:
        path: of the directory.
        damage: None if the log is sound.
        snapshot: None if the log begins at its beginning.
        segments: the numbers of those that count.
        kept_segments: how many there are besides that a snapshot has replaced; they are not read.
        cut_files: what earlier starts have cut.
        cut_bytes: of these files. This and the next two are known after `measure_aside`.
        repaired: the directories in which repairs have put old files aside.
        repaired_bytes: of the files in them.
        bytes: of snapshot and segments.
        first_position, last_position: of the frames in the segments; 0 if there are none.
        first_time_ms, last_time_ms: of the same, in milliseconds since 1970.
        first_epoch, last_epoch: how often the log had been opened.
        safe: the last position that a frame vouches for.
        stopped: whether the last frame tells of a clean stop.
        frames: how many of each kind.
        records: how many of each type, those of the snapshot included.
        jobs: how many in each state.
        queues: by name.
        digest: of the state, in hex.
        tail: None if every byte is a whole frame.
    """

    path: str
    damage: Damage | None = None
    snapshot: Beginning | None = None
    segments: list[int] = field(default_factory=list)
    kept_segments: int = 0
    cut_files: list[str] = field(default_factory=list)
    cut_bytes: int = 0
    repaired: list[str] = field(default_factory=list)
    repaired_bytes: int = 0
    bytes: int = 0
    first_position: int = 0
    last_position: int = 0
    first_time_ms: int = 0
    last_time_ms: int = 0
    first_epoch: int = 0
    last_epoch: int = 0
    safe: int = 0
    stopped: bool = False
    frames: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    queues: dict[str, Share] = field(default_factory=dict)
    digest: str = ""
    tail: LooseEnd | None = None


class _Counting(State):
    """A state that counts what is applied to it, each on its own."""

    def __init__(self, records: dict[str, int]) -> None:
        super().__init__()
        self._records = records

    def apply(self, transition: Transition, job: Job | None = None) -> None:
        super().apply(transition, job)
        name = transitions.NAMES[transition[0]]
        self._records[name] = self._records.get(name, 0) + 1

    def apply_all(self, records: Iterable[Transition]) -> None:
        for record in records:
            self.apply(record)


class _Noting(Reading):
    """A reading that notes what it reads."""

    def __init__(self, disk: Disk, report: Report) -> None:
        super().__init__(disk)
        self._report = report

    def frames(self) -> Iterator[Frame]:
        report = self._report
        for frame in super().frames():
            if not report.first_position:
                report.first_position = frame.position
                report.first_time_ms, report.first_epoch = frame.time_ms, frame.epoch
            report.last_position = frame.position
            report.last_time_ms, report.last_epoch = frame.time_ms, frame.epoch
            report.safe = max(report.safe, frame.safe)
            report.stopped = frame.kind == STOP
            name = KIND_NAMES[frame.kind]
            report.frames[name] = report.frames.get(name, 0) + 1
            yield frame


def check(disk: Disk) -> Report:
    """Read a log and say what is in it.

    Args:
        disk: the directory; `workq.cmdlog.still.Still` if a server may be writing to it.

    Raises:
        DirectoryError: a newer server wrote it, or the original one.
        OSError: of the disk.
    """
    report = Report(disk.path)
    state = _Counting(report.records)
    listing = segment.list_files(disk)
    report.cut_files = [name for name in disk.names() if name.endswith(".cut")]
    try:
        reading = _Noting(disk, report)
        report.segments, report.bytes = reading.numbers, reading.bytes_in_all
        report.kept_segments = len(listing.segments) - len(reading.numbers)
        if (found := reading.snapshot) is not None:
            report.snapshot = Beginning(found.number, found.position, found.records, found.size)
            report.safe = found.position
        replay(reading, state)
        if (tail := reading.tail) is not None:
            number, offset = tail.place
            report.tail = LooseEnd(number, offset, tail.position, tail.frames, tail.later)
    except CorruptionError as error:
        report.damage = Damage(error.path, error.offset, error.problem)
    _count_jobs(report, state)
    return report


def measure_aside(report: Report) -> None:
    """Note how much earlier starts and repairs have put aside, which is no part of the log.

    Args:
        report: of a directory that is a real one.
    """
    path = Path(report.path)
    report.cut_bytes = _size(path / name for name in report.cut_files)
    for kept in sorted(path.glob(f"{REPAIRED}*")):
        if kept.is_dir():
            report.repaired.append(kept.name)
            report.repaired_bytes += _size(kept.iterdir())


def _size(files: Iterable[Path]) -> int:
    """What files take together; who looks after them may be removing them just now."""
    size = 0
    for file in files:
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def _count_jobs(report: Report, state: State) -> None:
    report.jobs = state.counts
    queues: dict[bytes, Share] = {}
    for job in state.jobs.values():
        share = queues.setdefault(job.queue.name, Share())
        share.jobs += 1
        share.bytes += len(job.payload) + len(job.result or b"")
    report.queues = {
        name.decode("utf-8", "backslashreplace"): share for name, share in sorted(queues.items())
    }
    report.digest = dump.digest(state).hex()
