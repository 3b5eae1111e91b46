"""Reading beside a server that goes on writing."""

from __future__ import annotations

from random import Random

import pytest

from tests.cmdlog.making import body, commits, fill, opened
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog import snapshot
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Reading
from workq.cmdlog.snapshot import SnapshotWriter
from workq.cmdlog.still import Still
from workq.errors import CorruptionError, DirectoryError

SEEDS = range(60)


class Busy:
    """A disk on which something happens before each look at it."""

    def __init__(self, disk, act):
        self._disk = disk
        self._act = act

    def __getattr__(self, name):
        if name in ("names", "open", "read", "size"):
            self._act(name)
        return getattr(self._disk, name)


def writing(seed, before=20):
    """A disk with a log, on which a server commits and syncs when somebody looks."""
    log = opened(SimulatedDisk(), 2048 << seed % 4)
    fill(log, range(before))
    log.log.sync()
    log.worker.run()
    random = Random(seed)
    numbers = iter(range(before, 100_000))

    def act(_):
        for _ in range(random.choice((0, 0, 1, 3))):
            number = next(numbers)
            log.log.append(COMMIT, 1000 + number, number, body(number, random.choice((60, 400))))
        if random.random() < 0.5:
            log.log.sync()
        if random.random() < 0.7:
            log.worker.run()

    return Busy(log.disk, act)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_server_is_writing_is_never_taken_for_damage(seed):
    """All that was there before is read, in order, and perhaps some of what came meanwhile."""
    with Still(writing(seed)) as still:
        found = commits(list(Reading(still).frames()))
    assert found == list(range(len(found)))
    assert len(found) >= 20


def test_without_holding_it_still_it_would_be():
    """This holds the test above: it does write at the wrong moments."""
    damaged = 0
    for seed in SEEDS:
        try:
            list(Reading(writing(seed)).frames())
        except CorruptionError:
            damaged += 1
    assert damaged


@pytest.mark.parametrize("seed", range(256))
def test_a_frame_that_ends_in_zeros_is_read_whole(seed):
    """The room behind it is zeros too, and yet the end of a frame is not cut off."""
    log = opened(SimulatedDisk())
    log.log.append(COMMIT, 1000, seed, body(seed))
    log.worker.run()
    with Still(log.disk) as still:
        reading = Reading(still)
        assert commits(list(reading.frames())) == [seed]
    assert reading.tail is None


def test_a_snapshot_that_replaces_files_meanwhile_is_read_instead():
    """The names that were looked up first are gone by the time they are opened."""
    log = opened(SimulatedDisk())
    fill(log, range(60))
    log.log.sync()
    log.worker.run()
    done: list[str] = []

    def act(name):
        if name == "open" and not done:
            done.append(name)
            reading = Reading(log.disk, below=log.log.sealed[-1].number + 1)
            list(reading.frames())
            number = log.log.sealed[-1].number + 1
            SnapshotWriter(
                log.disk, number, reading.mark, reading.epoch, reading.position, reading.hash,
                reading.time_ms, b"",
            ).end()  # fmt: skip
            snapshot.publish(log.disk, number)

    with Still(Busy(log.disk, act)) as still:
        reading = Reading(still)
        list(reading.frames())
    assert done
    assert reading.snapshot is not None
    assert reading.position == log.log.position


def test_files_stay_readable_when_they_are_removed():
    """Until the end, when all of them are closed."""
    log = opened(SimulatedDisk())
    fill(log, range(60))
    log.worker.run()
    held = len(log.disk.handles)
    with Still(log.disk) as still:
        for name in log.disk.names():
            log.disk.remove(name)
        assert commits(list(Reading(still).frames())) == list(range(60))
    assert len(log.disk.handles) == held


def test_files_that_change_all_the_time_are_given_up():
    """With a reason that is not the disk's."""
    log = opened(SimulatedDisk())
    numbers = iter(range(100))

    def act(name):
        if name == "open":
            old = [name for name in log.disk.names() if name.endswith(".log")]
            for name in old:
                log.disk.rename(name, f"{next(numbers) + 50:09d}.log")

    with pytest.raises(DirectoryError, match="try again"):
        Still(Busy(log.disk, act))
    assert len(log.disk.handles) <= 2  # the log's own


def test_it_is_for_reading_only():
    """To write is a programmer's mistake."""
    with Still(opened(SimulatedDisk()).disk) as still:
        with pytest.raises(AssertionError):
            still.remove("000000001.log")
        with pytest.raises(AssertionError):
            still.lock()
