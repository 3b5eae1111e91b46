"""Handlers in processes: each process runs one at a time, and can be killed.

They are started before there are jobs, and all that they say comes to the conductor's event loop,
so that handlers that compute are in nobody's way. One that ends before its handler has is a failure
of that job, told at once.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from typing import Any

from workq_client.limits import (
    CHILD_END_S,
    CHILD_LAST_WORDS_S,
    CHILD_PAUSE_FIRST_S,
    CHILD_PAUSE_MAX_S,
)
from workq_client.worker.calls import interrupted
from workq_client.worker.jobs import Held, Why
from workq_client.worker.outcomes import Outcome, failed
from workq_client.worker.pools import Changed, Finished
from workq_client.worker.pools.child import Recruits, how_it_ended, main, start_without_signals
from workq_client.worker.pools.frames import Unpacker, packed
from workq_client.worker.settings import Settings

logger = logging.getLogger("workq_client.worker")

__all__ = ["Processes", "Recruits"]


class Processes:
    """A pool of processes.

    Args:
        settings: of the worker.
        recruits: how a child comes by its handlers.
        finished: takes what became of a job.
        changed: told that there are more places, or fewer.
        renew: has a lease renewed.
    """

    def __init__(
        self,
        settings: Settings,
        recruits: Recruits,
        finished: Finished,
        changed: Changed,
        renew: Callable[[Held], None],
    ) -> None:
        self.places = 0
        self.settings = settings
        self.finished = finished
        self.renew = renew
        self._recruits = recruits
        self._changed = changed
        self._jobs: deque[Held] = deque()
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._closing = False
        for _ in range(settings.concurrency):
            self._recruit(0.0)

    # --- what the conductor asks --------------------------------------------------------------

    def begin(self, jobs: list[Held]) -> None:
        """See `Pool.begin`."""
        self._jobs.extend(jobs)
        self._fill()

    def take_back(self, held: Held) -> bool:
        """See `Pool.take_back`."""
        try:
            self._jobs.remove(held)
        except ValueError:
            return False
        return True

    def interrupt(self, held: Held) -> None:
        """See `Pool.interrupt`. A time limit is hard."""
        child: _Child | None = held.runner
        if child is not None and held.why is Why.LIMIT:
            child.kill()
        elif child is not None and held.why is not None:
            child.say("interrupt", held.why.value)

    def abandon(self, held: Held) -> None:
        """See `Pool.abandon`."""
        child: _Child | None = held.runner
        if child is not None:
            child.kill()

    async def close(self) -> None:
        """See `Pool.close`."""
        self._closing = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        children = list(self._children)
        for child in children:
            child.say("end")
        ended = [child.ended for child in children]
        if ended:
            _, late = await asyncio.wait(ended, timeout=CHILD_END_S)
            if late:
                for child in list(self._children):
                    child.kill()
                await asyncio.wait(late, timeout=CHILD_END_S)

    # --- what children do ---------------------------------------------------------------------

    def ready(self, child: _Child) -> None:
        """A child has come up."""
        self._failures = 0
        self.places += 1
        self._idle.append(child)
        self._fill()
        self._changed()

    def done(self, child: _Child, bytes_used: int) -> None:
        """A child has done its job."""
        settings = self.settings
        if (0 < settings.max_jobs_per_child <= child.count) or (
            0 < settings.max_bytes_per_child < bytes_used
        ):
            child.say("end")
            self._retire(child)
            self._recruit(0.0)
        else:
            self._idle.append(child)
            self._fill()

    def gone(self, child: _Child) -> None:
        """A child has ended, as it was told to or not."""
        self._children.discard(child)
        if child.retired:
            return
        how = how_it_ended(child.process.exitcode)
        pause_s = 0.0
        if not child.is_ready:
            self._failures += 1
            steps = min(self._failures - 1, 10)
            pause_s = min(CHILD_PAUSE_FIRST_S * 2**steps, CHILD_PAUSE_MAX_S)
            if not self._closing:
                logger.error("a child process has not come up: it %s", how)
        else:
            self._retire(child)
        held = child.held
        if held is not None:
            if held.why is None:
                logger.error("job %s of %s: its process %s", held.job.id, held.job.queue, how)
                outcome = failed(f"its process {how}")
            else:
                outcome = interrupted(held)
            self.finished((held, outcome))
        elif child.is_ready and not self._closing:
            logger.error("a child process %s", how)
        if not self._closing:
            self._recruit(pause_s)

    def _retire(self, child: _Child) -> None:
        """Count on a child no longer."""
        child.retired = True
        self.places -= 1
        if child in self._idle:
            self._idle.remove(child)
        self._changed()

    def _fill(self) -> None:
        """Give jobs to children that have none."""
        while self._idle and self._jobs:
            self._idle.pop().give(self._jobs.popleft())

    def _recruit(self, pause_s: float) -> None:
        task = asyncio.get_running_loop().create_task(self._start(pause_s))
        self._starting.add(task)
        task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a child process cannot be started: %s", task.exception())
            if not self._closing:
                self._failures += 1
                self._recruit(CHILD_PAUSE_MAX_S)

    async def _start(self, pause_s: float) -> None:
        """Start a child."""
        await asyncio.sleep(pause_s)
        loop = asyncio.get_running_loop()
        ours, its = socket.socketpair()
        process = multiprocessing.get_context("spawn").Process(
            target=main, args=(its, self._recruits), name="workq-child"
        )

        def begin() -> None:
            with its:  # closed here, and not when the task is cancelled: it is still needed then
                if not self._closing:
                    start_without_signals(process)

        try:
            await asyncio.shield(loop.run_in_executor(None, begin))
        except BaseException:
            ours.close()  # one that has begun all the same ends with that
            raise
        child = _Child(self, process)
        self._children.add(child)
        loop.add_reader(process.sentinel, child.died)
        await loop.create_unix_connection(lambda: child, sock=ours)


class _Child(asyncio.Protocol):
    """A process, as its parent sees it.

    Args:
        pool: whose it is.
        process: the process.

    Attributes:
        held: what it has to do.
        count: how many jobs it has done.
        is_ready: whether it has come up.
        retired: whether it gets no more jobs.
        ended: done when it has.
    """

    def __init__(self, pool: Processes, process: SpawnProcess) -> None:
        self.process = process
        self.held: Held | None = None
        self.count = 0
        self.is_ready = False
        self.retired = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pool = pool
        self._unpacker = Unpacker()
        self._transport: asyncio.Transport | None = None
        self._silent = asyncio.Event()
        self._burial: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a way to it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """It has said something."""
        for kind, *rest in self._unpacker.feed(data):
            if kind == "done":
                self._done(*rest)
            elif kind == "ready":
                self.is_ready = True
                self._pool.ready(self)
            elif kind == "touch" and self.held is not None:
                self._pool.renew(self.held)
            elif kind == "broken":
                logger.error("a child process has failed:\n%s", rest[0])

    def _done(self, outcome: Outcome, bytes_used: int) -> None:
        held, self.held = self.held, None
        if held is None:
            return
        self.count += 1
        if outcome.trace:
            logger.error(
                "job %s of %s has failed at attempt %s\n%s",
                held.job.id,
                held.job.queue,
                held.job.attempt,
                outcome.trace,
            )
        self._pool.finished((held, outcome))
        self._pool.done(self, bytes_used)

    def connection_lost(self, error: Exception | None) -> None:
        """It says nothing more."""
        self._silent.set()

    def give(self, held: Held) -> None:
        """Have it do a job."""
        self.held = held
        held.runner = self
        held.started = asyncio.get_running_loop().time()
        job = held.job
        self.say("job", job.id, job.queue, job.ttr, job.payload, job.token, job.attempt)

    def say(self, *message: Any) -> None:
        """Say something to it."""
        if self._transport is not None and not self._silent.is_set():
            self._transport.write(packed(*message))

    def kill(self) -> None:
        """End it, if it has not ended: what became of its job may be on its way to the conductor,
        which may still ask for that."""
        if not self.ended.done():
            self.process.kill()

    def died(self) -> None:
        """It has ended; what it said before may still be on its way."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.process.sentinel)
        self._burial = loop.create_task(self._bury())

    async def _bury(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CHILD_LAST_WORDS_S):
                await self._silent.wait()
        self.process.join()
        if self._transport is not None:
            self._transport.abort()
        self._pool.gone(self)
        self.process.close()
        self.ended.set_result(None)
