"""Keeping what a worker has, in virtual time: renewals, and what is given back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from workq_client import Worker
from workq_client.limits import INTERRUPTED_S, KEEP_S, PREFETCHED_MAX_S, RENEW_AGAIN_S
from workq_client.worker import keeping


def sleeper(seconds, **settings):
    """A worker whose handlers take so long."""
    worker = Worker(pool="tasks", **settings)

    @worker.job("q")
    async def sleep(payload: bytes) -> None:
        await asyncio.sleep(seconds)

    return worker


def test_a_renewal_that_failed_is_tried_again_soon(virtual):
    """RENEW_AGAIN_S, to the next look: two attempts may fail before the lease is over."""
    virtual.peer.jobs = 1
    virtual.peer.ttr_ms = 3000
    virtual.peer.alike["touch"] = b"-SERVER-ERROR Out of memory\r\n"
    assert virtual.work(sleeper(2.9), 2)
    times = virtual.peer.times("touch")
    assert times[0] == pytest.approx(1.0, abs=2 * KEEP_S)
    assert len(times) > 5
    for earlier, later in pairwise(times):
        assert RENEW_AGAIN_S <= later - earlier <= RENEW_AGAIN_S + 2 * KEEP_S


def test_so_many_leases_are_renewed_at_once(virtual, monkeypatch):
    """REPORTS_AT_ONCE_MAX in one pipeline, and the others in the next."""
    monkeypatch.setattr(keeping, "REPORTS_AT_ONCE_MAX", 5)
    virtual.peer.jobs = 12
    virtual.peer.ttr_ms = 3000
    assert virtual.work(sleeper(1.5, concurrency=12), 1.4)
    assert sorted(virtual.peer.together("touch")) == [2, 5, 5]


def test_a_job_that_does_not_begin_is_given_back(virtual):
    """PREFETCHED_MAX_S after it was taken: behind short ones came long ones."""
    virtual.peer.jobs = 1000
    worker = Worker(pool="tasks", concurrency=1)
    begun = []

    @worker.job("q")
    async def sleep(payload: bytes) -> None:
        begun.append(virtual.passed_s)
        await asyncio.sleep(0.01 if virtual.passed_s < 1 else 10)

    assert virtual.work(worker, 5)
    times = virtual.peer.times("release")
    assert times
    for at in times:
        assert at - begun[-1] == pytest.approx(PREFETCHED_MAX_S, abs=0.06 + 2 * KEEP_S)


def test_a_handler_that_was_interrupted_has_so_long_to_end(virtual):
    """INTERRUPTED_S; then its place goes to the next."""
    virtual.peer.jobs = 2
    worker = Worker(pool="tasks", concurrency=1)
    begun = []

    @worker.job("q", timeout=1)
    async def stubborn(payload: bytes) -> None:
        begun.append(virtual.passed_s)
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(100)

    virtual.work(worker, 8, at_once=True)
    first, second = virtual.peer.times("fail")[0], begun[1]
    assert first == pytest.approx(1 + INTERRUPTED_S, abs=0.01 + 2 * KEEP_S)
    assert second == pytest.approx(first, abs=0.01)
