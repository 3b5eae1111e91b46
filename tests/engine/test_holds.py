"""Delays and retries: what holds a job back, for how long, and how little it changes."""

import pytest

from tests.engine.checking import check_derived, check_replay, replayed, shown
from tests.engine.making import (
    CALM,
    HOLD_MS,
    QUEUE,
    UNFINISHED,
    added,
    budgets,
    job_id,
    job_in,
    later,
    order,
    running,
)
from workq.engine import dump, transitions
from workq.engine.job import Options
from workq.limits import BACKOFF_MAX, DELAY_MS_MAX

#: A job that comes back after 100 ms, then 200, 400, 800 and never more than 1000.
RETRYING = Options(1000, 600_000, 0, 0, 99, 100, 2, 1000)


def made(engine):
    """What has happened so far, by name."""
    return [transitions.NAMES[transition[0]] for transition in engine.commit]


def waits(engine):
    """The ids of the jobs that wait for their time."""
    return [job.id for job in engine.queues.get(QUEUE).scheduled.from_offset(0)]


# --- a delay --------------------------------------------------------------------------------------


def test_a_delayed_job_is_due_when_its_delay_is_over():
    """Not a millisecond earlier, and by the time that never steps."""
    engine = running()
    job = added(engine, 1, delay_ms=500)
    assert (job.state, job.time_ms, job.hold_until_ms) == ("scheduled", None, engine.now_ms + 500)
    assert waits(engine) == [job.id]
    engine.advance(engine.now_ms + 499, 10_000_000)
    assert job.state == "scheduled"
    engine.advance(engine.now_ms + 1, -10_000_000)
    assert (job.state, job.hold_until_ms) == ("ready", None)
    assert made(engine) == ["delayed", "clock", "clock", "due"]
    check_derived(engine)


def test_a_delayed_job_has_its_place_by_its_time_and_its_ttl_from_its_creation():
    """It goes behind those that were due before it, and lives no longer than without a delay."""
    engine = running()
    late = added(engine, 1, delay_ms=10)
    assert late.at_ms == engine.now_ms + CALM.ttl_ms
    later(engine, 5)
    early = added(engine, 2)
    later(engine, 5)
    same = added(engine, 3)
    assert order(engine) == [early.id, late.id, same.id]


# --- a retry --------------------------------------------------------------------------------------


def test_a_failed_job_is_held_back_for_as_long_as_its_failure_says():
    """It is ready and cannot be leased; then it is at its old place."""
    engine = running()
    job, younger = added(engine, 1, RETRYING), added(engine, 2, RETRYING)
    engine.lease(job)
    engine.fail(job, b"", 30)
    assert (job.state, job.lease, job.hold_until_ms) == ("ready", None, engine.now_ms + 30)
    assert order(engine) == [younger.id]
    assert waits(engine) == [job.id]
    later(engine, 29)
    assert engine.head(QUEUE) is younger
    later(engine, 1)
    assert order(engine) == [job.id, younger.id]
    assert made(engine) == ["added", "added", "leased", "returned", "due"]
    check_derived(engine)


def test_a_delay_of_nothing_takes_the_place_of_that_of_the_options():
    """The worker knows better."""
    engine = running()
    job = added(engine, 1, RETRYING)
    engine.lease(job)
    engine.fail(job, b"", 0)
    assert engine.head(QUEUE) is job


def test_failures_and_lost_leases_let_the_delay_grow_together():
    """By the factor, up to the greatest; a lease given back does not count."""
    engine = running()
    job = added(engine, 1, RETRYING)
    seen = []
    for lost in (False, True, True, False, False, True):
        engine.give_back(job.id, engine.lease(job))
        engine.lease(job)
        if lost:
            later(engine, 1000)
        else:
            engine.fail(job, b"")
        assert job.hold_until_ms is not None
        seen.append(job.hold_until_ms - engine.now_ms)
        later(engine, seen[-1])
        assert engine.head(QUEUE) is job
    assert seen == [100, 200, 400, 800, 1000, 1000]
    assert (job.attempts, job.fails, job.timeouts) == (6, 3, 3)


