"""The engine: which acts lead to which transitions, and when."""

import pytest

from tests.engine.checking import check_derived, check_replay, replayed, shown
from tests.engine.making import (
    CALM,
    HOUR_MS,
    QUEUE,
    SITUATIONS,
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
from workq.engine.calendar import NEVER
from workq.engine.engine import TOKEN_EPOCH_SHIFT, Engine
from workq.engine.job import Job, Options
from workq.limits import (
    CASCADES_PER_TURN_MAX,
    DEADLINE_MS_MAX,
    DEADLINES_PER_TURN_MAX,
    TTL_MS_MAX,
)

FOREGROUND = Options(1000, 0)


def counters(job: Job) -> tuple[int, int, int]:
    """Attempts, fails and timeouts."""
    return job.attempts, job.fails, job.timeouts


def made(engine: Engine) -> list[str]:
    """The names of the transitions in the commit."""
    return [transitions.NAMES[transition[0]] for transition in engine.commit]


def there(engine: Engine, number: int = 1) -> Job:
    """A job that must be there."""
    job = engine.find(job_id(number))
    assert job is not None
    return job


# --- handing in ---------------------------------------------------------------------------------


def test_a_job_that_is_added_is_ready_at_once():
    """Created and due now; its TTL runs from now."""
    engine = running()
    job = added(engine, 1)
    assert job.state == "ready"
    assert [job.created_ms, job.due_ms] == [engine.now_ms] * 2
    assert job.at_ms == engine.now_ms + CALM.ttl_ms
    assert job.time_ms is None
    assert counters(job) == (0, 0, 0)
    assert made(engine) == ["added"]


def test_numbers_rise_with_every_job():
    """Whatever its queue, and whether it runs in the foreground or not."""
    engine = running()
    first = added(engine, 3)
    second = engine.start(job_id(2), b"pong", FOREGROUND, b"")
    third = added(engine, 1)
    assert [first.seq, second.seq, third.seq] == [1, 2, 3]
    assert engine.seq == 3


def test_a_job_may_be_scheduled():
    """It waits for its time, and its TTL runs from then on."""
    engine = running()
    time_ms = engine.wall_ms + 500
    job = added(engine, 1, time_ms=time_ms)
    assert job.state == "scheduled"
    assert [job.created_ms, job.due_ms] == [engine.now_ms, engine.now_ms + 500]
    assert job.at_ms == engine.now_ms + 500 + CALM.ttl_ms
    assert engine.head(QUEUE) is None
    later(engine, 499)
    assert job.state == "scheduled"
    later(engine, 1)
    assert job.state == "ready"
    assert engine.head(QUEUE) is job
    assert made(engine) == ["added", "due"]


@pytest.mark.parametrize("ago_ms", [0, 1, 59_999])
def test_a_time_that_is_past_is_due_at_once(ago_ms):
    """But not before creation; the TTL still runs from the time as given."""
    engine = running()
    job = added(engine, 1, time_ms=engine.wall_ms - ago_ms)
    assert job.state == "ready"
    assert job.due_ms == engine.now_ms
    assert job.at_ms == engine.now_ms - ago_ms + CALM.ttl_ms
    assert job.time_ms == engine.wall_ms - ago_ms


def test_a_time_before_1970_is_a_time():
    """With a TTL that is long enough."""
    engine = running()
    job = added(engine, 1, CALM._replace(ttl_ms=2**50), time_ms=-5000)
    assert job.state == "ready"
    assert job.at_ms == 2**50 - 5000


def test_a_deadline_beyond_what_a_double_holds_is_none():
    """The last millisecond that is kept, and the first that is not."""
    engine = running()
    left_ms = DEADLINE_MS_MAX - engine.now_ms
    assert added(engine, 1, CALM._replace(ttl_ms=left_ms)).at_ms == DEADLINE_MS_MAX
    assert added(engine, 2, CALM._replace(ttl_ms=left_ms + 1)).at_ms is None
    assert added(engine, 3, CALM._replace(ttl_ms=TTL_MS_MAX)).at_ms is None
    assert added(engine, 4, CALM._replace(ttl_ms=left_ms), time_ms=engine.wall_ms + 1).at_ms is None
    check_derived(engine)


def test_a_job_with_a_huge_ttl_lives_on():
    """A thousand years later it can be leased."""
    engine = running()
    added(engine, 1, CALM._replace(ttl_ms=TTL_MS_MAX))
    added(engine, 2, CALM._replace(ttl_ms=2**52))
    later(engine, 1000 * 366 * 24 * HOUR_MS)
    assert order(engine) == [job_id(1), job_id(2)]
    later(engine, 2**52)
    assert order(engine) == [job_id(1)]


# --- order --------------------------------------------------------------------------------------


def test_order_is_priority_then_due_time_then_arrival():
    """High priority first, however late it comes."""
    engine = running()
    for number, priority in enumerate([0, -1, 5, 0, 5, -(2**31), 2**31 - 1]):
        added(engine, number, CALM._replace(priority=priority))
        later(engine, number % 2)
    assert order(engine) == [job_id(number) for number in (6, 2, 4, 0, 3, 1, 5)]


def test_a_scheduled_job_does_not_yield_to_younger_ones():
    """It stands where its time puts it: after those that were there, before those that came."""
    engine = running()
    added(engine, 1, time_ms=engine.wall_ms + 10)
    later(engine, 9)
    added(engine, 2)
    later(engine, 1)
    added(engine, 3)
    later(engine, 1)
    added(engine, 4)
    assert order(engine) == [job_id(number) for number in (2, 1, 3, 4)]


@pytest.mark.parametrize("end", ["timed out", "refused", "given back"])
def test_a_job_that_comes_back_keeps_its_place(end):
    """It goes before all that came after it."""
    engine = running()
    options = CALM._replace(ttr_ms=10, max_fails=9)
    for number in (1, 2, 3):
        added(engine, number, options)
    first = there(engine, 1)
    due_ms = first.due_ms
    token = engine.lease(first)
    assert order(engine) == [job_id(2), job_id(3)]
    if end == "timed out":
        later(engine, 10)
    elif end == "refused":
        engine.fail(first, b"")
    else:
        engine.give_back(first.id, token)
    assert order(engine) == [job_id(1), job_id(2), job_id(3)]
    assert first.due_ms == due_ms


def test_queues_do_not_mix():
    """A job belongs to one name, and names are told apart by case."""
    engine = running()
    added(engine, 1, queue=b"ping")
    added(engine, 2, queue=b"Ping")
    assert order(engine, b"ping") == [job_id(1)]
    assert order(engine, b"Ping") == [job_id(2)]
    assert engine.head(b"PING") is None


# --- leases -------------------------------------------------------------------------------------


def test_a_lease_counts_an_attempt_and_ends_at_its_deadline():
    """The job is nobody else's until then, and ready at that very millisecond."""
    engine = running()
    job = added(engine, 1, CALM._replace(ttr_ms=10))
    token = engine.lease(job)
    assert job.state == "leased"
    assert job.lease is not None
    assert [job.lease.token, job.lease.at_ms] == [token, engine.now_ms + 10]
    assert counters(job) == (1, 0, 0)
    assert engine.head(QUEUE) is None
    later(engine, 9)
    assert job.state == "leased"
    later(engine, 1)
    job = there(engine)
    assert job.state == "ready"
    assert job.lease is None
    assert counters(job) == (1, 0, 1)
    assert made(engine) == ["added", "leased", "returned"]


def test_each_lease_starts_the_whole_ttr():
    """A second lease does not end with the first."""
    engine = running()
    job = added(engine, 1, CALM._replace(ttr_ms=10))
    token = engine.lease(job)
    later(engine, 9)
    engine.give_back(job.id, token)
    engine.lease(job)
    later(engine, 9)
    assert job.state == "leased"
    later(engine, 1)
    assert job.state == "ready"


def test_no_token_is_ever_used_twice():
    """They rise with every lease, logged or not, and a new start begins above all of the last."""
    engine = running()
    tokens = []
    for number in range(5):
        tokens.append(engine.lease(added(engine, number)))
        tokens.append(engine.lease(engine.start(job_id(number + 10), QUEUE, FOREGROUND, b"")))
    assert tokens == sorted(set(tokens))
    assert {token >> TOKEN_EPOCH_SHIFT for token in tokens} == {1}
    second = Engine(epoch=2)
    assert second.lease(added(second, 1)) > max(tokens)


def test_the_lease_of_a_foreground_job_moves_no_durable_counter():
    """A durable number never depends on what is not logged."""
    engine = running()
    token = engine.lease(added(engine, 1))
    engine.lease(engine.start(job_id(2), QUEUE, FOREGROUND, b""))
    assert [engine.seq, engine.token] == [1, token]


@pytest.mark.parametrize("limit", [1, 2, 255])
def test_a_job_fails_when_its_last_attempt_runs_out(limit):
    """With an empty result, and not before."""
    engine = running()
    job = added(engine, 1, Options(10, 10**9, max_attempts=limit))
    for _ in range(limit):
        assert job.state == "ready"
        engine.lease(job)
        later(engine, 10)
    assert job.state == "failed"
    assert job.result == b""
    assert counters(job) == (limit, 0, limit)
    assert made(engine)[-2:] == ["leased", "failed"]


def test_attempts_are_unlimited_unless_they_are_limited():
    """There is no hidden cap at 255."""
    engine = running()
    job = added(engine, 1, Options(1, 10**9))
    for _ in range(300):
        engine.lease(job)
        later(engine, 1)
    assert job.state == "ready"
    assert counters(job) == (300, 0, 300)


# --- giving back --------------------------------------------------------------------------------


def test_a_lease_given_back_takes_its_attempt_back():
    """As if it had never been, even if it was the last attempt."""
    engine = running()
    job = added(engine, 1, CALM._replace(max_attempts=1))
    engine.give_back(job.id, engine.lease(job))
    assert job.state == "ready"
    assert counters(job) == (0, 0, 0)
    assert engine.commit[-1] == (transitions.RETURNED, job.id, transitions.GIVEN_BACK)


@pytest.mark.parametrize(
    "since",
    ["timed out", "leased again", "refused", "completed", "failed", "deleted", "added again"],
)
def test_a_stale_token_changes_nothing(since):
    """Whatever became of the job since: its lease has ended by itself."""
    engine = running()
    options = CALM._replace(ttr_ms=10, max_fails=2)
    job = added(engine, 1, options)
    token = engine.lease(job)
    if since in ("timed out", "leased again"):
        later(engine, 10)
        if since == "leased again":
            engine.lease(job)
    elif since == "refused":
        engine.fail(job, b"")
    elif since == "completed":
        engine.complete(job, b"done")
    elif since == "failed":
        engine.fail(job, b"")
        engine.fail(job, b"why")
    else:
        engine.delete(job)
        if since == "added again":
            engine.lease(added(engine, 1, options))
    before = dump.durable(engine), dump.rest(engine), list(engine.commit)
    engine.give_back(job_id(1), token)
    assert (dump.durable(engine), dump.rest(engine), engine.commit) == before


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("situation", UNFINISHED)
@pytest.mark.parametrize("end, state", [("complete", "completed"), ("fail", "failed")])
def test_anyone_may_finish_a_job_once_in_any_state(situation, end, state):
    """It keeps its result, leaves its queue, and can be asked for until its TTL ends."""
    engine = running()
    job = job_in(engine, situation)
    attempts, fails = job.attempts, job.fails
    getattr(engine, end)(job, b"the result")
    assert job.state == state
    assert job.result == b"the result"
    assert job.finished
    assert job.lease is None
    assert job.hold is None
    assert counters(job) == (attempts, fails + (state == "failed"), 0)
    assert made(engine)[-1] == state
    assert engine.held_bytes == len(b"payload") + len(b"the result")
    check_derived(engine)
    later(engine, 10_000)
    assert engine.find(job.id) is job
    assert job.state == state


@pytest.mark.parametrize("situation", ["scheduled", "delayed", "ready", "returned"])
def test_a_counted_failure_of_a_job_that_waits_leaves_it_where_it_is(situation):
    """Only the counter moves; it is not made due, and no attempt is counted."""
    engine = running()
    job = job_in(engine, situation, options=CALM._replace(max_fails=3))
    state, rest = job.state, dump.rest(engine)
    for fails in (1, 2):
        engine.fail(job, b"why")
        assert [job.state, job.result] == [state, None]
        assert counters(job) == (0, fails, 0)
        assert dump.rest(engine) == rest
    engine.fail(job, b"the last")
    assert [job.state, job.result] == ["failed", b"the last"]
    assert counters(job) == (0, 3, 0)


def test_a_counted_failure_ends_a_lease():
    """The job is back in its queue with its attempt counted, and has no result yet."""
    engine = running()
    job = job_in(engine, "leased", options=CALM._replace(max_fails=2))
    engine.fail(job, b"why")
    assert [job.state, job.result, job.lease] == ["ready", None, None]
    assert counters(job) == (1, 1, 0)
    engine.lease(job)
    engine.fail(job, b"the last")
    assert [job.state, job.result] == ["failed", b"the last"]
    assert counters(job) == (2, 2, 0)


@pytest.mark.parametrize("limit", [0, 1])
def test_the_first_failure_is_final_unless_more_are_allowed(limit):
    """Zero says the same as one."""
    engine = running()
    job = job_in(engine, "leased", options=CALM._replace(max_fails=limit))
    engine.fail(job, b"why")
    assert [job.state, job.result] == ["failed", b"why"]


def test_a_failure_of_the_last_attempt_is_final():
    """Though more failures were allowed; and its result is kept."""
    engine = running()
    job = job_in(engine, "leased", options=CALM._replace(max_attempts=1, max_fails=9))
    engine.fail(job, b"why")
    assert [job.state, job.result] == ["failed", b"why"]
    assert counters(job) == (1, 1, 0)


def test_attempts_and_failures_are_limited_apart():
    """Leases that ran out count as no failure, and failures of a waiting job as no attempt."""
    engine = running()
    job = added(engine, 1, Options(10, 60_000, max_attempts=3, max_fails=3))
    engine.lease(job)
    later(engine, 10)
    engine.fail(job, b"")
    engine.lease(job)
    engine.fail(job, b"")
    assert counters(job) == (2, 2, 1)
    assert job.state == "ready"
    engine.lease(job)
    later(engine, 10)
    assert job.state == "failed"
    assert counters(job) == (3, 2, 2)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_job_can_be_deleted_in_any_state(situation):
    """It is gone, its id is free, and nobody counts it as evicted."""
    engine = running()
    job = job_in(engine, situation)
    engine.delete(job)
    assert engine.find(job.id) is None
    assert made(engine)[-1] == "deleted"
    assert engine.evicted == 0
    assert added(engine, 1).state == "ready"
    check_derived(engine)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_ttl_ends_a_job_in_any_state(situation):
    """Counted as evicted if it had no result; not a millisecond too early."""
    engine = running()
    options = CALM._replace(ttr_ms=10**8)
    job = job_in(engine, situation, options=options)
    assert job.at_ms is not None
    engine.advance(job.at_ms - 1, -10_000_000)  # the wall clock stays behind: never due
    assert engine.find(job.id) is job
    now = {"returned": "ready", "delayed": "ready", "held": "ready", "touched": "leased"}
    assert job.state == now.get(situation, situation)
    later(engine, 1)
    assert engine.find(job.id) is None
    assert made(engine)[-1] == "expired"
    assert engine.evicted == (situation in UNFINISHED)
    check_derived(engine)


def test_neither_lease_nor_return_nor_result_prolongs_a_ttl():
    """It counts from creation."""
    engine = running()
    job = added(engine, 1, Options(10, 40))
    at_ms = job.at_ms
    engine.lease(job)
    later(engine, 10)
    engine.give_back(job.id, engine.lease(job))
    later(engine, 10)
    engine.complete(job, b"")
    assert job.at_ms == at_ms
    later(engine, 19)
    assert engine.find(job.id) is job
    later(engine, 1)
    assert engine.find(job.id) is None


# --- time ---------------------------------------------------------------------------------------


def test_now_never_steps_back():
    """The ring sees to it; the engine insists."""
    engine = running()
    with pytest.raises(AssertionError, match="never steps back"):
        engine.advance(engine.now_ms - 1, 0)


@pytest.mark.parametrize("offset_ms", [0, 1, -1, HOUR_MS, -HOUR_MS])
def test_an_engine_without_deadlines_never_wants_to_be_woken(offset_ms):
    """Wherever the wall clock is."""
    engine = running(offset_ms)
    added(engine, 1, CALM._replace(ttl_ms=TTL_MS_MAX))
    assert engine.next_ms() >= NEVER


@pytest.mark.parametrize("offset_ms", [0, 1, -1, HOUR_MS, -HOUR_MS])
def test_a_schedule_follows_the_wall_clock(offset_ms):
    """Whatever it shows; order and TTL are kept in time that does not step."""
    engine = running(offset_ms)
    now_ms = engine.now_ms
    job = added(engine, 1, time_ms=engine.wall_ms + 500)
    assert job.due_ms == now_ms + 500
    assert job.at_ms == now_ms + 500 + CALM.ttl_ms
    assert engine.next_ms() <= now_ms + 500
    later(engine, 499)
    assert job.state == "scheduled"
    later(engine, 1)
    assert job.state == "ready"


def test_a_wall_clock_that_steps_forward_makes_due_what_it_passes():
    """At once, and without a step of time."""
    engine = running()
    near = added(engine, 1, time_ms=engine.wall_ms + HOUR_MS)
    far = added(engine, 2, time_ms=engine.wall_ms + HOUR_MS + 1)
    engine.advance(engine.now_ms, HOUR_MS)
    assert [near.state, far.state] == ["ready", "scheduled"]
    assert engine.next_ms() <= engine.now_ms + 1
    later(engine, 1)
    assert far.state == "ready"


def test_a_wall_clock_that_steps_back_makes_schedules_wait():
    """The time named is the time meant. A TTL does not wait with it."""
    engine = running()
    options = CALM._replace(ttl_ms=2 * HOUR_MS)
    job = added(engine, 1, options, time_ms=engine.wall_ms + 500)
    brief = added(engine, 2, time_ms=engine.wall_ms + 500)
    engine.advance(engine.now_ms, -HOUR_MS)
    later(engine, 500)
    assert [job.state, brief.state] == ["scheduled", "scheduled"]
    later(engine, CALM.ttl_ms)
    assert engine.find(brief.id) is None
    later(engine, HOUR_MS - CALM.ttl_ms - 1)
    assert job.state == "scheduled"
    later(engine, 1)
    assert job.state == "ready"


def test_leases_and_ttls_do_not_follow_the_wall_clock():
    """An hour forward or back ends none and prolongs none."""
    engine = running()
    job = added(engine, 1, Options(1000, 2000))
    engine.lease(job)
    engine.advance(engine.now_ms + 999, HOUR_MS)
    assert job.state == "leased"
    engine.advance(engine.now_ms + 1, -HOUR_MS)
    assert job.state == "ready"
    engine.advance(engine.now_ms + 1000, -HOUR_MS)
    assert engine.find(job.id) is None


def test_within_one_instant_ttls_end_before_leases():
    """The job is gone, not failed: one instant has one outcome."""
    engine = running()
    job_in(engine, "leased", options=Options(50, 50, max_attempts=1))
    later(engine, 50)
    assert made(engine) == ["added", "leased", "expired"]
    assert engine.evicted == 1


# --- behind -------------------------------------------------------------------------------------


def test_a_turn_fires_a_thousand_deadlines_and_the_next_turn_the_rest():
    """As many as one turn may leave nothing behind; one more does, and asks for a turn at once."""
    for extra in (0, 1):
        engine = running()
        for number in range(DEADLINES_PER_TURN_MAX + extra):
            added(engine, number, Options(1000, 50))
        later(engine, 50)
        assert engine.behind == bool(extra)
        assert len(engine.jobs) == extra
        if extra:
            assert engine.next_ms() == engine.now_ms
            later(engine, 0)
            assert not engine.behind
        assert len(engine.jobs) == 0
        assert engine.evicted == DEADLINES_PER_TURN_MAX + extra


def test_a_turn_moves_so_many_timers_and_no_more():
    """A coarse span that begins with more of them is taken in pieces; nothing waits for that."""
    engine = running()
    begin_ms = (engine.now_ms >> 20) + 3 << 20
    ttl_ms = begin_ms + 1000 - engine.now_ms
    for number in range(CASCADES_PER_TURN_MAX + 1):
        added(engine, number, Options(1000, ttl_ms))
    seen = []
    for _ in range(2):
        engine.advance(begin_ms, 0)
        seen.append((engine.behind, engine.next_ms() == engine.now_ms))
    assert seen == [(False, True), (False, False)]
    later(engine, 999)
    assert len(engine.jobs) == len(engine.commit) == CASCADES_PER_TURN_MAX + 1


@pytest.mark.parametrize("deadlines, cascades", [(1, 10**9), (10**9, 1), (0, 1)])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_single_jobs_answer_as_if_all_were_swept(first, deadlines, cascades):
    """An overdue TTL, lease or schedule is fired when its job is touched, however far the sweep."""
    swept, engine = running(), running()
    for each in (swept, engine):
        for place in range(3):
            number = (first + place) % 3
            added(each, number, Options(1000, 5000))
            each.lease(added(each, number + 10, Options(5000, 60_000)))
            added(each, number + 20, Options(1000, 60_000), time_ms=each.wall_ms + 5000)
            each.lease(added(each, number + 30, Options(5000, 60_000, max_attempts=1)))
    later(swept, 5000)
    with budgets(deadlines, cascades):
        later(engine, 5000)
    assert engine.behind
    for number in [*range(3), *range(10, 13), *range(20, 23), *range(30, 33)]:
        expected, found = swept.find(job_id(number)), engine.find(job_id(number))
        assert (found and found.state) == (expected and expected.state)
        assert (found and counters(found)) == (expected and counters(expected))
    assert engine.evicted == swept.evicted
    assert dump.durable(engine) == dump.durable(swept)
    assert dump.rest(engine) == dump.rest(swept)
    check_derived(engine)
    check_replay(shown(engine), replayed(engine.commit))


def test_a_job_touched_before_the_sweep_is_not_fired_twice():
    """The sweep finds nothing left to do."""
    engine = running()
    engine.lease(added(engine, 1, Options(10, 60_000)))
    seen = []
    with budgets(0, 10**9):
        later(engine, 10)
        seen.append((engine.behind, there(engine).state, there(engine).timeouts))
    later(engine, 0)
    seen.append((engine.behind, there(engine).state, there(engine).timeouts))
    assert seen == [(True, "ready", 1), (False, "ready", 1)]


def test_a_lease_given_back_after_its_end_has_ended_by_itself():
    """Though the sweep has not come to it: the attempt stays counted."""
    engine = running()
    job = added(engine, 1, Options(10, 60_000))
    token = engine.lease(job)
    with budgets(0, 10**9):
        later(engine, 10)
        engine.give_back(job.id, token)
    assert counters(job) == (1, 0, 1)
    assert made(engine) == ["added", "leased", "returned"]


def test_a_ttl_ends_before_a_lease_though_the_sweep_is_behind():
    """Whoever waits for the result must not be told of a failure of a job that is gone."""
    engine = running()
    added(engine, 1, Options(1000, 50))
    job = job_in(engine, "leased", 2, Options(50, 50, max_attempts=1))
    job.watchers = {object(): None}
    with budgets(1, 10**9):
        later(engine, 50)
    assert engine.find(job.id) is None
    assert made(engine)[-1] == "expired"
    assert "failed" not in made(engine)
    assert engine.evicted == 2


# --- foreground ---------------------------------------------------------------------------------


def test_nothing_of_a_foreground_job_is_committed():
    """Whatever becomes of it; it goes through the same states all the same."""
    engine = running()
    job = engine.start(job_id(1), QUEUE, Options(10, 0), b"x")
    assert engine.head(QUEUE) is job
    engine.lease(job)
    later(engine, 10)
    assert job.state == "ready"
    engine.give_back(job.id, engine.lease(job))
    engine.lease(job)
    assert counters(job) == (2, 0, 1)
    engine.complete(job, b"done")
    assert job.state == "completed"
    engine.delete(job)
    engine.fail(engine.start(job_id(2), QUEUE, FOREGROUND, b""), b"why")
    engine.delete(engine.start(job_id(3), QUEUE, FOREGROUND, b""))
    assert engine.commit == []
    assert dump.digest(engine) == dump.digest(running())
    check_derived(engine)


def test_a_foreground_job_has_no_ttl():
    """It lives as long as its caller waits."""
    engine = running()
    job = engine.start(job_id(1), QUEUE, FOREGROUND, b"x")
    assert job.at_ms is None
    later(engine, 2**50)
    assert engine.find(job.id) is job
    assert engine.evicted == 0


def test_foreground_jobs_stand_in_order_with_the_others():
    """One queue, one order."""
    engine = running()
    added(engine, 1)
    engine.start(job_id(2), QUEUE, FOREGROUND, b"")
    engine.start(job_id(3), QUEUE, FOREGROUND._replace(priority=1), b"")
    added(engine, 4)
    assert order(engine) == [job_id(number) for number in (3, 1, 2, 4)]


# --- fairness -----------------------------------------------------------------------------------


def served(engine: Engine, names: list[bytes]) -> bytes:
    """Lease from several queues and finish the job; return which it came from."""
    job = engine.choose(names)
    assert job is not None
    engine.lease(job)
    engine.complete(job, b"")
    return job.queue.name


def test_names_are_served_in_turn():
    """Each gives its head, whatever the order in which they are named."""
    engine = running()
    names = [b"a", b"b", b"c"]
    for number in range(30):
        added(engine, number, queue=names[number // 10])
    turns = [served(engine, names[turn % 3 :] + names[: turn % 3]) for turn in range(30)]
    for turn in range(0, 30, 3):
        assert sorted(turns[turn : turn + 3]) == names


def test_a_name_with_nothing_ready_is_passed_over():
    """It does not use up its turn."""
    engine = running()
    added(engine, 1, queue=b"a", time_ms=engine.wall_ms + 500)
    added(engine, 2, queue=b"b")
    added(engine, 3, queue=b"b")
    assert [served(engine, [b"a", b"b", b"none"]) for _ in range(2)] == [b"b", b"b"]
    assert engine.choose([b"a", b"b", b"none"]) is None
    later(engine, 500)
    assert served(engine, [b"a", b"b"]) == b"a"


def test_a_name_named_twice_gets_no_more_than_its_share():
    """Duplicates in the list are harmless."""
    engine = running()
    for number in range(10):
        added(engine, number, queue=b"ab"[number % 2 : number % 2 + 1])
    turns = [served(engine, [b"a", b"a", b"a", b"b"]) for _ in range(10)]
    assert turns.count(b"a") == turns.count(b"b") == 5


def test_names_that_come_and_go_do_not_starve_one_that_stays():
    """A queue that was made a moment ago has not waited."""
    engine = running()
    for number in range(20):
        added(engine, number, queue=b"old")
    turns = []
    for number in range(20, 40):
        fresh = b"fresh-%d" % number
        added(engine, number, queue=fresh)
        turns.append(served(engine, [fresh, b"old"]))
    assert turns.count(b"old") >= 10


def test_a_name_served_alone_has_had_its_turn():
    """Whoever waited for one name only moved it to the end of the rotation too."""
    engine = running()
    for number in range(4):
        added(engine, number, queue=b"ab"[number % 2 : number % 2 + 1])
    head = engine.head(b"a")
    assert head is not None
    engine.lease(head)
    assert served(engine, [b"a", b"b"]) == b"b"


def test_a_step_of_the_wall_clock_is_written_down():
    """Once, and not for what it drifts within a second: the next start goes by it."""
    engine = running()
    engine.advance(engine.now_ms + 10, 999)
    assert engine.commit == []
    engine.advance(engine.now_ms + 10, 1000)
    engine.advance(engine.now_ms + 10, 1999)
    engine.advance(engine.now_ms + 10, -5)
    assert engine.commit == [(transitions.CLOCK, 1000), (transitions.CLOCK, -5)]
    assert engine.offset_ms == -5


def test_a_queue_that_was_emptied_before_a_start_is_not_told_of():
    """Replay has it come and go; the broker, which begins after that, must not know its name."""
    engine = running()
    engine.delete(added(engine, 1, queue=b"emptied"))
    added(engine, 2, queue=b"kept")
    engine.resume(2)
    assert list(engine.shifted) == [b"kept"]
