"""From threads to an event loop: many things for one wake-up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """What other threads put in, a function takes out in the loop's thread. It is called once for
    all that has come until it comes to it.

    Args:
        loop: the loop.
        take: the function.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[list[T]], None]) -> None:
        self._loop = loop
        self._take = take
        self._items: deque[T] = deque()
        self._called = False

    def put(self, item: T) -> None:
        """Put one in; from any thread."""
        self._items.append(item)
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody is interested any more
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # first, or what comes meanwhile would lie
        items = []
        while self._items:
            items.append(self._items.popleft())
        if items:
            self._take(items)
