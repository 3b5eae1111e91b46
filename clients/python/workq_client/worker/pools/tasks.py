"""Handlers as tasks of one event loop, which is that of the thread that runs the worker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from workq_client.limits import TASKS_END_S
from workq_client.worker.calls import Calls, described, interrupted, logger
from workq_client.worker.jobs import Held
from workq_client.worker.outcomes import failed
from workq_client.worker.pools import Finished

T = TypeVar("T")


class Tasks:
    """A pool of tasks.

    Args:
        count: how many handlers may run at a time.
        calls: how they are called.
        finished: takes what became of a job.
        loop: where they run.
    """

    def __init__(
        self, count: int, calls: Calls, finished: Finished, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.places = count
        self._free = count
        self._calls = calls
        self._finished = finished
        self._loop = loop
        self._jobs: deque[Held] = deque()
        self._called = False
        self._abandoned: set[Held] = set()

    # --- in the conductor's thread ------------------------------------------------------------

    def begin(self, jobs: list[Held]) -> None:
        """See `Pool.begin`."""
        self._jobs.extend(jobs)
        if not self._called:
            self._called = True
            self._soon(self._fill)

    def take_back(self, held: Held) -> bool:
        """See `Pool.take_back`."""
        try:
            self._jobs.remove(held)
        except ValueError:
            return False
        return True

    def interrupt(self, held: Held) -> None:
        """See `Pool.interrupt`."""
        self._soon(self._cancel, held)

    def abandon(self, held: Held) -> None:
        """See `Pool.abandon`."""
        self._soon(self._give_up, held)

    async def close(self) -> None:
        """See `Pool.close`."""

    def _soon(self, function: Any, *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *args)

    # --- in the loop --------------------------------------------------------------------------

    def _fill(self) -> None:
        """Begin as many jobs as there are places."""
        self._called = False
        while self._free > 0 and self._jobs:
            try:
                held = self._jobs.popleft()
            except IndexError:  # it was taken back
                return
            self._free -= 1
            held.task = self._loop.create_task(self._work(held))

    async def _work(self, held: Held) -> None:
        held.started = time.monotonic()
        try:
            if held.interrupted:
                outcome = interrupted(held)
            else:
                outcome = await self._calls.asynchronous(held)
        except BaseException as error:  # of what is around the handler: the place must not end
            logger.exception("job %s of %s: its call has failed", held.job.id, held.job.queue)
            outcome = failed(described(error))
        held.returned = True
        self._finished((held, outcome))
        if held in self._abandoned:
            self._abandoned.discard(held)
            return
        self._free += 1
        if self._jobs:
            self._fill()

    def _cancel(self, held: Held) -> None:
        held.interrupted = True
        if held.started and held.task is not None:
            held.task.cancel()

    def _give_up(self, held: Held) -> None:
        if not held.returned:
            self._abandoned.add(held)
            self._free += 1
            self._fill()


def run_in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own, as `asyncio.run` does, but do not wait without
    end for tasks that do not let themselves be cancelled."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=TASKS_END_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
