"""What became of a job, as it is reported to the server."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from workq_client.limits import FAILURE_CHARACTERS_MAX


class Verb(Enum):
    """What is said to the server."""

    COMPLETE = "complete"
    FAIL = "fail"
    RELEASE = "release"
    #: Nothing: the lease is lost.
    SILENCE = "silence"


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        verb: what is said.
        data: its result, or what went wrong, bytes.
        delay_s: how long it is held back, of a failure that is not final; None for what it says.
        final: whether a failure is.
        trace: the traceback of an exception in another process, for the log.
    """

    verb: Verb
    data: bytes = b""
    delay_s: float | None = None
    final: bool = False
    trace: str = ""


DONE = Outcome(Verb.COMPLETE)
SILENCE = Outcome(Verb.SILENCE)
RELEASED = Outcome(Verb.RELEASE)


def failed(text: str, *, final: bool = False, delay_s: float | None = None) -> Outcome:
    """A failure.

    Args:
        text: what went wrong; so many characters of it are told as may be.
        final: whether it is not to be tried again.
        delay_s: how long it is held back, in seconds; None for what the job says.
    """
    if len(text) > FAILURE_CHARACTERS_MAX:
        text = text[: FAILURE_CHARACTERS_MAX - 2] + " …"
    return Outcome(Verb.FAIL, text.encode("utf-8", "backslashreplace"), delay_s, final)
