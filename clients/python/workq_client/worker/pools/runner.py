"""Runs handlers on one thread, one at a time, and lets other threads interrupt them.

An async handler is a task, which is cancelled. Into a plain one an exception is injected, which
Python raises at the next line that the thread executes. That is not the moment at which it was
asked for: the handler may have ended meanwhile. So that it does not hit whatever the thread does
next, both sides announce what they do before they look at what the other one does:

    the thread                     who interrupts
    returned = True                interrupted = True
    if interrupted:                if not returned:
        wait until decided             inject
        take the exception back    decided = True
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

from workq_client.worker.calls import Calls, interrupted
from workq_client.worker.jobs import Held, Interrupted
from workq_client.worker.outcomes import Outcome


class Runner:
    """Runs handlers on the thread that makes it.

    Args:
        calls: how they are called.

    Attributes:
        thread: its thread, by its number.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.thread = threading.get_ident()
        self._loop: asyncio.Runner | None = None

    def run(self, held: Held) -> Outcome:
        """Run a handler to its end, and return what became of its job."""
        if held.handler.is_async:
            held.runner = self
            held.started = time.monotonic()
            return self.loop().run(self._asynchronous(held))
        outcome: Outcome | None = None
        try:
            held.runner = self  # from here on it may be interrupted
            held.started = time.monotonic()
            if not held.interrupted:
                outcome = self._calls.plain(held)
            held.returned = True
        except Interrupted:
            held.returned = True
        self._settle(held)
        return interrupted(held) if outcome is None else outcome

    def loop(self) -> asyncio.Runner:
        """The event loop of the thread."""
        if self._loop is None:
            self._loop = asyncio.Runner()
        return self._loop

    def close(self) -> None:
        """Be done with it."""
        if self._loop is not None:
            self._loop.close()

    async def _asynchronous(self, held: Held) -> Outcome:
        held.task = asyncio.current_task()
        held.loop = asyncio.get_running_loop()
        if held.interrupted:  # before there was a task to cancel
            return interrupted(held)
        outcome = await self._calls.asynchronous(held)
        held.returned = True
        return outcome

    def _settle(self, held: Held) -> None:
        """Make sure that nothing is raised any more by an interruption that came too late."""
        while True:
            try:
                if held.interrupted:
                    while not held.decided:
                        time.sleep(0.0001)
                    _raise_in(self.thread, None)
                return
            except Interrupted:
                continue


def interrupt(held: Held) -> None:
    """Have a handler end that a `Runner` has begun, or not begin; from another thread, once."""
    held.interrupted = True
    runner: Runner | None = held.runner
    if runner is None:  # it will see
        pass
    elif held.handler.is_async:
        if held.task is not None and held.loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                held.loop.call_soon_threadsafe(held.task.cancel)
    elif not held.returned:
        _raise_in(runner.thread, Interrupted)
    held.decided = True


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have an exception raised in a thread; or, if it is None, the one that was to be raised not
    be."""
    import ctypes  # takes a while to load, and is seldom needed

    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
