"""What clients said and heard, and what must not be among it: the independent checker.

It knows the documents and the clients' clock, nothing of the server. Of each request it has when
it was sent and when the reply came; what the request did happened in between, or, if no reply
came, at any time after it was sent or never. Only what no order of such moments explains is held
against the server:

- a job that was acknowledged, or that any reply has told of, is gone, or can be added again;
- a job is handed out while a lease of it runs, or one that was touched, or while it is held back;
- or after its completion, its last failure or its deletion was acknowledged, or before it is due;
- it is finished twice; its result is not there, is another, or changes;
- what is handed out is not what was put in; its counters are below what was acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from tests.faults.wire import (
    DUPLICATE_JOB,
    DUPLICATE_RESULT,
    LEASE_LOST,
    NONE,
    OK,
    TIMEOUT,
    TOUCHED_MS,
    Reply,
)

#: The server counts in whole milliseconds.
SLACK_MS = 5.0

NEW, COMPLETED, FAILED, PENDING, LEASED = "0", "1", "2", "3", "4"


@dataclass(slots=True)
class Event:
    """A request about a job: when it was sent; when its reply came, None if none did; what it
    carried, and what came back. Times are in milliseconds of the clients' clock."""

    verb: str
    sent_ms: float
    got_ms: float | None = None
    reply: Reply | None = None
    body: bytes = b""

    def heard(self, *statuses: str) -> bool:
        """Whether it was answered with any of these."""
        return self.reply is not None and self.reply.status in statuses


@dataclass(slots=True)
class Job:
    """A job as it was put in, and everything that was said and heard of it.

    Attributes:
        due_ms: when it may be handed out first, by the clients' clock; 0 for at once.
        retry_ms: how long it is held back after a failure or a lease that ran out.
        retired: it was deleted, that was checked, and nobody speaks of it any more.
    """

    job_id: str
    queue: str
    ttr_ms: int
    payload: bytes
    priority: int = 0
    max_fails: int = 0
    due_ms: float = 0
    retry_ms: int = 0
    events: list[Event] = field(default_factory=list)
    retired: bool = False

    def got(self, verb: str, *statuses: str) -> list[Event]:
        """The requests of a kind that were answered with any of these."""
        return [one for one in self.events if one.verb == verb and one.heard(*statuses)]


def _ends(events: list[Event]) -> list[float]:
    return sorted(event.got_ms for event in events if event.got_ms is not None)


def known_ms(job: Job) -> float:
    """From when on a reply had told that the job is there."""
    told = [
        event
        for event in job.events
        if event.heard(OK, DUPLICATE_JOB, DUPLICATE_RESULT, LEASE_LOST)
        or (event.verb == "result" and event.heard(TIMEOUT))
    ]
    return min(_ends([event for event in told if event.verb != "delete"]), default=float("inf"))


def final_ms(job: Job) -> float:
    """From when on a reply had told that the job is finished."""
    told = job.got("complete", OK, DUPLICATE_RESULT) + job.got("fail", DUPLICATE_RESULT)
    told += job.got("result", OK)
    told += [
        event
        for event in job.got("inspect", OK)
        if event.reply is not None and event.reply.values["state"] in (COMPLETED, FAILED)
    ]
    ends = _ends(told)
    fails = _ends(job.got("fail", OK))
    last = max(job.max_fails, 1)
    if len(fails) >= last:
        ends.append(fails[last - 1])
    return min(ends, default=float("inf"))


def problems(job: Job) -> Iterator[str]:
    """What is wrong with the history of a job."""
    for check in (_lost, _leases, _handed, _finished, _results, _deleted, _inspected):
        for problem in check(job):
            yield f"job {job.job_id} of {job.queue}: {problem}"


def _lost(job: Job) -> Iterator[str]:
    known = known_ms(job)
    for event in job.events:
        absent = event.heard(NONE) or (event.verb == "add" and event.heard(OK))
        if absent and event.sent_ms > known and not _may_be_deleted(job, event):
            yield f"lost: {event.verb} says so at {event.got_ms:.0f}, it was there at {known:.0f}"


