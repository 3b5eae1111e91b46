"""The state, and the one function that changes it."""

import gc
import weakref

import pytest

from tests.engine.making import (
    CALM,
    QUEUE,
    SITUATIONS,
    UNFINISHED,
    added,
    job_id,
    job_in,
    later,
    running,
)
from workq.engine import dump, transitions
from workq.engine.calendar import NEVER
from workq.engine.engine import Engine
from workq.engine.fitting import TransitionError
from workq.engine.job import GONE
from workq.engine.state import State

LEVELS = 5
LATE_MS = 2**52


class Watcher:
    """Somebody who waits for a job."""


def apply_added(state: State, number: int, due_ms: int = 5, name: bytes = QUEUE) -> None:
    """Apply the transition of a job that was created at 5."""
    time_ms = None if due_ms == 5 else due_ms
    state.apply(
        (transitions.ADDED, number, job_id(number), name, 5, due_ms, 99, CALM, time_ms, b"payload")
    )


def ends(engine: Engine, situation: str) -> None:
    """Let the only job end its life in the way that is possible for it."""
    job = engine.find(job_id(1))
    assert job is not None
    engine.delete(job)
    assert job.state is GONE, situation


def test_a_new_state_is_empty():
    """And remembers nothing that was given."""
    state = State()
    assert len(state.jobs) == len(state.queues) == state.seq == state.token == 0
    assert set(state.counts.values()) == {0}


def test_applying_asks_no_clock():
    """A job is scheduled or ready by what the transition says, whatever the time is."""
    for now_ms in (0, 5, 10**15):
        state = State()
        state.now_ms = now_ms
        apply_added(state, 1, due_ms=5)
        apply_added(state, 2, due_ms=6)
        assert state.counts == {
            "scheduled": 1,
            "ready": 1,
            "leased": 0,
            "completed": 0,
            "failed": 0,
        }


def test_a_transition_that_does_not_fit_changes_nothing():
    """It is refused, also where assertions are off."""
    state = State()
    with pytest.raises(TransitionError, match=r"deleted of .*, which is not there"):
        state.apply((transitions.DELETED, job_id(1)))
    apply_added(state, 1)
    before = dump.durable(state), dump.rest(state)
    for record in dump.records(state):
        if record[0] == transitions.RESTORED:
            with pytest.raises(TransitionError, match="is there already"):
                state.apply(record)
    with pytest.raises(TransitionError, match=r"due of .*, which is not held back"):
        state.apply((transitions.DUE, job_id(1)))
    assert (dump.durable(state), dump.rest(state)) == before


def test_numbers_that_are_used_once_do_not_go_back():
    """Those of jobs and of leases: another job would get one that was given, after a restart."""
    state = State()
    apply_added(state, 2)
    with pytest.raises(TransitionError, match="goes back"):
        apply_added(state, 1)
    state.apply((transitions.LEASED, job_id(2), 7, 99))
    state.apply((transitions.RETURNED, job_id(2), transitions.TIMED_OUT))
    with pytest.raises(TransitionError, match="goes back"):
        state.apply((transitions.LEASED, job_id(2), 7, 99))
    assert (state.seq, state.token, state.size) == (2, 7, 1)
    other = State()
    other.apply((transitions.COUNTERS, 9, 0))
    restored = (transitions.RESTORED, 2, job_id(2), QUEUE, 5, 5, 99, CALM, None, b"", 1)
    other.apply((*restored, 0, 0, 0, None, None, None))
    with pytest.raises(TransitionError, match="goes back"):
        other.apply((*restored[:2], job_id(3), *restored[3:], 0, 0, 0, None, None, None))
    assert (other.seq, other.size) == (9, 1)


