"""What a handler has to do with: its job, and the exceptions that tell what is to become of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from workq_client.codec import Codec
from workq_client.errors import InvalidRequest, LeaseLost
from workq_client.limits import RETRY_AFTER_MAX_S
from workq_client.models import Job, decoded
from workq_client.values import Duration, milliseconds

if TYPE_CHECKING:
    from workq_client.worker.handlers import Handler


class Retry(Exception):
    """Raised by a handler: not this time. It counts as a failure, and the job comes back, unless
    it has failed as often as it may.

        raise Retry("the shop is closed", after=3600)

    Args:
        reason: why, for people.
        after: how long the job is held back, in seconds; None for what its `retry_delay` and
            `backoff` say.

    Raises:
        InvalidRequest: `after` is no duration, or more than a year.
    """

    def __init__(self, reason: str = "", *, after: Duration | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_s = None if after is None else milliseconds("after", after) / 1000
        if self.after_s is not None and self.after_s > RETRY_AFTER_MAX_S:
            raise InvalidRequest(f"after is {after!r}; it has to be a year or less")


class Reject(Exception):
    """Raised by a handler: this job will never succeed, and is not tried again.

        raise Reject("no such photo")

    Args:
        reason: why; it is the job's result.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupted(BaseException):
    """Raised inside a plain handler that has to end: its time limit is over, its lease is lost, or
    the worker stops. Clean up, and let it pass. An async handler is cancelled instead."""


class Why(Enum):
    """Why a handler is interrupted."""

    #: Its time limit is over.
    LIMIT = "its time limit was over"
    #: Somebody else may have its job.
    LOST = "its lease was lost"
    #: The worker stops.
    STOP = "the worker stops"


class Held:
    """A job that a worker has, from its lease until what became of it was reported.

    Attributes:
        job, handler: what is to be done, and by what.
        due: when its lease is to be renewed, by the clock that never steps; so are the others.
        taken: when it was leased.
        started: when its handler began; 0 before.
        why: it was interrupted, if it was.
        give_up: when its place is given up, if it was interrupted.
        over: whether its handler has ended, or was given up.
        interrupted, decided, runner, task, loop: see `workq_client.worker.pools.runner`.
    """

    __slots__ = (
        "decided",
        "due",
        "give_up",
        "handler",
        "interrupted",
        "job",
        "loop",
        "over",
        "returned",
        "runner",
        "started",
        "taken",
        "task",
        "why",
    )

    def __init__(self, job: Job, handler: Handler[Any, Any], now: float) -> None:
        self.job = job
        self.handler = handler
        self.taken = now
        self.due = now + job.ttr / 3
        self.started = 0.0
        self.why: Why | None = None
        self.give_up = 0.0
        self.over = False
        self.returned = False
        self.interrupted = False
        self.decided = False
        self.runner: Any = None
        self.task: asyncio.Task[Any] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None


class Work:
    """A job as its handler sees it.

        @worker.job("films")
        def cut(work: Work) -> None:
            for scene in scenes(work.payload):
                work.touch()
                ...

    Its lease is renewed by the worker for as long as the handler runs.
    """

    __slots__ = ("_codec", "_held", "_renew")

    def __init__(self, held: Held, codec: Codec, renew: Callable[[Held], None]) -> None:
        self._held = held
        self._codec = codec
        self._renew = renew

    @property
    def id(self) -> str:
        """The id of the job."""
        return self._held.job.id

    @property
    def queue(self) -> str:
        """The queue that it came from."""
        return self._held.job.queue

    @property
    def attempt(self) -> int:
        """Which lease of the job this is, from 1 on."""
        return self._held.job.attempt or 1

    @property
    def token(self) -> int | None:
        """The token of its lease. It grows with every lease: whoever takes only the highest that
        was seen is safe from a worker whose lease is over."""
        return self._held.job.token

    @property
    def payload(self) -> bytes:
        """What is to be done, bytes."""
        return self._held.job.payload

    @property
    def value(self) -> Any:
        """The payload, read by the worker's codec.

        Raises:
            DecodeError: it cannot be.
        """
        return decoded(self._codec, self.payload, f"the payload of job {self.id}")

    @property
    def deadline(self) -> datetime | None:
        """When the handler's time limit is over, by this machine's clock; None if it has none."""
        timeout_s = self._held.handler.timeout_s
        if timeout_s is None:
            return None
        left_s = self._held.started + timeout_s - time.monotonic()
        return datetime.now(UTC) + timedelta(seconds=left_s)

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost: then somebody else may have the job, and what this
        handler returns is for nobody."""
        return self._held.why is Why.LOST

    def touch(self) -> None:
        """Have the lease renewed now, and make sure that it is not lost. This does not wait for
        the server.

        Raises:
            LeaseLost: the lease is known to be lost.
        """
        if self.lost:
            raise LeaseLost("Lease lost", "touch", self.id)
        self._renew(self._held)

    def __repr__(self) -> str:
        return f"<Work {self.id} of {self.queue}, attempt {self.attempt}>"
