"""Many transitions applied at once, against the same applied one by one."""

import random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.engine.checking import check_derived
from tests.engine.making import CALM, NOW_MS, job_id
from workq.engine import dump, transitions
from workq.engine.fitting import TransitionError
from workq.engine.job import STATES, Options
from workq.engine.state import State
from workq.engine.transitions import Transition

QUEUES = (b"ping", b"pong")
OPTIONS = (CALM, Options(1000, 60_000, 7), Options(50, 10**9, -7))
READY = STATES.index("ready")


def added(number: int, chance: random.Random) -> Transition:
    """A job is handed in; mostly ready, now and then in a way that no server writes."""
    created_ms = NOW_MS + chance.choice((0, 0, 0, number, -number))
    due_ms = created_ms + chance.choice((0, 0, 0, 0, 0, 300))
    time_ms = due_ms if due_ms != created_ms and chance.random() < 0.99 else None
    ends = (due_ms + 60_000, due_ms + number, due_ms + 10**9, due_ms + 10**13, None)
    return (
        transitions.ADDED, number, job_id(number), chance.choice(QUEUES), created_ms, due_ms,
        chance.choice(ends), chance.choice(OPTIONS), time_ms, bytes(chance.randrange(9)),
    )  # fmt: skip


def restored(number: int, chance: random.Random) -> Transition:
    """A job as it stood; mostly ready, and mostly with what its state needs."""
    job = added(number, chance)[1:]
    ready = chance.random() < 0.8 or job[4] != job[3]
    state = READY if ready else chance.choice((2, 3, 4))
    counts = chance.choice(((0, 0, 0), (3, 2, 1)))
    rest = {READY: (None, None, None), 2: (number, NOW_MS + 9, None)}.get(state, (None, None, b"r"))
    more = chance.choice(((), (), (), (None,), (NOW_MS + 99 if ready else None,)))
    if chance.random() < 0.01:
        state = chance.randrange(-1, 7)
    return (transitions.RESTORED, *job, state, *counts, *rest, *more)


def other(number: int, chance: random.Random) -> Transition:
    """Something happens to a job that may be there."""
    job = job_id(max(number - chance.randrange(4), 0))
    return chance.choice(
        (
            (transitions.LEASED, job, number, NOW_MS + number),
            (transitions.DELETED, job),
            (transitions.COMPLETED, job, b"done"),
            (transitions.CLOCK, number),
            (transitions.COUNTERS, number, number),
        )
    )


def history(seed: int, length: int) -> list[Transition]:
    """Records with a few among them that cannot be, or can only where others are not."""
    chance = random.Random(seed)
    records = []
    make: Any = chance.choice((added, restored))
    for number in range(1, length + 1):
        drawn = chance.random()
        if drawn > 0.98:
            make = chance.choice((added, restored))
        record = (other if 0.5 < drawn < 0.51 else make)(number, chance)
        if drawn < 0.004:
            record = added(max(number - 2, 1), chance)  # one that has been
        elif drawn < 0.008:
            record = (transitions.ADDED, 1, *added(number, chance)[2:])
        records.append(record)
    return records


def applied(records: list[Transition], at_once: bool) -> tuple[State, str]:
    """The state after a history, and what in it could not be."""
    state = State()
    state.now_ms = NOW_MS
    try:
        if at_once:
            state.apply_all(records)
        else:
            for record in records:
                state.apply(record)
    except TransitionError as error:
        return state, str(error)
    return state, ""


def all_of(state: State) -> tuple[Any, ...]:
    """Everything that there is to see, the order of timers that come at once included."""
    numbers = state.seq, state.token, state.applied_seq, state.served
    timers = [timer.id for timer in state.expiries.timers()]
    return dump.durable(state), dump.rest(state), numbers, list(state.shifted), timers


@given(st.integers(0, 10**6), st.integers(1, 120))
@example(1, 2000)
def test_at_once_is_the_same_as_one_by_one(seed, length):
    """Also where it ends with something that cannot be: what was before has happened."""
    records = history(seed, length)
    single, problem = applied(records, at_once=False)
    together, same_problem = applied(records, at_once=True)
    assert same_problem == problem
    assert all_of(together) == all_of(single)
    check_derived(together)


def test_most_histories_go_through_and_some_do_not():
    """Else the test above would say little."""
    problems = [applied(history(seed, 60), at_once=True)[1] for seed in range(200)]
    told = ("is there already", "goes back", "has no time", "fits no state")
    assert [text for text in told if not any(text in problem for problem in problems)] == []
    assert problems.count("") > 20


@pytest.mark.parametrize("number", [True, 1.0])
def test_a_state_that_is_no_number_is_not_taken_for_one(number):
    """Whatever is made of it one by one."""
    job = (job_id(1), b"ping", NOW_MS, NOW_MS, NOW_MS + 9, CALM, None, b"")
    record = (transitions.RESTORED, 1, *job, number, 0, 0, 0, None, None, None)
    found = []
    for way in ("apply", "apply_all"):
        state = State()
        try:
            getattr(state, way)(record if way == "apply" else [record])
            found.append(str(all_of(state)))
        except (TransitionError, TypeError) as error:
            found.append(repr(error))
    assert found[0] == found[1]


def test_who_waits_for_a_queue_is_woken_once():
    """As when each job comes on its own."""
    for at_once in (True, False):
        state = State()
        state.awaited = {b"ping"}
        chance = random.Random(5)
        records = [added(number, chance) for number in range(1, 30)]
        if at_once:
            state.apply_all(records)
        else:
            for record in records:
                state.apply(record)
        assert [queue.name for queue in state.woken] == [b"ping"]