def _may_be_deleted(job: Job, event: Event) -> bool:
    assert event.got_ms is not None
    return any(
        one.verb == "delete" and one is not event and one.sent_ms < event.got_ms
        for one in job.events
    )


def _leases(job: Job) -> Iterator[str]:
    """No two leases at a time. One may be granted when the other has run out, or was ended by a
    failure that was not final, and the job is held back no longer; or when it was released. A lease
    that was touched runs from then on."""
    ttr_ms = job.ttr_ms
    for one, other in combinations(job.got("lease", OK), 2):
        assert one.got_ms is not None and other.got_ms is not None
        if not (_may_follow(job, one, other, ttr_ms) or _may_follow(job, other, one, ttr_ms)):
            yield (
                f"leased twice: between {one.sent_ms:.0f} and {one.got_ms:.0f}, and between "
                f"{other.sent_ms:.0f} and {other.got_ms:.0f}, for {job.ttr_ms} ms each"
            )
    for touch in job.got("touch", OK):
        for lease in job.got("lease", OK):
            assert touch.got_ms is not None
            if lease.sent_ms > touch.got_ms and not _may_follow(job, touch, lease, TOUCHED_MS):
                yield f"leased at {lease.got_ms:.0f}, touched at {touch.got_ms:.0f}"


def _may_follow(job: Job, first: Event, second: Event, lasts_ms: int) -> bool:
    assert first.got_ms is not None and second.got_ms is not None
    if second.got_ms - first.sent_ms >= lasts_ms + job.retry_ms - SLACK_MS:
        return True
    return any(
        event.verb in ("fail", "release")
        and event.sent_ms < second.got_ms
        and (event.verb == "release" or second.got_ms - event.sent_ms >= job.retry_ms - SLACK_MS)
        and (event.got_ms is None or (event.heard(OK) and event.got_ms > first.sent_ms))
        for event in job.events
    )


def _handed(job: Job) -> Iterator[str]:
    final = final_ms(job)
    for event in job.got("lease", OK):
        assert event.reply is not None and event.got_ms is not None
        if event.sent_ms > final:
            yield f"handed out at {event.got_ms:.0f}, finished at {final:.0f}"
        if event.got_ms < job.due_ms - SLACK_MS:
            yield f"handed out at {event.got_ms:.0f}, due at {job.due_ms:.0f}"
        wanted = job.job_id, job.queue, str(job.ttr_ms), str(len(job.payload))
        if event.reply.head != wanted or event.reply.body != job.payload:
            yield f"handed out as another: {event.reply.head}"


def _finished(job: Job) -> Iterator[str]:
    """Once: what is acknowledged after the end was told is one end too many."""
    ends = job.got("complete", OK)
    fails = job.got("fail", OK)
    final = final_ms(job)
    leased = job.got("touch", OK) + job.got("release", OK)
    late = [event for event in ends + fails + leased if event.sent_ms > final]
    if late or len(ends) > 1 or len(fails) > max(job.max_fails, 1) - len(ends):
        yield f"finished {len(ends)} times, failed {len(fails)} times, {len(late)} times too late"


def _results(job: Job) -> Iterator[str]:
    final = final_ms(job)
    told = job.got("result", OK)
    heard = {(event.reply.head[1], event.reply.body) for event in told if event.reply}
    sent = {("1", event.body) for event in job.events if event.verb == "complete"}
    sent |= {("0", event.body) for event in job.events if event.verb == "fail"}
    acknowledged = {("1", event.body) for event in job.got("complete", OK)}
    if len(heard) > 1:
        yield f"its result changes: {heard}"
    if heard - (acknowledged or sent):
        yield f"a result that nobody gave, or not the acknowledged one: {heard}"
    for event in job.got("result", TIMEOUT):
        if event.sent_ms > final:
            yield f"its result is lost at {event.got_ms:.0f}, it was finished at {final:.0f}"


