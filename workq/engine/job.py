"""The job: what a client handed in, and where it is in its life.

What each field is stands in `workq.engine.fields`. Fields change only in `workq.engine.state`,
but for `watchers`, which the broker keeps here (in the order they came) so that the end of a job
finds who waits for it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

from workq.engine.calendar import Timer
from workq.engine.queue import Queue
from workq.limits import DELAY_MS_MAX

SCHEDULED: Final = "scheduled"
READY: Final = "ready"
LEASED: Final = "leased"
COMPLETED: Final = "completed"
FAILED: Final = "failed"

#: What a job that was removed says of itself to those who still hold it; no state of its life.
GONE: Final = "gone"

#: The states of a job, in the order of its life.
STATES: Final = (SCHEDULED, READY, LEASED, COMPLETED, FAILED)


class _FirstOptions(NamedTuple):
    """The options that there were from the beginning, and that every job has.

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


#: How many they are: options of so many say nothing of retries.
PLAIN_OPTIONS: Final = len(_FirstOptions._fields)


class Options(_FirstOptions):
    """What many jobs of a queue have in common: one object serves them all.

    As a tuple it is as short as can be: what was added later, at the end, is not in it unless it
    says something. So the log of a server that is not asked for more has nothing in it that an
    older one would not know, and a digest is what it was.

    Attributes:
        retry_delay_ms: how long the job is held back after a failure or a lost lease.
        backoff: by what that grows with each further one.
        retry_max_ms: how far; 0 for the greatest delay there is.
    """

    __slots__ = ()

    #: What all numbers of the tuple are called, and what those that are not in it are.
    NAMES: Final = (*_FirstOptions._fields, "retry_delay_ms", "backoff", "retry_max_ms")
    LATER: Final[tuple[int, ...]] = (0, 1, 0)

    def __new__(
        cls,
        ttr_ms: int,
        ttl_ms: int,
        priority: int = 0,
        max_attempts: int = 0,
        max_fails: int = 0,
        retry_delay_ms: int = 0,
        backoff: int = 1,
        retry_max_ms: int = 0,
    ) -> Self:
        later: tuple[int, ...] = (retry_delay_ms, backoff, retry_max_ms)
        while later and later[-1] == cls.LATER[len(later) - 1]:
            later = later[:-1]
        first = (ttr_ms, ttl_ms, priority, max_attempts, max_fails)
        return tuple.__new__(cls, first + later)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in zip(self.NAMES, self, strict=False))
        return f"Options({shown})"

    @property
    def retry(self) -> tuple[int, ...]:
        """`retry_delay_ms`, `backoff` and `retry_max_ms`."""
        more: tuple[int, ...] = self[len(_FirstOptions._fields) :]
        return more + self.LATER[len(more) :]

    def retry_ms(self, failures: int) -> int:
        """How long a job is held back that comes back after so many failures and lost leases."""
        if len(self) == PLAIN_OPTIONS:
            return 0
        delay_ms, backoff, max_ms = self.retry
        # 64 doublings are beyond every bound: the power of a larger number is not worked out.
        grown_ms: int = delay_ms * backoff ** min(failures - 1, 64)
        return min(grown_ms, max_ms or DELAY_MS_MAX)


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


class Hold(Timer):
    """What keeps a job from being leased until a time (`at_ms`): the delay of a job that was
    added, or that of a retry."""

    __slots__ = ("job",)

    def __init__(self, job: Job, time_ms: int) -> None:
        super().__init__(time_ms)
        self.job = job


class Schedule(Hold):
    """What keeps a scheduled job until its time, which is of the wall clock."""

    __slots__ = ()


class Job(Timer):
    """A job. As a timer it is the end of its own TTL (`at_ms`, None for never)."""

    __slots__ = (
        "attempts",
        "created_ms",
        "due_ms",
        "fails",
        "foreground",
        "hold",
        "id",
        "lease",
        "options",
        "payload",
        "queue",
        "result",
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
        self.hold: Hold | None = None
        self.result: bytes | None = None
        self.watchers: dict[Any, None] | None = None

    @property
    def hold_until_ms(self) -> int | None:
        """The end of a delay that it is held back by; None for none. That of a schedule, which the
        wall clock decides, is `time_ms`."""
        hold = self.hold
        return None if hold is None or type(hold) is Schedule else hold.at_ms

    @property
    def finished(self) -> bool:
        """Whether the job has its result: nothing but removal can happen to it."""
        return self.result is not None
