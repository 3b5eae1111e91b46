"""Handlers: functions that do the jobs of a queue."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from workq_client.client import AsyncClient, Client
from workq_client.codec import NOTHING
from workq_client.errors import InvalidRequest
from workq_client.models import NewJob
from workq_client.values import Duration, milliseconds, name_word
from workq_client.worker.jobs import Work

P = ParamSpec("P")
R = TypeVar("R")


class AddOptions(TypedDict, total=False):
    """What `add` of a client takes besides queue and payload, and a handler may have defaults of:
    see `workq_client.requests.add`."""

    ttl: Duration
    delay: Duration
    priority: int
    max_attempts: int
    max_fails: int
    retry_delay: Duration
    backoff: int
    retry_max: Duration


class Handler(Generic[P, R]):
    """A function that does the jobs of a queue; calling it calls the function.

    Args:
        function: plain or async.
        queue: whose jobs.
        ttr: what their leases are renewed to, in seconds; None for each job's own.
        timeout: how long it may run, in seconds; None for any time.
        options: how its jobs are added.

    Raises:
        InvalidRequest: it takes more than a payload and a `Work`, or an argument makes no sense.
    """

    def __init__(
        self,
        function: Callable[P, R],
        queue: str,
        ttr: Duration | None,
        timeout: Duration | None,
        options: AddOptions,
    ) -> None:
        update_wrapper(self, function)
        self.function = function
        self.queue = name_word("queue", queue)
        self.ttr = ttr
        self.ttr_s = None if ttr is None else milliseconds("ttr", ttr) / 1000
        self.timeout_s = None if timeout is None else milliseconds("timeout", timeout) / 1000
        if self.ttr_s == 0 or self.timeout_s == 0:
            raise InvalidRequest("a handler needs more time than none")
        self.options = options
        self.is_async = inspect.iscoroutinefunction(function)
        #: For each argument, whether it is the `Work`; else it is the payload.
        self.wants_work = _arguments(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def new(self, payload: Any = NOTHING, **options: Unpack[AddOptions]) -> NewJob:
        """A job for this handler, for `add_many`.

            client.add_many(resize.new(name) for name in names)

        Args:
            payload: bytes, or what the client's codec takes.
            options: as for `add` of a client, in place of the handler's own.
        """
        all_options: dict[str, Any] = {**self.options, **options}
        if self.ttr is not None:
            all_options["ttr"] = self.ttr
        return NewJob(queue=self.queue, payload=payload, **all_options)

    @overload
    def add(self, client: Client, payload: Any = NOTHING, **options: Unpack[AddOptions]) -> str: ...

    @overload
    def add(
        self, client: AsyncClient, payload: Any = NOTHING, **options: Unpack[AddOptions]
    ) -> Coroutine[Any, Any, str]: ...

    def add(
        self, client: Client | AsyncClient, payload: Any = NOTHING, **options: Unpack[AddOptions]
    ) -> str | Coroutine[Any, Any, str]:
        """Hand a job in for this handler.

            resize.add(client, b"photo.jpg")

        Args:
            client: to whose server; awaited if it is an `AsyncClient`.
            payload: bytes, or what the client's codec takes.
            options: as for `add` of a client, in place of the handler's own.

        Returns:
            The id of the job.

        Raises:
            WorkqError: as for `add` of a client.
        """
        return client.new(self.new(payload, **options))

    def __repr__(self) -> str:
        return f"<handler of {self.queue}: {getattr(self.function, '__qualname__', '?')}>"


def _arguments(function: Callable[..., Any]) -> tuple[bool, ...]:
    """For each positional argument of a function, whether it is annotated as `Work`."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # what is imported for checkers only, say
        hints = dict(getattr(function, "__annotations__", {}))
    wants = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is not parameter.empty and parameter.name not in hints:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                raise InvalidRequest(f"nobody gives {parameter.name} to {function}")
            continue
        hint = hints.get(parameter.name)
        wants.append(hint is Work or (isinstance(hint, str) and hint.rpartition(".")[2] == "Work"))
    if wants.count(True) > 1 or wants.count(False) > 1:
        raise InvalidRequest(
            f"{function} takes {len(wants)} arguments; a handler takes the payload, a `Work`, or "
            "one of each"
        )
    return tuple(wants)