@pytest.mark.parametrize(
    "numbers, failures, expected",
    [
        ((), 1, 0),
        ((5,), 9, 5),
        ((5, 3), 3, 45),
        ((5, 3, 20), 3, 20),
        ((5, 1, 3), 1, 3),
        ((1, 2), 1000, DELAY_MS_MAX),
        ((1, BACKOFF_MAX), 10**6, DELAY_MS_MAX),
        ((0, 2, 9), 7, 0),
    ],
)
def test_how_long_a_retry_waits(numbers, failures, expected):
    """Exactly, at the bounds too, and without working out powers that nobody needs."""
    assert Options(1, 2, 0, 0, 0, *numbers).retry_ms(failures) == expected


def test_a_lost_lease_is_held_back_from_its_end_on():
    """Not from when the sweep came to it: that would depend on how much there was to do."""
    engine = running()
    job = added(engine, 1, RETRYING)
    engine.lease(job)
    ends_ms = engine.now_ms + 1000
    with budgets(0, 0):
        later(engine, 1060)
    assert engine.behind
    assert engine.find(job.id) is job
    assert (job.state, job.timeouts, job.hold_until_ms) == ("ready", 1, ends_ms + 100)


def test_a_delay_that_is_over_when_the_lease_is_found_lost_holds_nothing_back():
    """After a standstill the job is there at once, by one transition."""
    engine = running()
    job = added(engine, 1, RETRYING)
    engine.lease(job)
    later(engine, 1100)
    assert engine.head(QUEUE) is job
    assert made(engine) == ["added", "leased", "returned"]


def test_a_failure_of_a_job_that_is_not_leased_leaves_it_where_it_is():
    """A delay is for one that comes back; a hold that there is stays as it is."""
    engine = running()
    ready, held = added(engine, 1, RETRYING), added(engine, 2, RETRYING)
    engine.fail(ready, b"", 500)
    assert engine.head(QUEUE) is ready
    engine.lease(held)
    engine.fail(held, b"", 500)
    engine.fail(held, b"", 9000)
    assert held.hold_until_ms == engine.now_ms + 500
    assert held.fails == 2


def test_a_final_failure_is_final_whatever_may_come():
    """Though more are allowed, and whatever delay is named."""
    engine = running()
    job = added(engine, 1, RETRYING)
    engine.lease(job)
    engine.fail(job, b"why", 500, final=True)
    assert (job.state, job.result, job.hold_until_ms) == ("failed", b"why", None)


def test_a_job_whose_attempts_are_used_up_is_failed_and_not_held():
    """The end of the attempts comes before any delay."""
    engine = running()
    options = Options(1000, 600_000, 0, 1, 99, 100)
    for number, lose in ((1, True), (2, False)):
        job = added(engine, number, options)
        engine.lease(job)
        if lose:
            later(engine, 1000)
        else:
            engine.fail(job, b"", 500)
        assert (job.state, job.hold_until_ms) == ("failed", None)


def test_within_one_instant_ttls_end_then_leases_then_holds():
    """So that a job whose life is over is not ready for a moment, and one outcome is possible."""
    engine = running()
    options = Options(100, 200, 0, 0, 99, 100)
    lives, dies = added(engine, 1, options._replace(ttl_ms=900)), added(engine, 2, options)
    engine.lease(lives)
    engine.lease(dies)
    later(engine, 200)
    assert engine.find(dies.id) is None
    assert engine.head(QUEUE) is lives
    assert made(engine)[4:] == ["expired", "returned"]


def test_a_hold_is_what_the_engine_wants_to_be_woken_for():
    """Or the job would wait until something else comes."""
    engine = running()
    job_in(engine, "held")
    assert engine.next_ms() <= engine.now_ms + HOLD_MS
    job_in(engine, "delayed", 2)
    assert engine.next_ms() <= engine.now_ms + HOLD_MS


