"""The end of an event loop in which handlers have run."""

from __future__ import annotations

import asyncio
import threading

from workq_client.worker.pools import tasks
from workq_client.worker.pools.tasks import run_in_loop

from tests.client.worker.conftest import PATIENCE_S


def test_a_task_that_does_not_let_itself_be_cancelled_is_left_soon(monkeypatch):
    """TASKS_END_S."""
    monkeypatch.setattr(tasks, "TASKS_END_S", 0.02)
    asked: list[int] = []
    stubborn: list[asyncio.Task[None]] = []

    async def go_on() -> None:
        while len(asked) < 1000:
            try:
                await asyncio.sleep(PATIENCE_S)
            except asyncio.CancelledError:
                asked.append(1)

    async def main() -> str:
        stubborn.append(asyncio.create_task(go_on()))
        await asyncio.sleep(0)
        return "done"

    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(run_in_loop(main())), daemon=True)
    thread.start()
    thread.join(PATIENCE_S / 2)
    assert ended == ["done"]
    assert asked == [1]
    stubborn[0]._log_destroy_pending = False  # type: ignore[attr-defined]
