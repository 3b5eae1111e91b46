"""The job: what a client handed in, and where it is in its life.

What each field is stands in `workq.engine.fields`. Fields change only in `workq.engine.state`,
but for `watchers`, which the broker keeps here (in the order they came) so that the end of a job
finds who waits for it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from workq.engine.calendar import Timer
from workq.engine.queue import Queue

SCHEDULED: Final = "scheduled"
READY: Final = "ready"
LEASED: Final = "leased"
COMPLETED: Final = "completed"
FAILED: Final = "failed"

#: What a job that was removed says of itself to those who still hold it; no state of its life.
GONE: Final = "gone"

#: The states of a job, in the order of its life.
STATES: Final = (SCHEDULED, READY, LEASED, COMPLETED, FAILED)


class Options(NamedTuple):
    """What many jobs of a queue have in common: one object serves them all.

    Attributes:
        ttr_ms: how long a lease lasts.
        ttl_ms: how long the job exists, as the client wrote it; 0 for none (foreground jobs).
        priority: higher goes first.
        max_attempts: leases after which it fails when the last runs out; 0 for no limit.
        max_fails: explicit failures after which it fails; 0 as 1.
    """

    ttr_ms: int
    ttl_ms: int
    priority: int = 0
    max_attempts: int = 0
    max_fails: int = 0


class Lease(Timer):
    """A worker's right to a job until a deadline (`at_ms`).

    Attributes:
        job: the job that is leased.
        token: a number that no other lease has or will have.
    """

    __slots__ = ("job", "token")

    def __init__(self, job: Job, token: int, deadline_ms: int) -> None:
        # Not super().__init__(), here and in Job: a call for three assignments.
        self.at_ms = deadline_ms
        self._before = self._after = None
        self.job = job
        self.token = token


class Schedule(Timer):
    """The wait of a scheduled job for its time (`at_ms`, of the wall clock)."""

    __slots__ = ("job",)

    def __init__(self, job: Job, time_ms: int) -> None:
        super().__init__(time_ms)
        self.job = job


class Job(Timer):
    """A job. As a timer it is the end of its own TTL (`at_ms`, None for never)."""

    __slots__ = (
        "attempts",
        "created_ms",
        "due_ms",
        "fails",
        "foreground",
        "id",
        "lease",
        "options",
        "payload",
        "queue",
        "result",
        "schedule",
        "seq",
        "state",
        "time_ms",
        "timeouts",
        "watchers",
    )

    def __init__(
        self,
        seq: int,
        job_id: bytes,
        queue: Queue[Job],
        options: Options,
        payload: bytes,
        created_ms: int,
        due_ms: int,
        expires_ms: int | None,
        time_ms: int | None,
        foreground: bool,
    ) -> None:
        self.at_ms = expires_ms
        self._before = self._after = None
        self.seq = seq
        self.id = job_id
        self.queue = queue
        self.options = options
        self.payload = payload
        self.created_ms = created_ms
        self.due_ms = due_ms
        self.time_ms = time_ms
        self.foreground = foreground
        self.state = SCHEDULED
        self.attempts = 0
        self.fails = 0
        self.timeouts = 0
        self.lease: Lease | None = None
        self.schedule: Schedule | None = None
        self.result: bytes | None = None
        self.watchers: dict[Any, None] | None = None

    @property
    def finished(self) -> bool:
        """Whether the job has its result: nothing but removal can happen to it."""
        return self.result is not None
