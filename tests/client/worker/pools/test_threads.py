"""The end of threads in which handlers have run."""

from __future__ import annotations

import asyncio
import threading

from workq_client import Worker
from workq_client.worker.pools import threads

from tests.client.worker.conftest import PATIENCE_S


def test_threads_that_do_not_end_do_not_keep_the_worker(server, client, monkeypatch):
    """THREAD_END_S, all of them together: here each has left something behind in its loop that does
    not end before the test."""
    monkeypatch.setattr(threads, "THREAD_END_S", 0.05)
    given: list[float] = []

    class Noting(threading.Thread):
        def join(self, timeout=None):
            if self.name == "workq-handler":
                assert timeout is not None
                given.append(timeout)
            super().join(timeout)

    monkeypatch.setattr(threading, "Thread", Noting)
    opened = threading.Event()
    worker = Worker(server.url, concurrency=4)

    @worker.job("q")
    async def leave(payload: bytes) -> None:
        asyncio.get_running_loop().run_in_executor(None, opened.wait, PATIENCE_S)

    try:
        with worker.running():
            for job_id in [leave.add(client) for _ in range(20)]:
                client.result(job_id, wait=PATIENCE_S)
        assert not opened.is_set()
        left = [one for one in threading.enumerate() if one.name == "workq-handler"]
        assert left
        assert given[0] <= 0.05
        assert given == sorted(given, reverse=True)
        assert given[-1] < given[0]
    finally:
        opened.set()
    for one in left:
        threading.Thread.join(one, PATIENCE_S)
        assert not one.is_alive()
