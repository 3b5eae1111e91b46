"""The disk that lasts: a directory of the operating system.

The directory is for its owner only (0700), and so is every file (0600): payloads may be secret.
Descriptors are not inherited by programs that are started. The lock is on the directory itself,
so there is no file to forget or to remove; it ends with the process, however that ends.

Every error names the file with its directory: the system knows it only as a name in a directory
that is open, or as the number of an open file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from workq.errors import DirectoryError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600


class RealDisk:
    """A directory of the operating system; a `workq.cmdlog.disk.Disk`.

    Args:
        path: of the directory.
        make: whether to make it, with those above it, if it is missing.

    Raises:
        DirectoryError: it is missing, cannot be made, or is no directory.
    """

    def __init__(self, path: str, make: bool = False) -> None:
        self.path = path
        try:
            if make:
                _make(path)
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise DirectoryError(error.filename or path, error.strerror or str(error)) from error

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        return sorted(os.listdir(self._directory))  # noqa: PTH208 - of a handle

    def create(self, name: str) -> int:
        """Make an empty file, or empty the one there is, and open it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        with self._naming(name):
            return os.open(name, flags, FILE_MODE, dir_fd=self._directory)

    def open(self, name: str, writing: bool = False) -> int:
        """Open a file that exists."""
        flags = os.O_RDWR if writing else os.O_RDONLY
        with self._naming(name):
            return os.open(name, flags, dir_fd=self._directory)

    def close(self, handle: int) -> None:
        """Close a file."""
        with self._naming(handle):
            os.close(handle)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of something; the system may take it in pieces."""
        try:  # and not `_naming`, which would take as long as a tenth of this
            done = os.pwrite(handle, data, offset)
            while done < len(data):
                done += os.pwrite(handle, memoryview(data)[done:], offset + done)
        except OSError as error:
            error.filename = self._path_of(handle)
            raise

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on."""
        with self._naming(handle):
            data = os.pread(handle, size, offset)
            while len(data) < size:
                more = os.pread(handle, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data

    def size(self, handle: int) -> int:
        """How long a file is."""
        with self._naming(handle):
            return os.fstat(handle).st_size

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to a length."""
        with self._naming(handle):
            os.ftruncate(handle, size)

    def preallocate(self, handle: int, size: int) -> None:
        """Take the space now."""
        with self._naming(handle):
            os.posix_fallocate(handle, 0, size)

    def sync(self, handle: int) -> None:
        """Wait for the disk."""
        with self._naming(handle):
            os.fdatasync(handle)

    def links(self, handle: int) -> int:
        """Under how many names a file can be found."""
        with self._naming(handle):
            return os.fstat(handle).st_nlink

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        with self._naming(old):
            os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._naming(name):
            os.unlink(name, dir_fd=self._directory)

    def sync_names(self) -> None:
        """Wait for the directory."""
        with self._naming(""):
            os.fsync(self._directory)

    def lock(self) -> None:
        """Take the directory for this process alone."""
        fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self) -> None:
        """Give it back."""
        fcntl.flock(self._directory, fcntl.LOCK_UN)

    @contextmanager
    def _naming(self, file: str | int) -> Iterator[None]:
        """Have errors name a file, which is given as a name or as a handle."""
        try:
            yield
        except OSError as error:
            name = f"{self.path}/{file}" if file else self.path
            error.filename = self._path_of(file) if isinstance(file, int) else name
            raise

    def _path_of(self, handle: int) -> str:
        """Where an open file is, for a message; the directory, where the system does not tell."""
        try:
            found = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115
        except OSError:
            return self.path
        return f"{self.path}/{os.path.basename(found)}"  # noqa: PTH119


def _make(path: str) -> None:
    """Make a directory that is missing, and see to it that it stays."""
    if os.path.exists(path):  # noqa: PTH110 - this module is about the calls of the system
        return
    if os.path.islink(path):  # noqa: PTH114
        problem = f"is a symbolic link to {os.readlink(path)}, which leads nowhere"  # noqa: PTH115
        raise DirectoryError(path, problem)
    above = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    _make(above)
    os.mkdir(path, DIRECTORY_MODE)  # noqa: PTH102
    handle = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