def test_what_does_not_fit_is_told_in_a_few_words():
    """However long or deep it is."""
    deep: object = b"x" * 10_000
    for _ in range(900):
        deep = (deep,)
    with pytest.raises(TransitionError) as caught:
        State().apply((transitions.DUE, deep))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_removed_job_leaves_nothing_behind(situation):
    """No queue, no timer, no byte, in whatever state it was."""
    engine = running()
    job_in(engine, situation)
    ends(engine, situation)
    assert len(engine.jobs) == len(engine.queues) == engine.held_bytes == 0
    assert set(engine.counts.values()) == {0}
    calendars = (engine.expiries, engine.deadlines, engine.schedules)
    assert [list(calendar.timers()) for calendar in calendars] == [[], [], []]
    for _ in range(LEVELS * len(calendars)):  # what is left is found to be empty, and goes
        engine.advance(max(engine.now_ms, min(engine.next_ms(), LATE_MS)), 0)
    assert engine.next_ms() == NEVER
    assert engine.commit[-1][0] == transitions.DELETED


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_removed_job_is_free_at_once(situation):
    """Its payload may be a megabyte: the collector is not needed."""
    engine = running()
    watcher = Watcher()
    gc.disable()
    try:
        job_in(engine, situation).watchers = {watcher: None}
        ends(engine, situation)
        engine.changed.clear()
        engine.commit.clear()
        watch = weakref.ref(watcher)
        del watcher
        assert watch() is None
    finally:
        gc.enable()


def test_a_queue_lives_from_its_first_job_to_its_last():
    """And the broker is told of both, so that it knows the names there are."""
    engine = running()
    first, second = added(engine, 1), added(engine, 2)
    assert list(engine.shifted) == [QUEUE]
    assert QUEUE in engine.queues
    engine.delete(first)
    engine.complete(second, b"")
    assert list(engine.shifted) == [QUEUE]
    engine.delete(second)
    assert list(engine.shifted) == [QUEUE]
    assert QUEUE not in engine.queues


@pytest.mark.parametrize("way", ["added", "due", "given back", "timed out", "refused"])
def test_somebody_who_waits_for_a_name_is_woken(way):
    """However a job gets ready there; once, until the broker has looked."""
    engine = running()
    engine.awaited = (QUEUE,)
    options = CALM._replace(max_fails=2)
    if way == "due":
        job_in(engine, "scheduled", 1, options)
    elif way != "added":
        job_in(engine, "leased", 1, options)
        engine.woken.pop().woken = False
    assert engine.woken == []
    job = engine.find(job_id(1))
    if way == "added":
        added(engine, 1)
    elif way == "given back":
        engine.give_back(job_id(1), engine.token)
    elif way == "refused":
        assert job is not None
        engine.fail(job, b"")
    else:
        later(engine, 1000)
    assert [queue.name for queue in engine.woken] == [QUEUE]
    added(engine, 2)
    assert [queue.name for queue in engine.woken] == [QUEUE]


def test_a_name_nobody_waits_for_wakes_nobody():
    """The broker looks only where there is somebody."""
    engine = running()
    engine.awaited = (b"pong",)
    added(engine, 1)
    assert engine.woken == []


@pytest.mark.parametrize("situation", UNFINISHED)
@pytest.mark.parametrize("end", ["complete", "fail", "delete"])
def test_who_watches_a_job_is_told_of_its_end(situation, end):
    """Of its result and of its removal, in any state."""
    engine = running()
    job = job_in(engine, situation)
    job.watchers = {Watcher(): None}
    if end == "delete":
        engine.delete(job)
    else:
        getattr(engine, end)(job, b"result")
    assert engine.changed == [job]


def test_who_watches_a_job_is_told_when_a_lease_ends():
    """The caller of a foreground job whose wait is over has waited for that."""
    engine = running()
    job = job_in(engine, "leased")
    job.watchers = {Watcher(): None}
    later(engine, 1000)
    assert engine.changed == [job]


def test_who_watches_a_job_is_not_told_of_steps_in_between():
    """A lease, a counted failure of a job that waits, or getting due end no wait."""
    engine = running()
    job = job_in(engine, "scheduled", 1, CALM._replace(max_fails=2))
    job.watchers = {Watcher(): None}
    engine.fail(job, b"")
    later(engine, 500)
    engine.lease(job)
    assert engine.changed == []


def test_a_job_nobody_watches_changes_in_silence():
    """The list would grow with every job otherwise."""
    engine = running()
    for situation in SITUATIONS:
        job_in(engine, situation)
        ends(engine, situation)
    assert engine.changed == []
