"""Ids of jobs: UUIDs of version 7 (RFC 9562), which sort by the time they were made.

The client makes the id before the first attempt to send a job, so that sending it again cannot make
two jobs.
"""

from __future__ import annotations

import os
import time
import uuid

from workq_client.errors import InvalidRequest
from workq_client.limits import ARGUMENT_CHARACTERS_MAX


def new_id() -> str:
    """A new id: 48 bits of Unix time in milliseconds, 12 bits of its fraction, 62 bits of chance.

    The fraction keeps ids of one process in order to a quarter of a microsecond (method 3 of RFC
    9562, 6.2). The system's own source of chance is asked each time, so that a fork makes no twins.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    chance = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    number = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76
    number |= (rest * 4096 // 1_000_000) << 64 | 0b10 << 62 | chance
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def job_id(value: str | uuid.UUID) -> str:
    """An id as the server writes it: 36 characters, lower case.

    Args:
        value: a UUID, or the text of one in its usual form.

    Raises:
        InvalidRequest: it is none, or the nil UUID.
    """
    text = str(value).lower()
    try:
        number = uuid.UUID(text)
    except ValueError:
        number = None
    if number is None or str(number) != text or not number.int:
        shown = str(value)[:ARGUMENT_CHARACTERS_MAX]
        raise InvalidRequest(f"no id of a job: {shown!r}; it has to be a UUID, not nil")
    return text
