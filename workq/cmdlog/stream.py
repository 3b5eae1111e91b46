"""Frames read from one file in order, and searched for where order has ended.

A file is read in windows of a megabyte, so a log of any size takes little memory; a frame that
does not fit makes one window larger. Reading and verifying runs at about the speed of the hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workq.cmdlog import frames
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import HEAD_BYTES, MARK_BYTES, Frame

WINDOW_BYTES: Final = 1024 * 1024
_ZEROS: Final = bytes(WINDOW_BYTES)


class Stream:
    """The frames of one file.

    Args:
        disk: where the file is.
        handle: of the file.
        mark: with which its frames begin.
        at: where the first frame begins, in bytes.

    Attributes:
        size: of the file, in bytes.
        at: where the frame that was read last begins; once `frames` has ended, where it stopped.
        read_to: how much of the file has been read.
    """

    def __init__(self, disk: Disk, handle: int, mark: bytes, at: int) -> None:
        self._disk = disk
        self._handle = handle
        self._mark = mark
        self.size = disk.size(handle)
        self.at = at
        self.read_to = at

    def frames(self) -> Iterator[Frame]:
        """Every frame up to the first that does not verify, which the end of the file is too."""
        mark, measure, read = self._mark, frames.measure, frames.read
        base = self.at  # of the window in the file
        at = 0  # in the window
        window = self._read(WINDOW_BYTES, base)
        while True:
            if len(window) - at < HEAD_BYTES:
                base, at = base + at, 0
                window = self._read(WINDOW_BYTES, base)
                if len(window) < HEAD_BYTES:
                    break
            size = measure(window, at, mark)
            if not size:
                break
            if len(window) - at < size:
                base, at = base + at, 0
                window = self._read(max(size, WINDOW_BYTES), base)
                if len(window) < size:
                    break
            frame = read(window, at, size)
            if frame is None:
                break
            self.at = base + at
            yield frame
            at += size
        self.at = base + at

    def search(self, at: int) -> Iterator[tuple[int, Frame]]:
        """Every frame from an offset on that verifies on its own, and where it begins."""
        mark = self._mark
        base = at
        window = self._read(WINDOW_BYTES, base)
        while window:
            found = window.find(mark, at - base)
            if found < 0:
                if len(window) < WINDOW_BYTES or base + len(window) >= self.size:
                    return
                base = at = max(at, base + len(window) - MARK_BYTES + 1)
                window = self._read(WINDOW_BYTES, base)
                continue
            at = base + found
            size = self._measure_at(at)
            if at + size > base + len(window):
                base = at
                window = self._read(max(size, WINDOW_BYTES), base)
            frame = frames.read(window, at - base, size) if size else None
            if frame is None:
                at += 1
            else:
                yield at, frame
                at += size

    def used(self, at: int) -> int:
        """Where, from an offset on, the last byte ends that is not zero; the offset if all are."""
        end = at
        while data := self._read(WINDOW_BYTES, at):
            if data != _ZEROS[: len(data)]:
                end = at + len(data.rstrip(b"\0"))
            at += len(data)
        return end

    def _measure_at(self, at: int) -> int:
        """How long the frame is that begins somewhere, 0 if the file has not so much."""
        head = self._disk.read(self._handle, HEAD_BYTES, at)
        size = frames.measure(head, 0, self._mark) if len(head) == HEAD_BYTES else 0
        return size if at + size <= self.size else 0

    def _read(self, size: int, at: int) -> bytes:
        data = self._disk.read(self._handle, size, at)
        self.read_to = max(self.read_to, at + len(data))
        return data
