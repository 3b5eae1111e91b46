"""Reporting what became of jobs: many in one pipeline, again if it fails, and loudly in the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from workq_client.client import AsyncClient
from workq_client.errors import (
    Busy,
    DuplicateResult,
    InvalidRequest,
    LeaseLost,
    NoReply,
    NotFound,
    OutcomeUnknown,
    Refused,
    ServerError,
    Unreachable,
    WorkqError,
)
from workq_client.limits import REPORT_AGAIN_S, REPORT_PATIENCE_S, REPORTS_AT_ONCE_MAX
from workq_client.pipelines import AsyncPipeline, Pending
from workq_client.worker.jobs import Held
from workq_client.worker.outcomes import Outcome, Verb, failed

logger = logging.getLogger("workq_client.worker")

#: What says that the lease that was to be ended is over.
_OVER = (LeaseLost, DuplicateResult, NotFound)

#: What may be otherwise the next time.
_PASSING = (Unreachable, NoReply, OutcomeUnknown, Busy, ServerError)


class Report:
    """What is to be told of a job.

    Args:
        held: the job.
        outcome: what became of it.

    Attributes:
        until: when it is too late, once it has failed.
        open: whether the server may have it already.
    """

    __slots__ = ("held", "open", "outcome", "until")

    def __init__(self, held: Held, outcome: Outcome) -> None:
        self.held = held
        self.outcome = outcome
        self.until = 0.0
        self.open = False

    def __str__(self) -> str:
        job = self.held.job
        return f"{self.outcome.verb.value} of job {job.id} of {job.queue}"


class Reporter:
    """Tells the server what became of jobs.

    Args:
        client: its connections.
        settled: told of jobs that nothing more is to be done about.
        answered: told that the server has answered.
    """

    def __init__(
        self,
        client: AsyncClient,
        settled: Callable[[list[Held]], None],
        answered: Callable[[], None],
    ) -> None:
        self._client = client
        self._settled = settled
        self._answered = answered
        self._reports: deque[Report] = deque()
        self._wake = asyncio.Event()
        self._batch: list[Report] = []

    def __len__(self) -> int:
        return len(self._reports) + len(self._batch)

    def put(self, held: Held, outcome: Outcome) -> None:
        """Have it reported. Does not wait."""
        self._reports.append(Report(held, outcome))
        self._wake.set()

    async def run(self) -> None:
        """Report what there is, and what comes, until this is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._reports:
                count = min(len(self._reports), REPORTS_AT_ONCE_MAX)
                self._batch = [self._reports.popleft() for _ in range(count)]
                again = await self._send(self._batch)
                self._batch = []
                if again:
                    self._reports.extend(again)
                    await asyncio.sleep(REPORT_AGAIN_S)

    async def _send(self, batch: list[Report]) -> list[Report]:
        """Send some; return those that are to be sent again."""
        pipeline = self._client.pipeline()
        sent = [(report, self._request(pipeline, report)) for report in batch]
        await pipeline.send()
        again: list[Report] = []
        settled: list[Held] = []
        answered = False
        for report, pending in sent:
            error = pending.error
            if error is None:
                settled.append(report.held)
                answered = True
            elif self._look(report, error):
                again.append(report)
            else:
                settled.append(report.held)
                answered = answered or isinstance(error, Refused)
        if answered:
            self._answered()
        self._settled(settled)
        return again

    def _request(self, pipeline: AsyncPipeline, report: Report) -> Pending[None]:
        job, outcome = report.held.job, report.outcome
        try:
            return _asked(pipeline, report)
        except InvalidRequest as error:  # it is too large
            logger.error("job %s of %s: its result is not sent: %s", job.id, job.queue, error)
            report.outcome = failed(
                f"the result has {len(outcome.data)} bytes, more than the server takes", final=True
            )
            return _asked(pipeline, report)

    def _look(self, report: Report, error: WorkqError) -> bool:
        """See what an error means; return whether to try again."""
        size = len(report.outcome.data)
        if isinstance(error, OutcomeUnknown) and isinstance(error.cause, _OVER):
            report.open = True
            error = error.cause
        if isinstance(error, _OVER):
            if report.open:
                logger.info("%s was sent more than once: %s", report, error)
            elif report.outcome.verb is not Verb.RELEASE:
                logger.warning("%s comes too late (%s); %d bytes are lost", report, error, size)
            return False
        if not isinstance(error, _PASSING):
            logger.error("%s cannot be reported (%s); %d bytes are lost", report, error, size)
            return False
        report.open = report.open or isinstance(error, OutcomeUnknown)
        now = time.monotonic()
        report.until = report.until or now + REPORT_PATIENCE_S
        if now < report.until:
            logger.debug("%s is tried again: %s", report, error)
            return True
        logger.error(
            "%s could not be reported for %g s (%s); %d bytes are lost",
            report,
            REPORT_PATIENCE_S,
            error,
            size,
        )
        return False

    def give_up(self) -> list[Held]:
        """Say of what there still is that it is not reported; return those jobs."""
        left = [*self._batch, *self._reports]
        for report in left:
            logger.error(
                "%s is not reported, the worker ends; %d bytes are lost",
                report,
                len(report.outcome.data),
            )
        self._reports.clear()
        return [report.held for report in left]


def _asked(pipeline: AsyncPipeline, report: Report) -> Pending[None]:
    job, outcome = report.held.job, report.outcome
    if outcome.verb is Verb.COMPLETE:
        return pipeline.complete(job, outcome.data)
    if outcome.verb is Verb.FAIL:
        return pipeline.fail(job, outcome.data, delay=outcome.delay_s, final=outcome.final)
    return pipeline.release(job)
