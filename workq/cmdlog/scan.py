"""Reading a log back: from its newest snapshot on, and telling torn from corrupt.

A frame is good if its own hash is right and it goes on where the one before it ended: its chain,
its position, an epoch that does not fall. Let p be the position of the first that is not.

- If any later frame, in the same segment or in a later one, verifies on its own and says that p
  was safe when it was built, something that was synced is damaged: `CorruptionError`. A segment
  that is missing in the middle is found in the same way.
- Otherwise everything from p on was never synced, and no reply that waited for that has left:
  pages reach the disk in any order, and a power cut leaves some of them. It is the tail.

Bad headers and bad snapshots are always damage: both are synced before they have their names.

Zeros behind the last frame of a segment are what was preallocated and not used. A segment that
was not found by its end may thus hide lost frames; the next segment tells, as it does not go on
where this one ended.

Nothing here writes. Reading costs 2 µs and the hash per frame, in little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from workq.cmdlog import segment, snapshot
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT, EPOCH, MARK, NO_HASH, REPAIR, STOP, Frame
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.snapshot import Snapshot
from workq.cmdlog.stream import Stream
from workq.errors import CorruptionError

#: The kinds that a segment may hold.
_KINDS: Final = frozenset((EPOCH, COMMIT, STOP, MARK, REPAIR))


class Place(NamedTuple):
    """Somewhere in a log: the number of a segment and an offset in it, in bytes."""

    number: int
    offset: int


class Tail(NamedTuple):
    """What was never synced, and is to be cut.

    Attributes:
        place: where it begins.
        position: of the first frame that is missing.
        frames: how many whole ones are in it nevertheless.
        later: the numbers of the segments behind the one it begins in.
    """

    place: Place
    position: int
    frames: int
    later: list[int]


class Sealed(NamedTuple):
    """A segment that will not change any more.

    Attributes:
        number: of the segment.
        size: in bytes.
        position: of its last frame.
    """

    number: int
    size: int
    position: int


class Reading:
    """One reading of a log.

    Args:
        disk: the directory. Without its lock the log may grow meanwhile: what is being written
            looks like a tail.
        below: read only segments of lower numbers, which must be sealed: a tail is corruption.

    Attributes:
        path: of the directory.
        snapshot: where the log begins; None for the beginning.
        numbers: the segments that are read.
        bytes_in_all, bytes_done: what there is to read, and how much of it has been.
        position, hash, epoch, time_ms, kind: of the last good frame, or of what is before all;
            known when `frames` has ended.
        safe: the highest position that any frame vouches for.
        sealed: the segments that hold frames; complete only when `frames` has ended.
        tail: what is to be cut, if anything; known when `frames` has ended.
        mark: of the log; empty if there is none yet.

    Raises:
        CorruptionError: a header or the snapshot is damaged.
        DirectoryError: a newer server wrote it, or the original one.
        OSError: of the disk, here and in all methods.
    """

    def __init__(self, disk: Disk, below: int | None = None) -> None:
        self.path = disk.path
        self._disk = disk
        self._below = below
        listing = segment.list_files(disk)
        snapshots = [n for n in listing.snapshots if below is None or n <= below]
        self.snapshot: Snapshot | None = None
        self.mark = b""
        self.position, self.hash, self.epoch, self.time_ms, self.kind = 0, NO_HASH, 0, 0, 0
        if snapshots:
            self.snapshot = found = snapshot.verify(disk, snapshots[-1])
            self.mark = found.mark
            self.position, self.hash = found.position, found.hash
            self.epoch, self.time_ms = found.epoch, found.time_ms
        first = self.snapshot.number if self.snapshot else 0
        self.numbers = [n for n in listing.segments if n >= first and (below is None or n < below)]
        self.bytes_in_all = self.snapshot.size if self.snapshot else 0
        self.bytes_done = 0
        for number in self.numbers:
            self._look_at(number)
        self.safe = self.position
        self._number = self.numbers[0] if self.numbers else 0
        self._stream: Stream | None = None  # of the segment with that number
        self._unproven = self._number, HEADER_BYTES
        self._candidate = self.position, self._unproven
        self._good: Place | None = None  # the end of the last good frame
        self.sealed: list[Sealed] = []
        self.tail: Tail | None = None

    @property
    def at(self) -> Place:
        """Where the frame is that was read last; when `frames` has ended, where that stopped."""
        return Place(self._number, self._stream.at if self._stream else HEADER_BYTES)

    @property
    def unproven(self) -> Place:
        """Everything before this place is vouched for by frames, perhaps more."""
        return Place(*self._unproven)

    def _look_at(self, number: int) -> None:
        """Check a segment's header and count its bytes."""
        disk = self._disk
        name = segment.segment_name(number)
        handle = disk.open(name)
        try:
            data = disk.read(handle, HEADER_BYTES, 0)
            mark = segment.read_header(disk, name, data, segment.LOG, number)
            self.bytes_in_all += disk.size(handle)
        finally:
            disk.close(handle)
        if self.mark and mark != self.mark:
            raise CorruptionError(f"{disk.path}/{name}", 0, "the file is that of another log")
        self.mark = mark

    def parts(self) -> Iterator[Frame]:
        """The parts of the snapshot, in order; none if there is no snapshot."""
        if self.snapshot is not None:
            for frame in snapshot.parts(self._disk, self.snapshot):
                self.bytes_done += len(frame.body)
                yield frame
            self.bytes_done = self.snapshot.size

    def frames(self) -> Iterator[Frame]:
        """The frames of the segments, in order, up to the tail if there is one.

        Raises:
            CorruptionError: something that was safe is damaged.
            DirectoryError: a newer server wrote a frame.
        """
        self.bytes_done = self.snapshot.size if self.snapshot else 0
        for number in self.numbers:
            handle = self._disk.open(segment.segment_name(number))
            self._number = number
            self._stream = stream = Stream(self._disk, handle, self.mark, HEADER_BYTES)
            done_before = self.bytes_done
            position_before = self.position
            try:
                for frame in self._chained(stream):
                    self.bytes_done = done_before + stream.read_to
                    yield frame
                used = stream.used(stream.at)
            finally:
                self._disk.close(handle)
            self.bytes_done = done_before + stream.size
            if self.position > position_before:
                self._good = Place(number, stream.at)
                self.sealed.append(Sealed(number, stream.at, self.position))
            if used > stream.at:
                self._judge(Place(number, stream.at))
                self.bytes_done = self.bytes_in_all
                return

    def _chained(self, stream: Stream) -> Iterator[Frame]:
        """The frames of one segment, up to the first that does not go on from the last good one.

        What all frames amount to is noted when it ends: each costs as little as can be.
        """
        position, last, epoch, safe = self.position, self.hash, self.epoch, self.safe
        candidate, candidate_at = self._candidate
        frame: Frame | None = None
        for found in stream.frames():
            kind, found_epoch, _, found_position, _, found_safe, before, _, own = found
            if found_position != position + 1 or before != last or found_epoch < epoch:
                break
            if kind not in _KINDS:
                raise segment.newer(self.path, f"frame {found_position}", f"it is of kind {kind}")
            frame, position, last, epoch = found, found_position, own, found_epoch
            safe = max(safe, found_safe)
            # All before this frame is proven if it says so; or up to one noted a while ago.
            if safe >= candidate or safe == position - 1:
                at = (self._number, stream.at)
                self._unproven = at if safe == position - 1 else candidate_at
                candidate, candidate_at = position, at
            yield found
        if frame is not None:
            self.position, self.hash, self.epoch, self.safe = position, last, epoch, safe
            self.time_ms, self.kind = frame.time_ms, frame.kind
            self._candidate = candidate, candidate_at

    def _judge(self, place: Place) -> None:
        """Tell whether what begins at a place is a tail."""
        position = self.position + 1
        if self._below is not None:
            raise self._damaged(place, position, "is damaged or missing in a sealed segment")
        proof = ""
        frames = 0
        for number in [n for n in self.numbers if n >= place.number]:
            name = segment.segment_name(number)
            handle = self._disk.open(name)
            try:
                start = place.offset if number == place.number else HEADER_BYTES
                stream = Stream(self._disk, handle, self.mark, start)
                for offset, frame in stream.search(start):
                    frames += 1
                    if not proof and frame.safe >= position:
                        proof = f"frame {frame.position}, {name} byte {offset}"
                    if frames == 1 and offset == HEADER_BYTES and frame.position > position:
                        place = self._good or place  # it is whole, but others before it are gone
            finally:
                self._disk.close(handle)
        if proof:
            raise self._damaged(place, position, f"is damaged or missing, but was safe ({proof})")
        later = [n for n in self.numbers if n > place.number]
        self.tail = Tail(place, position, frames, later)

    def _damaged(self, place: Place, position: int, problem: str) -> CorruptionError:
        return CorruptionError(
            f"{self._disk.path}/{segment.segment_name(place.number)}",
            place.offset,
            f"frame {position} {problem}: look with `workq cmdlog check`, mend with "
            f"`workq cmdlog repair`, or go back to a backup",
        )
