"""Every reply of the server, and the errors once each.

A reply is bytes: `+OK`, `+OK <count>` and data, or `-CLASS text`. The classes are those of the
original Workq; texts are short, stable and documented in `docs/protocol.md`, which a test
compares with `ERRORS`.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

#: Every error a client can get, by its line without the end. Filled by `_error`.
ERRORS: Final[dict[str, bytes]] = {}


def _error(line: str) -> bytes:
    return ERRORS.setdefault(line, f"-{line}\r\n".encode("ascii"))


OK: Final = b"+OK\r\n"

TIMEOUT: Final = _error("TIMEOUT")
NOT_FOUND: Final = _error("NOT-FOUND")

UNKNOWN_COMMAND: Final = _error("CLIENT-ERROR Unknown command")
INVALID_ARGS: Final = _error("CLIENT-ERROR Invalid command args")
INVALID_FLAGS: Final = _error("CLIENT-ERROR Invalid command flags")
LINE_TOO_LONG: Final = _error("CLIENT-ERROR Line too long")
TOO_MUCH_INPUT: Final = _error("CLIENT-ERROR Too much input")
INVALID_PAYLOAD_SIZE: Final = _error("CLIENT-ERROR Invalid payload size")
INVALID_RESULT_SIZE: Final = _error("CLIENT-ERROR Invalid result size")
INVALID_ID: Final = _error("CLIENT-ERROR Invalid ID")
INVALID_NAME: Final = _error("CLIENT-ERROR Invalid Name")
INVALID_TTR: Final = _error("CLIENT-ERROR Invalid TTR")
INVALID_TTL: Final = _error("CLIENT-ERROR Invalid TTL")
INVALID_TIME: Final = _error("CLIENT-ERROR Invalid Time")
INVALID_MAX_ATTEMPTS: Final = _error("CLIENT-ERROR Invalid Max Attempts")
INVALID_MAX_FAILS: Final = _error("CLIENT-ERROR Invalid Max Fails")
INVALID_DELAY: Final = _error("CLIENT-ERROR Invalid Delay")
INVALID_RETRY_DELAY: Final = _error("CLIENT-ERROR Invalid Retry Delay")
INVALID_BACKOFF: Final = _error("CLIENT-ERROR Invalid Backoff")
INVALID_RETRY_MAX: Final = _error("CLIENT-ERROR Invalid Retry Max")
INVALID_FINAL: Final = _error("CLIENT-ERROR Invalid Final")
INVALID_COUNT: Final = _error("CLIENT-ERROR Invalid Count")
INVALID_LEASE: Final = _error("CLIENT-ERROR Invalid Lease")
UNKNOWN_VERSION: Final = _error("CLIENT-ERROR Unknown version")
LEASE_LOST: Final = _error("CLIENT-ERROR Lease lost")
INVALID_PRIORITY: Final = _error("CLIENT-ERROR Invalid Priority")
INVALID_WAIT_TIMEOUT: Final = _error("CLIENT-ERROR Invalid wait timeout")
INVALID_CURSOR_OFFSET: Final = _error("CLIENT-ERROR Invalid cursor offset")
INVALID_LIMIT: Final = _error("CLIENT-ERROR Invalid limit")
DUPLICATE_JOB: Final = _error("CLIENT-ERROR Duplicate job")
TOO_MANY_WAITS: Final = _error("CLIENT-ERROR Too many waits")
REQUEST_TIMEOUT: Final = _error("CLIENT-ERROR Request timeout")
IDLE_TIMEOUT: Final = _error("CLIENT-ERROR Idle timeout")
DUPLICATE_RESULT: Final = _error("CLIENT-ERROR Duplicate result")

TOO_MANY_CONNECTIONS: Final = _error("SERVER-ERROR Too many connections")
OUT_OF_MEMORY: Final = _error("SERVER-ERROR Out of memory")
DISK_FULL: Final = _error("SERVER-ERROR Disk full")
LOG_FAILED: Final = _error("SERVER-ERROR Log failed")
SHUTTING_DOWN: Final = _error("SERVER-ERROR Shutting down")


def counted(entries: list[bytes]) -> bytes:
    """`+OK <count>` and the entries, each of which has its own line end."""
    return b"+OK %d\r\n%b" % (len(entries), b"".join(entries))


def block(head: bytes, pairs: list[tuple[str, bytes | int]]) -> bytes:
    """One entry of keys and values: `<head> <number of keys>`, then a line for each."""
    return b"%b %d\r\n%b" % (head, len(pairs), lines(pairs))


def lines(pairs: list[tuple[str, bytes | int]]) -> bytes:
    """A line for each key and its value."""
    each = [
        (b"%b %d\r\n" if isinstance(value, int) else b"%b %b\r\n") % (key.encode("ascii"), value)
        for key, value in pairs
    ]
    return b"".join(each)


def tagged(tag: int, reply: bytes) -> bytes:
    """A reply to a request that carries a tag."""
    return b"=%d %b" % (tag, reply)


_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time(time_ms: int) -> bytes:
    """A time as the protocol writes it: UTC, whole seconds, cut off.

    Args:
        time_ms: Unix time in milliseconds, within the years 1 to 9999.
    """
    return _second(time_ms // 1000)


@lru_cache(maxsize=1024)  # those that are listed together were often made together
def _second(seconds: int) -> bytes:
    # isoformat pads the year to four digits, which strftime does not everywhere.
    moment = _UNIX_EPOCH + timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat().encode("ascii") + b"Z"
