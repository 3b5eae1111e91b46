"""What the log needs of a disk: one directory of files, and an order of steps away from the loop.

Everything that reads or writes a log goes through a `Disk`, so that a simulated one can stand in
for it, which loses what was not synced, tears, fails and runs full. Nothing that is shipped can
tell the difference. `RealDisk` in `workq.cmdlog.files` is the one that lasts.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, Protocol

#: What a full disk, or a used-up quota, answers.
FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


class Disk(Protocol):
    """One directory. Everything raises OSError when it cannot be done.

    Attributes:
        path: what the directory is called, for messages.
    """

    path: str

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        ...

    def create(self, name: str) -> int:
        """Make an empty file, or empty the one there is, and open it: a handle."""
        ...

    def open(self, name: str, writing: bool = False) -> int:
        """Open a file that exists: a handle."""
        ...

    def close(self, handle: int) -> None:
        """Close a file."""
        ...

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of something at an offset, in bytes."""
        ...

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on, as many bytes as asked for unless the file ends before."""
        ...

    def size(self, handle: int) -> int:
        """How long a file is, in bytes."""
        ...

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to a length in bytes."""
        ...

    def preallocate(self, handle: int, size: int) -> None:
        """See to it that writing within the first `size` bytes of a file cannot find the disk
        full. They read as zeros."""
        ...

    def sync(self, handle: int) -> None:
        """Wait until a file's bytes and its length survive the loss of power. What failed once
        must not be tried again: the system has forgotten by then what it did not write."""
        ...

    def links(self, handle: int) -> int:
        """Under how many names a file can be found: 0 for one that was removed."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in one step."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file."""
        ...

    def sync_names(self) -> None:
        """Wait until all that was made, renamed and removed survives the loss of power."""
        ...

    def lock(self) -> None:
        """Take the directory for this process alone; BlockingIOError if another has it."""
        ...

    def unlock(self) -> None:
        """Give it back."""
        ...


class Worker(Protocol):
    """Takes steps, one after another, away from the event loop."""

    def submit(self, step: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        """Have a step taken after all that were submitted before; then, on the loop, say how it
        went: None, or what it raised. Neither happens within this call."""
        ...
