"""Pipelines: requests that are gathered and sent together, each with its own outcome."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from workq_client import requests
from workq_client.blocking import run
from workq_client.core import Core
from workq_client.errors import InvalidRequest, WorkqError
from workq_client.requests.request import Request
from workq_client.signatures import signed
from workq_client.slots import Listed, Slot

P = ParamSpec("P")
T = TypeVar("T")


def _pending(make: Callable[P, Request[T]]) -> Callable[Concatenate[_Requests, P], Pending[T]]:
    """The method of a pipeline for a command."""

    @wraps(make)
    def method(self: _Requests, /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        return self.call(make(*args, **kwargs))

    signed(make, method, "Pipeline")
    return method


class Pending(Generic[T]):
    """What a pipeline gives for a request: its outcome, once it was sent."""

    def __init__(self, slot: Slot[T]) -> None:
        self._slot = slot

    @property
    def done(self) -> bool:
        """Whether the pipeline was sent."""
        return self._slot.done

    @property
    def error(self) -> WorkqError | None:
        """What went wrong, if anything did."""
        self._look()
        return self._slot.error

    def result(self) -> T:
        """What the call would have returned.

        Raises:
            WorkqError: what the call would have raised.
            InvalidRequest: the pipeline was not sent yet.
        """
        self._look()
        return self._slot.outcome()

    def _look(self) -> None:
        if not self._slot.done:
            raise InvalidRequest("the pipeline was not sent yet: leave its `with`, or call send()")


class _Requests:
    """What pipelines of both kinds have: requests that are gathered."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._slots: list[Slot[Any]] = []

    def call(self, request: Request[T]) -> Pending[T]:
        """Gather any request, also one of a command that this client does not know.

        Args:
            request: the request.
        """
        slot = self._core.slot(request)
        self._slots.append(slot)
        return Pending(slot)

    async def _send(self) -> None:
        slots, self._slots = self._slots, []
        try:
            rest = await self._core.converse(
                Listed(slots), waits=any(slot.request.waits for slot in slots)
            )
        except BaseException as error:
            stopped = InvalidRequest("the pipeline was interrupted")
            for slot in slots:
                if not slot.done:
                    slot.give_up(stopped, error, self._core.address)
            raise
        for slot in slots:
            if not slot.done and rest is not None:
                slot.fail(rest)

    add = _pending(requests.add)
    schedule = _pending(requests.schedule)
    new = _pending(requests.new)
    run = _pending(requests.run)
    lease = _pending(requests.lease)
    lease_many = _pending(requests.lease_many)
    complete = _pending(requests.complete)
    fail = _pending(requests.fail)
    touch = _pending(requests.touch)
    release = _pending(requests.release)
    result = _pending(requests.result)
    results = _pending(requests.results)
    delete = _pending(requests.delete)
    inspect_job = _pending(requests.inspect_job)
    inspect_many = _pending(requests.inspect_many)
    inspect_jobs = _pending(requests.inspect_jobs)
    inspect_scheduled_jobs = _pending(requests.inspect_scheduled_jobs)
    inspect_queue = _pending(requests.inspect_queue)
    inspect_queues = _pending(requests.inspect_queues)
    inspect_server = _pending(requests.inspect_server)
    stats = _pending(requests.stats)
    ping = _pending(requests.ping)
    help = _pending(requests.help)


class Pipeline(_Requests):
    """Requests that are sent together; each gets its own result or error.

    with client.pipeline() as p:
        first, second = p.add("mails", b"a"), p.add("mails", b"b")
    print(first.result(), second.result())

    At the end of `with` they are sent, unless it ends with an exception.
    """

    def send(self) -> None:
        """Send what was gathered, and wait until each has its outcome."""
        run(self._send())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.send()


class AsyncPipeline(_Requests):
    """Requests that are sent together; each gets its own result or error.

    async with client.pipeline() as p:
        first, second = p.add("mails", b"a"), p.add("mails", b"b")
    print(first.result(), second.result())

    At the end of `async with` they are sent, unless it ends with an exception.
    """

    async def send(self) -> None:
        """Send what was gathered, and wait until each has its outcome."""
        await self._send()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.send()
