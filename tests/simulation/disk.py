"""A disk that forgets: what a power cut may leave of a directory, from one seed.

It follows no file system but is worse than all of them. Of what was written, truncated, made,
renamed and removed since the last sync, each change may be there or not, whatever came before it.
Files tear between sectors of 512 bytes; of a sector written several times any version may be
found. A sync that fails leaves what it should have written readable, but clean: a later sync does
not write it either.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random

SECTOR_BYTES = 512


class Inode:
    """A file: as it reads, as it would be found after a power cut, and what lies between."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.safe = bytearray()
        self.sizes: list[int] = []  # those it had since the last sync
        self.versions: dict[int, list[bytes]] = {}  # of sectors since the last sync
        self.links = 0

    def touch(self, start: int, end: int) -> None:
        """Note that the bytes between two offsets have changed."""
        for sector in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            at = sector * SECTOR_BYTES
            version = bytes(self.now[at : at + SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")
            self.versions.setdefault(sector, []).append(version)

    def resize(self, size: int) -> None:
        """Get another length."""
        old = len(self.now)
        if size < old:
            del self.now[size:]
        else:
            self.now += bytes(size - old)
        self.sizes.append(size)
        if size != old:  # what comes or goes changes the sector it is in
            self.touch(min(old, size), min(max(old, size), min(old, size) + 1))

    def settled(self) -> None:
        """Forget what lies between."""
        self.sizes.clear()
        self.versions.clear()

    def crashed(self, random: Random) -> Inode:
        """What is found of it after a power cut."""
        size = random.choice([len(self.safe), *self.sizes])
        found = bytearray(self.safe[:size].ljust(size, b"\0"))
        for sector, versions in self.versions.items():
            at = sector * SECTOR_BYTES
            chosen = random.choice([None, versions[-1], random.choice(versions)])
            if chosen is not None and at < size:
                found[at : at + SECTOR_BYTES] = chosen[: size - at]
        return Inode.of(bytes(found))

    @staticmethod
    def of(data: bytes) -> Inode:
        """A file that is safe as it is."""
        inode = Inode()
        inode.now[:] = inode.safe[:] = data
        return inode


class SimulatedDisk:
    """A directory on such a disk; a `workq.cmdlog.disk.Disk`.

    Attributes:
        calls: how many calls have been made that change something or sync.
        before: called before each of them with its name and its number, from 1 on; may raise.
        space: how many bytes all files together may have preallocated.
    """

    path = "/simulated"

    def __init__(self) -> None:
        self.calls = 0
        self.before: Callable[[str, int], None] = lambda name, number: None
        self.space = 1 << 40
        self.files: dict[str, Inode] = {}
        self.safe_files: dict[str, Inode] = {}
        self.changes: list[tuple[str, str, Inode | None]] = []  # of names: old, new, file
        self.handles: dict[int, Inode] = {}
        self.opened = 0
        self.locked = False

    # --- what a test does to it -------------------------------------------------------------

    def crash(self, random: Random) -> SimulatedDisk:
        """The disk as it may be found after a power cut."""
        names = dict(self.safe_files)
        for old, new, inode in self.changes:
            if random.random() < 0.5:
                continue
            if old and names.get(old) is inode:
                del names[old]
            if new and inode is not None:
                names[new] = inode
        found: dict[int, Inode] = {}
        disk = type(self)()
        for name, inode in sorted(names.items()):
            if id(inode) not in found:
                found[id(inode)] = inode.crashed(random)
            disk.put(name, found[id(inode)])
        return disk

    def killed(self) -> SimulatedDisk:
        """The disk as the next process finds it when only this one was killed."""
        disk = type(self)()
        disk.files, disk.safe_files = self.files, self.safe_files
        disk.changes, disk.space = self.changes, self.space
        return disk

    def copy(self) -> SimulatedDisk:
        """A disk with the same files, all of it safe."""
        disk = type(self)()
        for name, inode in self.files.items():
            disk.put(name, Inode.of(bytes(inode.now)))
        return disk

    def put(self, name: str, inode: Inode) -> None:
        """Put in a file that is safe."""
        self.files[name] = self.safe_files[name] = inode
        inode.links += 1

    def read_all(self, name: str) -> bytes:
        """All of a file."""
        return bytes(self.files[name].now)

    def used(self) -> int:
        """How many bytes all files have."""
        return sum(len(inode.now) for inode in self.files.values())

    # --- what the log does ------------------------------------------------------------------

    def _call(self, name: str) -> None:
        self.calls += 1
        self.before(name, self.calls)

    def _handle(self, inode: Inode) -> int:
        self.opened += 1
        self.handles[self.opened] = inode
        return self.opened

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        return sorted(self.files)

    def create(self, name: str) -> int:
        """Make an empty file, or empty the one there is."""
        self._call("create")
        if name in self.files:
            self.files[name].resize(0)
        else:
            inode = self.files[name] = Inode()
            inode.links = 1
            self.changes.append(("", name, inode))
        return self._handle(self.files[name])

    def open(self, name: str, writing: bool = False) -> int:
        """Open a file that exists."""
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return self._handle(self.files[name])

    def close(self, handle: int) -> None:
        """Close a file."""
        del self.handles[handle]

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write at an offset. A fault may leave half of it."""
        inode = self.handles[handle]
        try:
            self._call("write")
        except OSError:
            self._put(inode, data[: len(data) // 2], offset)
            raise
        self._put(inode, data, offset)

    def _put(self, inode: Inode, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if end > len(inode.now):
            inode.resize(end)
        inode.now[offset:end] = data
        inode.touch(offset, end)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on."""
        return bytes(self.handles[handle].now[offset : offset + size])

    def size(self, handle: int) -> int:
        """How long a file is."""
        return len(self.handles[handle].now)

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to a length."""
        self._call("truncate")
        self.handles[handle].resize(size)

    def preallocate(self, handle: int, size: int) -> None:
        """Take space, if there is some."""
        self._call("preallocate")
        inode = self.handles[handle]
        if self.used() + size - len(inode.now) > self.space:
            raise OSError(errno.ENOSPC, "No space left on device")
        if size > len(inode.now):
            inode.resize(size)

    def sync(self, handle: int) -> None:
        """Make a file safe; if it fails, what is not safe will never be."""
        inode = self.handles[handle]
        try:
            self._call("sync")
        except OSError:
            inode.settled()
            raise
        size = len(inode.now)
        del inode.safe[size:]
        inode.safe += bytes(size - len(inode.safe))
        for sector, versions in inode.versions.items():
            at = sector * SECTOR_BYTES
            if at < size:
                inode.safe[at : at + SECTOR_BYTES] = versions[-1][: size - at]
        inode.settled()

    def links(self, handle: int) -> int:
        """Under how many names a file can be found."""
        return self.handles[handle].links

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._call("rename")
        if new in self.files:
            self.files[new].links -= 1
        inode = self.files[new] = self.files.pop(old)
        self.changes.append((old, new, inode))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._call("remove")
        inode = self.files.pop(name)
        inode.links -= 1
        self.changes.append((name, "", inode))

    def sync_names(self) -> None:
        """Make the names safe."""
        self._call("sync_names")
        self.safe_files = dict(self.files)
        self.changes = []

    def lock(self) -> None:
        """Take the directory."""
        if self.locked:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self.locked = True

    def unlock(self) -> None:
        """Give it back."""
        self.locked = False
