"""Keeping a lease as long as its command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from workq.limits import EXEC_KILL_MS

if TYPE_CHECKING:
    from workq_client import Job


class Renewal:
    """Touches a job while a `with` lasts, three times in each TTR.

    It has a connection of its own, made when it is first needed, and knows by itself when the lease
    will run out, also if nobody answers. Then it is lost before its time, for a command that is
    told to end needs time for that: what may pass until it is killed, or a sixth of the TTR.

    Args:
        url: of the server.
        job: that was just leased.
        lose: is called, in another thread, when the lease is lost.
    """

    def __init__(self, url: str, job: Job, lose: Callable[[], None]) -> None:
        from workq_client import Client

        self._margin_s = min(EXEC_KILL_MS / 1000, job.ttr / 6)
        timeout = self._margin_s  # of a touch: so there is time for some
        self._client = Client(url, timeout=timeout, connect_timeout=timeout)
        self._job = job
        self._lose = lose
        self._until = time.monotonic() + job.ttr - self._margin_s
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
        from workq_client import LeaseLost, NotFound, WorkqError

        ttr = self._job.ttr
        pause = ttr / 3
        while not self._over.wait(pause):
            asked = time.monotonic()
            if asked > self._until - self._margin_s:  # there is no time for another answer
                if not self._over.wait(max(self._until - asked, 0)):
                    self._lose()
                return
            try:
                self._client.touch(self._job)
                self._until = asked + ttr - self._margin_s
                pause = ttr / 3
            except (LeaseLost, NotFound):
                self._lose()
                return
            except WorkqError:
                pause = ttr / 30  # as long as the lease lasts there may be an answer yet
