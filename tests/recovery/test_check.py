"""What a check finds in a log, and what it counts."""

from collections import Counter

import pytest

from tests.cmdlog.making import opened
from tests.recovery.making import again, damage, kept, lived, places
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog import segment, snapshot
from workq.cmdlog.files import RealDisk
from workq.cmdlog.frames import COMMIT
from workq.engine import dump, transitions
from workq.errors import DirectoryError
from workq.recovery.check import check, measure_aside
from workq.recovery.compact import compact
from workq.recovery.records import bodies


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_log_is_counted(seed):
    """Records per type, jobs per state, jobs and bytes per queue, frames per kind."""
    commits = lived(seed)
    disk = kept(commits)
    report, state = check(disk), again(disk)
    assert report.damage is None
    assert report.tail is None
    types = Counter(transitions.NAMES[record[0]] for commit, _ in commits for record in commit)
    assert report.records == types
    assert report.frames == {"epoch": 1, "commit": len(commits), "stop": 1}
    assert report.jobs == state.counts
    assert sum(share.jobs for share in report.queues.values()) == state.size
    assert sum(share.bytes for share in report.queues.values()) == state.held_bytes
    assert list(report.queues) == ["ping", "pong"]
    assert report.digest == dump.digest(state).hex()


def test_where_a_log_begins_and_ends_is_told():
    """Segments, positions, epochs, times, and what is vouched for."""
    commits = lived(1)
    disk = kept(commits)
    at = places(disk)
    report = check(disk)
    assert report.segments == sorted({place.number for place in at.values()})
    assert report.bytes == disk.used()
    assert (report.first_position, report.last_position) == (1, max(at))
    assert (report.first_epoch, report.last_epoch) == (1, 1)
    assert report.first_time_ms == 1000  # of the epoch
    assert report.stopped
    assert report.safe == max(at) - 1
    assert report.snapshot is None


def test_a_log_that_goes_on_from_a_snapshot_is_counted_with_it():
    """What it replaces is not read, but told of."""
    disk = kept(lived(1))
    whole = again(disk)
    at = places(disk)
    last = max(place.number for place in at.values())
    position = max(found for found, place in at.items() if place.number < last)
    head = compact(disk, last, position)
    name = segment.snapshot_name(last)
    disk.rename(segment.unfinished_name(name), name)
    report = check(disk)
    assert report.snapshot is not None
    assert report.snapshot.records == head.records
    assert (report.snapshot.number, report.snapshot.position) == (last, position)
    assert report.kept_segments == last - 1
    assert report.records["restored"] == head.records - 1
    assert report.first_position == position + 1
    assert report.digest == dump.digest(whole).hex()
    snapshot.remove_replaced(disk, last)
    assert check(disk).kept_segments == 0


def test_a_tail_is_no_damage():
    """It is told of, as the next start would cut it."""
    disk = SimulatedDisk()
    log = opened(disk).log
    for commit, time_ms in lived(1, turns=4):
        for records, body in bodies(commit):
            log.append(COMMIT, time_ms, records, body)
    at = places(disk)
    damage(disk, at[3])
    report = check(disk)
    assert report.damage is None
    assert report.tail is not None
    assert (report.tail.segment, report.tail.offset) == at[3]
    assert (report.tail.position, report.tail.frames) == (3, len(at) - 3)
    assert not report.stopped


def test_damage_is_told_with_its_place_and_the_rest_is_of_what_is_before_it():
    """As a server would meet it."""
    disk = kept(lived(1))
    at = places(disk)
    damage(disk, at[10])
    report = check(disk)
    assert report.damage is not None
    assert report.damage.path == f"/simulated/{segment.segment_name(at[10].number)}"
    assert report.damage.offset == at[10].offset
    assert report.frames["commit"] <= 8
    assert sum(report.jobs.values()) > 0


def test_an_empty_directory_is_a_sound_log():
    """Of nothing."""
    report = check(SimulatedDisk())
    assert (report.damage, report.segments, report.records) == (None, [], {})


def test_what_was_cut_before_is_named_and_measured(tmp_path):
    """Somebody may want to look at it; and it takes room until they remove it."""
    for name, size in (("000000002.41.cut", 7), ("000000003.50.cut", 10)):
        (tmp_path / name).write_bytes(bytes(size))
    report = check(RealDisk(str(tmp_path)))
    measure_aside(report)
    assert report.cut_files == ["000000002.41.cut", "000000003.50.cut"]
    assert report.cut_bytes == 17


def test_what_repairs_have_put_aside_is_named_and_measured(tmp_path):
    """It takes room as well, and counts in no bound."""
    for name in ("repaired-20270115T080000Z", "repaired-20270115T080000Z-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000000001.log").write_bytes(bytes(1000))
    (tmp_path / "repaired-notes").write_bytes(b"no directory")
    report = check(RealDisk(str(tmp_path)))
    measure_aside(report)
    assert report.repaired == ["repaired-20270115T080000Z", "repaired-20270115T080000Z-2"]
    assert report.repaired_bytes == 2000


@pytest.mark.parametrize("record", [(99, b"id"), (transitions.DELETED, b"id", 5)])
def test_a_record_of_a_newer_server_is_no_damage(record):
    """Another workq can read it."""
    with pytest.raises(DirectoryError, match="newer"):
        check(kept([([record], 5)]))


def test_a_directory_of_the_original_is_none_of_ours():
    """It says which tool reads it."""
    disk = SimulatedDisk()
    disk.create("append.lock")
    with pytest.raises(DirectoryError, match="import"):
        check(disk)
