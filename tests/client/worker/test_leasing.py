"""How a worker takes jobs and how it ends, in virtual time: bounds that would take long else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from workq_client import Worker
from workq_client.limits import (
    CONCURRENCY,
    GRACE_S,
    HEALTH_S,
    HEALTHY_S,
    INTERRUPTED_S,
    KEEP_S,
    LAST_REPORTS_S,
    LEASE_COUNT_MAX,
    LEASE_PAUSE_S,
    LEASE_WAIT_S,
    PREFETCH_MAX,
    PREFETCH_S,
    REPORT_AGAIN_S,
    SHUTDOWN_S,
    STOP_NOW_S,
    WORKER_TIMEOUT_S,
)
from workq_client.worker import leasing

NO_MEMORY = b"-SERVER-ERROR Out of memory\r\n"


class Busy:
    """A worker whose handlers take so long, and what one sees of them.

    Args:
        virtual: the world that it is in.
        jobs: how many there are for it.
        takes_s: how long each takes.
        settings: of the worker.

    Attributes:
        begun: how many have.
        running: how many run at most.
        held: how many jobs it had taken and not finished at most.
    """

    def __init__(self, virtual, jobs, takes_s, **settings):
        self.worker = Worker(pool="tasks", **settings)
        self.begun = self.running = self.held = self._now = self._ended = 0
        self._peer = virtual.peer
        self._peer.jobs = self._jobs = jobs
        self._takes_s = takes_s
        self.worker.job("q")(self.handle)

    async def handle(self, payload: bytes) -> None:
        """Take so long."""
        self.begun += 1
        self._now += 1
        self.running = max(self.running, self._now)
        self.held = max(self.held, self._jobs - self._peer.jobs - self._ended)
        try:
            await asyncio.sleep(self._takes_s)
        finally:
            self._now -= 1
            self._ended += 1


def test_so_many_handlers_run_at_a_time_unless_told_otherwise(virtual):
    """CONCURRENCY: the others wait for their turn, on the server."""
    busy = Busy(virtual, 3 * CONCURRENCY, 10)
    assert virtual.work(busy.worker, 5)
    assert busy.running == CONCURRENCY
    assert virtual.peer.jobs == 2 * CONCURRENCY


def test_a_lease_is_for_so_many_jobs(virtual):
    """LEASE_COUNT_MAX, though there is room for more: the server gives no more."""
    busy = Busy(virtual, 1000, 10, concurrency=2 * LEASE_COUNT_MAX + 50)
    assert virtual.work(busy.worker, 5)
    counts = [words[-1] for _, words in virtual.peer.told("lease")]
    assert counts[:3] == [f"-count={LEASE_COUNT_MAX}"] * 2 + ["-count=50"]


def test_so_many_jobs_are_taken_ahead_as_are_done_in_a_moment(virtual):
    """PREFETCH_S: here ten each hundredth of a second, and somewhat less."""
    busy = Busy(virtual, 10_000, 0.01)
    assert virtual.work(busy.worker, 0.9)
    assert 0 < busy.held - CONCURRENCY <= CONCURRENCY / 0.01 * PREFETCH_S


def test_so_many_jobs_are_taken_ahead_however_fast_they_are(virtual):
    """PREFETCH_MAX."""
    virtual.peer.latency_s = 0.0001
    busy = Busy(virtual, 10_000, 0.001)
    assert virtual.work(busy.worker, 0.3)
    assert PREFETCH_MAX <= busy.held <= CONCURRENCY + PREFETCH_MAX


def test_a_lease_waits_so_long_and_its_connection_may_be_silent_a_second_longer(virtual):
    """LEASE_WAIT_S and GRACE_S: then there is another one, which takes less than two seconds."""
    virtual.peer.alike["lease"] = b""
    assert virtual.work(Busy(virtual, 0, 0).worker, 5)
    assert {words[2] for _, words in virtual.peer.told("lease")} == {f"{LEASE_WAIT_S * 1000:.0f}"}
    times = virtual.peer.times("lease")
    assert len(times) == 4
    for earlier, later in pairwise(times):
        assert later - earlier == pytest.approx(LEASE_WAIT_S + GRACE_S)


def test_a_worker_pauses_so_long_after_a_lease_that_failed(virtual):
    """LEASE_PAUSE_S, shortened by chance, and up to half."""
    virtual.peer.alike["lease"] = NO_MEMORY
    assert virtual.work(Busy(virtual, 0, 0).worker, 20)
    times = virtual.peer.times("lease")
    pauses = [later - earlier - virtual.peer.latency_s for earlier, later in pairwise(times)]
    assert max(pauses) <= LEASE_PAUSE_S + 1e-6
    assert min(pauses) >= LEASE_PAUSE_S / 2 - 1e-6


def test_a_call_that_gets_no_answer_is_made_anew_on_another_connection(virtual):
    """WORKER_TIMEOUT_S, but for leases, and the pause behind a report that failed."""
    virtual.peer.alike["complete"] = b""
    assert not virtual.work(Busy(virtual, 1, 0).worker, 4)
    times = virtual.peer.times("complete")
    assert len(times) > 2
    for earlier, later in pairwise(times):
        assert later - earlier == pytest.approx(WORKER_TIMEOUT_S + REPORT_AGAIN_S)


def test_so_many_results_may_wait_before_no_more_jobs_are_taken(virtual, monkeypatch):
    """REPORTS_WAITING_MAX, and those jobs that it has then. It goes on behind them."""
    monkeypatch.setattr(leasing, "REPORTS_WAITING_MAX", 30)
    virtual.peer.alike["complete"] = NO_MEMORY
    busy = Busy(virtual, 1000, 0.001, prefetch=0)
    virtual.later(3, virtual.peer.alike.clear)
    begun = []
    virtual.later(2.9, lambda: begun.append(busy.begun))
    assert virtual.work(busy.worker, 6)
    assert 30 <= begun[0] < 30 + CONCURRENCY
    assert busy.begun == 1000


def test_a_server_counts_as_reachable_so_long_after_its_last_answer(virtual):
    """HEALTHY_S."""
    busy = Busy(virtual, 0, 0)
    seen = {}

    def fall_silent():
        virtual.peer.alike.update(lease=b"", ping=b"")

    def look(after_s):
        conductor = busy.worker._conductor
        assert conductor is not None
        seen[after_s] = conductor.trouble

    virtual.later(1, fall_silent)
    for after_s in (HEALTHY_S - 0.01, HEALTHY_S + LEASE_WAIT_S + 0.01):
        virtual.later(1 + after_s, lambda after_s=after_s: look(after_s))
    assert virtual.work(busy.worker, 10)
    assert list(seen.values()) == ["", "unreachable"]


def test_a_worker_that_can_take_no_jobs_asks_now_and_then_whether_the_server_is_there(virtual):
    """HEALTH_S: a look each, and a question if the last answer is as old."""
    assert virtual.work(Busy(virtual, 1, 20, concurrency=1).worker, 19)
    times = virtual.peer.times("ping")
    assert len(times) > 5
    for earlier, later in pairwise(times):
        assert HEALTH_S <= later - earlier <= 2 * HEALTH_S + 0.01


# --- the end -------------------------------------------------------------------------------------


def test_a_worker_that_stops_lets_handlers_finish_so_long_unless_told_otherwise(virtual):
    """SHUTDOWN_S: what is not finished then is given back."""
    assert virtual.work(Busy(virtual, 1, SHUTDOWN_S - 0.1).worker, 0.05)
    assert virtual.passed_s < SHUTDOWN_S
    assert not virtual.peer.times("release")


def test_what_takes_longer_is_given_back(virtual):
    """SHUTDOWN_S after the worker was to stop."""
    assert not virtual.work(Busy(virtual, 1, 3600, concurrency=1).worker, 5)
    (at,) = virtual.peer.times("release")
    assert at == pytest.approx(5 + SHUTDOWN_S, abs=0.01)
    assert virtual.passed_s == pytest.approx(at, abs=0.01)


class Stubborn(Busy):
    """One whose handlers do not end when they are interrupted."""

    async def handle(self, payload: bytes) -> None:
        """Go on for an hour."""
        until = asyncio.get_running_loop().time() + 3600
        while (left_s := until - asyncio.get_running_loop().time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(left_s)


@pytest.mark.parametrize("at_once, within_s", [(True, STOP_NOW_S), (False, INTERRUPTED_S)])
def test_a_handler_that_does_not_end_keeps_a_worker_that_stops_so_long(virtual, at_once, within_s):
    """STOP_NOW_S if it has to stop now, else INTERRUPTED_S; then its job is given back, and the
    task itself has TASKS_END_S."""
    worker = Stubborn(virtual, 1, 0, concurrency=1, shutdown_timeout=0).worker
    assert not virtual.work(worker, 5, at_once=at_once)
    (at,) = virtual.peer.times("release")
    assert at == pytest.approx(5 + within_s, abs=2 * KEEP_S)


def test_a_worker_that_stops_tries_so_long_to_report(virtual, caplog):
    """LAST_REPORTS_S behind its last lease, and says what it could not."""
    virtual.peer.alike["complete"] = NO_MEMORY
    assert not virtual.work(Busy(virtual, 1, 0).worker, 2)
    assert LAST_REPORTS_S <= virtual.passed_s - 2 <= LAST_REPORTS_S + LEASE_WAIT_S + 0.01
    assert "is not reported, the worker ends" in caplog.text
