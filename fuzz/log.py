"""The reader of the command log on any directory. The target is `check`.

Data: what is done besides (`LOOKS`), the log to begin with (`fuzz.histories`), and the changes that
are made to it (`fuzz.edits`). Whatever comes of it, a start ends with a prefix of what
was written or with a documented refusal, and the simplest possible reader (`fuzz.reference_log`)
comes to the same.
"""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Final

from fuzz import reference_log
from fuzz.bounds import bounds
from fuzz.edits import EDITS_MAX, Draft
from fuzz.histories import HISTORIES, History, Noting
from fuzz.rebuild import check_derived
from fuzz.reference_log import DAMAGED, FOREIGN
from fuzz.words import Source
from tests.cmdlog.making import Noted
from tests.simulation.disk import Inode, SimulatedDisk
from tests.simulation.worker import StepWorker
from workq.cmdlog import snapshot
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.settle import End, settle
from workq.cmdlog.still import Still
from workq.cmdlog.stream import WINDOW_BYTES
from workq.engine import dump
from workq.engine.state import State
from workq.errors import CorruptionError, DirectoryError
from workq.limits import FRAME_BODY_BYTES_MAX
from workq.recovery import check as whole_check
from workq.recovery.compact import compact
from workq.recovery.listing import Wanted, listing
from workq.recovery.records import RecordError, Unpacker, makes_sense, pieces
from workq.recovery.replay import replay
from workq.recovery.salvage import salvage

#: What is done besides the start itself, by the lower five bits; nothing mostly, for it takes most
#: of the time. The upper three choose something in it. The order is part of the corpus.
LOOKS: Final = ("settle", "crash", "go_on", "compact", "tools", "salvage")

#: More calls than this are a reader that does not come to an end: a log here has 300 frames.
READS_MAX: Final = 3000

SEGMENT_BYTES: Final = 1400

#: The profile in which only dictionaries are small, for they are looked through again and again.
SPLIT: Final = 1


