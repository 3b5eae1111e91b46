"""Adding any number of jobs, some hundred of them on their way at a time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from workq_client import requests
from workq_client.core import Core
from workq_client.errors import InvalidRequest, ManyFailed, WorkqError
from workq_client.limits import GATHERING_S_MAX, MANY_COUNTED, MANY_ERRORS_MAX
from workq_client.models import NewJob
from workq_client.slots import Slot


class Many:
    """A source of jobs to be added, which looks after what became of them.

    Args:
        core: of the client.
        jobs: these.
    """

    def __init__(self, core: Core, jobs: Iterable[NewJob] | AsyncIterable[NewJob]) -> None:
        self._core = core
        self._sync: Iterator[NewJob] | None = None
        self._async: AsyncIterator[NewJob] | None = None
        if isinstance(jobs, AsyncIterable):
            self._async = aiter(jobs)
        else:
            self._sync = iter(jobs)
        self._slots: list[tuple[NewJob, Slot[str]]] = []
        self._added = self._failed = 0
        self._errors: list[tuple[Any, WorkqError]] = []
        self._broken: Exception | None = None
        self.slow = False

    async def next(self) -> Slot[Any] | None:
        """See `Source.next`. After the first failure no more is taken."""
        while not (self._failed or self._broken):
            since = time.monotonic()
            try:
                job = await self._job()
            except Exception as error:  # those that are on their way come to their end
                self._broken = error
                return None
            self.slow = time.monotonic() - since > GATHERING_S_MAX
            if job is None:
                return None
            try:
                slot = self._core.slot(requests.new(job))
            except InvalidRequest as error:
                self._note(job, error)
                return None
            self._slots.append((job, slot))
            if len(self._slots) > MANY_COUNTED:
                self._count()
            return slot
        return None

    async def _job(self) -> NewJob | None:
        if self._sync is not None:
            return next(self._sync, None)
        assert self._async is not None
        return await anext(self._async, None)

    def _note(self, job: NewJob, error: WorkqError) -> None:
        self._failed += 1
        if len(self._errors) < MANY_ERRORS_MAX:
            self._errors.append((job, error))

    def _count(self) -> None:
        """Look at those that have come to their end."""
        waiting = []
        for job, slot in self._slots:
            if not slot.done:
                waiting.append((job, slot))
            elif slot.error is not None:
                self._note(job, slot.error)
            else:
                self._added += 1
        self._slots = waiting

    async def add(self) -> int:
        """Add them all; return how many."""
        await self._core.converse(self, waits=False)
        self._count()
        if self._failed:
            raise ManyFailed(self._added, self._failed, self._errors) from self._broken
        if self._broken is not None:
            raise self._broken
        return self._added
