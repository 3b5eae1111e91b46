"""What signals mean to a worker.

SIGTERM and SIGINT: finish what runs, and end; the second time: end now; the third
time: whatever happens. SIGUSR1: take no more jobs;
SIGUSR2: take them again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

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
        self.by: int | None = None
        self.twice = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        name = signal.Signals(number).name
        if self.by is None:
            self.by = number
            logger.info("%s: no more jobs are taken; what runs is finished", name)
            self._conductor.stop()
        elif self.twice:
            logger.error("%s again: the worker is killed", name)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        else:
            self.twice = True
            logger.warning("%s again: what runs is interrupted", name)
            self._conductor.stop(at_once=True)

    def pause(self, number: int, frame: FrameType | None) -> None:
        """SIGUSR1."""
        self._conductor.pause()
        logger.info("SIGUSR1: paused, until SIGUSR2")

    def resume(self, number: int, frame: FrameType | None) -> None:
        """SIGUSR2."""
        logger.info("SIGUSR2: taking jobs again")
        self._conductor.resume()


def stops_taken(conductor: Conductor) -> AbstractContextManager[None]:
    """Take SIGTERM and SIGINT inside a `with`: while a hook runs they are the program's."""
    received = _Received(conductor)
    return _taken({signal.SIGTERM: received.stop, signal.SIGINT: received.stop})


def pauses_taken(conductor: Conductor) -> AbstractContextManager[None]:
    """Take SIGUSR1 and SIGUSR2 inside a `with`: as long as there is a worker, for without a taker
    they kill it. It may not have begun yet."""
    received = _Received(conductor)
    return _taken({signal.SIGUSR1: received.pause, signal.SIGUSR2: received.resume})


@contextmanager
def _taken(takers: dict[signal.Signals, Taker]) -> Iterator[None]:
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
