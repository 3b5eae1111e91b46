"""The life of jobs as `docs/protocol.md` tells it, in the plainest way.

Nothing here is taken from the server: jobs are records in a dict, order is found by sorting, time
by looking at every job. `Model` knows jobs and their counters; who asked and who waits is in
`oracle.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

READY, SCHEDULED, LEASED, COMPLETED, FAILED = "ready", "scheduled", "leased", "completed", "failed"
HELD = "held"
NEVER_MS = 2**53
YEAR_MS = 31_536_000_000


class Job:
    """A job.

    Attributes:
        id, name, payload, ttr, ttl, priority, max_attempts, max_fails, retry_delay, backoff,
            retry_max: as it was handed in.
        seq: its place among all that were handed in.
        created_ms, due_ms, ends_ms: by the clock that never steps; None for no end.
        time_ms: when it was scheduled for, by the wall clock; None if it was not.
        state, attempts, fails, deadline_ms, result: where it is in its life; `HELD` is what comes
            back and has to wait.
        held_ms: until when it is delayed or held back, by the clock that never steps.
        timeouts: how many leases ran out.
        token: of its lease, as the server has given it; None if it is not leased.
        foreground: whether it came by `run`.
    """

    __slots__ = (
        "attempts", "backoff", "created_ms", "deadline_ms", "due_ms", "ends_ms", "fails",
        "foreground", "held_ms", "id", "max_attempts", "max_fails", "name", "payload", "priority",
        "result", "retry_delay", "retry_max", "seq", "state", "time_ms", "timeouts", "token",
        "ttl", "ttr",
    )  # fmt: skip

    id: bytes
    name: bytes
    payload: bytes
    ttr: int
    ttl: int
    priority: int
    max_attempts: int
    max_fails: int
    retry_delay: int
    backoff: int
    retry_max: int
    seq: int
    created_ms: int
    due_ms: int
    ends_ms: int | None
    time_ms: int | None
    state: str
    attempts: int
    fails: int
    deadline_ms: int | None
    held_ms: int | None
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
            self.max_attempts, self.max_fails, self.retry_delay, self.backoff, self.retry_max,
            self.created_ms, self.due_ms, self.ends_ms, self.time_ms, self.state, self.attempts,
            self.fails, self.deadline_ms, self.held_ms, self.result, self.timeouts,
            self.token if self.state == LEASED else None,
        )  # fmt: skip

    def copy(self) -> Job:
        """The same again."""
        return Job(**{name: getattr(self, name) for name in self.__slots__})

    def number(self) -> int:
        """Its state as `inspect` shows it."""
        if self.state == READY:
            return 3 if self.attempts or self.fails else 0
        return {SCHEDULED: 0, COMPLETED: 1, FAILED: 2, HELD: 3, LEASED: 4}[self.state]

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
                self.count(f"ttl ends when {job.state}")
                self.remove(job, "ttl ends, finished" if job.finished() else "ttl ends")
        for job in list(self.jobs.values()):
            if job.deadline_ms is not None and job.deadline_ms <= now_ms:
                due_ms = min(due_ms, job.deadline_ms)
                self._end_lease(job, b"", "ttr ends", job.deadline_ms)
                job.timeouts += 1
        for job in self.jobs.values():
            if job.held_ms is not None and job.held_ms <= now_ms:
                due_ms = min(due_ms, job.held_ms)
                what = "delay ends" if job.state == SCHEDULED else "hold ends"
                job.state, job.held_ms = READY, None
                self._touch(job, what)
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
        delay_ms: int = 0, foreground: bool = False,
    ) -> Job:  # fmt: skip
        """Take a job in."""
        ttr, ttl, priority, max_attempts, max_fails = options[:5]
        later = tuple(options[5:])
        retry_delay, backoff, retry_max = later + (0, 1, 0)[len(later) :]
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
            due_ms=max(begins_ms, now_ms) + delay_ms, ends_ms=ends_ms, time_ms=time_ms,
            state=SCHEDULED if begins_ms > now_ms or delay_ms else READY,
            attempts=0, fails=0, deadline_ms=None, result=None, foreground=foreground,
            timeouts=0, token=None, retry_delay=retry_delay, backoff=backoff, retry_max=retry_max,
            held_ms=now_ms + delay_ms if delay_ms else None,
        )  # fmt: skip
        what = "added" if time_ms is None else "scheduled" if begins_ms > now_ms else "added past"
        what = "added with a delay" if delay_ms else what
        self._touch(job, what)
        return job

    def ready(self, name: bytes) -> list[Job]:
        """The ready jobs of a queue, in their order."""
        jobs = [job for job in self.jobs.values() if job.name == name and job.state == READY]
        return sorted(jobs, key=lambda job: (-job.priority, job.due_ms, job.seq))

    def scheduled(self, name: bytes) -> list[Job]:
        """The jobs of a queue that wait for their time, in their order."""
        waiting = (SCHEDULED, HELD)
        jobs = [job for job in self.jobs.values() if job.name == name and job.state in waiting]
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

    def give_back(self, job: Job, what: str) -> None:
        """A lease could not be delivered, or its worker does not want it: all is as it was."""
        job.state, job.deadline_ms = READY, None
        job.attempts -= 1
        self.over.append(job)
        self._touch(job, what)

    def touch(self, job: Job, ttr_ms: int | None) -> None:
        """The time of a lease begins anew."""
        job.deadline_ms = self.now_ms + (job.ttr if ttr_ms is None else ttr_ms)
        self._touch(job, "touched" if ttr_ms is None else "touched with a ttr")

    def complete(self, job: Job, result: bytes) -> None:
        """Finish a job with success."""
        before, job.state, job.deadline_ms, job.result = job.state, COMPLETED, None, result
        job.held_ms = None
        self._touch(job, f"completed when {before}")

    def fail(self, job: Job, result: bytes, delay_ms: int | None, final: bool) -> None:
        """Count a failure."""
        before = job.state
        if final or job.fails + 1 >= max(job.max_fails, 1):
            early = final and job.fails + 1 < job.max_fails
            job.state, job.deadline_ms, job.result = FAILED, None, result
            job.held_ms = None
            self._touch(job, f"failed early when {before}" if early else f"failed when {before}")
        elif before == LEASED:
            self._end_lease(job, result, "fail counted", self.now_ms, delay_ms)
        else:
            self._touch(job, f"fail counted when {before}")
        job.fails += 1

    def remove(self, job: Job, what: str) -> None:
        """A job is gone."""
        del self.jobs[job.id]
        self._touch(job, what)

    def _end_lease(
        self, job: Job, result: bytes, what: str, ended_ms: int, delay_ms: int | None = None
    ) -> None:
        """A lease has ended without success: the job comes back, at once or after its delay."""
        job.deadline_ms = None
        if 0 < job.max_attempts <= job.attempts:
            job.state, job.result = FAILED, result
            self._touch(job, what + ", the last attempt")
            return
        self.over.append(job)
        if delay_ms is None:
            delay_ms = job.retry_delay
            for _ in range(job.fails + job.timeouts):
                delay_ms = min(delay_ms * job.backoff, job.retry_max or YEAR_MS)
            delay_ms = min(delay_ms, job.retry_max or YEAR_MS)
        else:
            self.count("fail with a delay")
        if ended_ms + delay_ms > self.now_ms:
            job.state, job.held_ms = HELD, ended_ms + delay_ms
            self.count("held back again" if job.fails + job.timeouts else "held back")
        else:
            job.state = READY
        self._touch(job, what)

    # --- how it looks -----------------------------------------------------------------------

    def used_bytes(self) -> int:
        """What counts against `max-memory`."""
        queues = {job.name for job in self.jobs.values()}
        data = sum(len(job.payload) + len(job.result or b"") for job in self.jobs.values())
        return data + 448 * len(self.jobs) + 900 * len(queues)

    def shown(self, job: Job, version: int = 1) -> bytes:
        """A job as `inspect job` shows it on a version of the protocol."""
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
        if version == 2:
            lines += [
                b"timeouts %d" % job.timeouts, b"retry-delay %d" % job.retry_delay,
                b"backoff %d" % job.backoff, b"retry-max %d" % job.retry_max,
            ]  # fmt: skip
            if job.held_ms is not None:
                lines.append(b"held-until " + moment(job.held_ms + offset_ms))
        return b"%b %d\r\n%b\r\n" % (job.id, len(lines), b"\r\n".join(lines))


def moment(time_ms: int) -> bytes:
    """A time as the protocol writes it."""
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ms // 1000)
    return since.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
