"""The bytes of the original server's command log: from a directory to its records, in order.

A directory holds segments, `000000001.log` and so on. A segment is a header of eight bytes and
then records: a time, a size, so many bytes, a checksum (CRC-32C). The bytes of a record begin with
the number of its kind; what follows is read by `workq.recovery.golog`.

The original appends in one piece and syncs seldom, so a crash leaves a last record that is not
whole, or zeros that were never written over. Such an end of the last segment is left out, with a
warning. It is believed to be one only if no record that verifies comes after it: a damaged size
looks like an end too, and hides whatever follows. All other damage refuses the import: what it
has taken away is not known here.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from workq.errors import GoLogError, MissingExtra
from workq.limits import BLOCK_BYTES_MAX

HEADER: Final = b"wqwq\x00\x00\x00\x01"
TIME_BYTES: Final = 15
CHECKSUM_BYTES: Final = 4

#: The largest record: a payload, and more room than the other fields of a job can take.
RECORD_BYTES_MAX: Final = BLOCK_BYTES_MAX + 1024

ADD: Final = 1
SCHEDULE: Final = 2
COMPLETE: Final = 3
FAIL: Final = 4
DELETE: Final = 5
EXPIRE: Final = 6
START_ATTEMPT: Final = 7
TIMEOUT_ATTEMPT: Final = 8

_SEGMENT_NAME: Final = re.compile(r"[0-9]{9}\.log", re.ASCII)

#: Held by a server of the original, in its directory, as long as it runs.
_APPEND_LOCK: Final = "append.lock"

#: The first bytes of every time from 1905 to 2041: what a lost record is looked for by.
_TIME_BEGINS: Final = b"\x01\x00\x00\x00\x0e"

#: Seconds from the first instant of year 1, from which the original counts, to 1970; and to the
#: end of year 9999.
_UNIX_EPOCH_SECONDS: Final = 62_135_596_800
_SECONDS_MAX: Final = 315_537_897_599

_UINT64_MAX: Final = 2**64 - 1


class GoWarning(NamedTuple):
    """Something in a log that was not taken as it stands, or not at all.

    Attributes:
        path: the file, or the directory.
        offset: the byte of the file at which it begins.
        problem: what it is and what was made of it.
    """

    path: str
    offset: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path}, byte {self.offset}: {self.problem}"


class Record(NamedTuple):
    """One record.

    Attributes:
        path: the segment it stands in.
        offset: where it begins there.
        time_ns: when it was appended: Unix time in nanoseconds.
        kind: its kind, one of the constants above.
        body: what it says, without the kind.
    """

    path: str
    offset: int
    time_ns: int
    kind: int
    body: bytes


class Cursor:
    """Reads values out of bytes, one after the other.

    What goes beyond the end raises `EOFError`; what cannot be such a value, `ValueError` with the
    reason.

    Args:
        data: the bytes.
        at: where to begin; afterwards, where the next value begins.
    """

    __slots__ = ("_data", "at")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    @property
    def left(self) -> int:
        """How many bytes there are still."""
        return len(self._data) - self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.left:
            raise EOFError
        start, self.at = self.at, self.at + size
        return self._data[start : self.at]

    def unsigned(self) -> int:
        """A number in groups of seven bits, the lowest first, the high bit saying there is more."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if value > _UINT64_MAX or shift > 63:
                raise ValueError("a number of more than 64 bits")
            if byte < 0x80:
                return value
            shift += 7

    def signed(self) -> int:
        """A number that may be negative: 0, -1, 1, -2 … are kept as 0, 1, 2, 3 …"""
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)

    def block(self) -> bytes:
        """Bytes with their number before them."""
        return self.take(self.unsigned())

    def time_ns(self) -> int | None:
        """A time: Unix time in nanoseconds; None for the zero of the original, which is no time.

        The zone is of no account: it tells how to show the time, not which it is.
        """
        data = self.take(TIME_BYTES)
        if data[0] != 1:
            raise ValueError(f"a time of version {data[0]}; 1 is known")
        seconds = int.from_bytes(data[1:9], "big", signed=True)
        nanoseconds = int.from_bytes(data[9:13], "big", signed=True)
        if not (0 <= seconds <= _SECONDS_MAX and 0 <= nanoseconds < 10**9):
            raise ValueError("a time outside of the years 1 to 9999")
        if seconds == nanoseconds == 0:
            return None
        return (seconds - _UNIX_EPOCH_SECONDS) * 10**9 + nanoseconds


def read_records(directory: Path, warnings: list[GoWarning]) -> Iterator[Record]:
    """The records of a directory, in the order of the log; one segment in memory at a time.

    Args:
        directory: the directory; nothing in it is changed.
        warnings: gets what was left out.

    Raises:
        GoLogError: the directory cannot be read, a server is using it, or the log is damaged.
        MissingExtra: the package for checksums is missing.
    """
    checksum = _checksum()
    try:
        with _unused(directory):
            paths = _segments(directory, warnings)
            while paths and _is_blank(paths[-1].read_bytes()):
                path = paths.pop()
                warnings.append(GoWarning(str(path), 0, "a segment that was only begun: empty"))
            for path in paths:
                segment = _Segment(path, path == paths[-1], checksum, warnings)
                yield from segment.records()
    except OSError as error:
        path = error.filename or directory
        raise GoLogError(str(path), None, error.strerror or "cannot be read") from error


