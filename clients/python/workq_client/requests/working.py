"""Requests of those who do the work: taking jobs, and telling what became of them."""

from __future__ import annotations

import uuid
from typing import Any

from workq_client.answers import Shape
from workq_client.codec import NOTHING
from workq_client.errors import InvalidRequest
from workq_client.ids import job_id
from workq_client.models import Job
from workq_client.requests.reading import jobs_of, one_job
from workq_client.requests.request import ASK_ANEW, ENDS, ONCE, Request, flags_of
from workq_client.values import Duration, integer, milliseconds, name_word


def _lease_words(queues: tuple[str, ...]) -> tuple[str, ...]:
    if not queues:
        raise InvalidRequest("a lease needs a queue, or several")
    return ("lease", *[name_word("queue", queue) for queue in queues])


def lease(*queues: str, wait: Duration = 0) -> Request[Job | None]:
    """Take the next job of one of some queues.

    If the answer is lost with the connection, the job it told of comes back when its lease is over.

        job = client.lease("resize", "mails", wait=10)

    Args:
        queues: one or more; if several have a job, the one that was served longest ago.
        wait: how long to wait for a job, in seconds.

    Returns:
        The job, or None if none came.

    Raises:
        OutOfMemory: too many wait already.
        NoReply: the answer did not come in time.
    """
    return Request(
        _lease_words(queues),
        shape=Shape.BLOCKS,
        read=one_job,
        missing=lambda: None,
        wait_ms=milliseconds("wait", wait),
        again=ASK_ANEW,
    )


def lease_many(*queues: str, count: int, wait: Duration = 0) -> Request[list[Job]]:
    """Take several jobs at once, of those that are ready when the first is.

        for job in client.lease_many("mails", count=50, wait=10): ...

    Args:
        queues: one or more.
        count: how many at most, up to 100.
        wait: how long to wait for the first, in seconds.

    Returns:
        The jobs; none if none came. They have 1 MiB together, or are one.

    Raises:
        OutOfMemory, NoReply: as for `lease`.
    """
    return Request(
        _lease_words(queues),
        {"count": str(integer("count", count))},
        shape=Shape.BLOCKS,
        read=jobs_of,
        missing=list,
        wait_ms=milliseconds("wait", wait),
        again=ASK_ANEW,
    )


def _bound(job: Job | str | uuid.UUID) -> tuple[str, dict[str, str]]:
    """The id of a job, and the flag that binds a request to its lease."""
    if isinstance(job, Job):
        return job.id, flags_of(lease=job.token)
    return job_id(job), {}


def complete(job: Job | str | uuid.UUID, result: Any = NOTHING) -> Request[None]:
    """Finish a job with success.

    If the connection breaks it is sent again.

        client.complete(job, b"thumb.jpg")

    Args:
        job: the job as it was leased; or its id, and then whoever has it.
        result: bytes, or what the client's codec takes; kept until the job's time to live ends.

    Raises:
        LeaseLost: the lease is over. Nothing has changed.
        DuplicateResult: the job is finished already.
        NotFound: there is no such job, or no longer.
        OutOfMemory: the server has no room for the result.
        OutcomeUnknown: it was sent more than once, and what the first has done is open.
    """
    identity, flags = _bound(job)
    return Request(
        ("complete", identity), flags, result, has_block=True, again=ENDS, job_id=identity
    )


def fail(
    job: Job | str | uuid.UUID,
    result: Any = NOTHING,
    *,
    delay: Duration | None = None,
    final: bool = False,
) -> Request[None]:
    """Report that a job has failed. It comes back, unless it has failed often enough.

    If the connection breaks it is sent again, but not if it has only an id and is not final: it
    might be counted twice.

        client.fail(job, b"no such photo", final=True)

    Args:
        job: the job as it was leased; or its id, and then whoever has it.
        result: what went wrong: bytes, or what the client's codec takes.
        delay: how long it is held back if it comes back, in seconds; None for what `retry_delay`
            and `backoff` of the job say.
        final: whether it is not to be tried again, whatever `max_fails` says.

    Raises:
        LeaseLost, DuplicateResult, NotFound, OutOfMemory, OutcomeUnknown: as for `complete`.
    """
    identity, flags = _bound(job)
    if delay is not None:
        flags["delay"] = str(milliseconds("delay", delay))
    if final:
        flags["final"] = "1"
    return Request(
        ("fail", identity),
        flags,
        result,
        has_block=True,
        again=ENDS if final or "lease" in flags else ONCE,
        job_id=identity,
    )


def touch(job: Job | str | uuid.UUID, *, ttr: Duration | None = None) -> Request[None]:
    """Let the time of a lease begin anew.

        client.touch(job)

    Args:
        job: the job as it was leased; or its id, and then whoever has it.
        ttr: how long from now, in seconds; None for the job's own.

    Raises:
        LeaseLost: the lease is over. Nothing has changed.
        NotFound: there is no such job, or no longer.
    """
    identity, flags = _bound(job)
    if ttr is not None:
        flags["ttr"] = str(milliseconds("ttr", ttr))
    return Request(("touch", identity), flags, again=ASK_ANEW, job_id=identity)


def release(job: Job | str | uuid.UUID) -> Request[None]:
    """Give a leased job back, as if it had never been taken.

    If the connection breaks it is sent again, but not if it has only an id: it might take the job
    from the next worker.

        client.release(job)

    Args:
        job: the job as it was leased; or its id, and then whoever has it.

    Raises:
        LeaseLost: the lease is over. Nothing has changed.
        NotFound: there is no such job, or no longer.
        OutcomeUnknown: it was sent more than once, and what the first has done is open.
    """
    identity, flags = _bound(job)
    again = ENDS if flags else ONCE
    return Request(("release", identity), flags, again=again, job_id=identity)
