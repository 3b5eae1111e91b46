"""The thread in which a log waits for the disk, so that the event loop need not.

One thread, first come, first served: a sync that was asked for after a write covers it. Each step
costs two changes of thread, some 50 µs; what is small is therefore written on the loop.

What a step costs of a core, the system takes at a stretch: to end a segment and make the next one,
some milliseconds. On a core that it shares with the loop the thread comes second, or whoever waits
for a reply would wait for that too; unless every reply waits for the thread, as under `always`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeAlias

#: How much nicer than the loop a thread is that comes second: a quarter of a core that both want is
#: left to it.
NICENESS: Final = 5

_Done: TypeAlias = Callable[[Exception | None], None]


class ThreadWorker:
    """A `workq.cmdlog.disk.Worker` in a thread of its own.

    Args:
        call: has a function called on the loop, with one argument; may be called from any thread
            (`loop.call_soon_threadsafe`).
        second: whether it comes second on a core that it shares with the loop.
    """

    def __init__(
        self, call: Callable[[_Done, Exception | None], object], second: bool = True
    ) -> None:
        self._call = call
        self._second = second
        self._steps: SimpleQueue[tuple[Callable[[], None], _Done] | None] = SimpleQueue()
        # No step may keep a process alive that has been told to end: it may wait for a dead disk.
        self._thread = Thread(target=self._run, name="workq-cmdlog", daemon=True)
        self._thread.start()

    def submit(self, step: Callable[[], None], done: _Done) -> None:
        """Have a step taken, and its end told on the loop."""
        self._steps.put((step, done))

    def close(self) -> None:
        """Wait until all steps have been taken, and end the thread."""
        self._steps.put(None)
        self._thread.join()

    def _run(self) -> None:
        if self._second and sys.platform == "linux":  # elsewhere it would be for the whole process
            with suppress(OSError):  # a sandbox may refuse it
                os.nice(NICENESS)
        while (item := self._steps.get()) is not None:
            step, done = item
            failure: Exception | None = None
            try:
                step()
            except Exception as error:  # the loop decides what becomes of it
                failure = error
            try:
                self._call(done, failure)
            except RuntimeError:  # the loop is closed: nobody wants to know any more
                return
