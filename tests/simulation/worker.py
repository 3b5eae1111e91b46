"""A worker that takes its steps when it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class StepWorker:
    """A `workq.cmdlog.disk.Worker` without a thread.

    Attributes:
        steps: those not yet taken.
        ends: what is to be told on the loop, of those that were.
    """

    def __init__(self) -> None:
        self.steps: deque[tuple[Callable[[], None], Callable[[Exception | None], None]]] = deque()
        self.ends: deque[tuple[Callable[[Exception | None], None], Exception | None]] = deque()

    def submit(self, step: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        """Note a step."""
        self.steps.append((step, done))

    def step(self) -> bool:
        """Take one step; whether there was one."""
        if not self.steps:
            return False
        step, done = self.steps.popleft()
        failure: Exception | None = None
        try:
            step()
        except Exception as error:
            failure = error
        self.ends.append((done, failure))
        return True

    def tell(self) -> bool:
        """Tell the end of one step; whether there was one."""
        if not self.ends:
            return False
        done, failure = self.ends.popleft()
        done(failure)
        return True

    def run(self) -> None:
        """Take all steps and tell all ends, until there is nothing left."""
        while self.step() or self.tell():
            pass
