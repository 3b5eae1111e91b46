"""Times on the command line."""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError
from datetime import UTC, datetime


def read_time(text: str) -> int:
    """A time in milliseconds since 1970, from RFC 3339 text; without a zone it is in UTC.

    Args:
        text: `2026-11-22T09:36:24Z`, `2026-11-22T10:36:24.5+01:00`, or just `2026-11-22`.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text!r} is not a time like 2026-11-22T09:36:24Z or 2026-11-22"
        raise ArgumentTypeError(problem) from None
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    since = read - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def now_ms() -> int:
    """The wall clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


#: Seconds of a unit of time.
_UNITS = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)")


def read_duration(text: str) -> float:
    """A duration in seconds.

    Args:
        text: `30`, `30s`, `500ms`, `5m`, `2h`, `1d`, `1.5h`; without a unit it is in seconds.

    Raises:
        ArgumentTypeError: it is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration like 30, 30s, 500ms, 5m, 2h or 1d")
    return round(float(match[1]) * _UNITS[match[2]], 6)


def read_moment(text: str) -> datetime:
    """A time with a zone.

    Args:
        text: ISO 8601, `2030-01-31T08:00:00Z` or `2030-01-31T09:00+01:00`.

    Raises:
        ArgumentTypeError: it is none, or has no zone.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text!r} is not a time like 2030-01-31T08:00:00Z or 2030-01-31T09:00+01:00"
        raise ArgumentTypeError(problem) from None
    if read.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} has no zone: end it in Z for UTC, or like +01:00")
    return read
