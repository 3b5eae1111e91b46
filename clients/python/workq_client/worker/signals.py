"""What signals mean to a worker.

SIGTERM and SIGINT: finish what runs, and end; the second time: end now; the third time: whatever
happens. SIGUSR1: take no more jobs; SIGUSR2: take them again.

A signal may come while its thread writes to the log, even for the signal before, and a stream that
is being written to cannot be written to: it raises. So other threads tell of signals, one after the
other.
"""

from __future__ import annotations

import _thread
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from workq_client.limits import SAY_S
from workq_client.worker.leasing import Conductor

Taker = Callable[[int, FrameType | None], None]

logger = logging.getLogger("workq_client.worker")


class _Received:
    """Takes signals for a conductor.

    Args:
        conductor: the conductor.
    """

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._stops = 0
        self._last: threading.Lock | None = None  # held until all is told

    def stop(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        name = signal.Signals(number).name
        self._stops += 1
        if self._stops == 1:
            self._conductor.stop()
            self._say(logging.INFO, f"{name}: no more jobs are taken; what runs is finished")
        elif self._stops == 2:
            self._conductor.stop(at_once=True)
            self._say(logging.WARNING, f"{name} again: what runs is interrupted")
        else:
            if self._stops == 3:
                self._say(logging.ERROR, f"{name} again: the worker is killed")
                self.settle()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def pause(self, number: int, frame: FrameType | None) -> None:
        """SIGUSR1."""
        self._conductor.pause()
        self._say(logging.INFO, "SIGUSR1: paused, until SIGUSR2")

    def resume(self, number: int, frame: FrameType | None) -> None:
        """SIGUSR2."""
        self._conductor.resume()
        self._say(logging.INFO, "SIGUSR2: taking jobs again")

    def _say(self, level: int, text: str) -> None:
        before, told = self._last, threading.Lock()
        told.acquire()
        self._last = told

        def tell() -> None:
            try:
                if before is not None:
                    with before:
                        pass
                logger.log(level, text)
            finally:
                told.release()

        try:
            # `threading` has locks of its own, which may be held where the signal came.
            _thread.start_new_thread(tell, ())
        except RuntimeError:  # there are as many threads as there may be
            told.release()

    def settle(self) -> None:
        """Wait until everything is told: who ends in the middle of a line breaks the stream. But
        not for ever: perhaps nobody reads it."""
        if self._last is not None and self._last.acquire(timeout=SAY_S):
            self._last.release()


def stops_taken(conductor: Conductor) -> AbstractContextManager[None]:
    """Take SIGTERM and SIGINT inside a `with`: while a hook runs they are the program's."""
    received = _Received(conductor)
    return _taken(received, {signal.SIGTERM: received.stop, signal.SIGINT: received.stop})


def pauses_taken(conductor: Conductor) -> AbstractContextManager[None]:
    """Take SIGUSR1 and SIGUSR2 inside a `with`: as long as there is a worker, for without a taker
    they kill it. It may not have begun yet."""
    received = _Received(conductor)
    return _taken(received, {signal.SIGUSR1: received.pause, signal.SIGUSR2: received.resume})


@contextmanager
def _taken(received: _Received, takers: dict[signal.Signals, Taker]) -> Iterator[None]:
    """Take signals inside a `with`, if this is the main thread: no other one can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, taker) for number, taker in takers.items()}
    try:
        yield
    finally:
        for number, taker in before.items():
            signal.signal(number, signal.SIG_DFL if taker is None else taker)
        received.settle()
