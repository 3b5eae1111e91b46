"""Compaction: what comes out of the snapshot is what would have come out of the segments."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.cmdlog.making import opened
from tests.engine.checking import check_derived
from tests.engine.making import SITUATIONS, added, job_id, job_in
from tests.recovery.histories import Life, read_back, with_every_situation
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.scan import Reading
from workq.cmdlog.segment import segment_name
from workq.cmdlog.snapshot import publish, verify
from workq.engine import dump
from workq.engine.job import STATES
from workq.errors import CorruptionError
from workq.limits import LEFT_ON_DISK_BYTES_MIN
from workq.recovery import compact as module
from workq.recovery.compact import Files, Left, compact, fold
from workq.recovery.head import read_head

LARGE = Random(5).randbytes(LEFT_ON_DISK_BYTES_MIN)


def compacted(life: Life) -> None:
    """Compact all of a log that can be, as a server would."""
    compact(life.disk, life.number, life.position)
    publish(life.disk, life.number)
    life.opened.log.replaced(life.number)


@pytest.mark.parametrize("seed", range(8))
def test_live_replayed_and_compacted_states_are_the_same(seed):
    """Of any history; and the digest in the head is that of the state at that point."""
    life = Life()
    for turn in range(3):  # the second and third stand on a snapshot
        life.live(60, seed=10 * seed + turn)
        life.fill_segment()
        whole = read_back(life.disk)
        head = compact(life.disk, life.number, life.position)
        assert head.digest == life.sealed_digest()
        publish(life.disk, life.number)
        life.opened.log.replaced(life.number)
        again = read_back(life.disk)
        assert dump.digest(again) == dump.digest(whole) == dump.digest(life.engine)
        assert dump.durable(again) == dump.durable(life.engine)
        assert dump.rest(again) == dump.rest(whole)
        check_derived(again)


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["none", "small", "large"])
def test_every_situation_of_a_job_survives(data):
    """With its payload, result, counters, lease and times."""
    life = with_every_situation(data)
    compacted(life)
    compacted_state = read_back(life.disk)
    assert dump.durable(compacted_state) == dump.durable(life.engine)
    assert dump.rest(compacted_state)["deadlines"] == dump.rest(life.engine)["deadlines"]
    assert dump.rest(compacted_state)["schedules"] == dump.rest(life.engine)["schedules"]
    assert dump.rest(compacted_state)["holds"] == dump.rest(life.engine)["holds"]
    assert {job.state for job in compacted_state.jobs.values()} == set(STATES)


def test_the_situations_are_all_there_are():
    """A new one is to be seen here too; the others are states with something more to them."""
    assert set(SITUATIONS) - {"returned", "delayed", "held", "touched"} == set(STATES)


def test_counters_of_jobs_that_are_gone_survive():
    """No number is given twice, though the last jobs and their leases have left no trace."""
    life = Life()
    added(life.engine, 1)
    life.keep()
    life.engine.delete(job_in(life.engine, "leased", 2))
    life.keep()
    numbers = life.engine.seq, life.engine.token
    ids = []
    while len(life.opened.log.sealed) < 1:
        number = life.fresh()
        ids.append(job_id(number))
        added(life.engine, number, payload=bytes(900))
        life.keep()
    for one in ids:
        job = life.engine.find(one)
        assert job is not None
        life.engine.delete(job)
    life.keep()
    life.fill_segment()
    compacted(life)
    state = read_back(life.disk)
    assert state.seq == life.engine.seq > numbers[0]
    assert state.token == life.engine.token == numbers[1]


def test_the_server_goes_on_behind_its_snapshot():
    """The log can be opened, written and compacted again, also when nothing else is left."""
    life = Life()
    life.live(30, seed=3)
    life.fill_segment()
    compacted(life)
    before = dump.digest(life.engine)
    again = opened(life.disk.copy())
    assert dump.digest(read_back(again.disk)) == before
    assert again.log.epoch == life.opened.log.epoch + 1


# --- memory ---------------------------------------------------------------------------------


def data_of(state):
    """Payloads and results of a state."""
    jobs = list(state.jobs.values())
    return [job.payload for job in jobs] + [job.result for job in jobs if job.finished]


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_large_data_is_not_held_in_memory(from_snapshot):
    """But small data is; from the segments and from the snapshot before them alike."""
    life = with_every_situation(LARGE)
    if from_snapshot:
        compacted(life)
        life.fill_segment()
    state = fold(Reading(life.disk, below=life.number))
    kinds = {type(data) for data in data_of(state) if len(data) >= LEFT_ON_DISK_BYTES_MIN}
    assert kinds == {Left}
    assert {type(data) for data in data_of(state) if len(data) < LEFT_ON_DISK_BYTES_MIN} == {bytes}
    assert state.held_bytes == sum(map(len, data_of(state)))


def test_what_was_left_is_found_again_whatever_looks_like_it():
    """Data that is in other data, twice the same, and such that looks like an id: any place will
    do that has the same bytes."""
    life = Life()
    for number, data in enumerate((LARGE + LARGE, LARGE, LARGE, job_id(4) * 30, LARGE[:-1]), 1):
        added(life.engine, number, payload=data)
    life.keep()
    for number in (1, 2, 3):
        job = life.engine.find(job_id(number))
        assert job is not None
        life.engine.complete(job, LARGE * number)
    life.keep()
    expected = {job.id: (job.payload, job.result) for job in life.engine.jobs.values()}
    life.fill_segment()
    state = fold(Reading(life.disk, below=life.number))
    files = Files(life.disk)
    for number in range(1, 6):
        job = state.jobs.get(job_id(number))
        assert job is not None
        found = [
            one.fetch(files) if isinstance(one, Left) else one for one in (job.payload, job.result)
        ]
        assert tuple(found) == expected[job.id]
    files.close()


def test_no_more_files_are_open_than_may_be(monkeypatch):
    """However many segments the payloads are in; and none is at the end."""
    monkeypatch.setattr(module, "COMPACTION_FILES_MAX", 3)
    life = Life()
    life.live(150, seed=3)
    for _ in range(4):
        life.fill_segment()
    assert len(life.opened.log.sealed) > 4
    disk = life.disk.killed()
    most = 0

    def look(name, number):
        nonlocal most
        most = max(most, len(disk.handles))

    disk.before = look
    compact(disk, life.number, life.position)
    assert 2 < most <= 3 + 1  # one is the snapshot
    assert disk.handles == {}


# --- what goes wrong ------------------------------------------------------------------------


def test_bytes_that_change_between_two_looks_are_noticed():
    """They are not put into a snapshot, whose hash would vouch for them."""
    life = with_every_situation(LARGE)
    state = fold(Reading(life.disk, below=life.number))
    for inode in life.disk.files.values():
        inode.now[:] = inode.now.replace(LARGE[:20], LARGE[1:21])
    job = state.jobs.get(job_id(10))
    assert job is not None
    payload: Any = job.payload
    with pytest.raises(CorruptionError, match="other bytes"):
        payload.fetch(Files(life.disk))


def test_a_damaged_segment_is_not_compacted():
    """Nothing that could be taken for a snapshot is there then."""
    life = with_every_situation(LARGE)
    life.disk.files[segment_name(1)].now[500] ^= 1
    with pytest.raises(CorruptionError, match="sealed segment"):
        compact(life.disk, life.number, life.position)
    assert not any(".snap" in name for name in life.disk.names())


def test_a_segment_that_is_missing_at_the_end_is_not_passed_over():
    """The snapshot would stand for it all the same."""
    life = with_every_situation(LARGE)
    life.fill_segment()
    life.disk.remove(segment_name(life.number - 1))
    with pytest.raises(CorruptionError, match="the segments end with"):
        compact(life.disk, life.number, life.position)
    assert not any(".snap" in name for name in life.disk.names())


class PowerCut(BaseException):
    """The power is gone."""


def failing_at(disk: SimulatedDisk, call: int, error: BaseException) -> None:
    """Let a call that changes the disk fail."""

    def fail(name, number):
        if number == call:
            raise error

    disk.before = fail


def lives(turns: int) -> Life:
    """A log with a snapshot behind all turns but the last."""
    life = Life()
    for turn in range(turns):
        life.live(25, seed=turn, bytes_max=700)
        life.fill_segment()
        if turn < turns - 1:
            compacted(life)
    return life


@pytest.mark.parametrize("turns", [1, 2])
def test_a_power_cut_at_any_step_leads_to_the_same_state(turns):
    """Writing, syncing, renaming, removing: with a snapshot there before and without; and after a
    restart compaction can be done again."""
    life = lives(turns)
    expected = dump.digest(life.engine)
    call = 0
    done = False
    while not done:
        call += 1
        disk = life.disk.copy()
        failing_at(disk, call, PowerCut())
        try:
            compact(disk, life.number, life.position)
            publish(disk, life.number)
            done = True
        except PowerCut:
            pass
        for seed in range(4):
            found = disk.crash(Random(100 * call + seed))
            again = opened(found)  # settles and begins a new epoch
            assert dump.digest(read_back(found)) == expected
            sealed = again.log.sealed
            if sealed:
                compact(found, sealed[-1].number + 1, sealed[-1].position)
                publish(found, sealed[-1].number + 1)
            assert dump.digest(read_back(found)) == expected
    assert call > 8


def test_a_process_killed_at_any_step_leads_to_the_same_state():
    """Nothing of the disk is lost then, but the work is half done."""
    life = lives(2)
    expected = dump.digest(life.engine)
    call = 0
    done = False
    while not done:
        call += 1
        disk = life.disk.copy()
        failing_at(disk, call, PowerCut())
        try:
            compact(disk, life.number, life.position)
            publish(disk, life.number)
            done = True
        except PowerCut:
            pass
        again = opened(disk.killed())
        assert dump.digest(read_back(again.disk)) == expected
        assert not any(name.endswith(".snap.tmp") for name in again.disk.names())


def test_an_error_of_the_disk_at_any_step_leaves_the_log_as_it_was():
    """While the snapshot is written: it ends with that error."""
    life = lives(2)
    expected = dump.digest(life.engine)
    for call in range(1, 100):
        disk = life.disk.copy()
        failing_at(disk, call, OSError(5, "Input/output error"))
        try:
            compact(disk, life.number, life.position)
        except OSError:
            assert disk.handles == {} or len(disk.handles) == 1
            assert dump.digest(read_back(disk)) == expected
        else:
            break
    assert 3 < call < 99


def test_the_head_says_who_wrote_it_and_how_much():
    """So that the next start knows what a job takes."""
    life = with_every_situation(LARGE)
    compact(life.disk, life.number, life.position)
    found = verify(life.disk, life.number, unfinished=True)
    head = read_head(life.disk.path, life.number, found.head)
    state = fold(Reading(life.disk, below=life.number))
    assert head.records == found.records == state.size + 1
    assert head.data_bytes == state.held_bytes
