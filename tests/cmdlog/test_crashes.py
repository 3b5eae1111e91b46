"""A power cut at every step of everything a log does to its disk: nothing that was safe is lost."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.cmdlog.making import Noted, Opened, body, commits, fill, opened, read
from tests.simulation.disk import SECTOR_BYTES, SimulatedDisk
from workq.cmdlog import directory, snapshot
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Reading
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.settle import settle
from workq.cmdlog.snapshot import SnapshotWriter
from workq.errors import CorruptionError

SEEDS = range(6)


class PowerCut(BaseException):
    """The power is gone; nobody gets to deal with it."""


class Session:
    """What has been done with a log, and what is safe of it.

    Attributes:
        disk: what it is on.
        appended: how many commits there are.
    """

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.appended = 0
        self._positions: list[int] = []
        self._noted: Noted | None = None

    @property
    def safe(self) -> int:
        """So many commits were reported synced."""
        safe = self._noted.safe if self._noted else 0
        return sum(position <= safe for position in self._positions)

    def run(self, opened: Opened, count: int, seed: int = 0) -> None:
        """Append commits, large ones among them, with syncs now and then, while the worker is
        somewhere behind."""
        log, _, worker, self._noted, _, _ = opened
        random = Random(seed)
        for number in range(self.appended, self.appended + count):
            self.appended += 1
            size = 300 if number % 7 else 900
            self._positions.append(log.append(COMMIT, number, number, body(number, size)))
            if number % 3 == 0:
                log.sync()
            for _ in range(random.randrange(8)):
                random.choice((worker.step, worker.tell))()
        worker.run()
        log.sync()
        worker.run()


def cut_at(disk: SimulatedDisk, call: int, before: Callable[[], None] = lambda: None) -> None:
    """Have the power fail before a call."""
    first = disk.calls

    def fail(name: str, number: int) -> None:
        if number - first == call:
            before()
            raise PowerCut

    disk.before = fail


@pytest.mark.parametrize("schedule", range(4))
def test_a_power_cut_at_any_call_loses_nothing_that_was_synced(schedule, monkeypatch):
    """Openings, appends, large frames, rotations, syncs: there is a prefix, long enough."""
    monkeypatch.setattr(directory, "FRAME_BYTES_ON_LOOP_MAX", 800)
    call = 0
    while True:
        call += 1
        session = Session(SimulatedDisk())
        cut_at(session.disk, call)
        try:
            session.run(opened(session.disk), 16, schedule)
            break
        except PowerCut:
            pass
        for seed in SEEDS:
            found = commits(opened(session.disk.crash(Random(100 * call + seed))).frames)
            assert found == list(range(len(found)))
            assert session.safe <= len(found) <= session.appended
    assert call > 50
    assert session.safe == session.appended


def crashed(seed: int) -> SimulatedDisk:
    """A log that has lost something of its tail, mostly."""
    session = Session(SimulatedDisk())
    log = opened(session.disk)
    session.run(log, 6)
    fill(log, range(6, 40))
    while log.worker.step():
        pass
    return session.disk.crash(Random(seed))


@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_at_any_call_of_the_next_start_changes_nothing(seed):
    """Cutting, syncing and beginning anew end in the same state, however often it takes."""
    whole = crashed(seed)
    expected = commits(opened(whole.copy()).frames)
    call = 0
    while True:
        call += 1
        disk = whole.copy()
        cut_at(disk, call)
        try:
            opened(disk)
            break
        except PowerCut:
            pass
        again = disk.crash(Random(call))
        cut_at(again, call)
        try:
            opened(again)
        except PowerCut:
            again = again.crash(Random(call))
        again.before = lambda name, number: None
        again.locked = False
        assert commits(read(again)[1]) == expected
        assert commits(opened(again).frames) == expected
    assert call > 8


@pytest.mark.parametrize("seed", range(8))
def test_what_is_cut_is_kept_aside(seed):
    """Of a segment nothing but zeros is lost, unless there was nothing else in it."""
    disk = crashed(seed)
    before = {name: disk.read_all(name) for name in disk.names()}
    reading, _ = read(disk)
    settle(disk, reading)
    for name, data in before.items():
        if data[HEADER_BYTES:].strip(b"\0"):
            pieces = [disk.read_all(kept) for kept in disk.names() if kept[:9] == name[:9]]
            assert b"".join(reversed(pieces)).rstrip(b"\0") == data.rstrip(b"\0")
    if reading.tail is not None:
        assert any(name.endswith(".cut") for name in disk.names())


def write_snapshot(disk: SimulatedDisk, number: int) -> None:
    """Write what the segments before a number amount to: the numbers of their commits."""
    reading = Reading(disk, below=number)
    found = [int(frame.body.decode()) for frame in reading.parts()]
    found += commits(list(reading.frames()))
    writer = SnapshotWriter(
        disk, number, reading.mark, reading.epoch, reading.position, reading.hash,
        reading.time_ms, b"head",
    )  # fmt: skip
    for one in found:
        writer.part(1, str(one).encode())
    writer.end()


def state(disk: SimulatedDisk) -> list[int]:
    """The commits that a log amounts to, of its snapshot and its segments."""
    reading, frames = read(disk)
    return [int(frame.body.decode()) for frame in reading.parts()] + commits(frames)


def test_a_power_cut_at_any_call_of_a_snapshot_changes_nothing():
    """Not while it is written, nor while it gets its name, nor while it removes what it replaces;
    and a second one after the first neither."""
    session = Session(SimulatedDisk())
    log = opened(session.disk)
    session.run(log, 20)
    expected = list(range(20))
    call = 0
    while True:
        call += 1
        disk = session.disk.copy()
        cut_at(disk, call)
        try:
            for number in (2, 4):
                write_snapshot(disk, number)
                snapshot.publish(disk, number)
            break
        except PowerCut:
            pass
        for seed in SEEDS:
            assert state(disk.crash(Random(100 * call + seed))) == expected
    assert call > 20
    assert state(disk) == expected
    assert "000000004.snap" in disk.names()
    assert "000000003.log" not in disk.names()
    assert "000000002.snap" not in disk.names()


@pytest.mark.parametrize("call", range(1, 40))
def test_a_kill_after_a_failed_sync_and_then_a_power_cut_lose_nothing_that_was_read(call):
    """The system takes pages for written that are not; what was read back is written again."""
    disk = SimulatedDisk()
    log = opened(disk)

    def fail(name: str, number: int) -> None:
        if name == "sync" and number > call:
            raise OSError(5, "Input/output error")

    disk.before = fail
    fill(log, range(30))
    log.log.sync()
    log.worker.run()
    assert log.noted.reason
    after = disk.killed()
    found = commits(opened(after).frames)
    for seed in range(4):
        again = commits(opened(after.crash(Random(seed))).frames)
        assert again[: len(found)] == found


def sectors_since_a_sync(size: int) -> tuple[Opened, bytes, list[int]]:
    """A log with something synced and something not; what its file was at the sync, and which
    sectors have changed since."""
    log = opened(SimulatedDisk(), 16_384)
    log.worker.run()
    fill(log, range(5))
    log.log.sync()
    log.worker.run()
    before = log.disk.read_all("000000001.log")
    fill(log, range(5, 5 + size // 300), 220)
    data = log.disk.read_all("000000001.log")
    changed = [
        at
        for at in range(0, len(data), SECTOR_BYTES)
        if data[at : at + SECTOR_BYTES] != before[at : at + SECTOR_BYTES]
    ]
    return log, before, changed


@pytest.mark.parametrize("size, count", [(4800, 0), (12_000, 3000)])
def test_whatever_sectors_are_lost_since_the_last_sync_it_starts(size, count):
    """Every subset of ten sectors, and many drawn of more: with a prefix no shorter than that."""
    log, before, changed = sectors_since_a_sync(size)
    random = Random(1)
    subsets = [random.getrandbits(len(changed)) for _ in range(count)]
    after = log.disk.read_all("000000001.log")
    disk = log.disk.copy()
    lengths = set()
    for subset in subsets or range(1 << len(changed)):
        data = disk.files["000000001.log"].now
        data[:] = after
        for index, at in enumerate(changed):
            if subset >> index & 1:
                data[at : at + SECTOR_BYTES] = before[at : at + SECTOR_BYTES]
        found = commits(read(disk)[1])
        assert found == list(range(len(found)))
        assert len(found) >= 5
        lengths.add(len(found))
    assert len(changed) == 10 or count
    assert len(lengths) > 5


def test_damage_before_a_synced_frame_always_refuses():
    """Any sector of a log that was stopped, or has gone on after a sync, put back to zero."""
    disk = SimulatedDisk()
    session = Session(disk)
    log = opened(disk)
    session.run(log, 9)
    log.log.tick(1)
    log.log.tick(2)
    log.worker.run()
    reading, _ = read(disk)
    last = reading.unproven
    tried = 0
    for name in disk.names():
        data = disk.read_all(name)
        for at in range(0, len(data), 512):
            number = int(name[:9])
            if not data[at : at + 512].strip(b"\0") or (number, at + 512) > last:
                continue
            damaged = disk.copy()
            damaged.files[name].now[at : at + 512] = bytes(len(data[at : at + 512]))
            with pytest.raises(CorruptionError):
                opened(damaged)
            tried += 1
    assert tried > 6


def test_every_bit_of_a_small_log_flipped_gives_a_prefix_or_a_refusal():
    """And never something else."""
    disk = SimulatedDisk()
    log = opened(disk, 512)
    fill(log, range(3), 20)
    log.worker.run()
    log.log.sync()
    log.worker.run()
    fill(log, range(3, 6), 20)
    log.worker.run()
    outcomes = {"prefix": 0, "refusal": 0, "whole": 0}
    original = [frame[:-1] for frame in read(disk)[1]]
    for name in disk.names():
        data = disk.files[name].now
        used = len(data.rstrip(b"\0")) + 8
        for bit in range(8 * min(used, len(data))):
            data[bit // 8] ^= 1 << bit % 8
            try:
                found = [frame[:-1] for frame in read(disk)[1]]
            except CorruptionError:
                outcomes["refusal"] += 1
            else:
                assert found == original[: len(found)]
                outcomes["whole" if len(found) == len(original) else "prefix"] += 1
                assert len(found) >= 4  # the epoch and what was synced
            finally:
                data[bit // 8] ^= 1 << bit % 8
    assert min(outcomes["prefix"], outcomes["refusal"]) > 1000
