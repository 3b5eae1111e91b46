"""An event loop without a system below it: what is due comes from the simulated machine.

It has what the server's ring asks of asyncio and nothing else. Callbacks run in the order in which
they were asked for, one round at a time, as in any asyncio loop; when a round is run, and how late,
is the machine's affair. A callback that raises is a finding, not a log line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any


class Killed(SystemExit):
    """The process is gone in the middle of something. No part of asyncio or of the server holds a
    `SystemExit` up."""


#: Of the many methods of a loop only some are there: for the types it may be anything.
_Loop: Any = asyncio.AbstractEventLoop


class SimulatedLoop(_Loop):  # type: ignore[misc]
    """A loop in a simulated machine.

    Args:
        elapsed_us: tells the machine's time.
        later: asks the machine to call something back at a time.

    Attributes:
        ready: what the next round runs.
        signals: what is done at each signal.
        listening: what makes a protocol for each connection; None when nobody listens.
        broken: what callbacks have raised.
    """

    def __init__(
        self, elapsed_us: Callable[[], int], later: Callable[[int, Callable[[], None]], None]
    ) -> None:
        self._elapsed_us = elapsed_us
        self._later = later
        self.ready: deque[asyncio.Handle] = deque()
        self.signals: dict[int, Callable[[], object]] = {}
        self.listening: Callable[[], asyncio.Protocol] | None = None
        self.broken: list[BaseException] = []
        self._closed = False
        self._tasks: list[asyncio.Task[Any]] = []

    def round(self) -> None:
        """Run what was ready when it begins."""
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(self.ready)):
                handle = self.ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            asyncio._set_running_loop(None)

    # --- what the server asks for -------------------------------------------------------------

    def time(self) -> float:
        """The machine's time in seconds."""
        return self._elapsed_us() / 1e6

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        """Run something in the next round."""
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run something after so many seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Run something at a time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            if not handle._cancelled:
                self.ready.append(handle)

        self._later(round(when * 1e6), due)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing is to be tidied up."""

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        """A task of this loop."""
        task = asyncio.Task(coro, loop=self, **options)
        self._tasks.append(task)
        return task

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        """Note what a signal does."""
        self.signals[sig] = lambda: callback(*args)

    def get_debug(self) -> bool:
        """No."""
        return False

    def is_running(self) -> bool:
        """As far as anybody asks."""
        return True

    def is_closed(self) -> bool:
        """Whether the process is gone."""
        return self._closed

    def close(self) -> None:
        """Drop everything: the process is gone."""
        self._closed = True
        self.ready.clear()

    def bury(self) -> None:
        """Unwind what a killed process had under way. Until then it is kept as it stood: a process
        that is killed runs no `finally`, and nothing that would run one may see the world."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(Exception, SystemExit):
                    task.get_coro().close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what was raised where nobody catches it."""
        error = context.get("exception")
        self.broken.append(error or RuntimeError(context["message"]))
