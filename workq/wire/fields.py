"""The values in a request line: how each is written, which are in range, and the error if not.

Sources: the protocol of the original Workq, sections 1.4 to 1.7 of its measured description, and
our rulings 8 and 9 (any UUID in canonical form, TTL up to 2^64-1, times before 1970).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from workq import limits
from workq.errors import Refusal
from workq.wire import replies


class Field(NamedTuple):
    """One value of a request line.

    Attributes:
        name: as it stands in usage lines, `<name>`.
        read: its reader; raises `Refusal` with the field's own error.
        varied: whether its values seldom repeat, so that remembering a line with it is of no use.
    """

    name: str
    read: Callable[[bytes], Any]
    varied: bool = False


def number(low: int, high: int, error: bytes, *, signed: bool = False) -> Callable[[bytes], int]:
    """A reader of whole numbers: ASCII digits, leading zeros allowed.

    Args:
        low, high: the range, both ends in it.
        error: the reply for whatever is not such a number.
        signed: whether one `+` or `-` may stand before the digits.
    """

    def read(word: bytes) -> int:
        sign, digits = 1, word
        if signed and word[:1] in (b"+", b"-"):
            sign, digits = (-1 if word[:1] == b"-" else 1), word[1:]
        # isdigit of bytes knows ASCII digits only; int alone would take "1_0" and " 1".
        if not digits.isdigit():
            raise Refusal(error)
        digits = digits.lstrip(b"0")
        if len(digits) > limits.NUMBER_DIGITS_MAX:
            raise Refusal(error)
        value = sign * int(digits or b"0")
        if not low <= value <= high:
            raise Refusal(error)
        return value

    return read


#: An id as it is kept and shown: the canonical form in lower case, not the nil one.
CANONICAL_ID = re.compile(
    rb"(?!0{8}-0{4}-0{4}-0{4}-0{12})"
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)


def read_id(word: bytes) -> bytes:
    """A job's id: the 36 characters of a UUID in either case, of any version, not nil."""
    lower = word.lower()
    if CANONICAL_ID.fullmatch(lower) is None:
        raise Refusal(replies.INVALID_ID)
    return lower


_NAME = re.compile(rb"[A-Za-z0-9_.-]{1,%d}" % limits.NAME_BYTES_MAX)


def read_name(word: bytes) -> bytes:
    """A queue's name: 1 to 255 of the letters, digits, `_`, `-` and `.`."""
    if _NAME.fullmatch(word) is None:
        raise Refusal(replies.INVALID_NAME)
    return word


_TIME = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(word: bytes) -> int:
    """A UTC time `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, to the millisecond, as Unix time in ms."""
    match = _TIME.fullmatch(word)
    if match is None:
        raise Refusal(replies.INVALID_TIME)
    *parts, fraction = match.groups()
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        raise Refusal(replies.INVALID_TIME) from None
    milliseconds = int((fraction or b"").ljust(3, b"0")[:3])
    return (moment - _UNIX_EPOCH) // timedelta(milliseconds=1) + milliseconds


JOB_ID = Field("id", read_id)
QUEUE_NAME = Field("name", read_name)
TTR = Field("ttr", number(1, limits.TTR_MS_MAX, replies.INVALID_TTR))
TTL = Field("ttl", number(1, limits.TTL_MS_MAX, replies.INVALID_TTL))
TIME = Field("time", read_time)
WAIT = Field("wait-timeout", number(0, limits.WAIT_MS_MAX, replies.INVALID_WAIT_TIMEOUT))
OFFSET = Field("cursor-offset", number(0, limits.CURSOR_OFFSET_MAX, replies.INVALID_CURSOR_OFFSET))
LIMIT = Field("limit", number(1, limits.LISTED_MAX, replies.INVALID_LIMIT))

VERSION = Field("version", number(2, 2, replies.UNKNOWN_VERSION))
DELAY = Field("delay", number(0, limits.DELAY_MS_MAX, replies.INVALID_DELAY))
RETRY_DELAY = Field("retry-delay", number(0, limits.DELAY_MS_MAX, replies.INVALID_RETRY_DELAY))
BACKOFF = Field("backoff", number(1, limits.BACKOFF_MAX, replies.INVALID_BACKOFF))
RETRY_MAX = Field("retry-max", number(0, limits.DELAY_MS_MAX, replies.INVALID_RETRY_MAX))
FINAL = Field("final", number(0, 1, replies.INVALID_FINAL))
COUNT = Field("count", number(1, limits.LEASE_COUNT_MAX, replies.INVALID_COUNT), varied=True)
LEASE = Field("lease", number(1, limits.TOKEN_MAX, replies.INVALID_LEASE), varied=True)

#: What a request may carry on version 2, whatever its command.
TAG = number(0, limits.TAG_MAX, replies.INVALID_FLAGS)

PRIORITY = Field(
    "priority",
    number(limits.PRIORITY_MIN, limits.PRIORITY_MAX, replies.INVALID_PRIORITY, signed=True),
)
MAX_ATTEMPTS = Field("max-attempts", number(0, limits.ATTEMPTS_MAX, replies.INVALID_MAX_ATTEMPTS))
MAX_FAILS = Field("max-fails", number(0, limits.FAILS_MAX, replies.INVALID_MAX_FAILS))
