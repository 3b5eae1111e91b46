"""What the command log of the original server says of its jobs: the reading half of an import.

The records are followed in order, as the original follows them when it starts. Three things differ.
Deadlines are absolute: TTL and TTR count from when they began and not from now, so what ran out
meanwhile has run out. The limits of fields are ours, so an id may be of any UUID version. And the
original writes a record after the effect, outside of the lock that guards the effect, so
neighbouring records may stand in the wrong order; it then refuses its own log or does finished
work again. Here the times in the records tell what happened:

- a lease of a job that is leased: the earlier lease had run out, its record comes later;
- a lease of a finished job: the worker had it before;
- a result of a job that has failed for want of attempts: the worker was in time, for only what
  was accepted is on the log;
- a lease or result before its job was added: kept until the job comes, and taken if the job's
  creation is not after it;
- an expiry right after an id was used anew: it means the job that had the id before.

Each but the last is told in a warning, and so is every job and result that is left out. What
belongs to no job at all is only counted: foreground jobs, which are never added, leave such
records. A job that was deleted and comes back, because the original has cleaned its deletion away,
cannot be told from one that was not deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from workq import limits
from workq.engine.job import COMPLETED, FAILED, LEASED, READY, SCHEDULED
from workq.errors import GoLogError, Refusal
from workq.recovery import golog_frames as frames
from workq.recovery.golog_frames import Cursor, GoWarning, Record, read_records
from workq.wire.fields import read_name

#: Ids whose leases and results are kept until their job is added, the newest: the job's own record
#: is milliseconds behind, if it comes at all. And how many of each.
EARLY_IDS_MAX: Final = 1000
EARLY_RECORDS_PER_ID_MAX: Final = 255

_NS_PER_MS: Final = 1_000_000
_NIL: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class GoJob:
    """A job as it is at the moment of the import. Times are Unix times in milliseconds.

    Attributes:
        id: its id in canonical form, lower case.
        name: its queue.
        payload: its payload.
        ttr_ms, ttl_ms, priority, max_attempts, max_fails: its options, as the client gave them.
        created_ms: when it was handed in.
        due_ms: its place in the order: its scheduled time, but not before its creation.
        expires_ms: the end of its TTL, later than now; None for beyond `DEADLINE_MS_MAX`.
        time_ms: its scheduled time as given, None if it was not scheduled.
        state: one of `workq.engine.job.STATES`.
        attempts: how often it was leased.
        fails: always 0, as the original shows it: there the first failure is the last.
        timeouts: how many of its leases ran out: all, or all but the last if that one is running or
            has brought the result.
        deadline_ms: the end of its lease, later than now; None if it is not leased.
        result: its result, None unless it is completed or failed.
    """

    id: bytes
    name: bytes
    payload: bytes
    ttr_ms: int
    ttl_ms: int
    priority: int
    max_attempts: int
    max_fails: int
    created_ms: int
    due_ms: int
    expires_ms: int | None
    time_ms: int | None
    state: str
    attempts: int
    fails: int
    timeouts: int
    deadline_ms: int | None
    result: bytes | None


@dataclass(frozen=True, slots=True)
class GoLog:
    """What was read.

    Attributes:
        jobs: every job there still is, in the order of arrival.
        warnings: what was left out or had to be interpreted, as it was found.
        records: how many records there were.
        expired: jobs whose TTL had ended by now, without a record that says so.
        homeless: records that belong to no job of the log, as those of foreground jobs do.
    """

    jobs: list[GoJob]
    warnings: list[GoWarning]
    records: int
    expired: int
    homeless: int


def read_go_log(directory: Path, now_ms: int) -> GoLog:
    """Read a command log of the original server. Nothing in its directory is changed.

    Args:
        directory: the directory that the original was given as `-cmdlog-path`.
        now_ms: the moment of the import, Unix time in milliseconds: what TTLs and leases are held
            against. It may be any.

    Raises:
        GoLogError: the directory cannot be read, a server is using it, or the log is damaged in
            another way than that its end is missing.
        MissingExtra: the package for checksums is missing.
    """
    warnings: list[GoWarning] = []
    replay = _Replay(now_ms, warnings)
    count = 0
    for record in read_records(directory, warnings):
        count += 1
        try:
            replay.apply(record)
        except ValueError as error:
            raise GoLogError(record.path, record.offset, str(error)) from None
    jobs, expired = replay.settle()
    return GoLog(jobs, warnings, count, expired, replay.homeless)


@dataclass(slots=True)
class _Job:
    """A job on its way through the log.

    Attributes:
        id: its id as the log has it: sixteen bytes.
        time_ns: its scheduled time, None for none.
        state: READY for whatever waits, be it due or not.
        leased_ns: when its lease began, if it is leased.
        exhausted: whether it failed because its last lease ran out.
        late: leases that must have run out before the record of it came.
        succeeds: whether an earlier job had its id, of whose end there was no record.
    """

    id: bytes
    name: bytes
    ttr_ms: int
    ttl_ms: int
    priority: int
    max_attempts: int
    max_fails: int
    payload: bytes
    time_ns: int | None
    created_ns: int
    state: str = READY
    attempts: int = 0
    timeouts: int = 0
    leased_ns: int = 0
    result: bytes | None = None
    exhausted: bool = False
    late: int = 0
    succeeds: bool = False

    @property
    def expires_ms(self) -> int:
        start_ns = self.created_ns if self.time_ns is None else self.time_ns
        return start_ns // _NS_PER_MS + self.ttl_ms

    @property
    def deadline_ms(self) -> int:
        return self.leased_ns // _NS_PER_MS + self.ttr_ms

    @property
    def no_attempts_left(self) -> bool:
        return 0 < self.max_attempts <= self.attempts

    def lease(self, time_ns: int) -> None:
        self.attempts += 1
        self.state = LEASED
        self.leased_ns = time_ns

    def time_out(self) -> None:
        """End its lease without a result."""
        self.timeouts += 1
        self.state = READY
        if self.no_attempts_left:
            self.state, self.result, self.exhausted = FAILED, b"", True

    def settled(self, now_ms: int) -> GoJob:
        """What it is at a moment before the end of its TTL."""
        if self.state is LEASED and self.deadline_ms <= now_ms:
            self.time_out()
        created_ms = self.created_ns // _NS_PER_MS
        time_ms = None if self.time_ns is None else self.time_ns // _NS_PER_MS
        state = self.state
        if state is READY and time_ms is not None and time_ms > now_ms:
            state = SCHEDULED
        return GoJob(
            id=_text(self.id),
            name=self.name,
            payload=self.payload,
            ttr_ms=self.ttr_ms,
            ttl_ms=self.ttl_ms,
            priority=self.priority,
            max_attempts=self.max_attempts,
            max_fails=self.max_fails,
            created_ms=created_ms,
            due_ms=created_ms if time_ms is None else max(time_ms, created_ms),
            expires_ms=self.expires_ms if self.expires_ms <= limits.DEADLINE_MS_MAX else None,
            time_ms=time_ms,
            state=state,
            attempts=self.attempts,
            fails=0,
            timeouts=self.timeouts,
            deadline_ms=self.deadline_ms if state is LEASED else None,
            result=self.result,
        )


class _Replay:
    """Follows records.

    Args:
        now_ms: the moment of the import.
        warnings: gets what was left out or had to be interpreted.

    Attributes:
        homeless: records that belong to no job so far.
    """

    def __init__(self, now_ms: int, warnings: list[GoWarning]) -> None:
        self.homeless = 0
        self._now_ms = now_ms
        self._warnings = warnings
        # Jobs whose TTL is over stay too, without their payload, until a record ends them or their
        # id is used anew: what the log says of them must not be taken for another job's.
        self._jobs: dict[bytes, _Job] = {}
        self._early: dict[bytes, list[Record]] = {}

    def apply(self, record: Record) -> None:
        """Follow one record.

        Raises:
            ValueError: it is not what the original writes; the text says why.
        """
        if record.kind in (frames.ADD, frames.SCHEDULE):
            self._add(record, _read_job(record.body))
            return
        job_id, result = _read_act(record)
        job = self._jobs.get(job_id)
        if job is None:
            self._apply_to_none(record, job_id)
        elif record.kind == frames.START_ATTEMPT:
            self._lease(record, job)
        elif record.kind == frames.TIMEOUT_ATTEMPT:
            _time_out(record, job)
        elif record.kind == frames.EXPIRE:
            self._expire(record, job)
        elif record.kind == frames.DELETE:
            del self._jobs[job_id]
        else:
            self._finish(record, job, result)

    def settle(self) -> tuple[list[GoJob], int]:
        """The jobs there are in the end, in the order of arrival; and how many have expired."""
        # Appending may have changed places; within one instant the log's order is all we know.
        jobs = sorted(self._jobs.values(), key=lambda job: job.created_ns)
        living = [job.settled(self._now_ms) for job in jobs if job.expires_ms > self._now_ms]
        return living, len(jobs) - len(living)

    def _warn(self, record: Record, job_id: bytes, problem: str) -> None:
        text = f"job {_text(job_id).decode()}: {problem}"
        self._warnings.append(GoWarning(record.path, record.offset, text))

    def _add(self, record: Record, job: _Job) -> None:
        problem = _problem(job)
        if problem is not None:
            self._warn(record, job.id, f"left out: {problem}")
            return
        earlier = self._jobs.pop(job.id, None)
        if earlier is not None and earlier.expires_ms > job.created_ns // _NS_PER_MS:
            self._jobs[job.id] = earlier
            self._warn(record, job.id, "added a second time: left out, the first stays")
            return
        job.succeeds = earlier is not None
        self._jobs[job.id] = job
        if job.expires_ms <= self._now_ms:
            job.payload = b""
        for early in self._early.pop(job.id, ()):
            if early.time_ns >= job.created_ns:
                self.homeless -= 1
                self._warn(
                    early, job.id, "its record stands before that of the job: taken after it"
                )
                self.apply(early)

    def _apply_to_none(self, record: Record, job_id: bytes) -> None:
        self.homeless += 1
        if record.kind in (frames.DELETE, frames.EXPIRE):
            self._early.pop(job_id, None)
        elif record.kind != frames.TIMEOUT_ATTEMPT:
            records = self._early.setdefault(job_id, [])
            if len(records) < EARLY_RECORDS_PER_ID_MAX:
                records.append(record)
            if len(self._early) > EARLY_IDS_MAX:
                del self._early[next(iter(self._early))]

    def _lease(self, record: Record, job: _Job) -> None:
        if job.state is LEASED:
            job.late += 1
            job.time_out()
            problem = "leased while it is leased: the earlier lease must have run out"
            self._warn(record, job.id, problem)
            if job.exhausted:
                return
        elif job.result is not None:
            if job.no_attempts_left:
                self._warn(record, job.id, "leased though it has failed: left out")
            else:
                job.timeouts = job.attempts  # it had one result, so the leases before this ran out
                job.attempts += 1
                self._warn(record, job.id, "leased though it is finished: counted as an attempt")
            return
        job.lease(record.time_ns)

    def _finish(self, record: Record, job: _Job, result: bytes) -> None:
        if job.exhausted:
            job.timeouts -= 1
            job.exhausted = False
            problem = "finished though its last attempt ran out: the result holds"
            self._warn(record, job.id, problem)
        elif job.result is not None:
            problem = f"finished a second time: this result of {len(result)} bytes is left out"
            self._warn(record, job.id, problem)
            return
        job.state = COMPLETED if record.kind == frames.COMPLETE else FAILED
        job.result = result

    def _expire(self, record: Record, job: _Job) -> None:
        if job.succeeds and record.time_ns // _NS_PER_MS < job.expires_ms:
            return
        del self._jobs[job.id]


def _time_out(record: Record, job: _Job) -> None:
    """Of a job that is not leased it changes nothing: the original writes it all the same."""
    is_leased = job.state is LEASED
    if job.late and not (is_leased and job.deadline_ms <= record.time_ns // _NS_PER_MS):
        job.late -= 1
    elif is_leased:
        job.time_out()


def _read_job(body: bytes) -> _Job:
    cursor = Cursor(body)
    try:
        job_id = cursor.take(16)
        name = cursor.block()
        ttr_ms, ttl_ms, priority = cursor.unsigned(), cursor.unsigned(), cursor.signed()
        max_attempts, max_fails = cursor.unsigned(), cursor.unsigned()
        payload = cursor.block()
        time_ns, created_ns = cursor.time_ns(), cursor.time_ns()
    except EOFError:
        raise ValueError("a job that ends in the middle") from None
    _expect_end(cursor)
    if created_ns is None:
        raise ValueError("a job without the time of its creation")
    return _Job(
        job_id,
        name,
        ttr_ms,
        ttl_ms,
        priority,
        max_attempts,
        max_fails,
        payload,
        time_ns,
        created_ns,
    )


def _read_act(record: Record) -> tuple[bytes, bytes]:
    """The id a record is about, and the result in it, if any."""
    if not frames.COMPLETE <= record.kind <= frames.TIMEOUT_ATTEMPT:
        raise ValueError(f"a record of kind {record.kind}, which is not known")
    cursor = Cursor(record.body)
    try:
        job_id = cursor.take(16)
        result = cursor.block() if record.kind in (frames.COMPLETE, frames.FAIL) else b""
    except EOFError:
        raise ValueError(f"a record of kind {record.kind} that ends in the middle") from None
    _expect_end(cursor)
    return job_id, result


def _expect_end(cursor: Cursor) -> None:
    if cursor.left:
        raise ValueError(f"a record with {cursor.left} bytes too many")


def _problem(job: _Job) -> str | None:
    """Why a job cannot be one of ours, None if it can."""
    ranges = (
        ("ttr", job.ttr_ms, 1, limits.TTR_MS_MAX),
        ("ttl", job.ttl_ms, 1, limits.TTL_MS_MAX),
        ("priority", job.priority, limits.PRIORITY_MIN, limits.PRIORITY_MAX),
        ("max-attempts", job.max_attempts, 0, limits.ATTEMPTS_MAX),
        ("max-fails", job.max_fails, 0, limits.FAILS_MAX),
        ("payload-size", len(job.payload), 0, limits.BLOCK_BYTES_MAX),
    )
    for field, value, low, high in ranges:
        if not low <= value <= high:
            return f"its {field} is {value}, not {low} to {high}"
    if job.id == _NIL:
        return "its id is nil"
    try:
        read_name(job.name)
    except Refusal:
        return f"its name cannot be one: {job.name!r}"
    return None


def _text(job_id: bytes) -> bytes:
    return str(UUID(bytes=job_id)).encode()
