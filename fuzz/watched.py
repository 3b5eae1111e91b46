"""An engine whose leases and results are written down, and the law its commits must keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workq.engine import transitions
from workq.engine.engine import Engine
from workq.engine.job import FAILED, READY, Job
from workq.engine.transitions import Transition


class Watched(Engine):
    """The engine, as far as what it is asked for can be seen.

    Attributes:
        leases: the entry of a reply that tells of each lease ever given, by token, on version 1;
            and on version 2.
        given_back: the tokens of the leases that were undone.
        results: everything that was ever a job's result, as (id, success, result).
    """

    def __init__(self) -> None:
        super().__init__()
        self.leases: dict[int, tuple[bytes, bytes]] = {}
        self.given_back: set[int] = set()
        self.results: set[tuple[bytes, int, bytes]] = set()

    def lease(self, job: Job) -> int:
        """A job goes to one only: it was ready, and its time to live is not over."""
        assert job.state is READY
        assert job.lease is None
        assert job.hold is None
        assert job.at_ms is None or job.at_ms > self.now_ms or job.created_ms == self.now_ms
        token = super().lease(job)
        assert token not in self.leases
        payload = job.payload
        head = b"%b %b %d %d" % (job.id, job.queue.name, job.options.ttr_ms, len(payload))
        attributes = b" token=%d attempt=%d" % (token, job.attempts)
        end = b"\r\n%b\r\n" % payload
        self.leases[token] = head + end, head + attributes + end
        return token

    def give_back(self, job_id: bytes, token: int) -> None:
        """Note whose lease is undone."""
        self.given_back.add(token)
        super().give_back(job_id, token)

    def release(self, job: Job) -> None:
        """A lease given back by its worker costs nothing."""
        before = job.attempts, job.fails, job.timeouts
        super().release(job)
        assert (job.attempts + 1, job.fails, job.timeouts) == before

    def touch(self, job: Job, ttr_ms: int) -> None:
        """It is the same lease, and nothing is counted."""
        lease, before = job.lease, (job.attempts, job.fails, job.timeouts)
        assert lease is not None
        token = lease.token
        super().touch(job, ttr_ms)
        assert (job.attempts, job.fails, job.timeouts) == before
        assert job.lease is not None
        assert job.lease.token == token
        assert job.lease.at_ms == self.now_ms + ttr_ms

    def complete(self, job: Job, result: bytes) -> None:
        """The first result counts."""
        assert not job.finished
        super().complete(job, result)
        self.results.add((job.id, 1, result))

    def fail(
        self, job: Job, result: bytes, delay_ms: int | None = None, final: bool = False
    ) -> None:
        """A failure that is not final has no result; the delay it names is kept to."""
        assert not job.finished
        leased = job.lease is not None
        super().fail(job, result, delay_ms, final)
        assert not final or job.state is FAILED
        if delay_ms and leased and job.state is READY:
            assert job.hold_until_ms == self.now_ms + delay_ms
        if job.state is FAILED:
            self.results.add((job.id, 0, result))


@dataclass(slots=True)
class Life:
    """What the commits have told of a job so far."""

    state: str
    created_ms: int
    expires_ms: int | None
    options: Any
    time_ms: int | None
    deadline_ms: int = 0
    attempts: int = 0
    fails: int = 0
    timeouts: int = 0
    hold_until_ms: int | None = None

    @property
    def exhausted(self) -> bool:
        """Whether its attempts are used up."""
        return bool(0 < self.options.max_attempts <= self.attempts)


class Law:
    """What may follow what, and when: nothing happens early, twice, or to a job that is gone.

    Attributes:
        results: as `Watched.results`, of the jobs that failed by time.
    """

    def __init__(self) -> None:
        self.results: set[tuple[bytes, int, bytes]] = set()
        self._lives: dict[bytes, Life] = {}
        self._seq = 0
        self._token = 0

    def judge(self, commit: Iterable[Transition], now_ms: int, wall_ms: int) -> None:
        """Look at the commit of one turn."""
        for transition in commit:
            kind = transition[0]
            if kind == transitions.CLOCK:
                continue
            if kind in (transitions.ADDED, transitions.DELAYED):
                self._added(transition, now_ms)
                continue
            job_id = transition[1]
            life = self._lives[job_id]
            if kind != transitions.EXPIRED and life.created_ms < now_ms:
                assert life.expires_ms is None or life.expires_ms > now_ms, "it had to go first"
            if kind == transitions.DUE:
                _due(life, now_ms, wall_ms)
            elif kind == transitions.LEASED:
                self._leased(transition, life, now_ms)
            elif kind == transitions.RETURNED:
                _returned(transition, life, now_ms)
            elif kind == transitions.TOUCHED:
                assert life.state == "leased"
                assert transition[2] > now_ms
                life.deadline_ms = transition[2]
            elif kind == transitions.COMPLETED:
                assert life.state != "finished"
                life.state = "finished"
            elif kind == transitions.FAILED:
                self._failed(transition, life, now_ms)
            else:
                assert kind in (transitions.EXPIRED, transitions.DELETED)
                if kind == transitions.EXPIRED:
                    assert life.expires_ms is not None and life.expires_ms <= now_ms
                del self._lives[job_id]

    def _added(self, transition: Transition, now_ms: int) -> None:
        kind, seq, job_id, _, created_ms, due_ms, expires_ms, options, time_ms, _ = transition
        assert job_id not in self._lives
        assert seq > self._seq
        assert created_ms == now_ms <= due_ms
        self._seq = seq
        state = "ready" if due_ms == created_ms else "scheduled"
        life = self._lives[job_id] = Life(state, created_ms, expires_ms, options, time_ms)
        if kind == transitions.DELAYED:
            assert time_ms is None
            life.hold_until_ms = due_ms

    def _leased(self, transition: Transition, life: Life, now_ms: int) -> None:
        _, _, token, deadline_ms = transition
        assert life.state == "ready"
        assert life.hold_until_ms is None, "a retry is early"
        assert token > self._token
        assert deadline_ms == now_ms + life.options.ttr_ms
        self._token = token
        life.state = "leased"
        life.deadline_ms = deadline_ms
        life.attempts += 1

    def _failed(self, transition: Transition, life: Life, now_ms: int) -> None:
        _, job_id, reason, result = transition
        assert life.state != "finished"
        if reason == transitions.TIMED_OUT:
            assert life.state == "leased"
            assert life.deadline_ms <= now_ms
            assert life.exhausted
            assert result == b""
            self.results.add((job_id, 0, b""))
        else:
            assert life.state != "finished"  # it may be final by its options, or by itself
        life.state = "finished"


def _due(life: Life, now_ms: int, wall_ms: int) -> None:
    if life.hold_until_ms is not None:
        assert life.hold_until_ms <= now_ms, "a retry is early"
        assert life.state in ("scheduled", "ready")
        life.hold_until_ms = None
    else:
        assert life.state == "scheduled"
        assert life.time_ms is not None and life.time_ms <= wall_ms
    life.state = "ready"


def _returned(transition: Transition, life: Life, now_ms: int) -> None:
    leased = life.state == "leased"
    reason, hold_until_ms = transition[2], transition[3] if len(transition) > 3 else None
    assert hold_until_ms is None or (leased and hold_until_ms > now_ms)
    assert hold_until_ms is None or reason != transitions.GIVEN_BACK
    if reason == transitions.TIMED_OUT:
        assert leased
        assert life.deadline_ms <= now_ms
        assert not life.exhausted
        life.timeouts += 1
        free_ms = life.deadline_ms + life.options.retry_ms(life.fails + life.timeouts)
        assert hold_until_ms == (free_ms if free_ms > now_ms else None)
    elif reason == transitions.GIVEN_BACK:
        assert leased
        life.attempts -= 1
    else:
        assert life.state != "finished"
        assert life.fails + 1 < life.options.max_fails
        assert not (leased and life.exhausted)
        life.fails += 1
    if leased:
        life.state = "ready"
        life.hold_until_ms = hold_until_ms
