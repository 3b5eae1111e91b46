"""The log in a directory: what it writes where, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from random import Random

import pytest

from tests.cmdlog.making import SEGMENT_BYTES, Noted, Opened, body, commits, fill, opened, read
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.files import RealDisk
from workq.cmdlog.frames import COMMIT, EPOCH, MARK, OVERHEAD_BYTES, STOP
from workq.cmdlog.scan import Reading
from workq.cmdlog.settle import settle
from workq.cmdlog.worker import ThreadWorker
from workq.errors import DirectoryError
from workq.limits import FRAME_BYTES_ON_LOOP_MAX, SEGMENT_BYTES_MIN

LARGE = FRAME_BYTES_ON_LOOP_MAX
BIG_SEGMENT = 8 * LARGE


def sync(log: Opened) -> None:
    """Have all synced."""
    log.log.sync()
    log.worker.run()


def faults(disk: SimulatedDisk, *calls: str) -> list[str]:
    """Let some calls fail from now on; a list of all calls that are made."""
    made: list[str] = []

    def before(name: str, number: int) -> None:
        made.append(name)
        if name in calls:
            raise OSError(5, "Input/output error")

    disk.before = before
    return made


def test_a_log_begins_with_an_epoch_that_is_synced_before_it_serves():
    """Each start has its own, one higher, in a segment of its own."""
    disk = SimulatedDisk()
    for number in (1, 2, 3):
        assert opened(disk).log.epoch == number
        reading, frames = read(disk)
        assert [frame.kind for frame in frames] == [EPOCH] * number
        assert frames[-1].safe == frames[-1].position - 1
        assert reading.at.number == number
        for seed in range(10):
            assert len(read(disk.crash(Random(seed)))[1]) == number
        disk = disk.crash(Random(number))
    assert [frame.epoch for frame in read(disk)[1]] == [1, 2, 3]


def test_a_small_frame_is_written_when_append_returns():
    """With one write and nothing else."""
    log = opened(SimulatedDisk())
    log.worker.run()
    made = faults(log.disk)
    position = log.log.append(COMMIT, 5, 1, b"body")
    assert log.noted.told == [("written", position)]
    assert made == ["write"]


def test_a_large_frame_goes_through_the_worker_and_the_next_waits_for_it():
    """Then small ones are written at once again."""
    log = opened(SimulatedDisk(), BIG_SEGMENT)
    log.worker.run()
    made = faults(log.disk)
    fill(log, range(1), LARGE)
    fill(log, range(1, 3))
    assert (log.noted.told, made) == ([], [])
    log.worker.run()
    assert log.noted.told == [("written", 2), ("written", 3), ("written", 4)]
    fill(log, range(3, 4))
    assert log.noted.told[-1] == ("written", 5)
    assert commits(read(log.disk)[1]) == [0, 1, 2, 3]


def test_to_go_on_in_the_next_segment_is_no_step_of_the_disk():
    """It was made before; the old one is ended by the worker, and is then as long as its frames."""
    log = opened(SimulatedDisk())
    log.worker.run()
    made = faults(log.disk)
    fill(log, range(15))
    assert set(made) == {"write"}
    assert log.noted.position == log.log.position
    assert log.log.sealed == []
    log.worker.run()
    (sealed,) = log.log.sealed
    assert (sealed.number, sealed.position) == (1, log.noted.safe)
    assert len(log.disk.read_all("000000001.log")) == sealed.size < SEGMENT_BYTES
    assert "000000003.log" in log.disk.names()


def test_frames_wait_for_a_segment_that_is_still_being_made():
    """However many: all are written when it is there."""
    log = opened(SimulatedDisk())
    fill(log, range(60))
    assert not log.noted.reason
    assert log.noted.position < log.log.position
    log.worker.run()
    assert log.noted.position == log.log.position
    assert commits(read(log.disk)[1]) == list(range(60))


def test_a_frame_longer_than_a_segment_has_one_for_itself():
    """It is read back as any other."""
    log = opened(SimulatedDisk())
    for number in range(3):
        fill(log, range(2 * number, 2 * number + 1))
        fill(log, range(2 * number + 1, 2 * number + 2), 3 * SEGMENT_BYTES)
        log.worker.run()
    assert commits(read(log.disk)[1]) == list(range(6))


def test_frames_say_what_was_safe_when_they_were_built():
    """Never more."""
    log = opened(SimulatedDisk())
    fill(log, range(2))
    log.log.sync()
    fill(log, range(2, 4))
    log.worker.run()
    fill(log, range(4, 5))
    assert [frame.safe for frame in read(log.disk)[1]] == [0, 1, 1, 1, 1, log.noted.safe]
    assert log.noted.safe == 3


def test_a_full_disk_is_told_one_segment_early_and_heals():
    """What is left is used meanwhile; every tick tries again."""
    log = opened(SimulatedDisk())
    log.worker.run()
    log.disk.space = log.disk.used()
    fill(log, range(14))
    log.worker.run()
    assert log.noted.fullness() == [True]
    fill(log, range(14, 16))
    log.worker.run()
    for _ in range(3):
        log.log.tick(1)
        log.worker.run()
    assert log.noted.fullness() == [True]
    log.disk.space = 1 << 30
    log.log.tick(1)
    log.worker.run()
    assert log.noted.fullness() == [True, False]
    fill(log, range(16, 50))
    log.worker.run()
    assert commits(read(log.disk)[1]) == list(range(50))


def test_a_full_disk_is_the_end_when_the_last_segment_is_used_up():
    """After one more attempt; the reason says what to do."""
    log = opened(SimulatedDisk())
    log.worker.run()
    log.disk.space = log.disk.used()
    fill(log, range(40))
    log.worker.run()
    assert "000000003.log could not be made: No space left on device (errno 28)" in log.noted.reason
    assert "make room" in log.noted.reason
    log.disk.space = 1 << 30
    safe = log.noted.safe
    again = opened(log.disk.killed())
    assert len(commits(again.frames)) >= safe - 1


def test_on_a_full_disk_shorter_segments_are_made_as_long_as_there_is_room():
    """When the last whole one is used up; what is finished then may be what makes room."""
    log = opened(SimulatedDisk(), BIG_SEGMENT)
    log.worker.run()
    log.disk.space = log.disk.used() + BIG_SEGMENT // 4
    while log.log.sealed == [] or log.disk.used() + 4096 < log.disk.space:
        fill(log, range(log.log.position - 1, log.log.position), 1000)
        log.worker.run()
        assert not log.noted.reason
    assert log.noted.fullness() == [True]
    log.disk.space = 1 << 40
    log.log.tick(1)
    log.worker.run()
    assert log.noted.fullness() == [True, False]
    assert commits(read(log.disk)[1]) == list(range(log.log.position - 1))


def to_the_brim() -> Opened:
    """A log on a full disk, with no room left for a frame, however small."""
    log = opened(SimulatedDisk(), SEGMENT_BYTES)
    log.disk.space = SEGMENT_BYTES
    log.worker.run()
    used = len(log.disk.read_all("000000001.log").rstrip(b"\0"))
    fill(log, range(1), SEGMENT_BYTES - used - 2 * OVERHEAD_BYTES + 20)
    sync(log)
    assert log.noted.fullness() == [True]
    return log


def test_nothing_that_only_vouches_is_written_while_the_disk_is_full():
    """An idle log would end its server for want of room that nobody needs, or use up the reserve a
    rest at a time. When there is room again, it is written."""
    log = to_the_brim()
    position = log.log.position
    for hour in range(10):
        log.log.tick(hour)
        log.worker.run()
    assert (log.noted.reason, log.log.position) == ("", position)
    log.disk.space *= 10
    for _ in range(3):
        log.log.tick(11)
        log.worker.run()
    assert log.noted.fullness() == [True, False]
    assert [frame.kind for frame in read(log.disk)[1]] == [EPOCH, COMMIT, MARK]


def test_a_stop_on_a_disk_that_is_full_to_the_brim_is_one():
    """All is safe; only the frame that says so is missing."""
    log = to_the_brim()
    ended: list[bool] = []
    log.log.close(5, lambda: ended.append(True))
    log.worker.run()
    assert (ended, log.noted.reason) == ([True], "")
    assert not log.disk.locked
    assert [frame.kind for frame in read(log.disk)[1]] == [EPOCH, COMMIT]


def test_room_that_is_back_in_time_is_found_by_the_last_attempt():
    """Not only by a tick."""
    log = opened(SimulatedDisk())
    log.worker.run()
    log.disk.space = log.disk.used()
    fill(log, range(14))
    log.worker.run()
    log.disk.space = 1 << 30
    fill(log, range(14, 40))
    log.worker.run()
    assert not log.noted.reason
    assert log.noted.fullness() == [True, False]
    assert commits(read(log.disk)[1]) == list(range(40))


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_failed_write_is_the_end(size):
    """On the loop or in the worker; the reason names file and error."""
    log = opened(SimulatedDisk(), BIG_SEGMENT)
    log.worker.run()
    faults(log.disk, "write")
    fill(log, range(1), size)
    log.worker.run()
    assert log.noted.reason.startswith(
        "/simulated/000000001.log could not be written: Input/output error (errno 5); "
    )


def test_a_failed_sync_is_the_end_and_is_not_tried_again():
    """Nothing is reported safe any more, whatever still ends well."""
    log = opened(SimulatedDisk())
    log.worker.run()
    made = faults(log.disk, "sync")
    fill(log, range(1))
    log.log.sync()
    fill(log, range(1, 2))
    log.log.sync()
    log.worker.run()
    log.disk.before = lambda name, number: made.append(name)
    log.log.sync()
    log.log.tick(1)
    log.worker.run()
    assert made.count("sync") == 1
    assert "000000001.log could not be synced: Input/output error" in log.noted.reason
    assert log.noted.safe == 1


def test_a_segment_that_cannot_be_synced_at_its_end_is_the_end():
    """Syncs of the next one would prove nothing."""
    log = opened(SimulatedDisk())
    log.worker.run()
    faults(log.disk, "sync")
    fill(log, range(15))
    log.worker.run()
    assert "000000001.log could not be synced" in log.noted.reason


def test_a_next_segment_that_cannot_be_made_for_another_reason_is_the_end():
    """Only a full disk heals."""
    log = opened(SimulatedDisk())
    faults(log.disk, "rename")
    log.worker.run()
    assert "000000002.log could not be made: Input/output error" in log.noted.reason


def test_a_file_that_was_removed_is_the_end():
    """Seen by the next tick, and by the next sync."""
    for act in (lambda log: log.log.tick(1), sync):
        log = opened(SimulatedDisk())
        log.worker.run()
        fill(log, range(1))
        log.disk.remove("000000001.log")
        act(log)
        assert "000000001.log was removed while it was in use" in log.noted.reason
        assert "what was in it is lost" in log.noted.reason
        assert log.noted.safe == 1


def test_a_segment_that_was_removed_before_it_was_used_is_the_end():
    """Nothing gets into it: a tick sees it, or the frame that would be its first."""
    for act in (lambda log: log.log.tick(1), lambda log: fill(log, range(1, 20))):
        log = opened(SimulatedDisk())
        log.worker.run()
        fill(log, range(1))
        log.disk.remove("000000002.log")
        act(log)
        log.worker.run()
        assert "000000002.log was removed before it was used; nothing was in it" in log.noted.reason
        assert commits(read(log.disk)[1]) == list(range(log.noted.position - 1))


def test_a_mistake_of_ours_is_the_end_too():
    """It is not taken for an error of the disk."""
    log = opened(SimulatedDisk())

    def mistake(name: str, number: int) -> None:
        raise ZeroDivisionError("oh")

    log.disk.before = mistake
    log.worker.run()
    assert "ZeroDivisionError('oh')" in log.noted.reason


def test_an_idle_log_vouches_for_what_it_has():
    """A later reading knows that all before was safe."""
    log = opened(SimulatedDisk())
    fill(log, range(2))
    sync(log)
    for _ in range(4):
        log.log.tick(7)
        log.worker.run()
    *_, last = read(log.disk)[1]
    assert (last.kind, last.time_ms, last.safe, last.position) == (MARK, 7, 3, 4)


def test_a_busy_log_does_not():
    """Its next frames will."""
    log = opened(SimulatedDisk())
    for number in range(5):
        fill(log, range(number, number + 1))
        sync(log)
        log.log.tick(7)
        log.worker.run()
    assert commits(read(log.disk)[1]) == list(range(5))
    assert log.log.position == 6


def test_a_closed_log_leaves_what_it_holds_and_nothing_else():
    """No room made ahead, no lock, no open file; the last frame says that all was safe."""
    log = opened(SimulatedDisk())
    fill(log, range(20))
    closed: list[bool] = []
    log.log.close(9, lambda: closed.append(True))
    assert closed == []
    log.worker.run()
    assert closed == [True]
    assert not log.disk.locked
    assert log.disk.handles == {}
    reading, frames = read(log.disk)
    assert (reading.kind, frames[-1].time_ms, frames[-1].safe) == (STOP, 9, log.log.position - 1)
    assert log.disk.used() == sum(sealed.size for sealed in reading.sealed)
    log.log.tick(10)
    assert log.log.position == frames[-1].position


def test_a_close_waits_for_a_segment_that_is_being_made():
    """Or its file would be left behind."""
    log = opened(SimulatedDisk())
    closed: list[bool] = []
    log.log.close(9, lambda: closed.append(True))
    log.worker.run()
    assert closed == [True]
    assert log.disk.names() == ["000000001.log"]


def test_segments_that_a_snapshot_has_replaced_are_forgotten():
    """They are there no more."""
    log = opened(SimulatedDisk())
    fill(log, range(60))
    log.worker.run()
    log.log.replaced(3)
    assert [sealed.number for sealed in log.log.sealed][:2] == [3, 4]


def test_no_room_for_the_first_segment_is_an_error_of_the_start():
    """There is no log yet that could fail."""
    disk = SimulatedDisk()
    disk.space = SEGMENT_BYTES_MIN - 1
    with pytest.raises(DirectoryError) as caught:
        opened(disk, BIG_SEGMENT)
    assert str(caught.value) == (
        "/simulated/000000001.log: No space left on device: it needs 4096 bytes at the least; "
        "make room"
    )
    assert disk.names() == []


def test_a_start_without_room_for_a_whole_segment_makes_a_shorter_one():
    """With half of what there is. It is full from the first; jobs can be finished, and room that
    a compaction makes heals it: the next segments are whole."""
    disk = SimulatedDisk()
    disk.space = BIG_SEGMENT // 3
    log = opened(disk, BIG_SEGMENT)
    assert log.noted.told == [("full", True)]
    assert BIG_SEGMENT // 16 < disk.used() <= disk.space // 2
    log.worker.run()
    log.log.tick(1)
    log.worker.run()
    assert log.noted.told == [("full", True)]
    fill(log, range(100))
    assert log.noted.position == log.log.position
    disk.space = 1 << 40
    log.log.tick(1)
    log.worker.run()
    assert log.noted.fullness() == [True, False]
    fill(log, range(100, 2000))
    log.worker.run()
    assert len(log.log.sealed) == 1
    assert len(disk.read_all("000000002.log")) == BIG_SEGMENT
    assert commits(read(disk)[1]) == list(range(2000))


def test_a_disk_that_was_filled_to_the_brim_can_be_started_from_again():
    """After a clean stop, which leaves nothing that was made ahead."""
    disk = SimulatedDisk()
    disk.space = 5 * BIG_SEGMENT // 2
    log = opened(disk, BIG_SEGMENT)
    count = 0
    while not log.noted.is_full:
        fill(log, range(count, count + 1), 1000)
        log.worker.run()
        count += 1
    fill(log, range(count, count + 400), 1000)
    log.log.close(1, lambda: None)
    log.worker.run()
    assert not log.noted.reason
    again = opened(disk, BIG_SEGMENT)
    assert again.noted.is_full
    assert commits(again.frames) == list(range(count + 400))


def test_a_body_may_be_anything():
    """Also what looks like zeros, or like a frame of this very log."""
    log = opened(SimulatedDisk(), BIG_SEGMENT)
    whole = log.disk.read_all("000000001.log")[64:144]
    for data in (b"", bytes(300), whole, body(1)):
        log.log.append(COMMIT, 1, 1, data)
    assert [frame.body for frame in read(log.disk)[1]][1:] == [b"", bytes(300), whole, body(1)]


def test_a_real_disk_and_a_thread_keep_what_they_were_given(tmp_path):
    """Small frames and large ones, over several segments, until it is closed; then it is read."""
    ends: SimpleQueue[tuple[Callable[[Exception | None], None], Exception | None]] = SimpleQueue()
    worker = ThreadWorker(lambda done, failure: ends.put((done, failure)))
    disk = RealDisk(str(tmp_path), make=True)
    noted = Noted(1)
    log = DirectoryLog(
        disk,
        worker,
        noted,
        settle(disk, Reading(disk)),
        segment_bytes=4 * LARGE,
        time_ms=1,
        chance=lambda size: bytes(range(size)),
    )
    for number in range(100):
        size = 2 * LARGE if number % 10 == 0 else 1000 * (number % 7)
        log.append(COMMIT, number, number, body(number, size))
        log.sync()
        while not ends.empty():
            done, failure = ends.get()
            done(failure)
    closed: list[bool] = []
    log.close(100, lambda: closed.append(True))
    while not closed:
        done, failure = ends.get(timeout=60)
        done(failure)
    worker.close()
    assert noted.safe == log.position
    reading = Reading(RealDisk(str(tmp_path)))
    frames = list(reading.frames())
    assert commits(frames) == list(range(100))
    assert reading.kind == STOP
    assert len(reading.sealed) > 3
