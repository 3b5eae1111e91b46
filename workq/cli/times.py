"""Times on the command line."""

from __future__ import annotations

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
