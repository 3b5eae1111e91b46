"""How far a long subcommand is, on standard error, if somebody sees it there."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Final, Self

#: How often it is drawn anew.
_PERIOD_S: Final = 0.1
_WIDTH: Final = 30


class Progress:
    """A bar, or a count where the end is not known.

    Args:
        what: is counted.
        size: of all there is, in the unit of `done`; None if that is not known.
    """

    def __init__(self, what: str, size: int | None) -> None:
        self._what = what
        self._size = size
        self._seen = sys.stderr.isatty()
        self._next = 0.0
        self._rich: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._seen and find_spec("rich"):
            from rich import progress
            from rich.console import Console

            self._rich = progress.Progress(
                progress.BarColumn(),
                progress.TaskProgressColumn(),
                progress.TextColumn("{task.fields[count]:,} {task.description}"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._rich.add_task(self._what, total=self._size, count=0)
            self._rich.start()
        return self

    def show(self, count: int, done: int) -> None:
        """Tell how far it is.

        Args:
            count: what people want to know.
            done: of `size`.
        """
        if not self._seen:
            return
        if self._rich is not None:
            self._rich.update(self._task, completed=done, count=count)
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PERIOD_S
            sys.stderr.write(f"\r{self.line(count, done)}\x1b[K")
            sys.stderr.flush()

    def line(self, count: int, done: int) -> str:
        """The bar as plain text."""
        if not self._size:
            return f"{count:,} {self._what}"
        share = min(done / self._size, 1)
        bar = ("#" * round(share * _WIDTH)).ljust(_WIDTH, ".")
        return f"[{bar}] {share:4.0%}  {count:,} {self._what}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich.stop()
        elif self._seen:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
