"""Handlers in threads: each thread runs one at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import SimpleQueue

from workq_client.limits import THREAD_END_S
from workq_client.worker.calls import Calls, described, logger
from workq_client.worker.jobs import Held
from workq_client.worker.outcomes import failed
from workq_client.worker.pools import Finished
from workq_client.worker.pools.runner import Runner, interrupt


class Threads:
    """A pool of threads.

    Args:
        count: how many.
        calls: how handlers are called.
        finished: takes what became of a job.
    """

    def __init__(self, count: int, calls: Calls, finished: Finished) -> None:
        self.places = count
        self._calls = calls
        self._finished = finished
        self._jobs: deque[Held] = deque()
        #: One for each job, to wake one thread each; False has one thread end. A job that was taken
        #: back leaves one over, which wakes a thread for nothing.
        self._tickets: SimpleQueue[bool] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="workq-handler", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        """What a thread does until it is told to end, or was given up."""
        runner = Runner(self._calls)
        own = threading.current_thread()
        while own in self._threads and self._tickets.get():
            try:
                held = self._jobs.popleft()
            except IndexError:
                continue
            try:
                outcome = runner.run(held)
            except BaseException as error:  # of what is around the handler: the place must not end
                logger.exception("job %s of %s: its call has failed", held.job.id, held.job.queue)
                outcome = failed(described(error))
            self._finished((held, outcome))
        self._threads.discard(own)
        runner.close()

    def begin(self, jobs: list[Held]) -> None:
        """See `Pool.begin`."""
        self._jobs.extend(jobs)
        for _ in jobs:
            self._tickets.put(True)

    def take_back(self, held: Held) -> bool:
        """See `Pool.take_back`."""
        try:
            self._jobs.remove(held)
        except ValueError:
            return False
        return True

    def interrupt(self, held: Held) -> None:
        """See `Pool.interrupt`."""
        interrupt(held)

    def abandon(self, held: Held) -> None:
        """See `Pool.abandon`. Python cannot end a thread: this one goes on, and ends when its
        handler does."""
        runner: Runner | None = held.runner
        for thread in list(self._threads):
            if runner is not None and thread.ident == runner.thread:
                self._threads.discard(thread)
                self._start()

    async def close(self) -> None:
        """See `Pool.close`."""
        threads = list(self._threads)
        for _ in threads:
            self._tickets.put(False)
        until = time.monotonic() + THREAD_END_S
        for thread in threads:  # they have nothing to do any more
            thread.join(max(until - time.monotonic(), 0.0))
