"""Requests on their way: what was sent of them, how long they have, and what came of them."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar, cast

from workq_client.addresses import Address
from workq_client.answers import DONE, Answer
from workq_client.codec import Codec
from workq_client.errors import NoReply, OutcomeUnknown, Refused, WorkqError
from workq_client.limits import GRACE_S
from workq_client.network import Late
from workq_client.requests.request import Request, missing, understand

T = TypeVar("T")

#: From when on a request that waits is sent late: what is left of its wait is told anew.
_LATE_S = 0.005


class Slot(Generic[T]):
    """A request on its way.

    Args:
        request: the request.
        block: the bytes of its block, if it has one.

    Attributes:
        data: its bytes.
        until: when its time is over, once it is the next to be answered.
        wait_until: when the server's part of that is.
        latest: up to when that time may be extended.
        sent: whether a server may have it.
        lost: whether it was sent on a connection that broke.
        done: whether `value` or `error` is there.
    """

    __slots__ = (
        "data",
        "done",
        "error",
        "latest",
        "lost",
        "request",
        "sent",
        "until",
        "value",
        "wait_until",
    )

    def __init__(self, request: Request[T], block: bytes | None) -> None:
        self.request = request
        self.data = request.encode(block, request.wait_ms)
        self.until = 0.0
        self.wait_until = 0.0
        self.latest = 0.0
        self.sent = False
        self.lost = False
        self.done = False
        self.value: T | None = None
        self.error: WorkqError | None = None

    def begin(self, now: float, timeout_s: float) -> None:
        """Let its time run: it is the next to be answered."""
        request = self.request
        if self.until:
            return
        wait_s = (request.wait_ms or 0) / 1000
        self.wait_until = now + wait_s
        self.until = now + (
            wait_s + request.work_ms / 1000 + GRACE_S if request.waits else timeout_s
        )
        self.latest = self.until + GRACE_S

    def renew(self, now: float) -> None:
        """Ask late, or anew: of its wait, what is left of it. The answer has its time all the same:
        a job that comes when nobody listens any more is lost until its lease is over."""
        request = self.request
        if not request.waits or request.has_block:
            return
        left_s = max(self.wait_until - now, 0.0)
        if (request.wait_ms or 0) / 1000 - left_s < _LATE_S:
            return
        self.data = request.encode(None, int(left_s * 1000))
        self.until = min(max(self.until, now + left_s + GRACE_S), self.latest)

    def settle(self, answer: Answer | Refused, codec: Codec) -> None:
        """Take the answer in."""
        request = self.request
        try:
            if not isinstance(answer, Refused):
                self.value = understand(request, answer, codec)
            elif self.lost and isinstance(answer, request.again.done):
                self.value = request.read(DONE, codec)
            elif self.lost and isinstance(answer, request.again.unknown):
                self.fail(OutcomeUnknown(request.command, request.job_id, answer))
            else:
                self.value = missing(request, answer)
        except WorkqError as error:
            self.error = error
        self.done = True

    def fail(self, error: WorkqError) -> None:
        """Let it end in an error."""
        self.error = error
        self.done = True

    def give_up(self, error: WorkqError, cause: BaseException, address: Address) -> None:
        """Let it end for want of an answer.

        Args:
            error: what is so if nothing was sent.
            cause: why there is none.
            address: of the server.
        """
        request = self.request
        if not (self.sent or self.lost):
            self.fail(cause if isinstance(cause, Refused) else error)
        elif not request.again.keeps:
            self.fail(OutcomeUnknown(request.command, request.job_id, cause))
        elif isinstance(cause, Late):
            self.fail(NoReply(request.command, str(address)))
        else:
            self.fail(error)

    def outcome(self) -> T:
        """What the call returns.

        Raises:
            WorkqError: it has none.
        """
        if self.error is not None:  # which several may share, and each shows its own way
            raise self.error.with_traceback(None)
        return cast(T, self.value)


class Source(Protocol):
    """Where requests come from.

    Attributes:
        slow: whether the last one took long to come: what there is need not wait for the next.
    """

    slow: bool

    async def next(self) -> Slot[Any] | None:
        """The next; None if there is none, and then there never is again."""
        ...


class Listed:
    """A source of slots that are there.

    Args:
        slots: these.
    """

    slow = False

    def __init__(self, slots: list[Slot[Any]]) -> None:
        self._slots = iter(slots)

    async def next(self) -> Slot[Any] | None:
        """The next of the list."""
        return next(self._slots, None)
