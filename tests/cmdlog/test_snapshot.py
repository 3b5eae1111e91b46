"""Snapshot files, kept whole or not at all."""

from __future__ import annotations

import pytest

from tests.cmdlog.making import fill, opened, read
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog import snapshot
from workq.cmdlog.scan import Reading
from workq.cmdlog.snapshot import SnapshotWriter, publish, verify
from workq.errors import CorruptionError

MARK = b"12345678"
HASH = b"hash of frame 99"


def written(disk: SimulatedDisk, number: int = 3, parts: int = 3) -> str:
    """A snapshot that has not got its name yet; the name that it has."""
    writer = SnapshotWriter(disk, number, MARK, 5, 99, HASH, 1234, b"head")
    for part in range(parts):
        writer.part(part, f"part {part}".encode())
    writer.end()
    return f"{number:09d}.snap.tmp"


def test_what_was_written_is_read():
    """Head, parts and counts."""
    disk = SimulatedDisk()
    written(disk)
    found = publish(disk, 3)
    assert found == verify(disk, 3)
    assert found[:8] == (3, MARK, 5, 99, HASH, 1234, b"head", 0 + 1 + 2)
    assert found.size == len(disk.read_all("000000003.snap"))
    parts = list(snapshot.parts(disk, found))
    assert [(part.records, part.body) for part in parts] == [
        (0, b"part 0"), (1, b"part 1"), (2, b"part 2"),
    ]  # fmt: skip
    assert disk.handles == {}


def test_a_snapshot_of_nothing_is_one():
    """It has no parts."""
    disk = SimulatedDisk()
    written(disk, parts=0)
    assert list(snapshot.parts(disk, publish(disk, 3))) == []


def test_a_snapshot_of_which_a_bit_is_wrong_is_rejected_whole():
    """Any bit."""
    disk = SimulatedDisk()
    name = written(disk)
    data = disk.files[name].now
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptionError):
            verify(disk, 3, unfinished=True)
        data[bit // 8] ^= 1 << bit % 8
    verify(disk, 3, unfinished=True)


def test_a_snapshot_that_is_cut_short_or_goes_on_is_rejected():
    """At every byte."""
    disk = SimulatedDisk()
    name = written(disk)
    whole = disk.read_all(name)
    for size in range(len(whole)):
        disk.files[name].now[:] = whole[:size]
        with pytest.raises(CorruptionError):
            verify(disk, 3, unfinished=True)
    disk.files[name].now[:] = whole + b"\0"
    with pytest.raises(CorruptionError):
        verify(disk, 3, unfinished=True)


def test_a_snapshot_with_a_part_too_few_or_twice_is_rejected():
    """Each frame is whole, but the chain is not."""
    disk = SimulatedDisk()
    name = written(disk)
    whole = disk.read_all(name)
    pieces = whole.split(MARK)
    start, frames = MARK.join(pieces[:2]), [MARK + piece for piece in pieces[2:]]
    assert b"".join((start, *frames)) == whole
    for left in (frames[:2] + frames[3:], frames[:3] + frames[2:], frames[:-1], frames[1:]):
        disk.files[name].now[:] = b"".join((start, *left))
        with pytest.raises(CorruptionError):
            verify(disk, 3, unfinished=True)


def test_a_damaged_snapshot_does_not_get_its_name():
    """And nothing is removed for it."""
    disk = SimulatedDisk()
    log = opened(disk)
    fill(log, range(40))
    log.worker.run()
    name = written(disk, number=3)
    disk.files[name].now[-1] ^= 1
    before = disk.names()
    with pytest.raises(CorruptionError):
        publish(disk, 3)
    assert disk.names() == before


def test_a_snapshot_replaces_segments_and_older_snapshots():
    """And nothing else."""
    disk = SimulatedDisk()
    for name in ("000000001.log", "000000002.log", "000000003.log", "000000001.snap", "notes"):
        disk.close(disk.create(name))
    written(disk, number=3)
    publish(disk, 3)
    assert disk.names() == ["000000003.log", "000000003.snap", "notes"]


def test_a_log_goes_on_behind_its_snapshot():
    """Also when that is all there is."""
    disk = SimulatedDisk()
    log = opened(disk)
    fill(log, range(40))
    log.log.sync()
    log.worker.run()
    reading = Reading(disk, below=4)
    before = list(reading.frames())
    writer = SnapshotWriter(
        disk, 4, reading.mark, reading.epoch, reading.position, reading.hash, reading.time_ms, b""
    )
    writer.end()
    _, whole = read(disk)
    publish(disk, 4)
    reading, frames = read(disk)
    assert reading.snapshot is not None
    assert reading.snapshot.position == len(before)
    assert before + frames == whole
    for number in reading.numbers:
        disk.remove(f"{number:09d}.log")
    again = opened(disk.copy())
    assert again.frames == []
    assert again.log.position == len(before) + 1
    assert min(read(again.disk)[0].numbers) >= 4


def test_a_damaged_snapshot_refuses():
    """It was whole when it got its name."""
    disk = SimulatedDisk()
    written(disk, number=3)
    publish(disk, 3)
    disk.files["000000003.snap"].now[200] ^= 1
    with pytest.raises(CorruptionError, match=r"000000003\.snap"):
        Reading(disk)
