"""The engine: decides which transitions there shall be, and applies each at once.

Time comes in with `advance`, once a turn; whatever is done after it happens at that instant.
Two times come in (design 7): `now_ms` never steps back and drives TTL and TTR; the wall clock
(`now_ms + offset_ms`) decides when scheduled jobs are due. What was decided is in `commit` until
the broker takes it.

A method that takes a job takes one that is there; commands look it up with `find` first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from workq.engine import transitions
from workq.engine.calendar import NEVER, Calendar, Timer
from workq.engine.job import LEASED, PLAIN_OPTIONS, Hold, Job, Lease, Options, Schedule
from workq.engine.queue import Queue
from workq.engine.split import MASK, SHIFT
from workq.engine.state import APPLY, State
from workq.engine.transitions import Transition
from workq.limits import (
    CASCADES_PER_TURN_MAX,
    CLOCK_STEP_MS,
    DEADLINE_MS_MAX,
    DEADLINES_PER_TURN_MAX,
    HEAD_BURIES_MAX,
)

#: The low part of a lease token counts the leases of one epoch, the high part is the epoch.
TOKEN_EPOCH_SHIFT = 40


class Engine(State):
    """The state with everything that may be done to it.

    Args:
        epoch: the number of this start of the server; rises with each.

    Attributes:
        wall_ms: the wall clock at this instant.
        behind: whether deadlines that have come are still unfired, for want of budget. While it
            is so, lengths of queues are not what they should be; single jobs are, for `find` fires
            theirs first.
        late: whether some of these may make a job ready, so that nobody may be handed one. While
            only TTLs are unfired, `knows_heads` tells. The broker sets both for the rest of a turn
            that has handed out as much as it may.
        unclear: the queues of which this turn has not found the head. The next begins with who
            waits for their jobs, so that nobody overtakes.
        commit: the durable transitions made since the broker last took them.
        tally: how often each type of transition was made, foreground jobs included, by number.
        evicted: jobs that reached the end of their TTL unfinished since the start.
    """

    __slots__ = (
        "_buries_left",
        "_last_seq",
        "_last_token",
        "behind",
        "commit",
        "evicted",
        "late",
        "tally",
        "unclear",
        "wall_ms",
    )

    def __init__(self, epoch: int = 1) -> None:
        super().__init__()
        self.wall_ms = 0
        self.behind = False
        self.late = False
        self.unclear: dict[Queue[Job], None] = {}
        self._buries_left = 0
        self.commit: list[Transition] = []
        self.tally = [0] * (max(transitions.NAMES) + 1)
        self.evicted = 0
        self._last_seq = 0
        self._last_token = 0
        self.resume(epoch)

    def resume(self, epoch: int) -> None:
        """Go on from the state as it was replayed, as a new start of the server.

        Args:
            epoch: the number of this start, higher than that of any before.
        """
        self._last_seq = self.seq
        self._last_token = epoch << TOKEN_EPOCH_SHIFT
        for name in [name for name in self.shifted if name not in self.queues]:
            del self.shifted[name]  # it had jobs once, before this start

    # --- time ---------------------------------------------------------------------------------

    def advance(self, now_ms: int, offset_ms: int) -> None:
        """Let time come to `now_ms` and fire what is due, as much as one turn may.

        TTLs first, then TTRs, then holds, then schedules, so that one instant has one outcome. TTLs
        leave half of the turn to the others, on which it depends who gets which job.
        """
        assert now_ms >= self.now_ms, "now_ms never steps back"
        if self.behind:  # what has come by the wall clock has come, though it steps back now
            offset_ms = self.wall_ms - self.now_ms
        self.now_ms = now_ms
        self.wall_ms = wall_ms = now_ms + offset_ms
        self.behind = self.late = False
        if self.unclear:
            for queue in self.unclear:
                self.wake(queue)
            self.unclear.clear()
        if not -CLOCK_STEP_MS < offset_ms - self.offset_ms < CLOCK_STEP_MS:
            self._note_clock(offset_ms)
        if (
            self.expiries.soonest_ms <= now_ms
            or self.deadlines.soonest_ms <= now_ms
            or self.holds.soonest_ms <= now_ms
            or self.schedules.soonest_ms <= wall_ms
        ):
            self._sweep(now_ms, wall_ms)

    def _sweep(self, now_ms: int, wall_ms: int) -> None:
        """Fire what is due, as much as one turn may."""
        fires_max, moves_max = DEADLINES_PER_TURN_MAX, CASCADES_PER_TURN_MAX
        self._buries_left = fires_max
        others: tuple[tuple[Calendar[Any], int], ...] = (
            (self.deadlines, now_ms),
            (self.holds, now_ms),
            (self.schedules, wall_ms),
        )
        fires_kept, moves_kept = fires_max // 2, moves_max // 2
        for calendar, time_ms in ((self.expiries, now_ms), *others, (self.expiries, now_ms)):
            if calendar.soonest_ms <= time_ms:
                moves_max -= calendar.cascade(time_ms, moves_max - moves_kept)
                fires_max -= self._fire(calendar, time_ms, fires_max - fires_kept)
            fires_kept = moves_kept = 0
        self.late = any(calendar.is_due(time_ms) for calendar, time_ms in others)
        self.behind = self.late or self.expiries.is_due(now_ms)

    def _note_clock(self, offset_ms: int) -> None:
        """The wall clock was set, or has drifted by as much."""
        transition = (transitions.CLOCK, offset_ms)
        self.apply(transition)
        self.tally[transitions.CLOCK] += 1
        self.commit.append(transition)

    def next_ms(self) -> int:
        """When `advance` is wanted again at the latest, in `now_ms` terms; `NEVER` for never."""
        if self.behind:
            return self.now_ms
        soonest_ms = min(self.expiries.soonest_ms, self.deadlines.soonest_ms, self.holds.soonest_ms)
        if self.schedules.soonest_ms == NEVER:
            return soonest_ms
        return min(soonest_ms, self.schedules.soonest_ms - (self.wall_ms - self.now_ms))

    def _fire(self, calendar: Calendar[Any], time_ms: int, fires_max: int) -> int:
        """Fire what is due in a calendar, up to so many timers; return how many were."""
        for fired in range(fires_max):
            timer = calendar.first(time_ms)
            if timer is None:
                return fired
            self._fire_one(timer)
        return fires_max

    def _fire_one(self, timer: Timer) -> None:
        """Fire a timer that is due; of a job whose TTL has ended too, that comes first."""
        if isinstance(timer, Job):
            self._expire(timer)
        else:
            assert isinstance(timer, Lease | Hold)
            self._catch_up(timer.job)

    def find(self, job_id: bytes) -> Job | None:
        """The job of an id as it is at this instant, None if there is none."""
        job = self.jobs.parts[hash(job_id) >> SHIFT & MASK].get(job_id)
        if self.behind and job is not None:
            return self._catch_up(job)
        return job

    def _catch_up(self, job: Job) -> Job | None:
        """Fire what is overdue of one job; return it, None if it is gone then."""
        if _is_due(job, self.now_ms):
            self._expire(job)
            return None
        if _is_due(job.lease, self.now_ms):
            self._time_out(job)
        hold = job.hold
        if _is_due(hold, self.wall_ms if type(hold) is Schedule else self.now_ms):
            self._make((transitions.DUE, job.id), job)
        return job

    def knows_heads(self, names: Iterable[bytes]) -> bool:
        """Whether the next jobs of some queues are those that should be at this instant, though
        deadlines are unfired. Fires the TTLs of those that are over, as many as one turn may."""
        return not self.late and all(self._clear(self.queues.get(name)) for name in names)

    def _clear(self, queue: Queue[Job] | None) -> bool:
        """Let go of jobs that are over at the head of a queue; return whether none is left. What a
        turn does of this is shared by queues, not by those who ask."""
        if queue is None:
            return True
        if queue in self.unclear:
            return False
        for _ in range(HEAD_BURIES_MAX):
            job = queue.ready.first()
            if job is None or not _is_due(job, self.now_ms):
                return True
            if self._buries_left <= 0:
                break
            self._buries_left -= 1
            self._expire(job)
        self.unclear[queue] = None
        return False

    # --- what commands ask for ----------------------------------------------------------------

    def add(
        self,
        job_id: bytes,
        name: bytes,
        options: Options,
        payload: bytes,
        time_ms: int | None = None,
        delay_ms: int = 0,
    ) -> None:
        """Take a job in, whose id is not taken.

        Args:
            job_id: its id in canonical form.
            name: its queue.
            options: its options.
            payload: its payload.
            time_ms: when it is due by the wall clock; None for at once.
            delay_ms: in what time it is due, if it has no `time_ms`.
        """
        kind = transitions.ADDED
        now_ms = due_ms = expires_ms = self.now_ms
        if time_ms is not None:
            # From here on in terms of now_ms: deadlines and order do not follow the wall clock.
            scheduled_ms = time_ms - (self.wall_ms - now_ms)
            due_ms = max(scheduled_ms, now_ms)
            expires_ms = scheduled_ms
        elif delay_ms:
            kind = transitions.DELAYED
            due_ms += delay_ms
        expires_ms += options.ttl_ms
        self._last_seq = seq = self._last_seq + 1
        transition = (
            kind,
            seq,
            job_id,
            name,
            now_ms,
            due_ms,
            expires_ms if expires_ms <= DEADLINE_MS_MAX else None,
            options,
            time_ms,
            payload,
        )
        APPLY[kind](self, transition, None)
        self.tally[kind] += 1
        self.commit.append(transition)

    def start(self, job_id: bytes, name: bytes, options: Options, payload: bytes) -> Job:
        """Take a foreground job in, whose id is not taken: it lives while its caller waits."""
        self._last_seq = seq = self._last_seq + 1
        kind, now_ms = transitions.STARTED, self.now_ms
        self.apply((kind, seq, job_id, name, now_ms, now_ms, None, options, None, payload))
        self.tally[kind] += 1
        job = self.jobs.get(job_id)
        assert job is not None
        return job

    def head(self, name: bytes) -> Job | None:
        """The job of a queue that is next to be leased, None if there is none. While the engine is
        behind, ask `knows_heads` before; for `choose` and `in_turn` too."""
        queue = self.queues.parts[hash(name) >> SHIFT & MASK].get(name)
        return None if queue is None else queue.ready.first()

    def choose(self, names: Iterable[bytes]) -> Job | None:
        """The job to lease from several queues: of those that have one, the queue that was
        chosen from longest ago, so that no name starves."""
        chosen: Queue[Job] | None = None
        for name in names:
            queue = self.queues.get(name)
            if queue is not None and queue.ready.size:
                if chosen is None or queue.served < chosen.served:
                    chosen = queue
        return None if chosen is None else chosen.ready.first()

    def in_turn(self, names: Iterable[bytes]) -> Iterator[Job]:
        """The jobs that `choose` would choose one after the other, each of which is leased before
        the next is asked for. The queues are looked at once for all of them."""
        queues = [queue for name in names if (queue := self.queues.get(name)) is not None]
        queues.sort(key=lambda queue: queue.served)
        line = deque(queue for queue in queues if queue.ready.size)
        while line:
            queue = line.popleft()
            if self.behind and not self._clear(queue):
                continue  # fewer than there are, rather than one that is over
            if (job := queue.ready.first()) is not None:
                yield job
            if queue.ready.size:
                line.append(queue)  # served last of all

    def lease(self, job: Job) -> int:
        """Lease a job that is ready; return the token."""
        self.served += 1
        job.queue.served = self.served
        self._last_token = token = self._last_token + 1
        self._make(
            (transitions.LEASED, job.id, token, self.now_ms + job.options.ttr_ms),
            job,
        )
        return token

    def give_back(self, job_id: bytes, token: int) -> None:
        """Undo a lease that never reached its worker, if it still stands."""
        job = self.find(job_id)
        if job is not None and job.lease is not None and job.lease.token == token:
            self._make((transitions.RETURNED, job.id, transitions.GIVEN_BACK), job)

    def release(self, job: Job) -> None:
        """End the lease of a job that is leased, as if it had never been."""
        self._make((transitions.RETURNED, job.id, transitions.GIVEN_BACK), job)

    def touch(self, job: Job, ttr_ms: int) -> None:
        """Let the lease of a job that is leased end in so much time from now."""
        self._make((transitions.TOUCHED, job.id, self.now_ms + ttr_ms), job)

    def complete(self, job: Job, result: bytes) -> None:
        """Finish a job that is not finished, with success."""
        self._make((transitions.COMPLETED, job.id, result), job)

    def fail(
        self, job: Job, result: bytes, delay_ms: int | None = None, final: bool = False
    ) -> None:
        """Count a failure of a job that is not finished; the last one it may have finishes it.

        Args:
            job: the job.
            result: kept if that finishes it.
            delay_ms: how long it is held back if it comes back; None for as its options say.
            final: whether this is the last failure whatever its options say.
        """
        if final or job.fails + 1 >= job.options.max_fails or _exhausted(job):
            self._make((transitions.FAILED, job.id, transitions.FAILURE, result), job)
        elif delay_ms or len(job.options) > PLAIN_OPTIONS:
            self._return(job, transitions.FAILURE, self.now_ms, delay_ms)
        else:  # what `_return` would do, by the short way: this is the usual case
            self._make((transitions.RETURNED, job.id, transitions.FAILURE), job)

    def delete(self, job: Job) -> None:
        """Remove a job."""
        self._make((transitions.DELETED, job.id), job)

    # --- how it is done -----------------------------------------------------------------------

    def _make(self, transition: Transition, job: Job) -> None:
        """Apply a transition of a job and, unless it runs in the foreground, commit it."""
        kind = transition[0]
        APPLY[kind](self, transition, job)  # what `apply` does, without looking the job up
        self.tally[kind] += 1
        if not job.foreground:
            self.commit.append(transition)

    def _expire(self, job: Job) -> None:
        if not job.finished:
            self.evicted += 1
        self._make((transitions.EXPIRED, job.id), job)

    def _time_out(self, job: Job) -> None:
        if _exhausted(job):
            self._make((transitions.FAILED, job.id, transitions.TIMED_OUT, b""), job)
        else:
            assert job.lease is not None and job.lease.at_ms is not None
            self._return(job, transitions.TIMED_OUT, job.lease.at_ms)

    def _return(self, job: Job, reason: int, ended_ms: int, delay_ms: int | None = None) -> None:
        """Count a failure or a lost lease, after which a job comes back, at once or held back.

        Args:
            job: the job; one that is not leased stays where it is.
            reason: of the transition.
            ended_ms: from when on it is held back: not when the sweep came to it.
            delay_ms: how long; None for as its options say.
        """
        if delay_ms is None:
            delay_ms = job.options.retry_ms(job.fails + job.timeouts + 1)
        until_ms = ended_ms + delay_ms
        if job.lease is None or until_ms <= self.now_ms:
            self._make((transitions.RETURNED, job.id, reason), job)
        else:
            self._make((transitions.RETURNED, job.id, reason, until_ms), job)


def _is_due(timer: Timer | None, time_ms: int) -> bool:
    return timer is not None and timer.at_ms is not None and timer.at_ms <= time_ms


def _exhausted(job: Job) -> bool:
    """Whether the end of this lease is the end of the attempts."""
    limit = job.options.max_attempts
    return job.state is LEASED and 0 < limit <= job.attempts
