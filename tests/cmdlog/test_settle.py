"""A directory is made what was read of it."""

from __future__ import annotations

from random import Random

from tests.cmdlog.making import commits, fill, opened, read
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.frames import NO_HASH
from workq.cmdlog.settle import End, settle

FIRST = "000000001.log"


def settled(disk: SimulatedDisk) -> End:
    """Read and settle."""
    reading, _ = read(disk)
    return settle(disk, reading)


def test_nothing_is_settled_into_nothing():
    """A new log begins at the beginning."""
    assert settled(SimulatedDisk()) == End(b"", 0, 0, NO_HASH, 0, 1, [])


def test_where_a_log_ends_is_where_it_goes_on():
    """Position, hash, epoch, time, and a number that no file had."""
    log = opened(SimulatedDisk())
    fill(log, range(40))
    log.worker.run()
    reading, frames = read(log.disk)
    end = settle(log.disk, reading)
    assert (end.position, end.hash) == (41, frames[-1].hash)
    assert (end.epoch, end.time_ms, end.mark) == (1, 1039, reading.mark)
    assert log.disk.names() == [f"{number:09d}.log" for number in range(1, end.fresh)]
    assert [sealed.number for sealed in end.sealed] == list(range(1, end.fresh))


def test_leftovers_are_removed():
    """What was not finished, and room that was made ahead; segments end with their last frame."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(3))
    log.disk.create("000000007.snap.tmp")
    log.disk.create("000000002.log.tmp")
    end = settled(log.disk)
    assert log.disk.names() == [FIRST]
    assert log.disk.changes == []
    assert log.disk.used() == end.sealed[0].size


def test_what_is_not_ours_stays():
    """The directory may be one that others use too."""
    log = opened(SimulatedDisk())
    log.worker.run()
    others = ["000000004.bak.tmp", "editor.tmp", "x.cut.tmp"]
    for name in (*others, "000000002.17.cut.tmp"):
        log.disk.create(name)
    settled(log.disk)
    assert log.disk.names() == [FIRST, *others]


def test_what_was_read_survives_the_loss_of_power():
    """Although nobody had synced it."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(15))
    disk = log.disk.killed()
    found = commits(read(disk)[1])
    assert found == list(range(15))
    settled(disk)
    assert disk.changes == []
    for seed in range(20):
        assert commits(read(disk.crash(Random(seed)))[1]) == found


def test_only_what_nobody_vouches_for_is_written_again(monkeypatch):
    """After a clean stop that is next to nothing."""
    log = opened(SimulatedDisk(), 20_000)
    fill(log, range(100))
    log.log.close(5, lambda: None)
    log.worker.run()
    written: list[int] = []
    write = log.disk.write

    def note(handle: int, data: bytes, offset: int) -> None:
        written.append(len(data))
        write(handle, data, offset)

    monkeypatch.setattr(log.disk, "write", note)
    settled(log.disk)
    assert 0 < sum(written) < 200


def test_a_tail_is_kept_aside_with_its_bytes():
    """The end of one segment, the next whole, and nothing of the one that was made ahead."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(14))
    disk = log.disk.copy()
    disk.files[FIRST].now[1000] ^= 1
    before = {name: disk.read_all(name).rstrip(b"\0") for name in disk.names()}
    reading, _ = read(disk)
    assert reading.tail is not None
    offset, position = reading.tail.place.offset, reading.tail.position
    settle(disk, reading)
    disk = disk.crash(Random(1))
    aside = [f"000000001.{position}.cut", f"000000002.{position}.cut"]
    assert disk.names() == [aside[0], FIRST, aside[1]]
    assert disk.read_all(FIRST) == before[FIRST][:offset]
    assert disk.read_all(aside[0]) == before[FIRST][offset:]
    assert disk.read_all(aside[1]) == before["000000002.log"]


def test_room_made_ahead_of_a_torn_tail_is_not_kept_aside():
    """There is nothing in it."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(5))
    log.disk.files[FIRST].now[700] ^= 1
    settled(log.disk)
    assert [name for name in log.disk.names() if name.startswith("000000002")] == []


def test_to_settle_twice_is_to_settle_once():
    """There is nothing left to do."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(14))
    log.disk.files[FIRST].now[1000] ^= 1
    end = settled(log.disk)
    files = {name: log.disk.read_all(name) for name in log.disk.names()}
    assert settled(log.disk) == end
    assert {name: log.disk.read_all(name) for name in log.disk.names()} == files


def test_a_log_of_which_nothing_is_good_begins_anew():
    """With its mark, behind the numbers that were used."""
    log = opened(SimulatedDisk())
    log.worker.run()
    log.disk.files[FIRST].now[100] ^= 1
    again = opened(log.disk.killed())
    assert again.disk.names()[0] == "000000001.1.cut"
    assert again.log.position == 1
    assert read(again.disk)[0].numbers[0] == 2