def _checksum() -> Callable[[bytes], int]:
    try:
        from crc32c import crc32c
    except ImportError:
        raise MissingExtra("reading a log of the original server", "import") from None
    return crc32c


@contextmanager
def _unused(directory: Path) -> Iterator[None]:
    """See to it that no server of the original appends to a directory meanwhile.

    A copy may be without the lock's file, and be readable only: nothing is made there.
    """
    path = directory / _APPEND_LOCK
    if not path.exists():
        yield
        return
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = "a server is using this log: stop it first"
            raise GoLogError(str(directory), None, problem) from None
        yield


def _segments(directory: Path, warnings: list[GoWarning]) -> list[Path]:
    """The segments in their order; numbers may be missing."""
    logs = sorted(path for path in directory.iterdir() if path.suffix == ".log")
    segments = [path for path in logs if _SEGMENT_NAME.fullmatch(path.name)]
    if not segments:
        warnings.append(GoWarning(str(directory), 0, "no segment of a log is here"))
    warnings.extend(
        GoWarning(str(path), 0, "not named like a segment: not read")
        for path in logs
        if _SEGMENT_NAME.fullmatch(path.name) is None
    )
    return segments


def _is_blank(data: bytes) -> bool:
    """Whether a segment is without a whole header because none was written yet."""
    return (len(data) < len(HEADER) and HEADER.startswith(data)) or _is_zero(data, 0)


def _is_zero(data: bytes, at: int) -> bool:
    return data.count(0, at) == len(data) - at


class _Segment:
    """One segment, to be read once.

    Args:
        path: its file.
        is_last: whether it may end in a record that is not whole.
        checksum: CRC-32C of bytes.
        warnings: gets what was left out.
    """

    def __init__(
        self,
        path: Path,
        is_last: bool,
        checksum: Callable[[bytes], int],
        warnings: list[GoWarning],
    ) -> None:
        self._path = str(path)
        self._is_last = is_last
        self._checksum = checksum
        self._warnings = warnings
        self._data = path.read_bytes()

    def records(self) -> Iterator[Record]:
        """Its records, in order."""
        if not self._data.startswith(HEADER):
            self._refuse(0, "not a segment of version 1 of the original server's log")
        at = len(HEADER)
        while at < len(self._data):
            cursor = Cursor(self._data, at)
            try:
                record, verifies = self._read(cursor)
            except EOFError:
                return self._end(at, "a record that is not whole")
            except ValueError as error:
                if _is_zero(self._data, at):
                    return self._end(at, "zeros that no record was written over")
                self._refuse(at, str(error))
            if not verifies:
                if cursor.left:
                    self._refuse(at, "a record whose checksum is wrong, and others after it")
                return self._end(at, "a record whose checksum is wrong")
            if record is None:
                self._refuse(at, "a record that says nothing")
            yield record
            at = cursor.at
        return None

    def _read(self, cursor: Cursor) -> tuple[Record | None, bool]:
        """The record at a cursor, None if it is empty, and whether its checksum is right."""
        start = cursor.at
        time_ns = cursor.time_ns()
        size = cursor.unsigned()
        if size > RECORD_BYTES_MAX:
            raise ValueError(f"a record of {size} bytes; none has more than {RECORD_BYTES_MAX}")
        payload = cursor.take(size)
        summed = self._data[start : cursor.at]
        expected = int.from_bytes(cursor.take(CHECKSUM_BYTES), "big")
        verifies = self._checksum(summed) == expected
        if not payload:
            return None, verifies
        return Record(self._path, start, time_ns or 0, payload[0], payload[1:]), verifies

    def _end(self, at: int, problem: str) -> None:
        """Take it that the log was cut off at `at`, if that can be."""
        if not self._is_last:
            self._refuse(at, f"{problem}, and segments after it")
        later = self._next_whole(at)
        if later is not None:
            self._refuse(at, f"{problem}, though a whole one follows at byte {later}")
        left = len(self._data) - at
        self._warnings.append(
            GoWarning(self._path, at, f"{problem}: the last {left} bytes of the log are left out")
        )

    def _next_whole(self, at: int) -> int | None:
        """Where a record that verifies begins after `at`, if there is one."""
        while (at := self._data.find(_TIME_BEGINS, at + 1)) >= 0:
            try:
                record, verifies = self._read(Cursor(self._data, at))
            except (EOFError, ValueError):
                continue
            if verifies and record is not None:
                return at
        return None

    def _refuse(self, at: int, problem: str) -> NoReturn:
        raise GoLogError(self._path, at, problem)
