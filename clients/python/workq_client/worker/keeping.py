"""Keeping what a worker has: leases are renewed, and handlers interrupted that may not go on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from workq_client.client import AsyncClient
from workq_client.errors import DuplicateResult, InvalidArgument, LeaseLost, NotFound
from workq_client.limits import (
    INTERRUPTED_S,
    KEEP_S,
    PREFETCHED_MAX_S,
    RENEW_AGAIN_S,
    REPORTS_AT_ONCE_MAX,
)
from workq_client.worker.calls import interrupted
from workq_client.worker.jobs import Held, Why
from workq_client.worker.outcomes import RELEASED, SILENCE, Outcome
from workq_client.worker.pools import Pool

logger = logging.getLogger("workq_client.worker")


class Keeper:
    """Looks after the jobs that a worker has.

    Args:
        client: connections to the server.
        pool: where handlers run.
        held: the jobs; others add and remove.
        end: told what became of a job, if that is decided here.
        answered: told that the server has answered.
    """

    def __init__(
        self,
        client: AsyncClient,
        pool: Pool,
        held: set[Held],
        end: Callable[[Held, Outcome], None],
        answered: Callable[[], None],
    ) -> None:
        self._client = client
        self._pool = pool
        self._held = held
        self._end = end
        self._answered = answered
        self._some = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There are jobs again."""
        self._some.set()

    async def run(self) -> None:
        """Do that until this is cancelled."""
        while True:
            if not self._held:
                self._some.clear()
                await self._some.wait()
            self._look(time.monotonic())
            await asyncio.sleep(KEEP_S)

    def _look(self, now: float) -> None:
        due = []
        for held in list(self._held):
            if held.due <= now:
                due.append(held)
            if held.over:
                continue
            if held.why is not None:
                if now >= held.give_up:
                    self._abandon(held)
            elif not held.started:
                if now - held.taken > PREFETCHED_MAX_S and self._pool.take_back(held):
                    self._end(held, RELEASED)
            elif held.handler.timeout_s is not None and (
                now - held.started >= held.handler.timeout_s
            ):
                self.interrupt(held, Why.LIMIT)
        if due and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew(due))

    def interrupt(self, held: Held, why: Why, within_s: float | None = None) -> None:
        """Have a handler end, which was begun.

        Args:
            held: its job.
            why: why.
            within_s: how long it may take, in seconds; None for the usual time.
        """
        if held.over or held.why is not None:
            return
        job = held.job
        logger.warning("job %s of %s is interrupted: %s", job.id, job.queue, why.value)
        held.why = why
        held.give_up = time.monotonic() + (INTERRUPTED_S if within_s is None else within_s)
        self._pool.interrupt(held)

    def _abandon(self, held: Held) -> None:
        job = held.job
        logger.error(
            "the handler of job %s of %s does not end, though it was interrupted (%s): it is no "
            "longer counted on, and another takes its place",
            job.id,
            job.queue,
            held.why.value if held.why else "",
        )
        self._pool.abandon(held)
        self._end(held, interrupted(held))

    async def _renew(self, due: list[Held]) -> None:
        """Renew leases; have handlers end whose lease is lost."""
        for start in range(0, len(due), REPORTS_AT_ONCE_MAX):
            begun = time.monotonic()
            pipeline = self._client.pipeline()
            sent = [
                (held, pipeline.touch(held.job, ttr=held.handler.ttr))
                for held in due[start : start + REPORTS_AT_ONCE_MAX]
                if held in self._held
            ]
            await pipeline.send()
            for held, pending in sent:
                error = pending.error
                if error is None:
                    ttr_s = held.handler.ttr_s
                    held.due = begun + (held.job.ttr if ttr_s is None else ttr_s) / 3
                    self._answered()
                elif isinstance(error, LeaseLost | NotFound | DuplicateResult):
                    self._answered()
                    self._lost(held)
                else:
                    again_s = RENEW_AGAIN_S
                    if isinstance(error, InvalidArgument):  # a TTR beyond the server's
                        logger.error("leases of %s cannot be kept: %s", held.job.queue, error)
                        again_s = held.job.ttr
                    held.due = time.monotonic() + again_s

    def _lost(self, held: Held) -> None:
        held.due = float("inf")
        if held.over:  # what became of it is being reported, or just was
            return
        if held.started:
            self.interrupt(held, Why.LOST)
        elif self._pool.take_back(held):
            self._end(held, SILENCE)
        else:  # it begins at this moment
            held.due = 0.0
