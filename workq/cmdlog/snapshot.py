"""Snapshot files: what a log's older segments amount to, kept whole or not at all.

A snapshot is a header (`workq.cmdlog.segment`) and a chain of frames: a head, parts, an end that
counts them. All stand for the position of the last frame that is in the snapshot; the chain
begins with that frame's hash, with which the chain of the segments goes on too. What is in head
and parts is not known here.

It is written as a `.tmp` and gets its name when it has been read back, verified and synced; only
when that name is safe is anything removed. So a `.tmp` means nothing, one that has its name is
whole, and if it does not verify it is damaged.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, NamedTuple

from workq.cmdlog import segment
from workq.cmdlog.disk import FULL, Disk
from workq.cmdlog.frames import (
    KINDS,
    OVERHEAD_BYTES,
    SNAPSHOT_END,
    SNAPSHOT_HEAD,
    SNAPSHOT_PART,
    Chain,
    Frame,
)
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.stream import Stream
from workq.errors import CorruptionError

#: Why a file that was replaced may be left: a disk that is full even for that; it is gone already.
LEAVING: Final = FULL | {errno.ENOENT}

#: The body of the end: how many parts there are, and records in them.
_COUNTS: Final = Struct("<QQ")


class Snapshot(NamedTuple):
    """A snapshot that was read through and verified.

    Attributes:
        number: of the first segment that is not in it.
        mark: of the log.
        epoch: of the last frame that is in it.
        position: of that frame.
        hash: of that frame.
        time_ms: of that frame, in milliseconds since 1970.
        head: the body of its head.
        records: how many there are in its parts.
        size: of the file, in bytes.
    """

    number: int
    mark: bytes
    epoch: int
    position: int
    hash: bytes
    time_ms: int
    head: bytes
    records: int
    size: int


class SnapshotWriter:
    """Writes one snapshot file, under a name that nobody looks at.

    Args:
        disk: where.
        number: of the first segment that is not in it.
        mark: of the log.
        epoch: of the last frame that is in it.
        position: of that frame.
        hash: of that frame.
        time_ms: of that frame.
        head: what to say of the whole.

    Raises:
        OSError: of the disk, here and in all methods.
    """

    def __init__(
        self,
        disk: Disk,
        number: int,
        mark: bytes,
        epoch: int,
        position: int,
        hash: bytes,
        time_ms: int,
        head: bytes,
    ) -> None:
        self._disk = disk
        self._position = position
        self._time_ms = time_ms
        self._chain = Chain(mark, epoch, position, hash, step=0)
        self._parts = 0
        self._records = 0
        name = segment.unfinished_name(segment.snapshot_name(number))
        self._handle = disk.create(name)
        self._offset = 0
        self._write(segment.header(segment.SNAPSHOT, number, mark))
        self._add(SNAPSHOT_HEAD, 0, head)

    def part(self, records: int, body: bytes) -> None:
        """Write a part: a number of records."""
        self._parts += 1
        self._records += records
        self._add(SNAPSHOT_PART, records, body)

    def end(self) -> None:
        """Write the end, wait for the disk and close the file: who publishes it need not wait."""
        self._add(SNAPSHOT_END, 0, _COUNTS.pack(self._parts, self._records))
        self._disk.sync(self._handle)
        self._disk.close(self._handle)

    def _add(self, kind: int, records: int, body: bytes) -> None:
        self._write(self._chain.build(kind, self._time_ms, records, self._position, body))

    def _write(self, data: bytes) -> None:
        self._disk.write(self._handle, data, self._offset)
        self._offset += len(data)


def verify(
    disk: Disk,
    number: int,
    unfinished: bool = False,
    part: Callable[[Frame], None] | None = None,
) -> Snapshot:
    """Read a snapshot through.

    Args:
        disk: where it is.
        number: of the snapshot.
        unfinished: whether it has not got its name yet.
        part: is shown each part.

    Raises:
        CorruptionError: it is not whole.
        DirectoryError: a newer server wrote it.
        OSError: of the disk.
    """
    name = segment.snapshot_name(number)
    if unfinished:
        name = segment.unfinished_name(name)
    handle = disk.open(name)
    try:
        data = disk.read(handle, HEADER_BYTES, 0)
        mark = segment.read_header(disk, name, data, segment.SNAPSHOT, number)
        stream = Stream(disk, handle, mark, HEADER_BYTES)
        head: Frame | None = None
        last = b""  # the hash of the frame before
        parts = records = 0
        for frame in stream.frames():
            if head is None:
                if frame.kind != SNAPSHOT_HEAD:
                    break
                head, last = frame, frame.hash
                continue
            if frame.before != last or frame.position != head.position:
                break
            last = frame.hash
            if frame.kind == SNAPSHOT_PART:
                parts += 1
                records += frame.records
                if part is not None:
                    part(frame)
                continue
            if frame.kind not in KINDS:
                raise segment.newer(disk.path, name, f"frames of kind {frame.kind}")
            end = stream.at + OVERHEAD_BYTES + len(frame.body)
            if frame.kind != SNAPSHOT_END or frame.body != _COUNTS.pack(parts, records):
                break
            if end != stream.size:
                break
            return Snapshot(
                number, mark, head.epoch, head.position, head.before, head.time_ms, head.body,
                records, stream.size,
            )  # fmt: skip
        raise CorruptionError(f"{disk.path}/{name}", stream.at, "the snapshot is damaged")
    finally:
        disk.close(handle)


def parts(disk: Disk, snapshot: Snapshot) -> Iterator[Frame]:
    """The parts of a snapshot that was verified, in order.

    Raises:
        OSError: of the disk.
    """
    handle = disk.open(segment.snapshot_name(snapshot.number))
    try:
        for frame in Stream(disk, handle, snapshot.mark, HEADER_BYTES).frames():
            if frame.kind == SNAPSHOT_PART:
                yield frame
    finally:
        disk.close(handle)


def publish(
    disk: Disk,
    number: int,
    part: Callable[[Frame], None] | None = None,
    whole: Callable[[Snapshot], None] | None = None,
) -> Snapshot:
    """Give a snapshot its name, after another look at it, and remove what it replaces.

    Only who holds the lock of the directory may do this. A crash anywhere in it leaves either the
    old files or the new one with some of the old, which are not looked at any more.

    Args:
        disk: where the finished `.tmp` is.
        number: of the snapshot.
        part: is shown each part.
        whole: is shown the snapshot then; what it raises keeps that from getting its name.

    Raises:
        CorruptionError: it is not whole; it has not got its name.
        OSError: of the disk.
    """
    name = segment.snapshot_name(number)
    snapshot = verify(disk, number, unfinished=True, part=part)
    if whole is not None:
        whole(snapshot)
    # It was synced by another process, and perhaps this one sees what the disk does not have.
    handle = disk.open(segment.unfinished_name(name), writing=True)
    try:
        disk.sync(handle)
    finally:
        disk.close(handle)
    disk.rename(segment.unfinished_name(name), name)
    disk.sync_names()
    try:
        remove_replaced(disk, number)
    except OSError as error:  # it is published all the same; what is left, the next one removes
        if error.errno not in LEAVING:
            raise
    return snapshot


def remove_replaced(disk: Disk, number: int) -> None:
    """Remove the segments and snapshots that a snapshot replaces, the oldest first.

    Args:
        disk: where they are.
        number: of the snapshot, which has its name and is safe.

    Raises:
        OSError: of the disk.
    """
    listing = segment.list_files(disk)
    old = [segment.segment_name(found) for found in listing.segments if found < number]
    old += [segment.snapshot_name(found) for found in listing.snapshots if found < number]
    for name in old:
        disk.remove(name)
    if old:
        disk.sync_names()