def _deleted(job: Job) -> Iterator[str]:
    gone = min(_ends(job.got("delete", OK)), default=float("inf"))
    for event in job.events:
        if event.sent_ms > gone and event.reply is not None and event.reply.status != NONE:
            yield f"deleted at {gone:.0f}, there at {event.got_ms:.0f}: {event.verb}"


def _inspected(job: Job) -> Iterator[str]:
    final = final_ms(job)
    for event in job.got("inspect", OK):
        assert event.reply is not None
        values = event.reply.values
        for key, verb in (("attempts", "lease"), ("fails", "fail")):
            least = sum(end < event.sent_ms for end in _ends(job.got(verb, OK)))
            if verb == "lease":  # each release may have taken one back
                least -= sum(one.verb == "release" for one in job.events)
            most = sum(one.verb == "fail" for one in job.events) if verb == "fail" else 1 << 30
            if not least <= int(values[key]) <= most:
                yield f"{key} {values[key]} at {event.got_ms:.0f}: acknowledged were {least}"
        if event.sent_ms > final and values["state"] not in (COMPLETED, FAILED):
            yield f"state {values['state']} at {event.got_ms:.0f}, finished at {final:.0f}"
        wanted = job.queue, str(len(job.payload)), str(job.priority), str(job.max_fails)
        found = tuple(values[key] for key in ("name", "payload-size", "priority", "max-fails"))
        if found != wanted or event.reply.body != job.payload:
            yield f"it has become another: {found} instead of {wanted}"


def order_problems(drained: list[Job]) -> Iterator[str]:
    """What is wrong with the order in which one client got jobs of one queue that were all ready
    before: priority, then when they were due, then when they came."""
    for first, second in pairwise(drained):
        if first.priority < second.priority:
            yield f"{first.job_id} came before {second.job_id}, which has priority"
        elif first.priority == second.priority:
            one, other = _span(first), _span(second)
            if one[0] > other[1] + SLACK_MS:
                yield (f"{first.job_id}, due at {one}, came before {second.job_id}, due at {other}")


def _span(job: Job) -> tuple[float, float]:
    """Between which times a job was due."""
    first = min((event for event in job.events if event.verb == "add"), key=lambda e: e.sent_ms)
    return max(first.sent_ms, job.due_ms), max(known_ms(job), job.due_ms)


@dataclass
class History:
    """Everything that all clients said and heard.

    Attributes:
        jobs: by id, in the order in which they were thought of.
        strange: replies that tell of jobs nobody thought of, and errors that no rule allows.
        replies: how many came.
        unanswered: how many did not.
        settled: of the jobs that were forgotten, how many requests of a kind had which answer.
        forgotten: how many jobs these are.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    replies: int = 0
    unanswered: int = 0
    settled: Counter[tuple[str, str]] = field(default_factory=Counter)
    forgotten: int = 0

    def count(self, verb: str, *statuses: str) -> int:
        """How many requests of a kind were answered with any of these."""
        forgotten = sum(self.settled[verb, status] for status in statuses)
        return forgotten + sum(len(job.got(verb, *statuses)) for job in self.jobs.values())

    def settle(self) -> list[str]:
        """Judge the jobs that have retired and forget them, so that hours fit into memory; their
        ids. Nobody may speak of them any more: if the server does, that is strange.
        """
        retired = [job for job in self.jobs.values() if job.retired]
        for job in retired:
            self.strange += problems(job)
            for event in job.events:
                if event.reply is not None:
                    self.settled[event.verb, event.reply.status] += 1
            del self.jobs[job.job_id]
        self.forgotten += len(retired)
        return [job.job_id for job in retired]

    def problems(self) -> list[str]:
        """Everything that is wrong, of the jobs that were spoken of since they retired too."""
        return self.strange + [one for job in self.jobs.values() for one in problems(job)]
