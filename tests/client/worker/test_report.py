"""Reporting what became of jobs, in virtual time: how many at once, how often, and how long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from workq_client import Worker
from workq_client.limits import REPORT_AGAIN_S, REPORT_PATIENCE_S
from workq_client.worker import report

NO_MEMORY = b"-SERVER-ERROR Out of memory\r\n"


def echo(**settings):
    """A worker that does nothing."""
    worker = Worker(pool="tasks", **settings)

    @worker.job("q")
    async def nothing(payload: bytes) -> None:
        return None

    return worker


def test_what_cannot_be_reported_is_tried_again_for_so_long(virtual, caplog):
    """REPORT_PATIENCE_S, each REPORT_AGAIN_S; then it is told of, and over."""
    virtual.peer.jobs = 1
    virtual.peer.alike["complete"] = NO_MEMORY
    assert virtual.work(echo(), REPORT_PATIENCE_S + 10)
    times = virtual.peer.times("complete")
    assert times[-1] - times[0] == pytest.approx(REPORT_PATIENCE_S, abs=REPORT_AGAIN_S + 0.01)
    for earlier, later in pairwise(times):
        assert later - earlier == pytest.approx(REPORT_AGAIN_S + virtual.peer.latency_s)
    assert f"could not be reported for {REPORT_PATIENCE_S:g} s" in caplog.text


def test_so_many_reports_are_sent_at_once(virtual, monkeypatch):
    """REPORTS_AT_ONCE_MAX in one pipeline, however many have come together."""
    monkeypatch.setattr(report, "REPORTS_AT_ONCE_MAX", 5)
    virtual.peer.jobs = 12
    assert virtual.work(echo(concurrency=12), 1)
    assert sum(virtual.peer.together("complete")) == 12
    assert max(virtual.peer.together("complete")) == 5
