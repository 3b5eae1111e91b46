"""Requests of those who have work to be done: handing jobs in, and taking them back."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

from workq_client.answers import Shape
from workq_client.codec import NOTHING
from workq_client.errors import InvalidRequest
from workq_client.ids import job_id, new_id
from workq_client.models import NewJob, Result
from workq_client.requests.reading import only, result_of
from workq_client.requests.request import ADDS, REMOVES, Request, flags_of
from workq_client.values import TTL, TTR, Duration, integer, milliseconds, name_word, time_word

#: The options of most jobs, none of which is sent.
_PLAIN: Final[tuple[object, ...]] = (0, 0, 0, 0, 1, 0)


def _options(
    priority: int,
    max_attempts: int,
    max_fails: int,
    retry_delay: Duration,
    backoff: int,
    retry_max: Duration,
) -> dict[str, str]:
    if (priority, max_attempts, max_fails, retry_delay, backoff, retry_max) == _PLAIN:
        return {}
    return flags_of(
        priority=integer("priority", priority),
        max_attempts=integer("max_attempts", max_attempts),
        max_fails=integer("max_fails", max_fails),
        retry_delay=milliseconds("retry_delay", retry_delay),
        backoff=None if backoff == 1 else str(integer("backoff", backoff)),
        retry_max=milliseconds("retry_max", retry_max),
    )


def add(
    queue: str,
    payload: Any = NOTHING,
    *,
    id: str | uuid.UUID | None = None,
    ttr: Duration = TTR,
    ttl: Duration = TTL,
    delay: Duration = 0,
    priority: int = 0,
    max_attempts: int = 0,
    max_fails: int = 0,
    retry_delay: Duration = 0,
    backoff: int = 1,
    retry_max: Duration = 0,
) -> Request[str]:
    """Hand a job in.

    Whether it arrived is never left open for long: if the connection breaks, it is sent again, and
    its id sees to it that there is one job.

        client.add("resize", b"photo.jpg", ttr=30, max_fails=3, retry_delay=5, backoff=2)

    Args:
        queue: where it waits for a worker.
        payload: what is to be done: bytes, or what the client's codec takes.
        id: a UUID of your choice; None for a new one.
        ttr: time to run, how long a lease lasts, in seconds: up to a day.
        ttl: time to live, in seconds: when it ends the job is gone, and its result with it.
        delay: in what time it is ready, in seconds; less than `ttl`.
        priority: jobs of higher priority are leased first.
        max_attempts: leases, after which it fails when the last ends without success; 0: no limit.
        max_fails: failures, of which the last one is final; 0 as 1.
        retry_delay: how long it is held back when it comes back, in seconds.
        backoff: by what that grows each time, a whole number from 1 to 100.
        retry_max: up to what, in seconds; 0 for a year.

    Returns:
        The id of the job.

    Raises:
        DuplicateJob: there is a job of this id, which was there before the call.
        OutOfMemory, DiskFull: the server has no room for it.
        OutcomeUnknown: the time was over while it was on its way.
    """
    identity = new_id() if id is None else job_id(id)
    flags = _options(priority, max_attempts, max_fails, retry_delay, backoff, retry_max)
    if delay_ms := milliseconds("delay", delay):
        flags["delay"] = str(delay_ms)
    return Request(
        ("add", identity, *_place(queue, ttr, ttl)),
        flags,
        payload,
        has_block=True,
        read=lambda _, __: identity,
        again=ADDS,
        job_id=identity,
    )


def _place(queue: str, ttr: Duration, ttl: Duration) -> tuple[str, str, str]:
    name = name_word("queue", queue)
    return name, str(milliseconds("ttr", ttr)), str(milliseconds("ttl", ttl))


def schedule(
    queue: str,
    payload: Any = NOTHING,
    *,
    at: datetime,
    id: str | uuid.UUID | None = None,
    ttr: Duration = TTR,
    ttl: Duration = TTL,
    priority: int = 0,
    max_attempts: int = 0,
    max_fails: int = 0,
    retry_delay: Duration = 0,
    backoff: int = 1,
    retry_max: Duration = 0,
) -> Request[str]:
    """Hand a job in that is ready at a time by the server's wall clock.

        client.schedule("mails", b"good morning", at=datetime(2030, 1, 31, 8, tzinfo=UTC))

    Args:
        at: when, an aware datetime. A past one is taken as long as `ttl` from then is not over.
        ttl: time to live, in seconds, from `at` on.
        queue, payload, id, ttr, priority, max_attempts, max_fails, retry_delay, backoff, retry_max:
            as for `add`.

    Returns:
        The id of the job.

    Raises:
        DuplicateJob, OutOfMemory, DiskFull, OutcomeUnknown: as for `add`.
        InvalidArgument: it would be over already.
    """
    identity = new_id() if id is None else job_id(id)
    return Request(
        ("schedule", identity, *_place(queue, ttr, ttl), time_word("at", at)),
        _options(priority, max_attempts, max_fails, retry_delay, backoff, retry_max),
        payload,
        has_block=True,
        read=lambda _, __: identity,
        again=ADDS,
        job_id=identity,
    )


def new(job: NewJob) -> Request[str]:
    """Hand in what a `NewJob` describes, by `add` or `schedule`.

        client.new(NewJob(queue="resize", payload=b"photo.jpg", ttr=30))

    Args:
        job: what it describes.

    Returns:
        The id of the job.

    Raises:
        InvalidRequest: it has both a delay and a time; and as for `add` and `schedule`.
    """
    options: dict[str, Any] = {
        "id": job.id,
        "ttr": job.ttr,
        "ttl": job.ttl,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "max_fails": job.max_fails,
        "retry_delay": job.retry_delay,
        "backoff": job.backoff,
        "retry_max": job.retry_max,
    }
    if job.at is None:
        return add(job.queue, job.payload, delay=job.delay, **options)
    if job.delay:
        raise InvalidRequest("a job is due at a time or after a delay, not both")
    return schedule(job.queue, job.payload, at=job.at, **options)


def run(
    queue: str,
    payload: Any = NOTHING,
    *,
    wait: Duration,
    ttr: Duration = TTR,
    id: str | uuid.UUID | None = None,
    priority: int = 0,
) -> Request[Result]:
    """Hand a job in and wait for its result, as one calls a function.

    The job lives while its caller waits. If the connection breaks it is gone, and not run again.

        client.run("shout", b"hello", wait=5).check().data

    Args:
        wait: in what time a worker must have taken it, in seconds. One that has it then may use up
            its lease: the answer may take `wait` and `ttr` together.
        queue, payload, id, ttr, priority: as for `add`.

    Returns:
        The result; `check()` raises an error if it is that of a failure.

    Raises:
        TimedOut: there is no result. A worker may have begun.
        NotFound: the job was deleted.
        DuplicateJob: there is a job of this id.
        OutOfMemory: the server has no room for it.
        OutcomeUnknown: the connection broke; a worker may have begun, or done it.
    """
    identity = new_id() if id is None else job_id(id)
    ttr_ms = milliseconds("ttr", ttr)
    return Request(
        ("run", identity, name_word("queue", queue), str(ttr_ms)),
        flags_of(priority=integer("priority", priority)),
        payload,
        has_block=True,
        shape=Shape.BLOCKS,
        read=lambda answer, codec: result_of(only(answer, identity), codec),
        wait_ms=milliseconds("wait", wait),
        work_ms=ttr_ms,
        job_id=identity,
    )


def delete(id: str | uuid.UUID) -> Request[None]:
    """Remove a job in whatever state.

        client.delete(job_id)

    Args:
        id: of the job.

    Raises:
        NotFound: there is no such job, or no longer.
        OutcomeUnknown: the time was over while it was on its way.
    """
    identity = job_id(id)
    return Request(("delete", identity), again=REMOVES, job_id=identity)
