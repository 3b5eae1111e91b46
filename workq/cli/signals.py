"""Signals that ask a subcommand to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

#: Those that ask for it.
ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """They call something, as long as a `with` lasts. Those that are ignored, as under nohup, are
    left so.

    Args:
        act: is called for each, in the main thread.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> None:
        for one in ENDS:
            if signal.getsignal(one) != signal.SIG_IGN:
                self._before[one] = signal.signal(one, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._act()

    def __exit__(self, *error: object) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)


def interrupt() -> None:
    """What Ctrl-C does."""
    raise KeyboardInterrupt
