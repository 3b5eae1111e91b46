"""The simulated disk with faults that come when they are called, and the truth about its frames.

`hook` is asked before each call that changes, syncs or reads something, with the call's name and
the file's; it may raise an OSError, which is a fault of the disk, or `Killed`. What the log claims
of its frames is not believed: which of them the disk has is told from the bytes that were written
and the syncs that came back, by what `docs/cmdlog.md` says of a frame's head.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation.disk import Inode, SimulatedDisk
from tests.simulation.loop import Killed

#: What a frame has around its body; the header of a file.
HEAD_BYTES, HASH_BYTES, HEADER_BYTES = 64, 16, 64


class Head(NamedTuple):
    """What the first bytes of a frame say.

    Attributes:
        kind, epoch, records, position, safe: as `docs/cmdlog.md` has them.
        end: where the frame ends, in bytes from the start of what was read.
    """

    kind: int
    epoch: int
    records: int
    position: int
    safe: int
    end: int


def heads(data: bytes, start: int, mark: bytes) -> list[Head]:
    """The heads of the frames that follow one another from a place on; hashes are not looked at."""
    found: list[Head] = []
    at = start
    while data[at : at + 8] == mark and len(data) >= at + HEAD_BYTES:
        size = int.from_bytes(data[at + 20 : at + 24], "little")
        end = at + HEAD_BYTES + size + HASH_BYTES
        if end > len(data):
            break
        found.append(
            Head(
                data[at + 8],
                int.from_bytes(data[at + 12 : at + 16], "little"),
                int.from_bytes(data[at + 16 : at + 20], "little"),
                int.from_bytes(data[at + 24 : at + 32], "little"),
                int.from_bytes(data[at + 40 : at + 48], "little"),
                end,
            )
        )
        at = end
    return found


class FaultyDisk(SimulatedDisk):
    """A `SimulatedDisk` that fails when its hook says so.

    Attributes:
        hook: asked before each call.
        ran_full: told of each call that there was no room for, and of how much room there was.
        longest: the size of the longest frame that was written.
        written: the position up to which the system was given every frame.
        lied: whether syncs do nothing: a control, which the checkers must find.
        dead: whether the process that used it was killed: it calls nothing any more.
    """

    lied = False
    dead = False

    def __init__(self) -> None:
        super().__init__()
        self.hook: Callable[[str, str], None] = lambda call, name: None
        self.ran_full: Callable[[str, int], None] = lambda call, free: None
        self.longest = 0
        self.written = 0
        self._labels: dict[int, str] = {}
        self._frames: list[tuple[int, Inode, int]] = []  # not known to be safe, in order
        self._safe = 0
        self._target = ""

    def successor_of(self, other: FaultyDisk) -> None:
        """Take over what is known of frames, when a process was killed and the machine was not."""
        self.written, self._safe, self._frames = other.written, other._safe, other._frames
        self.longest = other.longest

    @property
    def safe(self) -> int:
        """The highest position up to which a power cut can take nothing."""
        frames = self._frames
        named = {id(inode) for inode in self.safe_files.values()}
        done = 0
        for position, inode, version in frames:
            if getattr(inode, "synced", -1) < version or id(inode) not in named:
                break
            self._safe = position
            done += 1
        del frames[:done]
        return self._safe

    # --- faults -----------------------------------------------------------------------------

    def _call(self, name: str) -> None:
        if self.dead:
            raise Killed
        self.calls += 1
        self.hook(name, self._target)

    def _at(self, handle: int) -> None:
        self._target = self._labels[handle]

    def create(self, name: str) -> int:
        """Make an empty file."""
        self._target = name
        handle = super().create(name)
        self._labels[handle] = name
        return handle

    def open(self, name: str, writing: bool = False) -> int:
        """Open a file."""
        handle = super().open(name, writing)
        self._labels[handle] = name
        return handle

    def close(self, handle: int) -> None:
        """Close a file."""
        super().close(handle)
        del self._labels[handle]

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on."""
        self._at(handle)
        if self.dead:
            raise Killed
        self.hook("read", self._target)
        return super().read(handle, size, offset)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write, and note which frames that are."""
        self._at(handle)
        inode = self.handles[handle]
        if offset + len(data) > len(inode.now):
            if self.used() + offset + len(data) - len(inode.now) > self.space:
                self.ran_full("write", self.space - self.used())
                raise OSError(errno.ENOSPC, "No space left on device")
        try:
            super().write(handle, data, offset)
        except Killed:  # in the middle of it: anywhere, and never behind its end
            self._put(inode, data[: self.calls * 7919 % len(data)], offset)
            raise
        version = inode.version = getattr(inode, "version", 0) + 1  # type: ignore[attr-defined]
        if ".log" in self._target:
            self.longest = max(self.longest, len(data))
            for head in heads(data, 0, data[:8]):
                if head.position == self.written + 1:  # else one before it is missing
                    self.written = head.position
                    self._frames.append((head.position, inode, version))

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to a length."""
        self._at(handle)
        super().truncate(handle, size)

    def preallocate(self, handle: int, size: int) -> None:
        """Take space."""
        self._at(handle)
        try:
            super().preallocate(handle, size)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.ran_full("preallocate", self.space - self.used())
            raise

    def sync(self, handle: int) -> None:
        """Make a file safe."""
        self._at(handle)
        inode = self.handles[handle]
        if self.lied:
            self._call("sync")
            return
        try:
            super().sync(handle)
        except OSError:  # what it should have made safe no later sync will
            self._frames = [
                (position, one, 1 << 60 if one is inode else version)
                for position, one, version in self._frames
            ]
            raise
        inode.synced = getattr(inode, "version", 0)  # type: ignore[attr-defined]

    def sync_names(self) -> None:
        """Make the names safe."""
        self._target = ""
        if self.lied:
            self._call("sync_names")
            return
        super().sync_names()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._target = new
        super().rename(old, new)
        for handle, label in list(self._labels.items()):
            if label == old:
                self._labels[handle] = new

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._target = name
        assert self.safe <= self.written  # what was in it has been safe till now, if it was
        super().remove(name)

    def unsafe_segments(self) -> list[str]:
        """The segments of which a power cut could take something, in content or in name."""
        return [
            name
            for name, inode in self.files.items()
            if name.endswith(".log")
            and (inode.now != inode.safe or self.safe_files.get(name) is not inode)
        ]

    def reset_frames(self, position: int) -> None:
        """What is on the disk now ends with a position, and is all there is."""
        self.written = self._safe = position
        self._frames = []
