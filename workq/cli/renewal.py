"""Keeping a lease as long as its command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from workq.cli.connection import TIMEOUT_S

if TYPE_CHECKING:
    from workq_client import Job


class Renewal:
    """Touches a job while a `with` lasts, three times in each TTR.

    It has a connection of its own, made when it is first needed, and knows by itself when the lease
    has run out, also if nobody answers.

    Args:
        url: of the server.
        job: that was just leased.
        lose: is called, in another thread, when the lease is lost.
    """

    def __init__(self, url: str, job: Job, lose: Callable[[], None]) -> None:
        from workq_client import Client

        self._piece_s = job.ttr / 3
        timeout = min(self._piece_s, TIMEOUT_S)
        self._client = Client(url, timeout=timeout, connect_timeout=timeout)
        self._job = job
        self._lose = lose
        self._until = time.monotonic() + job.ttr
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease of {job.id}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._client.close()  # which ends a touch that waits
        self._thread.join()

    def _renew(self) -> None:
        from workq_client import Refused, WorkqError

        while not self._over.wait(min(self._piece_s, max(self._until - time.monotonic(), 0))):
            asked = time.monotonic()
            if asked >= self._until:
                self._lose()
                return
            try:
                self._client.touch(self._job)
                self._until = asked + self._job.ttr
            except Refused:
                self._lose()
                return
            except WorkqError:
                continue  # as long as the lease lasts there may be an answer yet
