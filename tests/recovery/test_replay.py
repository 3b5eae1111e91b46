"""The state, made again from a log."""

import pytest

from tests.cmdlog.making import opened
from tests.engine.making import CALM, SITUATIONS, job_id, job_in, later, running
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Reading
from workq.engine import dump
from workq.engine.state import State
from workq.errors import CorruptionError, DirectoryError
from workq.recovery.records import bodies
from workq.recovery.replay import replay

ID = job_id(1)
SCHEDULED = (1, 1, ID, b"ping", 5, 9, 99, CALM, 9, b"payload")
ADDED = (1, 1, ID, b"ping", 5, 5, 99, CALM, None, b"payload")
RESTORED = (10, *ADDED[1:], 2, 1, 0, 0, 7, None, None)
LEASED = (3, ID, 1, 9)
DONE = (5, ID, b"done")


def kept(commits):
    """A disk with a log of some commits, each with its time."""
    disk = SimulatedDisk()
    log, _, worker, *_ = opened(disk)
    for commit, time_ms in commits:
        for records, body in bodies(commit):
            log.append(COMMIT, time_ms, records, body)
        worker.run()
    return disk


def taken(engine):
    """The commit of an engine, and its time."""
    commit, engine.commit = engine.commit, []
    return commit, engine.now_ms


def again(disk):
    """The state that a log on a disk makes, and how many transitions there were."""
    state = State()
    count = replay(Reading(disk), state)
    return state, count


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_job_comes_back_as_it_was(situation):
    """In every situation of its life, with an equal digest of all."""
    engine = running()
    commits = [taken(engine)] if engine.commit else []
    job_in(engine, situation)
    count = len(engine.commit)
    commits.append(taken(engine))
    state, replayed = again(kept(commits))
    assert replayed == count
    assert dump.digest(state) == dump.digest(engine)
    assert dump.rest(state) == dump.rest(engine)


def test_deadlines_are_absolute():
    """A restart neither prolongs nor forgets them: they are where they were."""
    engine = running()
    job_in(engine, "leased")
    later(engine, 300)
    state, _ = again(kept([taken(engine)]))
    (job,) = state.jobs.values()
    (original,) = engine.jobs.values()
    assert job.lease and original.lease
    assert job.lease.at_ms == original.lease.at_ms
    assert job.at_ms == original.at_ms


def test_the_time_is_that_of_the_last_frame():
    """No server goes on before it, whatever its wall clock shows."""
    engine = running()
    job_in(engine, "ready", 1)
    commits = [taken(engine)]
    later(engine, 5000)
    job_in(engine, "ready", 2)
    commits.append(taken(engine))
    state, _ = again(kept(commits))
    assert state.now_ms == engine.now_ms


def test_progress_is_told_for_each_frame():
    """The bytes done rise to all of them."""
    engine = running()
    commits = []
    for number in range(1, 40):
        job_in(engine, "completed", number)
        commits.append(taken(engine))
    reading = Reading(kept(commits))
    done = []
    replay(reading, State(), lambda: done.append(reading.bytes_done))
    assert len(done) >= len(commits)
    assert done == sorted(done)
    assert reading.bytes_done == reading.bytes_in_all


@pytest.mark.parametrize(
    "records, problem",
    [
        ([(8, b"00000000-0000-4000-8000-000000000009")], "do not fit"),
        ([(8,)], "type 8 with 1 values"),
        ([ADDED, ADDED], "added of .* is there already"),
        ([(*RESTORED[:10], 1, 0, 0, 0, None, None, None), ADDED], "is there already"),
        ([ADDED, RESTORED], "restored of .* is there already"),
        ([RESTORED], "fits no state"),
        ([(*RESTORED[:10], 5, 0, 0, 0, None, None, None)], "fits no state"),
        ([(*RESTORED[:10], 1, 0, 0, 0, None, None, b"")], "fits no state"),
        ([(*RESTORED[:10], 0, 0, 0, 0, None, None, None)], "fits no state"),
        ([ADDED, (2, ID)], "due of .* is not held back"),
        ([ADDED, LEASED, LEASED], "leased of .* is leased"),
        ([SCHEDULED, LEASED], "leased of .* is scheduled"),
        ([ADDED, DONE, LEASED], "leased of .* is completed"),
        ([ADDED, DONE, DONE], "completed of .* is completed"),
        ([ADDED, (6, ID, 2, b""), DONE], "completed of .* is failed"),
        ([ADDED, DONE, (6, ID, 2, b"")], "failed of .* is completed"),
        ([ADDED, (4, ID, 1)], "returned of .* is ready"),
        ([ADDED, (4, ID, 3)], "returned of .* is ready"),
        ([ADDED, DONE, (4, ID, 2)], "returned of .* is completed"),
        ([(11, 5, 5), (11, 4, 5)], "goes back"),
        ([ADDED, LEASED, (5, ID, None)], "do not fit"),
    ],
)
def test_a_frame_that_makes_no_sense_is_named(records, problem):
    """It is whole, so no crash has made it: file and place are told, and nothing is guessed."""
    with pytest.raises(CorruptionError, match=rf"000000001\.log.*{problem}"):
        again(kept([(records, 1)]))


@pytest.mark.parametrize("record", [(99, ID), (8, ID, 5)])
def test_a_record_of_a_newer_server_is_no_damage(record):
    """It says who can read it."""
    with pytest.raises(DirectoryError, match=r"000000001\.log was written by a newer") as caught:
        again(kept([([ADDED, record], 1)]))
    assert not isinstance(caught.value, CorruptionError)


def test_a_failure_of_a_job_that_nobody_has_leased_is_counted():
    """It happens, if it may fail more than once."""
    state, _ = again(kept([([SCHEDULED, (4, ID, 2), (2, ID), (4, ID, 2)], 1)]))
    (job,) = state.jobs.values()
    assert (job.fails, job.state) == (2, "ready")


def test_a_frame_that_counts_wrong_is_refused():
    """Its head says how many records there are."""
    disk = SimulatedDisk()
    log, _, worker, *_ = opened(disk)
    log.append(COMMIT, 1, 2, next(bodies([(8, b"x")]))[1])
    worker.run()
    with pytest.raises(CorruptionError, match="1 records and says 2"):
        again(disk)
