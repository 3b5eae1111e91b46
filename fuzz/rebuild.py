"""What follows from all jobs, found by looking at each, and held against what the engine keeps."""

from __future__ import annotations

from typing import Any

from workq.engine import dump
from workq.engine.calendar import NEVER
from workq.engine.job import READY, SCHEDULED, STATES, Job
from workq.engine.queue import Order
from workq.engine.state import State


def check_derived(state: State, *, foreground: bool = True) -> None:
    """Hold the orders, deadlines and numbers of a state against its jobs.

    Args:
        state: the state.
        foreground: whether there may be jobs that run in the foreground.
    """
    jobs = list(state.jobs.values())
    assert foreground or not any(job.foreground for job in jobs)
    expected = _derived(jobs)
    shown = dump.rest(state)
    assert {key: shown[key] for key in expected} == expected
    assert state.size == len(jobs)
    queues = list(state.queues.values())
    assert len(queues) == len(expected["queues"])
    for queue in queues:
        lists = expected["queues"][queue.name]
        _check_order(queue.ready, lists["ready"])
        _check_order(queue.scheduled, lists["scheduled"])
    for job in jobs:
        assert job.hold is not None or job.state != SCHEDULED
        assert job.hold is None or job.state in (SCHEDULED, READY)
        assert job.finished == (job.result is not None) == (job.state in ("completed", "failed"))


def soonest_of_jobs(state: State, offset_ms: int) -> int:
    """When the next thing happens to a job by itself, `NEVER` for never.

    Args:
        state: the state.
        offset_ms: what the wall clock is ahead.
    """
    soonest_ms = NEVER
    for job in state.jobs.values():
        times = [job.at_ms, None if job.lease is None else job.lease.at_ms, job.hold_until_ms]
        if job.state == SCHEDULED and job.time_ms is not None:
            times.append(job.time_ms - offset_ms)
        soonest_ms = min([soonest_ms, *(one for one in times if one is not None)])
    return soonest_ms


def _derived(jobs: list[Job]) -> dict[str, Any]:
    return {
        "foreground": sorted(job.id for job in jobs if job.foreground),
        "queues": {
            name: _queue([job for job in jobs if job.queue.name == name])
            for name in {job.queue.name for job in jobs}
        },
        "expiries": sorted((job.at_ms, job.id) for job in jobs if job.at_ms is not None),
        "deadlines": sorted((job.lease.at_ms, job.id) for job in jobs if job.lease is not None),
        "holds": sorted(
            (job.hold_until_ms, job.id) for job in jobs if job.hold_until_ms is not None
        ),
        "schedules": sorted(
            (job.time_ms, job.id)
            for job in jobs
            if job.state == SCHEDULED and job.hold_until_ms is None
        ),
        "counts": {state: sum(job.state == state for job in jobs) for state in STATES},
        "held_bytes": sum(len(job.payload) + len(job.result or b"") for job in jobs),
    }


def _queue(jobs: list[Job]) -> dict[str, Any]:
    order = sorted(jobs, key=lambda job: (-job.options.priority, job.due_ms, job.seq))
    waiting = [job for job in order if job.state in (SCHEDULED, READY)]
    return {
        "ready": [job.id for job in waiting if job.hold is None],
        "scheduled": [job.id for job in waiting if job.hold is not None],
        "size": len(jobs),
    }


def _check_order(order: Order[Job], ids: list[bytes]) -> None:
    first = order.first()
    assert order.size == len(ids)
    assert (first and first.id) == (ids[0] if ids else None)