class Files(SimulatedDisk):
    """A directory that notices a reader without bounds."""

    reads = 0

    @staticmethod
    def of(files: dict[str, bytes]) -> Files:
        """A directory with some files, all of it safe."""
        disk = Files()
        for name, data in files.items():
            disk.put(name, Inode.of(data))
        return disk

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on."""
        self.reads += 1
        assert self.reads < READS_MAX, "reading does not come to an end"
        assert 0 <= size <= max(WINDOW_BYTES, FRAME_BODY_BYTES_MAX + 80), "a window without bounds"
        assert offset >= 0
        return super().read(handle, size, offset)


class Start:
    """What came of reading a directory as a server does.

    Args:
        disk: the directory.

    Attributes:
        refused: why nothing can be read; empty if it can.
        reading: as far as it came; None if not even the first headers were right.
        state: what was made of it.
    """

    def __init__(self, disk: Disk) -> None:
        self.refused = ""
        self.state = State()
        self.reading: Noting | None = None
        try:
            self.reading = Noting(disk)
            replay(self.reading, self.state)
        except DirectoryError as error:
            self.refused = _why(error, disk)

    @property
    def makes_sense(self) -> bool:
        """Whether all records that were read have values of the right kinds. A start does not look:
        the hashes vouch for that, and whoever knows them could write what he likes."""
        if self.reading is None:
            return True
        unpacker = Unpacker()
        frames = [one for one in self.reading.found if one.kind == COMMIT]
        bodies = [frame.body for frame in (*self.reading.parts_found, *frames)]
        try:
            return all(makes_sense(record) for body in bodies for record in unpacker.records(body))
        except RecordError:
            return True

    @property
    def position(self) -> int:
        """Of the last frame."""
        return self.reading.position if self.reading else 0

    @property
    def digest(self) -> bytes:
        """Of the state."""
        return dump.digest(self.state)


def _why(error: DirectoryError, disk: Disk) -> str:
    """Why a directory is refused; the refusal can be read, and names what is there."""
    text = str(error)
    assert error.path.startswith(disk.path)
    assert text.isprintable(), "a refusal that cannot be read"
    assert len(text) < 2000, "a refusal that nobody reads to its end"
    if not isinstance(error, CorruptionError):
        return FOREIGN
    assert error.path == disk.path or error.path.rpartition("/")[2] in disk.names()
    return DAMAGED


def check(data: bytes) -> None:
    """Start from a log that was changed, and look at what must hold."""
    source = Source(data)
    look = source.byte()
    history = HISTORIES[source.byte() % len(HISTORIES)]
    draft = Draft(history.files)
    for _ in range(EDITS_MAX):
        if source.done:
            break
        draft.edit(source)
    files = draft.files()
    with bounds(SPLIT):
        _check(files, history, draft.sealed, look)


def _check(files: dict[str, bytes], history: History, sealed: bool, look: int) -> None:
    disk = Files.of(files)
    start = Start(disk)
    assert not disk.handles, "a file is left open"
    assert disk.calls == 0, "a reader writes"
    _check_reading(start, files, sealed)
    if not sealed:
        assert start.refused or start.digest == history.digests[start.position], "another state"
    elif not start.makes_sense:
        return
    elif not start.refused:
        _check_state(start)
    if look & 31 < len(LOOKS):
        _Looks(files, start).look(LOOKS[look & 31], look >> 5)


def _check_reading(start: Start, files: dict[str, bytes], sealed: bool) -> None:
    """Hold what was read against what the reference reads."""
    expected = reference_log.read(files)
    if start.refused and sealed:
        return  # its records make no sense; perhaps before the place that the reference has found
    assert start.refused == expected.refused
    if start.refused:
        return
    reading = start.reading
    assert reading is not None
    assert [tuple(frame) for frame in reading.found] == [frame[:-1] for frame in expected.frames]
    tail = reading.tail and (reading.tail.position, reading.tail.frames)
    assert tail == expected.tail
    if expected.frames:
        last = expected.frames[-1]
        end = last.position, last.hash, last.epoch, last.time_ms, last.kind
        assert (reading.position, reading.hash, reading.epoch, reading.time_ms, reading.kind) == end
    elif expected.snapshot:
        head = expected.snapshot[0]
        assert (reading.position, reading.hash) == (head.position, head.before)
    vouched = [frame.safe for frame in (*expected.frames, *expected.snapshot[:1])]
    if expected.snapshot:
        vouched.append(expected.snapshot[0].position)
    assert reading.safe == max(vouched, default=0) or expected.snapshot
    assert reading.bytes_done == reading.bytes_in_all


def _check_state(start: Start) -> None:
    """What was accepted is a state: it follows from its jobs, and its snapshot makes it again."""
    check_derived(start.state, foreground=False)
    again = State()
    again.now_ms = start.state.now_ms
    for record in dump.records(start.state):
        again.apply(record)
    assert dump.digest(again) == start.digest, "a snapshot would make another state"


class _Looks:
    """What else is done with a directory.

    Args:
        files: in it.
        start: what a server made of it.
    """

    def __init__(self, files: dict[str, bytes], start: Start) -> None:
        self._files = files
        self._start = start
        self._digest = b"" if start.refused else start.digest

    def look(self, name: str, choice: int) -> None:
        """Do what the name says, if there is something to do it with."""
        if name in ("tools", "salvage") or not self._start.refused:
            getattr(self, f"_{name}")(choice)

    def _same(self, disk: SimulatedDisk) -> Start:
        """The start from a directory that must make the same state."""
        again = Start(disk)
        assert not again.refused, again.refused
        assert again.digest == self._digest, "another state"
        assert again.reading is not None
        assert again.reading.tail is None or disk.calls == 0, "a tail that was cut is there"
        return again

    def _settled(self, disk: SimulatedDisk) -> End:
        reading = Noting(disk)
        list(reading.frames())
        end = settle(disk, reading)
        assert not disk.handles
        return end

    def _settle(self, _: int) -> None:
        """What is left can be read again, and is the same; nothing but zeros is lost."""
        disk = Files.of(self._files)
        end = self._settled(disk)
        again = self._same(disk)
        assert again.reading is not None
        assert (end.position, end.hash) == (again.reading.position, again.reading.hash)
        assert not disk.changes, "names that are not safe"
        self._check_kept(disk)
        left = {name: disk.read_all(name) for name in disk.names()}
        twice = self._settled(disk)
        # Of a log of which nothing was good not even the mark is left.
        assert twice == (end if twice.mark else end._replace(mark=b""))
        assert twice.mark or not end.position
        assert {name: disk.read_all(name) for name in disk.names()} == left

    def _check_kept(self, disk: SimulatedDisk) -> None:
        assert self._start.reading is not None
        for number in self._start.reading.numbers:
            before = self._files[f"{number:09d}.log"]
            if before[HEADER_BYTES:].strip(b"\0"):
                names = [name for name in disk.names() if name.startswith(f"{number:09d}.")]
                kept = sum(disk.read_all(n).rstrip(b"\0") != b"" for n in names if "snap" not in n)
                data = b"".join(disk.read_all(name) for name in sorted(names, reverse=True))
                assert kept, "a segment is gone"
                assert before.rstrip(b"\0")[HEADER_BYTES:][-64:] in data, "the end of it is gone"

    def _crash(self, choice: int) -> None:
        """The power fails at a call of settling; the next start is the same."""
        disk = Files.of(self._files)
        call = 1 + 2 * choice + len(self._files) % 2

        def fail(name: str, number: int) -> None:
            if number == call:
                raise _PowerCut

        disk.before = fail
        with suppress(_PowerCut):
            self._settled(disk)
        disk.before = lambda name, number: None
        again = disk.crash(Random(call))
        start = Start(again)
        assert not start.refused
        assert start.digest == self._digest, "a crash has changed the state"

    def _go_on(self, _: int) -> None:
        """A log goes on behind what was read."""
        disk = Files.of(self._files)
        end = self._settled(disk)
        if end.position > 2**63 or end.epoch >= 2**32 - 1:
            return  # no server comes so far
        worker = StepWorker()
        noted = Noted(end.position + 1)
        log = DirectoryLog(
            disk, worker, noted, end, segment_bytes=SEGMENT_BYTES, time_ms=end.time_ms,
            chance=lambda size: bytes(range(size)),
        )  # fmt: skip
        log.append(COMMIT, end.time_ms, 0, b"\x90")
        log.close(end.time_ms, lambda: None)
        worker.run()
        assert noted.safe == end.position + 3
        again = self._same(disk)
        assert again.reading is not None
        assert again.reading.position == end.position + 3
        assert again.reading.safe >= end.position + 2

    def _compact(self, choice: int) -> None:
        """The first of its segments become a snapshot, and the state is the same."""
        disk = Files.of(self._files)
        for last in self._settled(disk).sealed[choice::4]:
            number = last.number + 1
            compact(disk, number, last.position)
            snapshot.publish(disk, number)
        self._same(disk)

    def _tools(self, _: int) -> None:
        """Looked at beside a server it is the same."""
        disk = Files.of(self._files)
        with suppress(DirectoryError), Still(disk) as still:
            for line in listing(Noting(still), Wanted()):
                assert line["type"]
        report = None
        with suppress(DirectoryError), Still(disk) as still:
            report = whole_check.check(still)
        assert not disk.handles
        refused = FOREIGN if report is None else DAMAGED if report.damage else ""
        assert refused == self._start.refused
        if report is not None and not refused:
            assert report.digest == self._digest.hex()
            assert report.last_position == (self._start.position if report.frames else 0)

    def _salvage(self, _: int) -> None:
        """There is something to be had, or nothing; of a log without a flaw all is."""
        disk = Files.of(self._files)
        try:
            found = salvage(disk)
        except DirectoryError:
            return  # nothing, or something in a file that a start does not look at
        again = State()
        for _, body in pieces(dump.records(found.state)):
            assert body
        for record in dump.records(found.state):
            again.apply(record)
        assert dump.digest(again) == dump.digest(found.state)
        check_derived(found.state, foreground=False)
        reading = self._start.reading
        if not self._start.refused and reading is not None and reading.tail is None:
            assert dump.digest(found.state) == self._digest, "less than there is"


class _PowerCut(BaseException):
    """The power is gone."""
