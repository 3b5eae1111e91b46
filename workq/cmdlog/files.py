"""The disk that lasts: a directory of the operating system.

The directory is for its owner only (0700), and so is every file (0600): payloads may be secret.
Descriptors are not inherited by programs that are started. The lock is on the directory itself,
so there is no file to forget or to remove; it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os

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
        return os.open(name, flags, FILE_MODE, dir_fd=self._directory)

    def open(self, name: str, writing: bool = False) -> int:
        """Open a file that exists."""
        return os.open(name, os.O_RDWR if writing else os.O_RDONLY, dir_fd=self._directory)

    def close(self, handle: int) -> None:
        """Close a file."""
        os.close(handle)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of something; the system may take it in pieces."""
        done = os.pwrite(handle, data, offset)
        while done < len(data):
            done += os.pwrite(handle, memoryview(data)[done:], offset + done)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read from an offset on."""
        data = os.pread(handle, size, offset)
        while len(data) < size:
            more = os.pread(handle, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def size(self, handle: int) -> int:
        """How long a file is."""
        return os.fstat(handle).st_size

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file to a length."""
        os.ftruncate(handle, size)

    def preallocate(self, handle: int, size: int) -> None:
        """Take the space now."""
        os.posix_fallocate(handle, 0, size)

    def sync(self, handle: int) -> None:
        """Wait for the disk."""
        os.fdatasync(handle)

    def links(self, handle: int) -> int:
        """Under how many names a file can be found."""
        return os.fstat(handle).st_nlink

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=self._directory)

    def sync_names(self) -> None:
        """Wait for the directory."""
        os.fsync(self._directory)

    def lock(self) -> None:
        """Take the directory for this process alone."""
        fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self) -> None:
        """Give it back."""
        fcntl.flock(self._directory, fcntl.LOCK_UN)


def _make(path: str) -> None:
    """Make a directory that is missing, and see to it that it stays."""
    if os.path.exists(path):  # noqa: PTH110 - this module is about the calls of the system
        return
    above = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    _make(above)
    os.mkdir(path, DIRECTORY_MODE)  # noqa: PTH102
    handle = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
