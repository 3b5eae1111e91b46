"""The state, and the one function that changes it.

Every durable change is a transition (`workq.engine.transitions`) and happens in `State.apply`,
on the live path and at replay alike; there in `State.apply_all`, which does the same to many at a
time. Applying decides nothing: whoever makes a transition has looked at the state before. What kind
each field is stands in `workq.engine.fields`.
"""

from __future__ import annotations

import reprlib  # of what is long or deep it shows the beginning only
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from typing import Any

from workq.engine import transitions
from workq.engine.calendar import Calendar
from workq.engine.fitting import (
    BEFORE,
    HELD,
    TransitionError,
    is_counted_only,
    is_whole,
    unfit,
)
from workq.engine.job import (
    COMPLETED,
    FAILED,
    GONE,
    LEASED,
    READY,
    SCHEDULED,
    STATES,
    Hold,
    Job,
    Lease,
    Schedule,
)
from workq.engine.queue import Queue
from workq.engine.split import MASK, SHIFT, SplitDict
from workq.engine.transitions import Transition


class State:
    """All jobs, and what follows from them.

    Attributes:
        jobs: every job by id.
        seq, token: the highest number given by a transition so far.
        applied_seq: the number of the job that `apply` has made last.
        offset_ms: what the wall clock was ahead of the time that never steps when that last
            changed by much: with it, the next start goes on where time had come to.
        queues: every queue that has a job, by name.
        expiries, deadlines, holds, schedules: when TTLs, leases, delays and schedules end; the
            last by the wall clock.
        resting: the number of jobs in each state but ready, which is what is left.
        size, queue_count: how many jobs there are, and how many queues have one.
        held_bytes: payloads and results together.
        awaited: the names somebody waits for; `woken` collects their queues when a job gets
            ready there, `changed` the watched jobs that finished, came back or went. Both are
            emptied by the broker.
        shifted: names of queues that got their first job or lost their last, in that order;
            emptied by the broker.
    """

    # With slots, for CPython shares the names of no more than 29 attributes among instances: one
    # more, and each use of any costs a look-up (a twentieth of a request).
    __slots__ = (
        "applied_seq",
        "awaited",
        "changed",
        "deadlines",
        "expiries",
        "held_bytes",
        "holds",
        "jobs",
        "now_ms",
        "offset_ms",
        "queue_count",
        "queues",
        "resting",
        "schedules",
        "seq",
        "served",
        "shifted",
        "size",
        "token",
        "woken",
    )

    def __init__(self) -> None:
        self.jobs: SplitDict[Job] = SplitDict()
        self.seq = 0
        self.token = 0
        self.applied_seq = 0
        self.offset_ms = 0
        self.queues: SplitDict[Queue[Job]] = SplitDict()
        self.expiries: Calendar[Job] = Calendar()
        self.deadlines: Calendar[Lease] = Calendar()
        self.holds: Calendar[Hold] = Calendar()
        self.schedules: Calendar[Schedule] = Calendar()
        self.resting = {SCHEDULED: 0, LEASED: 0, COMPLETED: 0, FAILED: 0}
        self.size = 0
        self.queue_count = 0
        self.held_bytes = 0
        self.now_ms = 0
        self.served = 0
        self.awaited: Container[bytes] = ()
        self.woken: list[Queue[Job]] = []
        self.changed: list[Job] = []
        self.shifted: OrderedDict[bytes, None] = OrderedDict()

    @property
    def counts(self) -> dict[str, int]:
        """The number of jobs in each state, in the order of their life."""
        ready = self.size - sum(self.resting.values())
        return {
            SCHEDULED: self.resting[SCHEDULED],
            READY: ready,
            LEASED: self.resting[LEASED],
            COMPLETED: self.resting[COMPLETED],
            FAILED: self.resting[FAILED],
        }

    def apply(self, transition: Transition, job: Job | None = None) -> None:
        """Make one durable change, if it fits.

        Who has just decided that it happens has looked at the state, and takes `APPLY`.

        Args:
            transition: what happens.
            job: the job it happens to, from who has it at hand; else it is looked up.

        Raises:
            TransitionError: it cannot happen to the state as it is, which has not changed.
        """
        kind = transition[0]
        before = BEFORE.get(kind)
        if before is not None:
            if job is None:
                job_id = transition[1]
                job = self.jobs.parts[hash(job_id) >> SHIFT & MASK].get(job_id)
                if job is None:
                    raise unfit(transition, "is not there")
            if job.state not in before and not is_counted_only(transition, job):
                raise unfit(transition, f"is {job.state}")
            if kind in HELD and (job.hold is not None) != HELD[kind]:
                raise unfit(transition, "is held back" if job.hold else "is not held back")
            if kind == transitions.LEASED and transition[2] <= self.token:
                raise TransitionError(f"{reprlib.repr(transition)} goes back")
        elif kind == transitions.COUNTERS:
            if transition[1] < self.seq or transition[2] < self.token:
                raise TransitionError(f"{reprlib.repr(transition)} goes back")
        elif kind != transitions.CLOCK:
            job_id = transition[2]
            if job_id in self.jobs.parts[hash(job_id) >> SHIFT & MASK]:
                raise unfit(transition, "is there already")
            restores = kind == transitions.RESTORED
            if restores and not is_whole(transition):
                raise unfit(transition, "fits no state")
            timed = transition[8] is not None or transition[5] == transition[4]
            if timed == (kind == transitions.DELAYED) and not restores:
                raise unfit(transition, "has no time, or one too many")
            # Those of a snapshot come in their order too, though how far they go is known before.
            if transition[1] <= (self.applied_seq if restores else self.seq):
                raise TransitionError(f"{reprlib.repr(transition)} goes back")
            self.applied_seq = transition[1]
        APPLY[kind](self, transition, job)

    def apply_all(self, records: Iterable[Transition]) -> None:
        """Make durable changes one after the other, as `apply` does: this is the way of replay.

        Most of them hand jobs in that are ready at once. Such a job is made here, and put where it
        belongs together with those around it: half the time. All else goes through `apply`.

        Args:
            records: what happens, in order.

        Raises:
            TransitionError: one cannot happen; those before it have.
        """
        fresh: list[Job] = []
        by_name: dict[bytes, tuple[Queue[Job], list[Job]]] = {}
        parts = self.jobs.parts
        for record in records:
            kind = record[0]
            if kind == transitions.ADDED:
                attempts = fails = timeouts = 0
                _, seq, job_id, name, created_ms, due_ms, at_ms, options, time_ms, payload = record
                plain = due_ms == created_ms and seq > self.seq
            elif kind == transitions.RESTORED and len(record) == _RESTORED_LENGTH:
                (
                    _, seq, job_id, name, created_ms, due_ms, at_ms, options, time_ms, payload,
                    number, attempts, fails, timeouts, _, deadline_ms, result,
                ) = record  # fmt: skip
                plain = number == _READY_NUMBER and type(number) is int and due_ms == created_ms
                plain = plain and deadline_ms is None and result is None and seq > self.applied_seq
            else:
                self._place(fresh, by_name)
                self.apply(record)
                continue
            if plain and job_id not in (part := parts[hash(job_id) >> SHIFT & MASK]):
                found = by_name.get(name)
                if found is None:
                    queue = self.queues.get(name) or self._begun(name)
                    found = by_name[name] = queue, []
                queue, jobs = found
                job = part[job_id] = Job(
                    seq, job_id, queue, options, payload, created_ms, due_ms, at_ms, time_ms, False
                )
                job.state = READY
                job.attempts, job.fails, job.timeouts = attempts, fails, timeouts
                self.applied_seq = seq
                if seq > self.seq:
                    self.seq = seq
                jobs.append(job)
                fresh.append(job)
            else:
                self._place(fresh, by_name)
                self.apply(record)
        self._place(fresh, by_name)

    def _place(self, jobs: list[Job], by_name: dict[bytes, tuple[Queue[Job], list[Job]]]) -> None:
        """Put jobs that were made, and are ready, where they belong; nothing is in the lists then.

        Args:
            jobs: in the order they came.
            by_name: the same, of each queue.
        """
        if not jobs:
            return
        for queue, its_jobs in by_name.values():
            queue.size += len(its_jobs)
            queue.ready.add_all(its_jobs)
            if queue.name in self.awaited:
                self.wake(queue)
        self.size += len(jobs)
        self.held_bytes += sum([len(job.payload) for job in jobs])
        self.expiries.set_all([job for job in jobs if job.at_ms is not None], self.now_ms)
        jobs.clear()
        by_name.clear()

    # --- one function for each type of transition ---------------------------------------------

    def _added(self, transition: Transition, _: None) -> None:
        kind, seq, job_id, name, created_ms, due_ms, expires_ms, options, time_ms, payload = (
            transition
        )
        queue = self.queues.parts[hash(name) >> SHIFT & MASK].get(name)
        if queue is None:
            queue = self._begun(name)
        foreground = kind == _STARTED
        job = Job(
            seq,
            job_id,
            queue,
            options,
            payload,
            created_ms,
            due_ms,
            expires_ms,
            time_ms,
            foreground,
        )
        if not foreground:
            self.seq = seq
        queue.size += 1
        self.jobs.parts[hash(job_id) >> SHIFT & MASK][job_id] = job
        self.size += 1
        self.held_bytes += len(payload)
        if expires_ms is not None:
            self.expiries.set(job, self.now_ms)
        if due_ms == created_ms:
            self._make_ready(job)
        else:
            self.resting[SCHEDULED] += 1
            if time_ms is None:
                self._hold_back(job, due_ms)
            else:
                queue.scheduled.add(job)
                job.hold = schedule = Schedule(job, time_ms)
                self.schedules.set(schedule, self.now_ms)

    def _restored(self, transition: Transition, _: None) -> None:
        """A job as it stood: put in first as one that is new, then into its state."""
        given, token = self.seq, transition[14]
        self._added((transitions.ADDED, *transition[1:10]), None)
        job = self.jobs.get(transition[2])
        assert job is not None
        self.seq = max(given, self.seq)  # later numbers may have been of jobs that are gone
        _, job.attempts, job.fails, job.timeouts = transition[10:14]
        state, result = STATES[transition[10]], transition[16]
        hold_until_ms = transition[17] if len(transition) > 17 else None
        if state == job.state and (hold_until_ms is None or state == SCHEDULED):
            return
        if state == READY:
            self._leave(job)
            self._come_back(job, hold_until_ms)
        elif state == LEASED:
            self._leave(job)
            self._lend(job, token, transition[15])
        else:
            self._finish(job, state, result)

    def _counters(self, transition: Transition, _: None) -> None:
        _, self.seq, self.token = transition

    def _clock(self, transition: Transition, _: None) -> None:
        self.offset_ms = transition[1]

    def _due(self, transition: Transition, job: Job) -> None:
        self._leave(job)
        self._make_ready(job)

    def _leased(self, transition: Transition, job: Job) -> None:
        _, _, token, deadline_ms = transition
        job.queue.ready.remove(job)
        job.attempts += 1
        self._lend(job, token, deadline_ms)
        if not job.foreground:
            self.token = token

    def _lend(self, job: Job, token: int, deadline_ms: int) -> None:
        job.state = LEASED
        self.resting[LEASED] += 1
        job.lease = lease = Lease(job, token, deadline_ms)
        self.deadlines.set(lease, self.now_ms)

    def _returned(self, transition: Transition, job: Job) -> None:
        _count(job, transition[2])
        if job.lease is not None:
            self._leave(job)
            if len(transition) == 3:
                self._make_ready(job)
            else:
                self._come_back(job, transition[3])
            if job.watchers:
                self.changed.append(job)

    def _touched(self, transition: Transition, job: Job) -> None:
        lease = job.lease
        assert lease is not None
        lease.unset()
        lease.at_ms = transition[2]
        self.deadlines.set(lease, self.now_ms)

    def _completed(self, transition: Transition, job: Job) -> None:
        self._finish(job, COMPLETED, transition[2])

    def _failed(self, transition: Transition, job: Job) -> None:
        _count(job, transition[2])
        self._finish(job, FAILED, transition[3])

    def _removed(self, transition: Transition, job: Job) -> None:
        self._leave(job)
        if job.finished:
            self.resting[job.state] -= 1
        job.unset()
        self.jobs.remove(job.id)
        self.size -= 1
        self.held_bytes -= len(job.payload) + len(job.result or b"")
        job.state = GONE
        queue = job.queue
        queue.size -= 1
        if not queue.size:
            self.queues.remove(queue.name)
            self.queue_count -= 1
            self._shift(queue.name)
        if job.watchers:
            self.changed.append(job)

    # --- what they share ----------------------------------------------------------------------

    def _begun(self, name: bytes) -> Queue[Job]:
        """A new queue, which gets a job."""
        queue: Queue[Job] = Queue(name, self.served)
        self.queues.add(name, queue)
        self.queue_count += 1
        self._shift(name)
        return queue

    def _shift(self, name: bytes) -> None:
        self.shifted[name] = None
        self.shifted.move_to_end(name)

    def _make_ready(self, job: Job) -> None:
        job.state = READY
        queue = job.queue
        queue.ready.add(job)
        if queue.name in self.awaited:
            self.wake(queue)

    def _come_back(self, job: Job, hold_until_ms: int | None) -> None:
        """Let a job be leased again, at once or after its delay; its place is the same."""
        if hold_until_ms is None:
            self._make_ready(job)
        else:
            job.state = READY
            self._hold_back(job, hold_until_ms)

    def _hold_back(self, job: Job, until_ms: int) -> None:
        """Keep a job from being leased for a while: with those that wait for their time."""
        job.queue.scheduled.add(job)
        job.hold = hold = Hold(job, until_ms)
        self.holds.set(hold, self.now_ms)

    def wake(self, queue: Queue[Job]) -> None:
        """Have those served who wait for a job of a queue that has one."""
        if not queue.woken:
            queue.woken = True
            self.woken.append(queue)

    def _finish(self, job: Job, state: str, result: bytes) -> None:
        self._leave(job)
        job.state = state
        self.resting[state] += 1
        job.result = result
        self.held_bytes += len(result)
        if job.watchers:
            self.changed.append(job)

    def _leave(self, job: Job) -> None:
        """Take a job out of whatever its state has put it in; a finished one is in nothing."""
        state = job.state
        if state is READY:
            if job.hold is None:
                job.queue.ready.remove(job)
            else:
                self._let_go(job)
        elif state is LEASED:
            assert job.lease is not None
            self.resting[LEASED] -= 1
            job.lease.unset()
            job.lease = None
        elif state is SCHEDULED:
            self.resting[SCHEDULED] -= 1
            self._let_go(job)

    def _let_go(self, job: Job) -> None:
        """Hold a job back no longer."""
        hold = job.hold
        assert hold is not None
        job.queue.scheduled.remove(job)
        hold.unset()
        job.hold = None


def _count(job: Job, reason: int) -> None:
    if reason == transitions.TIMED_OUT:
        job.timeouts += 1
    elif reason == transitions.FAILURE:
        job.fails += 1
    else:
        job.attempts -= 1


_STARTED = transitions.STARTED
_READY_NUMBER = STATES.index(READY)
_RESTORED_LENGTH = 17  # without `hold_until_ms`

APPLY: dict[int, Callable[[State, Transition, Any], None]] = {
    transitions.ADDED: State._added,
    transitions.DUE: State._due,
    transitions.LEASED: State._leased,
    transitions.RETURNED: State._returned,
    transitions.COMPLETED: State._completed,
    transitions.FAILED: State._failed,
    transitions.EXPIRED: State._removed,
    transitions.DELETED: State._removed,
    transitions.STARTED: State._added,
    transitions.RESTORED: State._restored,
    transitions.COUNTERS: State._counters,
    transitions.TOUCHED: State._touched,
    transitions.DELAYED: State._added,
    transitions.CLOCK: State._clock,
}
