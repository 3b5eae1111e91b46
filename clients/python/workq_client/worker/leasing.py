"""The conductor: takes jobs for a pool, and sees to it that the server hears of all of them.

It has a thread and an event loop of its own, so that leases are renewed and results reported
whatever handlers do. There is one lease under way at a time, for as many jobs as there is room for;
its wait is short, so that a connection that has gone silent is found out soon.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress

from workq_client.client import AsyncClient
from workq_client.codec import BYTES
from workq_client.errors import NoReply, Refused, ServerError, WorkqError
from workq_client.limits import (
    HEALTH_S,
    HEALTHY_S,
    INTERRUPTED_S,
    LAST_REPORTS_S,
    LEASE_COUNT_MAX,
    LEASE_PAUSE_S,
    LEASE_WAIT_S,
    PACE_S,
    PREFETCH_S,
    REPORTS_WAITING_MAX,
    STOP_NOW_S,
    WORKER_TIMEOUT_S,
)
from workq_client.models import Job
from workq_client.worker.handlers import Handler
from workq_client.worker.handover import Inbox
from workq_client.worker.health import served_health
from workq_client.worker.jobs import Held, Why
from workq_client.worker.keeping import Keeper
from workq_client.worker.outcomes import RELEASED, Outcome, Verb
from workq_client.worker.pools import Changed, Finished, Pool
from workq_client.worker.report import Reporter
from workq_client.worker.settings import Settings

logger = logging.getLogger("workq_client.worker")

#: Makes the pool, in the conductor's loop.
MakePool = Callable[[Finished, Changed], Pool]


class Conductor:
    """Takes jobs and has them done.

    Args:
        settings: of the worker.
        handlers: by queue.
        make_pool: makes the pool.

    Attributes:
        ended: done when all is over; its result is whether everything was finished.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: dict[str, Handler[..., object]],
        make_pool: MakePool,
    ) -> None:
        self._settings = settings
        self._handlers = handlers
        self._make_pool = make_pool
        self._held: set[Held] = set()
        self._placed = 0
        self._paused = False
        self._stopping = False
        self._at_once = False
        self._answer_at = 0.0
        self._place_at = -math.inf
        self._out_since = 0.0
        self._done = 0
        self._pace = 0.0
        self._pace_since = 0.0
        self.ended: Future[bool] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="workq-conductor", daemon=True)

    # --- from other threads -------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, at_once: bool = False) -> None:
        """Take no more jobs, finish what runs, and end. From any thread, and from a signal.

        Args:
            at_once: whether what runs is interrupted.
        """
        self._stopping = True
        self._at_once = self._at_once or at_once
        self._nudge()

    def pause(self) -> None:
        """Take no more jobs until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Take jobs again."""
        self._paused = False
        self._nudge()

    def renew(self, held: Held) -> None:
        """Have a lease renewed soon."""
        held.due = 0.0

    @property
    def paused(self) -> bool:
        """Whether it is."""
        return self._paused

    @property
    def trouble(self) -> str:
        """Why it takes no jobs: the server has not answered lately, or there was no place for a
        handler lately, as when no process comes up. Empty if all is well."""
        now = time.monotonic()
        if now - self._answer_at >= HEALTHY_S:
            return "unreachable"
        return "no processes" if now - self._place_at >= HEALTHY_S else ""

    def _nudge(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._nudged)

    def _nudged(self) -> None:
        if self._stopping:
            self._give_back()
        self._changed()

    # --- in its own ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                finished = runner.run(self._conduct())
        except BaseException as error:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(finished)

    async def _conduct(self) -> bool:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._inbox = Inbox(self._loop, self._take_in)
        self._client = AsyncClient(
            self._settings.url,
            codec=BYTES,
            name=self._settings.name,
            timeout=WORKER_TIMEOUT_S,
        )
        self._pool = self._make_pool(self._inbox.put, self._places_changed)
        self._places_changed()
        self._reporter = Reporter(self._client, self._settled, self._answered)
        self._keeper = Keeper(self._client, self._pool, self._held, self._end, self._answered)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            stack.push_async_callback(self._pool.close)
            await stack.enter_async_context(served_health(self._settings.health, self))
            tasks = [
                asyncio.create_task(one)
                for one in (self._reporter.run(), self._keeper.run(), self._watch())
            ]
            try:
                self._say_what_for()
                leasing = asyncio.create_task(self._lease())
                await asyncio.wait([leasing, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in (leasing, *tasks):
                    if task.done():
                        task.result()
                return await self._finish()
            finally:
                for task in (leasing, *tasks):
                    task.cancel()
                await asyncio.gather(leasing, *tasks, return_exceptions=True)

    def _say_what_for(self) -> None:
        """For who looks at a terminal, and wonders whether it has begun."""
        logger.info(
            "takes jobs from %s at %s, %d at a time (%s)",
            ", ".join(self._handlers),
            self._client.url,
            self._settings.concurrency,
            self._settings.pool,
        )

    async def _lease(self) -> None:
        """Take jobs until the worker stops."""
        queues = tuple(self._handlers)
        while not self._stopping:
            self._room.clear()
            count = self._free()
            if self._paused or count < 1:
                await self._room.wait()
                continue
            try:
                jobs = await self._client.lease_many(*queues, count=count, wait=LEASE_WAIT_S)
            except WorkqError as error:
                await self._failed(error)
                continue
            self._answered()
            if jobs:
                self._begin(jobs)

    def _free(self) -> int:
        """How many jobs may be taken now."""
        if len(self._reporter) >= REPORTS_WAITING_MAX:
            return 0
        ahead = min(self._settings.prefetch, int(self._pace * PREFETCH_S))
        return min(self._pool.places + ahead - self._placed, LEASE_COUNT_MAX)

    def _begin(self, jobs: list[Job]) -> None:
        now = time.monotonic()
        held = [Held(job, self._handlers[job.queue], now) for job in jobs]
        if self._stopping:  # it was on its way
            for one in held:
                one.over = True
                self._reporter.put(one, RELEASED)
            self._held.update(held)
            return
        if not self._held:
            self._keeper.wake()
        self._held.update(held)
        self._placed += len(held)
        self._pool.begin(held)

    async def _failed(self, error: WorkqError) -> None:
        """There was no answer to a lease, or none that can be used: a short pause, and a word the
        first time."""
        now = time.monotonic()
        if not self._out_since:
            self._out_since = now
            logger.warning("no jobs come from %s: %s", self._client.url, error)
        if isinstance(error, Refused) and not isinstance(error, ServerError):
            logger.error("the server refuses to give jobs: %s", error)
            pause_s = HEALTH_S
        elif isinstance(error, NoReply):  # time enough has passed
            return
        else:
            pause_s = LEASE_PAUSE_S
        await asyncio.sleep(pause_s * (1 + random.random()) / 2)

    def _answered(self) -> None:
        self._answer_at = now = time.monotonic()
        if self._out_since:
            logger.warning(
                "%s answers again, after %.1f s", self._client.url, now - self._out_since
            )
            self._out_since = 0.0

    def _take_in(self, finished: list[tuple[Held, Outcome]]) -> None:
        """What the pool has finished."""
        for held, outcome in finished:
            self._end(held, outcome)
        self._done += len(finished)
        now = time.monotonic()
        if now - self._pace_since >= PACE_S:
            self._pace = self._done / (now - self._pace_since)
            self._pace_since = now
            self._done = 0

    def _end(self, held: Held, outcome: Outcome) -> None:
        """A handler has ended, or was given up, or did not begin."""
        if held.over:  # it was given up before
            return
        held.over = True
        self._placed -= 1
        if not held.started:  # too much was taken
            self._pace = 0.0
        if outcome.verb is Verb.SILENCE or held.why is Why.LOST:  # nobody wants to know
            self._held.discard(held)
            if not self._held:
                self._empty.set()
        else:
            self._reporter.put(held, outcome)
        self._changed()

    def _settled(self, settled: list[Held]) -> None:
        """What became of jobs is reported, or given up."""
        self._held.difference_update(settled)
        self._changed()

    def _places_changed(self) -> None:
        if self._pool.places > 0:
            self._place_at = math.inf
        elif self._place_at == math.inf:
            self._place_at = time.monotonic()
        self._changed()

    def _changed(self) -> None:
        self._room.set()
        if not self._held:
            self._empty.set()

    async def _watch(self) -> None:
        """Make sure that there is an answer now and then, also when no job can be taken."""
        while True:
            if time.monotonic() - self._answer_at > HEALTH_S:
                with suppress(WorkqError):
                    await self._client.ping()
                    self._answered()
            await asyncio.sleep(HEALTH_S)

    # --- the end ------------------------------------------------------------------------------

    async def _finish(self) -> bool:
        """Bring to its end what runs, give back the rest; return whether all was finished."""
        self._give_back()
        until = time.monotonic() + self._settings.shutdown_s
        while self._placed and not self._at_once and (left_s := until - time.monotonic()) > 0:
            self._room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._room.wait()
        left = [held for held in self._held if not held.over]
        within_s = STOP_NOW_S if self._at_once else INTERRUPTED_S
        if left:
            logger.warning("%d jobs are not finished, and are given back", len(left))
            for held in left:
                self._keeper.interrupt(held, Why.STOP, within_s)
        await self._until_empty(LAST_REPORTS_S + (within_s if left else 0.0))
        lost = self._reporter.give_up()
        return not left and not lost and not self._held

    def _give_back(self) -> None:
        """Give back what has not begun."""
        for held in list(self._held):
            if not (held.over or held.started) and self._pool.take_back(held):
                self._end(held, RELEASED)

    async def _until_empty(self, within_s: float) -> None:
        """Wait until nothing is left to be reported."""
        until = time.monotonic() + within_s
        while self._held and (left_s := until - time.monotonic()) > 0:
            self._empty.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._empty.wait()
