"""The life of jobs as `docs/protocol.md` tells it, in the plainest way.

Nothing here is taken from the server: jobs are records in a dict, order is found by sorting, time
by looking at every job. `Model` knows jobs and their counters; who asked and who waits is in
`oracle.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

READY, SCHEDULED, LEASED, COMPLETED, FAILED = "ready", "scheduled", "leased", "completed", "failed"
NEVER_MS = 2**53


class Job:
    """A job.

    Attributes:
        id, name, payload, ttr, ttl, priority, max_attempts, max_fails: as it was handed in.
        seq: its place among all that were handed in.
        created_ms, due_ms, ends_ms: by the clock that never steps; None for no end.
        time_ms: when it was scheduled for, by the wall clock; None if it was not.
        state, attempts, fails, deadline_ms, result: where it is in its life.
        timeouts: how many leases ran out.
        token: of its lease, as the server has given it; None if it is not leased.
        foreground: whether it came by `run`.
    """

    __slots__ = (
        "attempts", "created_ms", "deadline_ms", "due_ms", "ends_ms", "fails", "foreground",
        "id", "max_attempts", "max_fails", "name", "payload", "priority", "result", "seq",
        "state", "time_ms", "timeouts", "token", "ttl", "ttr",
    )  # fmt: skip

    id: bytes
    name: bytes
    payload: bytes
    ttr: int
    ttl: int
    priority: int
    max_attempts: int
    max_fails: int
    seq: int
    created_ms: int
    due_ms: int
    ends_ms: int | None
    time_ms: int | None
    state: str
    attempts: int
    fails: int
    deadline_ms: int | None
    result: bytes | None
    timeouts: int
    token: int | None
    foreground: bool

    def __init__(self, **fields: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, fields[name])

    def durable(self) -> tuple[Any, ...]:
        """All that a restart must bring back."""
        return (
            self.id, self.name, self.payload, self.ttr, self.ttl, self.priority,
            self.max_attempts, self.max_fails, self.created_ms, self.due_ms, self.ends_ms,
            self.time_ms, self.state, self.attempts, self.fails, self.deadline_ms, self.result,
            self.timeouts, self.token if self.state == LEASED else None,
        )  # fmt: skip

    def copy(self) -> Job:
        """The same again."""
        return Job(**{name: getattr(self, name) for name in self.__slots__})

    def number(self) -> int:
        """Its state as `inspect` shows it."""
        if self.state == READY:
            return 3 if self.attempts or self.fails else 0
        return {SCHEDULED: 0, COMPLETED: 1, FAILED: 2, LEASED: 4}[self.state]

    def finished(self) -> bool:
        """Whether it has its result."""
        return self.state in (COMPLETED, FAILED)


class Model:
    """All jobs.

    Attributes:
        jobs: by id.
        now_ms, wall_ms: the two clocks.
        evicted: how many came to the end of their TTL unfinished since the start.
        changed: ids of jobs that changed since somebody asked; not of foreground jobs.
        served: by queue, in which round it was last served, or began; none of several
            queues starves.
        rounds: how many turns there were in which jobs were leased; those of one count as leased
            at once.
        leased_now: whether this turn is one of them.
        handed: jobs that were leased since somebody asked.
        over: jobs whose lease has just ended without a result.
        done: what has happened, by its name in the documents.
    """

    def __init__(self) -> None:
        self.jobs: dict[bytes, Job] = {}
        self.now_ms = self.wall_ms = 0
        self.seq = 0
        self.evicted = 0
        self.changed: dict[bytes, None] = {}
        self.over: list[Job] = []
        self.handed: list[Job] = []
        self.served: dict[bytes, int] = {}
        self.rounds = 0
        self.leased_now = False
        self.done: dict[str, int] = {}

    def count(self, what: str) -> None:
        """Note that something has happened."""
        self.done[what] = self.done.get(what, 0) + 1

    def _touch(self, job: Job, what: str) -> None:
        self.count(("run " if job.foreground else "") + what)
        if not job.foreground:
            self.changed[job.id] = None

    # --- time -------------------------------------------------------------------------------

    def advance(self, now_ms: int, offset_ms: int) -> int:
        """Let time come; return when the first of what ended had been due."""
        self.now_ms, self.wall_ms = now_ms, now_ms + offset_ms
        due_ms = now_ms
        for job in list(self.jobs.values()):
            if job.ends_ms is not None and job.ends_ms <= now_ms:
                due_ms = min(due_ms, job.ends_ms)
                self.evicted += not job.finished()
                self.remove(job, "ttl ends, finished" if job.finished() else "ttl ends")
        for job in list(self.jobs.values()):
            if job.deadline_ms is not None and job.deadline_ms <= now_ms:
                due_ms = min(due_ms, job.deadline_ms)
                job.timeouts += 1
                self._end_lease(job, b"", "ttr ends")
        for job in self.jobs.values():
            if job.state != SCHEDULED:
                continue
            if job.time_ms is not None and job.time_ms <= self.wall_ms:
                job.state = READY
                self._touch(job, "comes due")
        return due_ms

    # --- what commands do -------------------------------------------------------------------

    def add(
        self, job_id: bytes, name: bytes, options: Any, payload: bytes, time_ms: int | None,
        foreground: bool = False,
    ) -> Job:  # fmt: skip
        """Take a job in."""
        ttr, ttl, priority, max_attempts, max_fails = options
        now_ms = self.now_ms
        begins_ms = now_ms if time_ms is None else time_ms - (self.wall_ms - now_ms)
        self.seq += 1
        if not any(job.name == name for job in self.jobs.values()):
            self.served[name] = self.rounds + self.leased_now
        ends_ms: int | None = begins_ms + ttl
        if foreground or begins_ms + ttl > NEVER_MS:
            ends_ms = None
        job = self.jobs[job_id] = Job(
            id=job_id, name=name, payload=payload, ttr=ttr, ttl=ttl, priority=priority,
            max_attempts=max_attempts, max_fails=max_fails, seq=self.seq, created_ms=now_ms,
            due_ms=max(begins_ms, now_ms), ends_ms=ends_ms, time_ms=time_ms,
            state=SCHEDULED if begins_ms > now_ms else READY,
            attempts=0, fails=0, deadline_ms=None, result=None, foreground=foreground,
            timeouts=0, token=None,
        )  # fmt: skip
        what = "added" if time_ms is None else "scheduled" if begins_ms > now_ms else "added past"
        self._touch(job, what)
        return job

    def ready(self, name: bytes) -> list[Job]:
        """The ready jobs of a queue, in their order."""
        jobs = [job for job in self.jobs.values() if job.name == name and job.state == READY]
        return sorted(jobs, key=lambda job: (-job.priority, job.due_ms, job.seq))

    def scheduled(self, name: bytes) -> list[Job]:
        """The scheduled jobs of a queue, in their order."""
        jobs = [job for job in self.jobs.values() if job.name == name and job.state == SCHEDULED]
        return sorted(jobs, key=lambda job: (-job.priority, job.due_ms, job.seq))

    def lease(self, job: Job) -> None:
        """Hand a job out."""
        assert job.state == READY
        job.state = LEASED
        job.attempts += 1
        job.deadline_ms = self.now_ms + job.ttr
        job.token = None
        self.leased_now = True
        self.served[job.name] = self.rounds + 1
        self.handed.append(job)
        self._touch(job, "leased" if job.attempts == 1 else "leased again")

    def give_back(self, job: Job) -> None:
        """A lease could not be delivered: all is as it was."""
        job.state, job.deadline_ms = READY, None
        job.attempts -= 1
        self.over.append(job)
        self._touch(job, "lease given back")

    def complete(self, job: Job, result: bytes) -> None:
        """Finish a job with success."""
        before, job.state, job.deadline_ms, job.result = job.state, COMPLETED, None, result
        self._touch(job, f"completed when {before}")

    def fail(self, job: Job, result: bytes) -> None:
        """Count a failure."""
        job.fails += 1
        before = job.state
        if job.fails >= max(job.max_fails, 1):
            job.state, job.deadline_ms, job.result = FAILED, None, result
            self._touch(job, f"failed when {before}")
        elif before == LEASED:
            self._end_lease(job, result, "fail counted")
        else:
            self._touch(job, f"fail counted when {before}")

    def remove(self, job: Job, what: str) -> None:
        """A job is gone."""
        del self.jobs[job.id]
        self._touch(job, what)

    def _end_lease(self, job: Job, result: bytes, what: str) -> None:
        job.deadline_ms = None
        if 0 < job.max_attempts <= job.attempts:
            job.state, job.result = FAILED, result
            self._touch(job, what + ", the last attempt")
        else:
            job.state = READY
            self.over.append(job)
            self._touch(job, what)

    # --- how it looks -----------------------------------------------------------------------

    def used_bytes(self) -> int:
        """What counts against `max-memory`."""
        queues = {job.name for job in self.jobs.values()}
        data = sum(len(job.payload) + len(job.result or b"") for job in self.jobs.values())
        return data + 448 * len(self.jobs) + 900 * len(queues)

    def shown(self, job: Job) -> bytes:
        """A job as `inspect job` shows it."""
        offset_ms = self.wall_ms - self.now_ms
        lines = [
            b"name " + job.name, b"ttr %d" % job.ttr, b"ttl %d" % job.ttl,
            b"payload-size %d" % len(job.payload), b"payload " + job.payload,
            b"max-attempts %d" % job.max_attempts, b"attempts %d" % job.attempts,
            b"max-fails %d" % job.max_fails, b"fails %d" % job.fails,
            b"priority %d" % job.priority, b"state %d" % job.number(),
            b"created " + moment(job.created_ms + offset_ms),
        ]  # fmt: skip
        if job.time_ms is not None:
            lines.append(b"time " + moment(job.time_ms))
        return b"%b %d\r\n%b\r\n" % (job.id, len(lines), b"\r\n".join(lines))


def moment(time_ms: int) -> bytes:
    """A time as the protocol writes it."""
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ms // 1000)
    return since.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
