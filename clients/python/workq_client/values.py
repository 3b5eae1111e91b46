"""What Python people write, as the protocol has it: seconds, dates and names become words."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from workq_client.errors import InvalidRequest
from workq_client.limits import ARGUMENT_CHARACTERS_MAX, DURATION_MS_MAX

#: A number of seconds, or a `timedelta`.
Duration: TypeAlias = float | timedelta

#: How long a lease lasts where nothing else is said.
TTR: Final = 60

#: How long a job exists where nothing else is said, its result included: a day.
TTL: Final = 86_400

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def milliseconds(what: str, value: Duration) -> int:
    """A duration in whole milliseconds, rounded up: nothing is shorter than it was asked to be.

    Args:
        what: the argument, for the error.
        value: seconds, or a `timedelta`.

    Raises:
        InvalidRequest: it is no duration, or negative, or longer than any time the server knows.
    """
    if type(value) is int and 0 <= value <= DURATION_MS_MAX // 1000:  # the usual one
        return value * 1000
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidRequest(f"{what} is {value!r}; it has to be seconds or a timedelta")
    if not 0 <= seconds < math.inf:
        raise InvalidRequest(f"{what} is {value!r}; it has to be 0 s or more")
    if seconds > DURATION_MS_MAX // 1000:
        raise InvalidRequest(f"{what} is longer than any time that the server knows")
    return math.ceil(round(seconds * 1000, 6))


def seconds(milliseconds_text: str) -> float:
    """Milliseconds of a reply in seconds."""
    return int(milliseconds_text) / 1000


def time_word(what: str, value: datetime) -> str:
    """A time as the protocol writes it, to the millisecond.

    Args:
        what: the argument, for the error.
        value: an aware datetime.

    Raises:
        InvalidRequest: it is no datetime, or has no time zone.
    """
    if not isinstance(value, datetime):
        raise InvalidRequest(f"{what} is {value!r}; it has to be a datetime")
    if value.utcoffset() is None:
        raise InvalidRequest(
            f"{what} is {value.isoformat()} without a time zone: datetime.now(UTC), or "
            "datetime(…, tzinfo=ZoneInfo('Europe/Berlin')), says what time is meant"
        )
    utc = value.astimezone(UTC)
    fraction = f".{utc.microsecond // 1000:03d}" if utc.microsecond else ""
    return f"{utc.year:04d}-{utc:%m-%dT%H:%M:%S}{fraction}Z"


def time_of(text: str) -> datetime:
    """A time of a reply, as an aware datetime in UTC."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def name_word(what: str, value: str) -> str:
    """The name of a queue or a client.

    Args:
        what: the argument, for the error.
        value: 1 to 255 letters, digits, `_`, `-` and `.` of ASCII.

    Raises:
        InvalidRequest: it is no such name.
    """
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        shown = str(value)[:ARGUMENT_CHARACTERS_MAX]
        raise InvalidRequest(
            f"{what} is {shown!r}; it has to be 1 to 255 of the characters A-Z a-z 0-9 _ - ."
        )
    return value


def integer(what: str, value: int) -> int:
    """A whole number; whether it is in range is for the server to say.

    Args:
        what: the argument, for the error.
        value: the number.

    Raises:
        InvalidRequest: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{what} is {value!r}; it has to be a whole number")
    return value
