"""Which transitions fit which jobs: tables and questions; `test_state.py` asks them of a state."""

from types import SimpleNamespace
from typing import Any

import pytest

from workq.engine import transitions
from workq.engine.fitting import BEFORE, HELD, is_counted_only, is_whole, unfit
from workq.engine.job import COMPLETED, FAILED, LEASED, READY, SCHEDULED, STATES

CREATED_MS, LATER_MS = 1_000, 2_000


def restored(state, *, due_ms=CREATED_MS, time_ms=None, deadline_ms=None, result=None, hold=None):
    """A restored job, as far as it is looked at."""
    return (
        *(transitions.RESTORED, 1, b"id", b"q", CREATED_MS, due_ms, None, None, time_ms, b""),
        *(STATES.index(state), 0, 0, 0, 0, deadline_ms, result, hold),
    )


@pytest.mark.parametrize(
    "transition",
    [
        restored(READY),
        restored(READY, hold=LATER_MS),
        restored(LEASED, deadline_ms=LATER_MS),
        restored(COMPLETED, result=b""),
        restored(FAILED, result=b"x"),
        restored(SCHEDULED, due_ms=LATER_MS, time_ms=LATER_MS),
        restored(SCHEDULED, due_ms=LATER_MS, hold=LATER_MS),
    ],
)
def test_a_restored_job_has_what_its_state_needs(transition):
    """Every state, with and without a delay."""
    assert is_whole(transition)


@pytest.mark.parametrize(
    "transition",
    [
        restored(LEASED),
        restored(READY, deadline_ms=LATER_MS),
        restored(COMPLETED),
        restored(READY, result=b""),
        restored(LEASED, deadline_ms=LATER_MS, hold=LATER_MS),
        restored(COMPLETED, result=b"", hold=LATER_MS),
        restored(SCHEDULED, time_ms=LATER_MS),
        restored(SCHEDULED, due_ms=LATER_MS),
        restored(SCHEDULED, due_ms=LATER_MS, time_ms=LATER_MS, hold=LATER_MS),
        restored(SCHEDULED, due_ms=LATER_MS, hold=LATER_MS + 1),
        (*restored(READY)[:10], len(STATES), *restored(READY)[11:]),
        (*restored(READY)[:10], -1, *restored(READY)[11:]),
    ],
)
def test_and_nothing_else(transition):
    """What no server writes is refused before a job is made of it."""
    assert not is_whole(transition)


def test_every_change_of_a_job_has_the_states_before_it():
    """What makes a job, or is of none, has none."""
    makers = {transitions.ADDED, transitions.STARTED, transitions.DELAYED, transitions.RESTORED}
    none = {transitions.COUNTERS, transitions.CLOCK}
    assert set(BEFORE) == set(transitions.NAMES) - makers - none
    assert set(HELD) <= set(BEFORE)
    assert all(states <= set(STATES) for states in BEFORE.values())


def test_a_failure_of_a_waiting_job_is_only_counted():
    """The one change that may meet a job in a state that its table has not."""

    waiting: Any = SimpleNamespace(finished=False)
    finished: Any = SimpleNamespace(finished=True)
    failure = (transitions.RETURNED, b"id", transitions.FAILURE)
    assert is_counted_only(failure, waiting)
    assert not is_counted_only(failure, finished)
    assert not is_counted_only((transitions.RETURNED, b"id", transitions.TIMED_OUT), waiting)


def test_the_error_names_what_should_happen_and_to_what():
    """Bounded, whatever the record holds."""
    error = unfit((transitions.COMPLETED, b"x" * 10_000, b""), "is gone")
    assert "completed of b'xxx" in str(error)
    assert len(str(error)) < 100
