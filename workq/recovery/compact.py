"""Compaction: from the older segments of a log and the snapshot before them, a new snapshot.

It is replay into a state and that state written out again, in the same vocabulary; so what comes
out of the snapshot is what would have come out of the segments. Nothing is decided and nothing is
removed here: the result is a `.tmp`, and only who holds the lock of the directory gives it its
name (`workq.cmdlog.snapshot.publish`).

It runs beside a server that has the same jobs in memory, so it leaves the larger payloads and
results where they are: in their place stands a `Left`, which knows file, offset and length, and
they are read again when they are written. This is done twice, first for the digest, which stands
before all. It needs then about 600 bytes of memory for a job, whatever its payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from zlib import crc32

from workq import __version__
from workq.cmdlog import segment
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import HEAD_BYTES, OVERHEAD_BYTES, SNAPSHOT_PART, Frame
from workq.cmdlog.scan import Reading
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.snapshot import SnapshotWriter
from workq.engine import dump, transitions
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.errors import CorruptionError
from workq.limits import COMPACTION_FILES_MAX, LEFT_ON_DISK_BYTES_MIN
from workq.recovery.head import Digest, Head
from workq.recovery.records import pieces
from workq.recovery.replay import replay

#: Where data of clients stands in the records that have some, in the order of the bytes.
_DATA: Final = {
    transitions.ADDED: (9,),
    transitions.COMPLETED: (2,),
    transitions.FAILED: (3,),
    transitions.RESTORED: (9, 16),
    transitions.DELAYED: (9,),
}


class Left:
    """Bytes that were left on disk; to the state it is what has their length.

    Args:
        name: of the file they are in.
        offset: where they begin there, in bytes.
        data: they.
    """

    __slots__ = ("_check", "_length", "_name", "_offset")

    def __init__(self, name: str, offset: int, data: bytes) -> None:
        self._name = name
        self._offset = offset
        self._length = len(data)
        self._check = crc32(data)

    def __len__(self) -> int:
        return self._length

    def fetch(self, files: Files) -> bytes:
        """The bytes.

        Raises:
            CorruptionError: the disk does not give the same bytes as before.
            OSError: of the disk.
        """
        data = files.read(self._name, self._length, self._offset)
        if crc32(data) != self._check:
            problem = "the disk gives other bytes than a moment ago"
            raise CorruptionError(f"{files.path}/{self._name}", self._offset, problem)
        return data


class Files:
    """Files of a directory, opened when they are read for the first time; not too many at once.

    Args:
        disk: the directory.

    Attributes:
        path: what it is called.
    """

    def __init__(self, disk: Disk) -> None:
        self.path = disk.path
        self._disk = disk
        self._handles: dict[str, int] = {}

    def read(self, name: str, size: int, offset: int) -> bytes:
        """Read from a file.

        Raises:
            OSError: of the disk.
        """
        handle = self._handles.get(name)
        if handle is None:
            if len(self._handles) >= COMPACTION_FILES_MAX:
                self.close()
            handle = self._handles[name] = self._disk.open(name)
        return self._disk.read(handle, size, offset)

    def close(self) -> None:
        """Close those that are open."""
        while self._handles:
            self._disk.close(self._handles.popitem()[1])


class Leaver:
    """Puts a `Left` in the place of what need not be in memory.

    Args:
        reading: of the log whose records go through this, in its order.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._part_at = HEADER_BYTES  # of the snapshot: where the next part begins
        if reading.snapshot is not None:
            self._part_at += OVERHEAD_BYTES + len(reading.snapshot.head)

    def __call__(self, frame: Frame, records: list[Transition]) -> list[Transition]:
        """The records of a frame without what is left on disk.

        Args:
            frame: that was read last.
            records: in its body.
        """
        body = frame.body
        if frame.kind == SNAPSHOT_PART:
            assert self._reading.snapshot is not None
            name = segment.snapshot_name(self._reading.snapshot.number)
            start = self._part_at
            self._part_at += OVERHEAD_BYTES + len(body)
        else:
            number, start = self._reading.at
            name = segment.segment_name(number)
        if len(body) < LEFT_ON_DISK_BYTES_MIN:
            return records
        at = 0
        lighter: list[Transition] = []
        for record in records:
            for place in _DATA.get(record[0], ()):
                data = record[place]
                if data is not None and len(data) >= LEFT_ON_DISK_BYTES_MIN:
                    # They stand no earlier than here. Whatever place has the same bytes will do.
                    found = body.index(data, at)
                    at = found + len(data)
                    left = Left(name, start + HEAD_BYTES + found, data)
                    record = (*record[:place], left, *record[place + 1 :])
            lighter.append(record)
        return lighter


def fold(reading: Reading) -> State:
    """The state that a log makes, with what is large left on disk.

    Args:
        reading: of the log; its `frames` has ended afterwards.

    Raises:
        CorruptionError: something in the log is damaged.
        DirectoryError: a newer server wrote it.
        OSError: of the disk.
    """
    state = State()
    replay(reading, state, keep=Leaver(reading))
    return state


def compact(disk: Disk, number: int, position: int) -> Head:
    """Write the snapshot that stands for all segments below a number, as a `.tmp`.

    Args:
        disk: the directory; its lock may be another's, who removes nothing meanwhile.
        number: of the first segment that is not to be in it.
        position: of the last frame that is to be in it.

    Returns:
        What the snapshot says of itself.

    Raises:
        CorruptionError: what is to be in it is damaged, or not there.
        DirectoryError: a newer server wrote some of it.
        OSError: of the disk.
    """
    reading = Reading(disk, below=number)
    state = fold(reading)
    if reading.position != position:
        problem = f"the segments end with frame {reading.position} and not with {position}"
        raise CorruptionError(f"{disk.path}/{segment.segment_name(number - 1)}", 0, problem)
    files = Files(disk)
    try:
        head = _head(state, files)
        _write(disk, number, reading, head, _bodies(state, files))
    finally:
        files.close()
    return head


def _write(
    disk: Disk, number: int, reading: Reading, head: Head, bodies: Iterator[tuple[int, bytes]]
) -> None:
    writer = SnapshotWriter(
        disk,
        number,
        reading.mark,
        reading.epoch,
        reading.position,
        reading.hash,
        reading.time_ms,
        head.pack(),
    )
    for records, body in bodies:
        writer.part(records, body)
    writer.end()


def _head(state: State, files: Files) -> Head:
    """What the snapshot of a state will say of itself."""
    digest = Digest()
    records = 0
    for count, body in _bodies(state, files):
        digest.add(body)
        records += count
    return Head(__version__, digest.value(), records, state.held_bytes)


def _bodies(state: State, files: Files) -> Iterator[tuple[int, bytes]]:
    """The parts of the snapshot of a state: how many records, and the packed form."""
    return pieces(_whole(record, files) for record in dump.records(state))


def _whole(record: Transition, files: Files) -> Transition:
    """A record with all its bytes."""
    for place in _DATA.get(record[0], ()):
        data: Any = record[place]
        if isinstance(data, Left):
            record = (*record[:place], data.fetch(files), *record[place + 1 :])
    return record
