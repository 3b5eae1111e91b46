"""Adding many jobs: what is kept of them, and when it is looked at."""

from __future__ import annotations

import pytest
from workq_client import ManyFailed, NewJob
from workq_client import core as core_module
from workq_client import many as many_module
from workq_client.limits import (
    GATHERING_S_MAX,
    MANY_COUNTED,
    MANY_ERRORS_MAX,
    WINDOW_REQUESTS_MAX,
)
from workq_client.many import Many

from tests.client.fake import Clock, World, drive, through

JOB = NewJob(queue="mails", payload=b"x")


def test_so_many_errors_are_kept():
    """MANY_ERRORS_MAX; the others are counted."""
    world = World(piece=100_000)
    world.server.alike["add"] = b"-SERVER-ERROR Out of memory\r\n"
    with pytest.raises(ManyFailed) as caught:
        through(Many(world.core(), [JOB] * (MANY_ERRORS_MAX + 50)).add())
    assert caught.value.failed == MANY_ERRORS_MAX + 50
    assert len(caught.value.errors) == MANY_ERRORS_MAX


def test_jobs_that_are_added_are_counted_and_not_kept():
    """MANY_COUNTED: beyond that many it keeps no more than are on their way."""
    world = World(piece=100_000)
    many = Many(world.core(), (JOB for _ in range(2 * MANY_COUNTED)))
    kept = []
    drive(many.add(), lambda *_: kept.append(len(many._slots)))
    assert max(kept) <= MANY_COUNTED
    assert kept[-1] < MANY_COUNTED + WINDOW_REQUESTS_MAX


def test_after_a_failure_so_many_more_are_taken():
    """MANY_COUNTED: then it is seen."""
    world = World(piece=100_000)
    world.server.alike["add"] = b"-SERVER-ERROR Out of memory\r\n"
    taken = []

    def jobs():
        for number in range(100_000):
            taken.append(number)
            yield JOB

    with pytest.raises(ManyFailed):
        through(Many(world.core(), jobs()).add())
    assert len(taken) == MANY_COUNTED + 1


def test_a_job_that_was_long_in_coming_is_sent_before_the_next_is_asked_for(monkeypatch):
    """GATHERING_S_MAX."""
    clock = Clock()
    monkeypatch.setattr(core_module, "time", clock)
    monkeypatch.setattr(many_module, "time", clock)
    world = World()
    added = []

    def jobs():
        for _ in range(3):
            added.append(len(world.server.jobs))
            clock.now += 2 * GATHERING_S_MAX
            yield JOB
        added.append(len(world.server.jobs))

    assert through(Many(world.core(), jobs()).add()) == 3
    assert added == [0, 1, 2, 3]
