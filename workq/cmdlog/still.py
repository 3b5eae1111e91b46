"""A directory held still, to read a log beside the server that writes it.

What a log amounts to is told from the order of its frames, and a frame that is found although one
before it was not there yet would pass for damage. So the files are opened and measured before
anything is read, the newest first: whatever is within the measure then, all before it is there
too. Files stay readable though the server removes their names meanwhile.

Of the last frame there may be a part only, for it may just be written; it looks like a tail.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, NoReturn, Self

from workq.cmdlog import segment
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import HASH_BYTES
from workq.cmdlog.segment import HEADER_BYTES
from workq.cmdlog.stream import Stream
from workq.errors import DirectoryError

#: How many segments, from the newest back, a server may have preallocated: the one it ends, the
#: one it writes, and the next.
_GROWING: Final = 3
_TRIES: Final = 5


class Still:
    """A `workq.cmdlog.disk.Disk` for reading only; a context manager.

    Args:
        disk: the directory. Its lock is not needed.

    Raises:
        DirectoryError: it is one of the original server; or its files change too fast.
        OSError: of the disk.
    """

    def __init__(self, disk: Disk) -> None:
        self.path = disk.path
        self._disk = disk
        self._names: list[str] = []
        self._handles: dict[str, int] = {}
        self._sizes: dict[int, int] = {}
        for _ in range(_TRIES):
            try:
                self._open_all()
            except FileNotFoundError:  # a snapshot has just replaced it
                self.end()
            except BaseException:
                self.end()
                raise
            else:
                return
        raise DirectoryError(self.path, "its files change faster than they can be read: try again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Close all files."""
        for handle in self._handles.values():
            self._disk.close(handle)
        self._handles.clear()
        self._sizes.clear()

    def _open_all(self) -> None:
        """Open what is read: the newest snapshot and the segments that it does not replace."""
        disk = self._disk
        self._names = disk.names()
        listing = segment.list_files(self)
        first = listing.snapshots[-1] if listing.snapshots else 0
        for age, number in enumerate(reversed([n for n in listing.segments if n >= first])):
            handle = self._hold(segment.segment_name(number))
            if age < _GROWING:
                # A frame may end in zeros, though in no more than its hash has bytes.
                used = Stream(disk, handle, b"", HEADER_BYTES).used(HEADER_BYTES)
                self._sizes[handle] = min(self._sizes[handle], used + HASH_BYTES)
        if listing.snapshots:
            self._hold(segment.snapshot_name(first))

    def _hold(self, name: str) -> int:
        handle = self._handles[name] = self._disk.open(name)
        self._sizes[handle] = self._disk.size(handle)
        return handle

    # --- reading ----------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all files, as they were."""
        return list(self._names)

    def open(self, name: str, writing: bool = False) -> int:
        """The handle of a file of the log; no other can be read."""
        assert not writing
        return self._handles[name]

    def close(self, handle: int) -> None:
        """It stays open until the end."""

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on, up to where the file ended."""
        return self._disk.read(handle, max(min(size, self._sizes[handle] - offset), 0), offset)

    def size(self, handle: int) -> int:
        """How long a file was, in bytes; the room that was not used is not counted."""
        return self._sizes[handle]

    # --- what is not done beside a server -----------------------------------------------------

    def _refuse(self, *_: object) -> NoReturn:
        raise AssertionError("a directory that is held still is not written to")

    create = write = truncate = preallocate = sync = links = _refuse
    rename = remove = sync_names = lock = unlock = _refuse
