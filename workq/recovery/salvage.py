"""What can be had of a damaged log: every frame that verifies on its own, as far as it fits.

Strict reading (`workq.cmdlog.scan`) ends at the first bad frame. Here the search goes on behind it.
What was between is lost, so later transitions may be of jobs that are not there, or contradict
what is. Each is held against the state first:

- one of a job that is not there, or is finished, is skipped and counted;
- one that shows that another was lost has that one made up, if there is only one it can be: a
  lease of a job that is held back tells that its time had come, one of a leased job that the
  earlier lease had run out, and a new job whose id is taken that the earlier one is gone;
- all others apply as they are, unless they cannot have happened: those are skipped and counted.

So what comes out is a possible state, and as late as can be. It may still hold jobs whose end was
lost: those are handed out again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from workq.cmdlog import frames, segment, snapshot
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT, MARK_BYTES, NO_HASH, SNAPSHOT_HEAD, SNAPSHOT_PART, Frame
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.stream import Stream
from workq.engine import transitions
from workq.engine.fitting import TransitionError
from workq.engine.job import LEASED, READY
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.errors import CorruptionError
from workq.recovery.head import read_head
from workq.recovery.records import NewerRecord, RecordError, Unpacker, makes_sense

#: How many jobs of which something was skipped are named.
NAMED_JOBS_MAX: Final = 20

_MAKING: Final = (transitions.ADDED, transitions.RESTORED, transitions.DELAYED)
_ENDING: Final = (transitions.EXPIRED, transitions.DELETED)


@dataclass(frozen=True, slots=True)
class Flaw:
    """A place of a file that is no good.

    Attributes:
        file: its name.
        start, end: where they begin and end, in bytes; both 0 if it is not about bytes.
        problem: what is wrong.
    """

    file: str
    start: int
    end: int
    problem: str

    def __str__(self) -> str:
        where = f", bytes {self.start} to {self.end}" if self.end else ""
        return f"{self.file}{where}: {self.problem}"


@dataclass(slots=True)
class Salvage:
    """What was had.

    Attributes:
        state: what came out. Its `now_ms` is the time of the last frame.
        files: the names of all segments and snapshots that there were.
        fresh: the number of the next file.
        mark: of the log.
        epoch, position: the highest that were met.
        hash: of the last frame that was taken.
        damage: what is wrong, in the order of the log.
        lost: the first and last position of each run of frames that is missing.
        broken_from: the first position at which something is wrong; None if nothing is.
        frames: how many were taken.
        left_out: how many good frames were not, because they are behind the end that was asked for.
        applied: how many transitions were taken.
        made_up: how many were made up.
        skipped: how many were not taken, by why.
        named_jobs: of which they were, the first.
    """

    state: State
    files: list[str]
    fresh: int
    mark: bytes
    epoch: int = 0
    position: int = 0
    hash: bytes = NO_HASH
    damage: list[Flaw] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    broken_from: int | None = None
    frames: int = 0
    left_out: int = 0
    applied: int = 0
    made_up: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    named_jobs: dict[bytes, None] = field(default_factory=dict)


def salvage(disk: Disk, before: int | None = None) -> Salvage:
    """Take what can be had of a log. Nothing is changed.

    Args:
        disk: the directory, whose lock is held.
        before: the position at which to end; to the end of all by default.

    Raises:
        CorruptionError: nothing at all can be had.
        DirectoryError: a newer server wrote it, or the original one.
        OSError: of the disk.
    """
    return _Salvor(disk, before).work()


class _Salvor:
    """Goes through the files of a log once."""

    def __init__(self, disk: Disk, before: int | None) -> None:
        self._disk = disk
        self._before = before
        listing = segment.list_files(disk)
        self._segments, self._snapshots = listing.segments, listing.snapshots
        names = [segment.snapshot_name(number) for number in listing.snapshots]
        names += [segment.segment_name(number) for number in listing.segments]
        self._bad_headers: dict[str, str] = {}
        mark = self._find_mark()
        self.found = Salvage(State(), sorted(names), listing.fresh, mark)
        self._unpacker = Unpacker()
        self._last = 0  # the position of the last frame that was met
        self._chain: bytes | None = NO_HASH  # its hash; None where that is not known

    def work(self) -> Salvage:
        """Go through them."""
        first = self._begin()
        for number in [n for n in self._segments if n >= first]:
            name = segment.segment_name(number)
            self._note_header(name)
            for frame in self._frames(name):
                self._take(name, frame)
        return self.found

    # --- finding out which log it is ----------------------------------------------------------

    def _find_mark(self) -> bytes:
        """The mark of the log: that of most headers, else that of whatever frame verifies."""
        marks: Counter[bytes] = Counter()
        kinds = [(n, segment.segment_name(n), segment.LOG) for n in self._segments]
        kinds += [(n, segment.snapshot_name(n), segment.SNAPSHOT) for n in self._snapshots]
        for number, name, magic in kinds:
            data = self._read(name, HEADER_BYTES, 0)
            try:
                marks[segment.read_header(self._disk, name, data, magic, number)] += 1
            except CorruptionError as error:
                self._bad_headers[name] = error.problem
        if not marks:
            for name in self._bad_headers:
                mark = self._read(name, MARK_BYTES, HEADER_BYTES)
                # Not zeros: a file of nothing else would be searched at every byte of it.
                is_mark = len(mark) == MARK_BYTES and any(mark)
                marks[mark] += is_mark and any(self._search(name, mark))
        mark, count = marks.most_common(1)[0] if marks else (b"", 0)
        if not count:
            problem = "nothing in this log can be read: go back to a backup"
            raise CorruptionError(self._disk.path, 0, problem)
        return mark

    def _read(self, name: str, size: int, at: int) -> bytes:
        handle = self._disk.open(name)
        try:
            return self._disk.read(handle, size, at)
        finally:
            self._disk.close(handle)

    def _search(self, name: str, mark: bytes) -> Iterator[tuple[int, Frame]]:
        """All frames with a mark that verify on their own, and where they begin."""
        handle = self._disk.open(name)
        try:
            yield from Stream(self._disk, handle, mark, HEADER_BYTES).search(HEADER_BYTES)
        finally:
            self._disk.close(handle)

    # --- where to begin -----------------------------------------------------------------------

    def _begin(self) -> int:
        """Take the snapshot to begin with; the number of the first segment that goes on from it.

        That is the newest one that is whole, if the segments that are there go on from it; else the
        beginning of the log, if it is there; else what is left of the newest.
        """
        if not self._snapshots:
            return 0
        newest = self._snapshots[-1]
        for number in reversed(self._snapshots):
            name = segment.snapshot_name(number)
            try:
                whole = snapshot.verify(self._disk, number)
                problem = "" if whole.mark == self.found.mark else "it is that of another log"
            except CorruptionError as error:
                problem = error.problem
            else:
                if not problem and (number == newest or self._goes_on(number, whole.position)):
                    return self._take_snapshot(name, number)
            if problem and number == newest:
                self.found.damage.append(Flaw(name, 0, 0, problem))
        if self._goes_on(0, 0):
            return 0
        self.found.broken_from = 0
        return self._take_snapshot(segment.snapshot_name(newest), newest)

    def _goes_on(self, number: int, position: int) -> bool:
        """Whether the segments from a number on begin behind a position."""
        for candidate in [n for n in self._segments if n >= number]:
            for _, frame in self._search(segment.segment_name(candidate), self.found.mark):
                return frame.position == position + 1
        return False

    def _take_snapshot(self, name: str, number: int) -> int:
        found = self.found
        self._chain = None
        for frame in self._frames(name):
            found.position = self._last = frame.position
            found.epoch = max(found.epoch, frame.epoch)
            if frame.kind == SNAPSHOT_HEAD:
                found.hash = self._chain = frame.before
                with suppress(CorruptionError):  # but none of a newer server
                    read_head(self._disk.path, number, frame.body)
            self._see_time(frame)
            if frame.kind == SNAPSHOT_PART:
                self._apply_all(name, frame)
        return number

    # --- frames -------------------------------------------------------------------------------

    def _note_header(self, name: str) -> None:
        if name in self._bad_headers:
            damage = Flaw(name, 0, HEADER_BYTES, self._bad_headers[name])
            self.found.damage.append(damage)

    def _frames(self, name: str) -> Iterator[Frame]:
        """The frames of a file that verify; what is between them is noted."""
        at = HEADER_BYTES
        for offset, frame in self._search(name, self.found.mark):
            if offset > at:
                self.found.damage.append(Flaw(name, at, offset, "no whole frame"))
            if frame.kind not in frames.KINDS:
                raise segment.newer(self._disk.path, name, f"a frame of kind {frame.kind}")
            at = offset + len(frame.body) + frames.OVERHEAD_BYTES
            yield frame
        handle = self._disk.open(name)
        try:
            used = Stream(self._disk, handle, b"", at).used(at)
        finally:
            self._disk.close(handle)
        if used > at:
            self.found.damage.append(Flaw(name, at, used, "no whole frame"))

    def _take(self, name: str, frame: Frame) -> None:
        """Take a frame of a segment, if it is one that goes on."""
        found = self.found
        found.epoch = max(found.epoch, frame.epoch)
        if frame.position <= self._last:
            found.skipped["in a frame that was there before"] += frame.records
            return
        if frame.position > self._last + 1:
            lost = (self._last + 1, frame.position - 1)
            found.lost.append(lost)
            self._broken(lost[0])
        elif self._chain is not None and frame.before != self._chain:
            problem = f"frame {frame.position} does not go on from the one before it"
            found.damage.append(Flaw(name, 0, 0, problem))
            self._broken(frame.position)
        self._chain = frame.hash
        self._last = found.position = frame.position
        if self._before is not None and frame.position >= self._before:
            found.left_out += 1
            return
        found.hash = frame.hash
        self._see_time(frame)
        found.frames += 1
        if frame.kind == COMMIT:
            self._apply_all(name, frame)

    def _see_time(self, frame: Frame) -> None:
        state = self.found.state
        state.now_ms = max(state.now_ms, frame.time_ms)

    def _broken(self, position: int) -> None:
        if self.found.broken_from is None:
            self.found.broken_from = position

    # --- transitions --------------------------------------------------------------------------

    def _apply_all(self, name: str, frame: Frame) -> None:
        try:
            records = self._unpacker.records(frame.body)
            if not all(map(makes_sense, records)):
                raise RecordError("its records have values of other kinds")
        except NewerRecord as error:
            where = f"frame {frame.position}: {error}"
            raise segment.newer(self._disk.path, name, where) from error
        except RecordError as error:
            problem = f"frame {frame.position} makes no sense: {error}"
            self.found.damage.append(Flaw(name, 0, 0, problem))
            self._broken(frame.position)
            self.found.skipped["in a frame that makes no sense"] += frame.records
            return
        found = self.found
        for record in records:
            steps, why = steps_to(found.state, record)
            try:
                for step in steps:
                    found.state.apply(step)
            except TransitionError:
                steps, why = [], "that cannot have happened"
            if steps:
                found.applied += 1
                found.made_up += len(steps) - 1
            else:
                found.skipped[why] += 1
                if len(found.named_jobs) < NAMED_JOBS_MAX:
                    found.named_jobs[record[2 if record[0] in _MAKING else 1]] = None
            if len(steps) != 1:
                self._broken(frame.position)


def steps_to(state: State, record: Transition) -> tuple[list[Transition], str]:
    """The transitions by which a record can be taken into a state, the record last.

    Args:
        state: as it is.
        record: what the log says.

    Returns:
        The transitions; none where it does not fit, and then why, after "of".
    """
    kind = record[0]
    if kind == transitions.COUNTERS:
        _, seq, token = record
        return [(kind, max(seq, state.seq), max(token, state.token))], ""
    if kind == transitions.CLOCK:
        return [record], ""
    if kind in _MAKING:
        is_taken = state.jobs.get(record[2]) is not None
        return [(transitions.DELETED, record[2]), record] if is_taken else [record], ""
    job = state.jobs.get(record[1])
    if job is None:
        return [], "of a job that is not there"
    if kind in _ENDING:
        return [record], ""
    if job.finished:
        return [], "of a job that is finished"
    if kind == transitions.DUE and job.hold is None:
        return [], "of a job that was due already"
    if kind == transitions.RETURNED and job.lease is None and record[2] != transitions.FAILURE:
        return [], "of a lease that is not there"
    if kind == transitions.TOUCHED and job.lease is None:
        return [], "of a lease that is not there"
    if kind == transitions.LEASED and job.hold is not None:
        return [(transitions.DUE, job.id), record], ""
    if kind == transitions.LEASED and job.state == LEASED:
        return [(transitions.RETURNED, job.id, transitions.TIMED_OUT), record], ""
    assert kind != transitions.LEASED or job.state == READY
    return [record], ""
