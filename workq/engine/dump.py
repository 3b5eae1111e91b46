"""The state in a canonical form: to compare, to digest, to look at.

`durable` gives what the log keeps: two states that agree in it are the same state. `rest` gives
what follows from it and what is only of this process; a test rebuilds the derived part from the
durable one and compares. All of them walk over every job: they are for tests, start-up and
tools, never for a serving engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgpack

from workq.engine import transitions
from workq.engine.job import STATES
from workq.engine.state import State
from workq.engine.transitions import Transition


def durable(state: State) -> dict[str, Any]:
    """What transitions made, jobs by id; foreground jobs are not among it."""
    return {
        "seq": state.seq,
        "token": state.token,
        "offset_ms": state.offset_ms,
        "jobs": [
            {
                "id": job.id,
                "seq": job.seq,
                "queue": job.queue.name,
                "options": list(job.options),
                "payload": job.payload,
                "created_ms": job.created_ms,
                "due_ms": job.due_ms,
                "at_ms": job.at_ms,
                "time_ms": job.time_ms,
                "state": job.state,
                "attempts": job.attempts,
                "fails": job.fails,
                "timeouts": job.timeouts,
                "lease": None if job.lease is None else [job.lease.token, job.lease.at_ms],
                "hold": job.hold_until_ms,
                "result": job.result,
            }
            for job in sorted(state.jobs.values(), key=lambda job: job.id)
            if not job.foreground
        ],
    }


def records(state: State) -> Iterator[Transition]:
    """The transitions that make the durable state from nothing: how far the numbers have come, then
    the jobs in the order in which they arrived."""
    yield transitions.COUNTERS, state.seq, state.token
    if state.offset_ms:
        yield transitions.CLOCK, state.offset_ms
    durable_jobs = [job for job in state.jobs.values() if not job.foreground]
    for job in sorted(durable_jobs, key=lambda job: job.seq):
        lease, hold_until_ms = job.lease, job.hold_until_ms
        record: Transition = (
            transitions.RESTORED,
            job.seq,
            job.id,
            job.queue.name,
            job.created_ms,
            job.due_ms,
            job.at_ms,
            job.options,
            job.time_ms,
            job.payload,
            STATES.index(job.state),
            job.attempts,
            job.fails,
            job.timeouts,
            None if lease is None else lease.token,
            None if lease is None else lease.at_ms,
            job.result,
        )
        yield record if hold_until_ms is None else (*record, hold_until_ms)


def digest(state: State) -> bytes:
    """Sixteen bytes that two states share when their durable parts are the same: a hash over the
    packed `records`."""
    packed = map(msgpack.Packer().pack, records(state))
    hashed = blake2b(digest_size=16)
    for record in packed:
        hashed.update(record)
    return hashed.digest()


def rest(state: State) -> dict[str, Any]:
    """What the durable part does not show: orders, deadlines, lengths, foreground jobs."""
    return {
        "foreground": sorted(job.id for job in state.jobs.values() if job.foreground),
        "queues": {
            queue.name: {
                "ready": [job.id for job in queue.ready.from_offset(0)],
                "scheduled": [job.id for job in queue.scheduled.from_offset(0)],
                "size": queue.size,
            }
            for queue in sorted(state.queues.values(), key=lambda queue: queue.name)
        },
        "expiries": sorted((job.at_ms, job.id) for job in state.expiries.timers()),
        "deadlines": sorted((lease.at_ms, lease.job.id) for lease in state.deadlines.timers()),
        "holds": sorted((hold.at_ms, hold.job.id) for hold in state.holds.timers()),
        "schedules": sorted((timer.at_ms, timer.job.id) for timer in state.schedules.timers()),
        "counts": dict(state.counts),
        "size": state.size,
        "queue_count": state.queue_count,
        "held_bytes": state.held_bytes,
    }
