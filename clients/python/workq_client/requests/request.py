"""What a request is: its words, how its answer is read, and what becomes of it if it is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from workq_client.answers import Answer, Shape
from workq_client.codec import Codec
from workq_client.errors import (
    BrokenReply,
    DuplicateJob,
    DuplicateResult,
    InvalidRequest,
    LeaseLost,
    NotFound,
    Refused,
    TimedOut,
)
from workq_client.limits import ANSWER_CHARACTERS_MAX, ARGUMENT_CHARACTERS_MAX

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Again:
    """What is to be done about a request that was sent when its connection broke.

    Attributes:
        repeat: whether it may be sent again. Doing it twice must be as doing it once.
        done: errors that then say that the first one had arrived, which is a success.
        unknown: errors that then leave it open what the first one has done.
        keeps: whether it changes nothing that lasts, so that its failing leaves nothing open.
    """

    repeat: bool
    done: tuple[type[Refused], ...] = ()
    unknown: tuple[type[Refused], ...] = ()
    keeps: bool = False


#: It only asks, or what it changes does no harm: it is asked anew.
ASK_ANEW: Final = Again(repeat=True, keeps=True)


#: It must not be done twice.
ONCE: Final = Again(repeat=False)


#: It takes an id, so the second time it is a duplicate.
ADDS: Final = Again(repeat=True, done=(DuplicateJob,))


#: It ends a job, or a lease that it names.
ENDS: Final = Again(repeat=True, unknown=(DuplicateResult, LeaseLost, NotFound))


#: It removes a job.
REMOVES: Final = Again(repeat=True, done=(NotFound,))


def _nothing(answer: Answer, codec: Codec) -> None:
    return None


@dataclass(slots=True, eq=False)  # not frozen: that would be a third of what making one costs
class Request(Generic[T]):
    """One request, and how its answer is read. Nothing changes it once it is made.

    Attributes:
        words: the command and its arguments, but for a wait and a size.
        flags: by name, without the `-`.
        block: payload or result, for the client's codec; or none.
        has_block: whether there is one.
        shape: of the answer.
        read: makes of the answer what the call returns.
        missing: makes it of a `TIMEOUT`, if that is no error.
        wait_ms: how long the server may wait, which is the last argument; None if it has none.
        work_ms: how much longer its answer may take than that.
        again: what is to be done if the connection breaks.
        job_id: what job it is about, for errors.
        parts: of the command's name, as errors tell it.
    """

    words: tuple[str, ...]
    flags: Mapping[str, str] = field(default_factory=dict)
    block: Any = None
    has_block: bool = False
    shape: Shape = Shape.DONE
    read: Callable[[Answer, Codec], T] = _nothing  # type: ignore[assignment]
    missing: Callable[[], T] | None = None
    wait_ms: int | None = None
    work_ms: int = 0
    again: Again = ONCE
    job_id: str | None = None
    parts: int = 1

    @property
    def command(self) -> str:
        """The name of the command."""
        return " ".join(self.words[: self.parts])

    @property
    def waits(self) -> bool:
        """Whether the server may let it wait."""
        return bool(self.wait_ms or self.work_ms)

    def encode(self, block: bytes | None, wait_ms: int | None) -> bytes:
        """The bytes of the request.

        Args:
            block: its block, if it has one.
            wait_ms: how long the server is to wait, if it may.
        """
        words = list(self.words)
        if wait_ms is not None:
            words.append(str(wait_ms))
        if block is not None:
            words.append(str(len(block)))
        for name, value in self.flags.items():
            words.append(f"-{name}={value}")
        line = " ".join(words)
        if "\r" in line or "\n" in line:
            text = line[:ARGUMENT_CHARACTERS_MAX]
            raise InvalidRequest(f"a request of more than one line: {text!r}")
        try:
            data = line.encode("ascii") + b"\r\n"
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"a request that is not ASCII: {error}") from None
        return data if block is None else b"%b%b\r\n" % (data, block)


def flags_of(**values: int | str | None) -> dict[str, str]:
    """Flags by their Python names; None and 0 are left out, for that is what they mean."""
    return {name.replace("_", "-"): str(value) for name, value in values.items() if value}


def understand(request: Request[T], answer: Answer, codec: Codec) -> T:
    """What a call returns, from the answer to its request.

    Raises:
        BrokenReply: the answer is none to this request.
    """
    try:
        return request.read(answer, codec)
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        wrong = f"{type(error).__name__}: {error}"[:ANSWER_CHARACTERS_MAX]
        data = repr(answer)[:ANSWER_CHARACTERS_MAX].encode()
        raise BrokenReply(f"no answer to {request.command} ({wrong})", data) from error


def missing(request: Request[T], error: Refused) -> T:
    """What a call returns when nothing came in time.

    Raises:
        TimedOut: that is an error for this request; any other error is raised as it is.
    """
    if request.missing is None or not isinstance(error, TimedOut):
        raise error
    return request.missing()
