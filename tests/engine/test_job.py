"""What a job is."""

import pytest

from tests.engine.making import SITUATIONS, UNFINISHED, job_in, running
from workq.engine import job as job_module
from workq.engine.job import GONE, STATES, Hold, Job, Lease, Options, Schedule


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_job_is_finished_once_it_has_a_result(situation):
    """And so its state is one of the last two."""
    job = job_in(running(), situation)
    assert job.finished == (situation not in UNFINISHED)
    assert job.finished == (job.state in (job_module.COMPLETED, job_module.FAILED))


def test_an_empty_result_is_a_result():
    """A job completed with nothing to say is finished all the same."""
    engine = running()
    job = job_in(engine, "leased")
    engine.complete(job, b"")
    assert job.finished


def test_gone_is_no_state_of_a_life():
    """It is told to those who hold a removed job; nothing is counted or listed under it."""
    assert GONE not in STATES
    assert list(running().counts) == list(STATES)


@pytest.mark.parametrize("kind", [Job, Lease, Hold, Schedule])
def test_there_is_no_dictionary_per_job(kind):
    """There are millions of them."""
    assert not hasattr(kind, "__dict__") or "__dict__" not in dir(kind(*[None] * _arity(kind)))


def _arity(kind: type) -> int:
    return kind.__init__.__code__.co_argcount - 1  # type: ignore[misc, no-any-return]


def test_limits_are_off_unless_they_are_given():
    """Priority 0, any number of attempts, and the first failure is final."""
    assert Options(5, 6) == (5, 6, 0, 0, 0)