# --- leases ---------------------------------------------------------------------------------------


def test_a_touched_lease_ends_later_or_earlier():
    """As it is told; it is the same lease, and nothing is counted."""
    engine = running()
    job = added(engine, 1)
    token = engine.lease(job)
    later(engine, 900)
    engine.touch(job, 1000)
    later(engine, 999)
    assert job.lease is not None
    assert job.lease.token == token
    engine.touch(job, 5)
    later(engine, 5)
    assert (job.state, job.attempts, job.timeouts) == ("ready", 1, 1)
    assert made(engine) == ["added", "leased", "touched", "touched", "returned"]


def test_a_released_job_is_back_as_if_it_had_never_been_leased():
    """At its place, at once, its attempt not counted."""
    engine = running()
    job = added(engine, 1, RETRYING)
    added(engine, 2, RETRYING)
    before = dump.rest(engine)
    engine.lease(job)
    engine.release(job)
    assert (job.state, job.attempts, job.fails, job.timeouts) == ("ready", 0, 0, 0)
    assert dump.rest(engine) == before


# --- on the log -----------------------------------------------------------------------------------


@pytest.mark.parametrize("situation", ["delayed", "held", "touched"])
@pytest.mark.parametrize("how", ["commit", "records"])
def test_a_replay_knows_when_it_is_over(situation, how):
    """From what happened and from a snapshot alike; it goes on to the same end."""
    engine = running()
    job_in(engine, situation, options=RETRYING)
    made = engine.commit if how == "commit" else list(dump.records(engine))
    replica = replayed(made, engine.now_ms)
    check_replay(shown(engine), replica)
    assert dump.digest(replica) == dump.digest(engine)


@pytest.mark.parametrize("situation", UNFINISHED)
def test_what_says_nothing_is_not_written(situation):
    """An older server can read the log of one that was asked for nothing new."""
    engine = running()
    job_in(engine, situation)
    lengths = {len(record) for record in dump.records(engine) if len(record) > 3}
    assert lengths == {18 if situation in ("delayed", "held") else 17}


def test_options_are_as_short_as_they_can_be():
    """What is left out at the end says what it says by itself."""
    assert Options(1, 2, 0, 0, 0, 0, 1, 0) == Options(1, 2) == (1, 2, 0, 0, 0)
    assert list(Options(1, 2, 0, 0, 0, 7)) == [1, 2, 0, 0, 0, 7]
    assert list(Options(1, 2, 0, 0, 0, 0, 1, 5)) == [1, 2, 0, 0, 0, 0, 1, 5]
    assert repr(Options(1, 2, 0, 0, 0, 7)).endswith("max_fails=0, retry_delay_ms=7)")


def test_a_job_without_a_time_is_no_delayed_one_to_a_log():
    """What was never written is refused: a schedule without its time, a delay with one."""
    engine = running()
    added(engine, 1, delay_ms=5)
    (delayed,) = engine.commit
    replayed([delayed])
    for wrong in ((transitions.ADDED, *delayed[1:]), (*delayed[:8], delayed[5], delayed[9])):
        with pytest.raises(Exception, match="has no time, or one too many"):
            replayed([wrong])


def test_a_held_job_cannot_be_leased_by_a_log():
    """Such a record was never written; and one that restores an impossible hold neither."""
    engine = running()
    job = job_in(engine, "held")
    state = replayed(engine.commit, engine.now_ms)
    with pytest.raises(Exception, match="is held back"):
        state.apply((transitions.LEASED, job.id, 99 << 40, engine.now_ms))
    (record,) = (one for one in dump.records(engine) if one[0] == transitions.RESTORED)
    for number in (2, 3, 4):
        wrong = (*record[:10], number, *record[11:])
        with pytest.raises(Exception, match="fits no state"):
            replayed([wrong])
    assert replayed([record]).jobs.get(job_id(1)) is not None
