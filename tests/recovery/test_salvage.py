"""What is had of a damaged log: as much as fits, and always a state that could be."""

from __future__ import annotations

from random import Random

import pytest

from tests.engine.making import CALM, job_id, job_in, running
from tests.recovery.making import again, damage, kept, lived, places, same
from tests.simulation.disk import Inode, SimulatedDisk
from workq.cmdlog import segment
from workq.cmdlog.frames import Chain
from workq.engine import dump
from workq.engine import transitions as t
from workq.engine.job import READY, STATES
from workq.engine.state import State
from workq.errors import CorruptionError, DirectoryError
from workq.recovery import head
from workq.recovery.compact import compact
from workq.recovery.salvage import salvage, steps_to


def sound(state):
    """Whether a state is one that its own records make again, with all that follows from it."""
    other = State()
    other.now_ms = state.now_ms
    for record in dump.records(state):
        other.apply(record)
    one, two = dump.rest(state), dump.rest(other)
    return same(state, other) and one["counts"] == two["counts"] and one["queues"] == two["queues"]


class Unread(SimulatedDisk):
    """A disk that counts how often it is read."""

    reads = 0

    def read(self, handle: int, size: int, offset: int) -> bytes:
        self.reads += 1
        return super().read(handle, size, offset)


@pytest.mark.parametrize("seed", range(5))
def test_of_a_sound_log_all_is_had(seed):
    """It is the state of a replay, and nothing is wrong, skipped or made up."""
    disk = kept(lived(seed))
    found = salvage(disk)
    assert same(found.state, again(disk))
    assert (found.damage, found.lost, found.broken_from) == ([], [], None)
    assert (dict(found.skipped), found.made_up, found.left_out) == ({}, 0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_with_any_frame_damaged_the_others_are_had(seed):
    """The state is sound, the place is told, and the numbers go on behind all there were."""
    whole = kept(lived(seed))
    found_at = places(whole)
    for position, place in found_at.items():
        disk = whole.copy()
        damage(disk, place)
        found = salvage(disk)
        assert sound(found.state)
        assert len(found.damage) == 1
        assert found.damage[0].file == segment.segment_name(place.number)
        assert found.damage[0].start == place.offset
        if position != max(found_at):
            assert found.lost == [(position, position)]
            assert found.broken_from == position
            assert found.position == max(found_at)
        assert found.frames == len(found_at) - 1


@pytest.mark.parametrize("seed", range(3))
def test_cut_at_a_frame_the_state_is_that_before_it(seed):
    """Exactly; what is behind it is counted."""
    commits = lived(seed)
    disk = kept(commits)
    for count in (0, 1, 7, len(commits)):
        found = salvage(disk, before=2 + count)  # the first frame is that of the epoch
        assert same(found.state, again(kept(commits[:count])))
        assert found.left_out == len(commits) - count + 1  # that of the stop
        assert found.position == len(commits) + 2


def test_a_missing_segment_is_a_run_of_lost_frames():
    """And a segment whose header is damaged gives all its frames."""
    disk = kept(lived(1))
    at = places(disk)
    missing = [position for position, place in at.items() if place.number == 2]
    without = disk.copy()
    without.remove("000000002.log")
    assert salvage(without).lost == [(missing[0], missing[-1])]
    data = bytearray(disk.read_all("000000002.log"))
    data[20] ^= 1
    disk.put("000000002.log", Inode.of(bytes(data)))
    found = salvage(disk)
    assert (found.lost, found.frames) == ([], len(at))
    assert "header" in str(found.damage[0])


def test_the_mark_is_found_though_every_header_is_damaged():
    """Then it is that of the frames."""
    disk = kept(lived(1))
    for name in disk.names():
        data = bytearray(disk.read_all(name))
        data[0] ^= 1
        disk.put(name, Inode.of(bytes(data)))
    assert salvage(disk).lost == []


def maltreated(disk, random):
    """A copy of a disk with several kinds of damage, anywhere."""
    disk = disk.copy()
    for _ in range(random.randrange(1, 5)):
        name, other = random.choice(disk.names()), random.choice(disk.names())
        data = bytearray(disk.read_all(name))
        at = random.randrange(len(data))
        act = random.randrange(7)
        if act == 0 and len(disk.names()) > 2:
            disk.remove(name)
            continue
        if act == 1:
            del data[at:]
        elif act == 2:
            data[at : at + random.choice((1, 512))] = random.randbytes(random.choice((1, 512)))
        elif act == 3:
            data[at:at] = random.randbytes(9)
        elif act == 4:
            data = bytearray(disk.read_all(other))
        elif act == 5:
            data += disk.read_all(other)[64:]
        else:
            data[at:] = bytes(len(data) - at)
        disk.put(name, Inode.of(bytes(data)))
    return disk


@pytest.mark.parametrize("seed", range(120))
def test_whatever_was_done_to_a_log_a_state_comes_out_that_could_be(seed):
    """Files removed, cut, overwritten, mixed up; or it says that there is nothing."""
    random = Random(seed)
    commits = lived(seed % 4, turns=30)
    disk = kept(commits) if seed % 2 else compacted(commits, keep=seed % 4 == 0)[0]
    disk = maltreated(disk, random)
    try:
        found = salvage(disk)
    except CorruptionError as error:
        assert "backup" in str(error)  # noqa: PT017 - it may come or not
        return
    assert sound(found.state)
    if found.broken_from is not None:
        assert sound(salvage(disk, found.broken_from).state)
    try:
        state = again(disk)
    except CorruptionError:
        return
    if not found.damage and not found.lost:
        assert same(state, found.state)


def test_where_nothing_can_be_had_it_says_so():
    """Zeros are no log."""
    disk = kept(lived(1))
    for name in disk.names():
        disk.put(name, Inode.of(bytes(300)))
    with pytest.raises(CorruptionError, match="backup"):
        salvage(disk)


def test_a_file_of_another_log_is_left_alone():
    """Its frames are no frames of this one."""
    disk = kept(lived(1))
    whole = again(disk)
    mark = b"another!"
    disk.put("000000099.log", Inode.of(segment.header(segment.LOG, 99, mark) + mark * 50))
    found = salvage(disk)
    assert same(found.state, whole)
    assert [place.file for place in found.damage] == ["000000099.log"]


def compacted(commits, keep):
    """A log with a snapshot of all but the last segment, whose name it has or not yet."""
    disk = kept(commits)
    at = places(disk)
    last = max(place.number for place in at.values())
    position = max(found for found, place in at.items() if place.number < last)
    compact(disk, last, position)
    name = segment.snapshot_name(last)
    disk.rename(segment.unfinished_name(name), name)
    if not keep:
        for number in range(1, last):
            disk.remove(segment.segment_name(number))
    return disk, name


def test_a_log_is_had_from_its_snapshot_on():
    """It goes on where the snapshot ends."""
    disk, _ = compacted(lived(2), keep=False)
    found = salvage(disk)
    assert same(found.state, again(disk))
    assert (found.damage, found.lost) == ([], [])


def test_where_the_older_segments_are_still_there_a_damaged_snapshot_costs_nothing():
    """The beginning of the log is as good."""
    commits = lived(2)
    disk, name = compacted(commits, keep=True)
    data = bytearray(disk.read_all(name))
    data[len(data) // 2] ^= 1
    disk.put(name, Inode.of(bytes(data)))
    found = salvage(disk)
    assert same(found.state, again(kept(commits)))
    assert [place.file for place in found.damage] == [name]


def test_of_a_damaged_snapshot_what_is_whole_is_had():
    """Here there is one part only; with it all jobs are lost, but the segments still count."""
    disk, name = compacted(lived(2), keep=False)
    data = bytearray(disk.read_all(name))
    data[len(data) // 2] ^= 1
    disk.put(name, Inode.of(bytes(data)))
    found = salvage(disk)
    assert sound(found.state)
    assert found.broken_from == 0
    assert found.lost == []
    assert found.skipped["of a job that is not there"]
    assert found.named_jobs


def test_a_frame_of_a_newer_server_is_refused():
    """To skip it would be to lose what it says without need."""
    disk = kept(lived(1))
    found = salvage(disk)
    frame = Chain(found.mark, 1, found.position, found.hash).build(99, 1, 0, 0, b"")
    disk.put("000000099.log", Inode.of(segment.header(segment.LOG, 99, found.mark) + frame))
    with pytest.raises(DirectoryError, match="newer"):
        salvage(disk)


@pytest.mark.parametrize("record", [(99, job_id(1)), (t.DELETED, job_id(1), 5)])
def test_a_record_of_a_newer_server_is_refused(record):
    """Also behind damage: to skip it would be to lose what it says without need."""
    disk = kept([*lived(1), ([record], 10**13)])
    damage(disk, places(disk)[2])
    with pytest.raises(DirectoryError, match="newer") as caught:
        salvage(disk)
    assert not isinstance(caught.value, CorruptionError)


def test_a_damaged_snapshot_of_a_newer_server_is_refused(monkeypatch):
    """What its records mean is not known."""
    with monkeypatch.context() as newer:
        newer.setattr(head, "FORMAT", head.FORMAT + 1)
        disk, name = compacted(lived(2), keep=False)
    data = bytearray(disk.read_all(name))
    data[-1] ^= 1
    disk.put(name, Inode.of(bytes(data)))
    with pytest.raises(DirectoryError, match="newer"):
        salvage(disk)


def test_what_cannot_have_happened_is_skipped_and_counted():
    """Frames that are whole may contradict each other, if a mistake wrote them."""
    record = (t.COMPLETED, job_id(0), b"once")
    added = (t.ADDED, 1, job_id(0), b"ping", 5, 5, 99, CALM, None, b"payload")
    found = salvage(kept([([added, record, (t.RESTORED, *added[1:], 9, 0, 0, 0, *[None] * 3)], 5)]))
    assert dict(found.skipped) == {"that cannot have happened": 1}
    assert list(found.named_jobs) == [job_id(0)]
    assert found.broken_from == 2
    assert sound(found.state)


@pytest.mark.parametrize(
    "record",
    [
        (t.ADDED, 2, job_id(1), b"ping", 5, 5, 99, CALM, None, None),
        (t.ADDED, 2, job_id(1), b"ping", 5, 9, 99, CALM, None, b""),
        (t.COMPLETED, job_id(0), 7),
        (t.LEASED, job_id(0), 1, None),
        (t.RESTORED, 2, job_id(1), b"p", 5, 5, 99, CALM, None, b"", 2, 0, 0, 0, None, 9, None),
    ],
)
def test_a_record_with_values_of_other_kinds_leaves_the_state_as_it_is(record):
    """Not half of what it says is taken: its frame is damage."""
    added = (t.ADDED, 1, job_id(0), b"ping", 5, 5, 99, CALM, None, b"payload")
    found = salvage(kept([([added], 5), ([record], 5)]))
    assert dict(found.skipped) == {"in a frame that makes no sense": 1}
    assert "other kinds" in str(found.damage[0])
    assert found.state.size == 1
    assert sound(found.state)


def test_zeros_are_not_taken_for_a_mark():
    """A file of them, as it is preallocated, would be searched at each byte."""
    disk = Unread()
    disk.put("000000001.log", Inode.of(bytes(10_000)))
    with pytest.raises(CorruptionError, match="nothing in this log can be read"):
        salvage(disk)
    assert disk.reads < 10


ID = job_id(1)
LEASE = (t.LEASED, ID, 2**41, 10**13)
TIME_OUT = (t.RETURNED, ID, t.TIMED_OUT)


@pytest.mark.parametrize(
    "situation, record, before, why",
    [
        ("scheduled", (t.DUE, ID), [], ""),
        ("ready", (t.DUE, ID), None, "due already"),
        ("leased", (t.DUE, ID), None, "due already"),
        ("completed", (t.DUE, ID), None, "finished"),
        ("held", (t.DUE, ID), [], ""),
        ("delayed", LEASE, [(t.DUE, ID)], ""),
        ("held", LEASE, [(t.DUE, ID)], ""),
        ("held", (t.COMPLETED, ID, b"r"), [], ""),
        ("leased", (t.TOUCHED, ID, 10**13), [], ""),
        ("held", (t.TOUCHED, ID, 10**13), None, "lease that is not there"),
        ("leased", (t.RETURNED, ID, t.FAILURE, 10**13), [], ""),
        ("ready", LEASE, [], ""),
        ("scheduled", LEASE, [(t.DUE, ID)], ""),
        ("leased", LEASE, [TIME_OUT], ""),
        ("failed", LEASE, None, "finished"),
        ("leased", TIME_OUT, [], ""),
        ("ready", TIME_OUT, None, "lease that is not there"),
        ("ready", (t.RETURNED, ID, t.FAILURE), [], ""),
        ("scheduled", (t.RETURNED, ID, t.GIVEN_BACK), None, "lease that is not there"),
        ("scheduled", (t.COMPLETED, ID, b"r"), [], ""),
        ("leased", (t.FAILED, ID, t.FAILURE, b"r"), [], ""),
        ("completed", (t.COMPLETED, ID, b"r"), None, "finished"),
        ("completed", (t.EXPIRED, ID), [], ""),
        ("leased", (t.DELETED, ID), [], ""),
        ("ready", (t.DELETED, job_id(2)), None, "not there"),
    ],
)
def test_what_becomes_of_a_record(situation, record, before, why):
    """It is taken, or with one that it tells of before it, or skipped for a reason."""
    engine = running()
    job_in(engine, situation)
    steps, said = steps_to(engine, record)
    assert steps == ([] if before is None else [*before, record])
    assert why in said
    for step in steps:
        engine.apply(step)
    assert sound(engine)


def test_a_job_whose_id_is_taken_takes_the_place_of_the_other():
    """That the other was gone by then is what was lost."""
    engine = running()
    job_in(engine, "completed")
    (_, record) = dump.records(engine)
    new = (*record[:10], STATES.index(READY), 0, 0, 0, None, None, None)
    steps, _ = steps_to(engine, new)
    assert steps == [(t.DELETED, ID), new]


def test_counters_never_go_back():
    """Whatever is lost, no number is used twice."""
    engine = running()
    engine.seq, engine.token = 10, 20
    assert steps_to(engine, (t.COUNTERS, 5, 30))[0] == [(t.COUNTERS, 10, 30)]
