"""Making a directory what was read of it, so that a log can go on in it.

What was never synced is kept aside (`.cut`) and cut; what was read is made to last; what was left
unfinished is removed. A crash after any step leads to the same state again: a copy is named only
when it is whole, later segments are put aside before the one that the tail begins in is cut, and
as long as anything of the tail is there the next reading finds the same tail, or a part of it.

Reading a frame does not prove that the disk has it. After a kill its pages may be nowhere but in
memory; and after a failed sync the system takes them for written although they are not, so that
another sync would prove nothing either. Therefore all that no frame vouches for is written once
more, byte for byte, before everything is synced.
"""

from __future__ import annotations

from typing import NamedTuple

from workq.cmdlog import segment
from workq.cmdlog.disk import Disk
from workq.cmdlog.scan import Place, Reading, Sealed, Tail
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.stream import WINDOW_BYTES, Stream
from workq.errors import DirectoryError


class End(NamedTuple):
    """Where a log ends, and how it goes on.

    Attributes:
        mark: of the log; empty if it has never been begun.
        epoch, position, hash, time_ms: of its last frame; 0 and zeros if there is none.
        fresh: the number of the next segment.
        sealed: the segments there are.
    """

    mark: bytes
    epoch: int
    position: int
    hash: bytes
    time_ms: int
    fresh: int
    sealed: list[Sealed]


def lock(disk: Disk) -> None:
    """Take a directory for this process alone, before anything in it is read or written.

    Raises:
        DirectoryError: another process has it.
        OSError: it cannot be locked.
    """
    try:
        disk.lock()
    except BlockingIOError as error:
        problem = "another workq-server uses this directory: each needs one of its own"
        raise DirectoryError(disk.path, problem) from error


def settle(disk: Disk, reading: Reading) -> End:
    """Cut the tail, remove leftovers, and wait until all that was read is safe.

    Args:
        disk: the directory, whose lock is held.
        reading: of all of it; its `frames` has ended.

    Raises:
        OSError: of the disk. Nothing is lost: it can be done again.
    """
    for name in segment.list_files(disk).unfinished:
        disk.remove(name)
    tail = reading.tail
    kept = {sealed.number for sealed in reading.sealed}
    for number in reading.numbers:
        if number not in kept and (tail is None or number < tail.place.number):
            disk.remove(segment.segment_name(number))  # made ahead of need, and not needed
    if tail is not None:
        cut(disk, tail)
    for sealed in reading.sealed:
        _make_last(disk, sealed, reading.unproven)
    if reading.snapshot is not None:
        _sync(disk, segment.snapshot_name(reading.snapshot.number))
    disk.sync_names()
    return End(
        reading.mark, reading.epoch, reading.position, reading.hash, reading.time_ms,
        segment.list_files(disk).fresh, list(reading.sealed),
    )  # fmt: skip


def cut(disk: Disk, tail: Tail) -> list[str]:
    """Take the tail off a log and keep it aside.

    The segment it begins in gets shorter; or is put aside whole, as are those behind it, if
    nothing of it is good. What is put aside keeps the bytes as they were found, but for the zeros
    at the end. Done twice, it does the same.

    Args:
        disk: the directory, whose lock is held.
        tail: what is to be cut.

    Returns:
        The names of the files that were put aside.

    Raises:
        OSError: of the disk.
    """
    place = tail.place
    aside: list[str] = []
    whole = list(tail.later)
    if place.offset > HEADER_BYTES:
        name = _copy(disk, tail)
        aside += [name] if name else []
    else:
        whole.insert(0, place.number)
    for number in reversed(whole):
        name = _put_aside(disk, number, tail.position)
        aside += [name] if name else []
    disk.sync_names()
    if place.offset > HEADER_BYTES:
        handle = disk.open(segment.segment_name(place.number), writing=True)
        try:
            disk.truncate(handle, place.offset)
            disk.sync(handle)
        finally:
            disk.close(handle)
    return aside


def _copy(disk: Disk, tail: Tail) -> str:
    """Keep the end of a segment in a file of its own; its name, empty if there is nothing."""
    number, offset = tail.place
    name = segment.cut_name(number, tail.position)
    unfinished = segment.unfinished_name(name)
    handle = disk.open(segment.segment_name(number))
    try:
        used = Stream(disk, handle, b"", offset).used(offset)
        if used == offset:
            return ""
        copy = disk.create(unfinished)
        try:
            for at in range(offset, used, WINDOW_BYTES):
                data = disk.read(handle, min(WINDOW_BYTES, used - at), at)
                disk.write(copy, data, at - offset)
            disk.sync(copy)
        finally:
            disk.close(copy)
    finally:
        disk.close(handle)
    disk.rename(unfinished, name)
    disk.sync_names()
    return name


def _put_aside(disk: Disk, number: int, position: int) -> str:
    """Put a whole segment aside; its new name, empty if it held nothing and was removed."""
    old = segment.segment_name(number)
    handle = disk.open(old, writing=True)
    try:
        used = Stream(disk, handle, b"", HEADER_BYTES).used(HEADER_BYTES)
        disk.truncate(handle, used)
        disk.sync(handle)
    finally:
        disk.close(handle)
    if used == HEADER_BYTES:
        disk.remove(old)
        return ""
    name = segment.cut_name(number, position)
    disk.rename(old, name)
    return name


def _make_last(disk: Disk, sealed: Sealed, unproven: Place) -> None:
    """See to it that the disk has a segment as it was read, and nothing behind its frames."""
    handle = disk.open(segment.segment_name(sealed.number), writing=True)
    try:
        disk.truncate(handle, sealed.size)
        if sealed.number >= unproven.number:
            start = unproven.offset if sealed.number == unproven.number else HEADER_BYTES
            for at in range(start, sealed.size, WINDOW_BYTES):
                data = disk.read(handle, min(WINDOW_BYTES, sealed.size - at), at)
                disk.write(handle, data, at)
        disk.sync(handle)
    finally:
        disk.close(handle)


def _sync(disk: Disk, name: str) -> None:
    handle = disk.open(name, writing=True)
    try:
        disk.sync(handle)
    finally:
        disk.close(handle)
