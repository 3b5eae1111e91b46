"""The client for programs with threads, and the one for asyncio; each method is a command.

What they do is in `workq_client.requests`, one function for each command; how they do it in
`workq_client.core`, once for both.
"""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from workq_client import addresses, requests
from workq_client.blocking import BlockingNetwork, run
from workq_client.codec import BYTES, Codec
from workq_client.core import Core
from workq_client.errors import InvalidRequest
from workq_client.limits import (
    CONNECT_TIMEOUT_S,
    CONNECTIONS_MAX,
    TIMEOUT_S,
    WAITS_MAX,
)
from workq_client.many import Many
from workq_client.models import Hello, NewJob
from workq_client.network import Network
from workq_client.pipelines import AsyncPipeline, Pipeline
from workq_client.requests import Request
from workq_client.signatures import signed
from workq_client.values import Duration, milliseconds, name_word

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(make: Callable[P, Request[T]]) -> Callable[Concatenate[Client, P], T]:
    """The method of `Client` for a command."""

    @wraps(make)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.call(make(*args, **kwargs))

    signed(make, method, "Client")
    return method


def _awaited(
    make: Callable[P, Request[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """The method of `AsyncClient` for a command."""

    @wraps(make)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.call(make(*args, **kwargs))

    signed(make, method, "AsyncClient")
    return method


def _default_name() -> str:
    """What a client calls itself: its machine and its process."""
    host = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "-."))
    return f"{host[:200] or 'client'}.{os.getpid()}"


class _Base:
    """What both clients have."""

    def __init__(
        self,
        network: Network,
        url: str | None,
        codec: Codec,
        name: str | None,
        timeout: Duration,
        connect_timeout: Duration,
        connections_max: int,
        waits_max: int,
    ) -> None:
        if min(connections_max, waits_max) < 1:
            raise InvalidRequest("a client needs a connection of each kind")
        self._core = Core(
            network,
            addresses.parse(url),
            codec,
            _default_name() if name is None else name_word("name", name),
            milliseconds("timeout", timeout) / 1000,
            milliseconds("connect_timeout", connect_timeout) / 1000,
            connections_max,
            waits_max,
        )

    @property
    def url(self) -> str:
        """Where the server is."""
        return str(self._core.address)

    @property
    def server(self) -> Hello | None:
        """What the server said of itself, the last time there was a new connection to it."""
        return self._core.server

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Client(_Base):
    """A client for programs with threads. One is enough for all of them, and for forked children.

        with Client() as client:
            client.add("resize", b"photo.jpg")

    Args:
        url: `workq://host:port`, or `workq+unix:///path`; None for what the environment says in
            `WORKQ_URL`, and if it says nothing for port 9922 of this machine.
        codec: what payloads and results are: `BYTES`, `TEXT`, `JSON`, or one of yours.
        name: what it calls itself, for people; None for machine and process.
        timeout: how long a call may take that does not wait on the server, connecting anew
            included, in seconds. One that waits may take a second longer than the server's wait.
        connect_timeout: how long one attempt to connect may take, in seconds.
        connections_max: connections for calls that the server answers at once; calls beyond wait.
        waits_max: the same for those that wait on the server, each of which has its own.

    Raises:
        InvalidRequest: an argument makes no sense. Nothing is connected to before the first call.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        codec: Codec = BYTES,
        name: str | None = None,
        timeout: Duration = TIMEOUT_S,
        connect_timeout: Duration = CONNECT_TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
        waits_max: int = WAITS_MAX,
    ) -> None:
        super().__init__(
            BlockingNetwork(),
            url,
            codec,
            name,
            timeout,
            connect_timeout,
            connections_max,
            waits_max,
        )
        _clients.add(self)

    def call(self, request: Request[T]) -> T:
        """Have any request answered, also one of a command that this client does not know.

        Args:
            request: see `workq_client.requests`.
        """
        return run(self._core.call(request))

    def pipeline(self) -> Pipeline:
        """Gather requests, and send them together."""
        return Pipeline(self._core)

    def add_many(self, jobs: Iterable[NewJob]) -> int:
        """Add any number of jobs, some hundred of them on their way at a time.

            client.add_many(NewJob(queue="resize", payload=name) for name in names)

        Args:
            jobs: taken one by one, as there is room.

        Returns:
            How many there were.

        Raises:
            ManyFailed: some were not added; it tells which, and why. After the first of them
                no more were taken.
            Whatever `jobs` does, once those that it gave before are added.
        """
        return run(Many(self._core, jobs).add())

    def close(self) -> None:
        """Close all connections; calls of other threads that are under way end in `ClientClosed`,
        or `OutcomeUnknown`."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    add = _blocking(requests.add)
    schedule = _blocking(requests.schedule)
    new = _blocking(requests.new)
    run = _blocking(requests.run)
    lease = _blocking(requests.lease)
    lease_many = _blocking(requests.lease_many)
    complete = _blocking(requests.complete)
    fail = _blocking(requests.fail)
    touch = _blocking(requests.touch)
    release = _blocking(requests.release)
    result = _blocking(requests.result)
    results = _blocking(requests.results)
    delete = _blocking(requests.delete)
    inspect_job = _blocking(requests.inspect_job)
    inspect_many = _blocking(requests.inspect_many)
    inspect_jobs = _blocking(requests.inspect_jobs)
    inspect_scheduled_jobs = _blocking(requests.inspect_scheduled_jobs)
    inspect_queue = _blocking(requests.inspect_queue)
    inspect_queues = _blocking(requests.inspect_queues)
    inspect_server = _blocking(requests.inspect_server)
    stats = _blocking(requests.stats)
    ping = _blocking(requests.ping)
    help = _blocking(requests.help)


class AsyncClient(_Base):
    """A client for asyncio, for one event loop; any number of tasks may share it.

        async with AsyncClient() as client:
            await client.add("resize", b"photo.jpg")

    Args:
        url, codec, name, timeout, connect_timeout, connections_max, waits_max: as for `Client`.

    Raises:
        InvalidRequest: an argument makes no sense. Nothing is connected to before the first call.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        codec: Codec = BYTES,
        name: str | None = None,
        timeout: Duration = TIMEOUT_S,
        connect_timeout: Duration = CONNECT_TIMEOUT_S,
        connections_max: int = CONNECTIONS_MAX,
        waits_max: int = WAITS_MAX,
    ) -> None:
        from workq_client.aio import AsyncNetwork  # asyncio is most of what `Client` has no use for

        super().__init__(
            AsyncNetwork(), url, codec, name, timeout, connect_timeout, connections_max, waits_max
        )

    async def call(self, request: Request[T]) -> T:
        """Have any request answered, also one of a command that this client does not know.

        Args:
            request: see `workq_client.requests`.
        """
        return await self._core.call(request)

    def pipeline(self) -> AsyncPipeline:
        """Gather requests, and send them together."""
        return AsyncPipeline(self._core)

    async def add_many(self, jobs: Iterable[NewJob] | AsyncIterable[NewJob]) -> int:
        """Add any number of jobs, some hundred of them on their way at a time.

            await client.add_many(NewJob(queue="resize", payload=name) for name in names)

        Args:
            jobs: taken one by one, as there is room.

        Returns:
            How many there were.

        Raises:
            ManyFailed: some were not added; it tells which, and why. After the first of them
                no more were taken.
            Whatever `jobs` does, once those that it gave before are added.
        """
        return await Many(self._core, jobs).add()

    async def close(self) -> None:
        """Close all connections; calls of other tasks that are under way end in `ClientClosed`, or
        `OutcomeUnknown`."""
        self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    add = _awaited(requests.add)
    schedule = _awaited(requests.schedule)
    new = _awaited(requests.new)
    run = _awaited(requests.run)
    lease = _awaited(requests.lease)
    lease_many = _awaited(requests.lease_many)
    complete = _awaited(requests.complete)
    fail = _awaited(requests.fail)
    touch = _awaited(requests.touch)
    release = _awaited(requests.release)
    result = _awaited(requests.result)
    results = _awaited(requests.results)
    delete = _awaited(requests.delete)
    inspect_job = _awaited(requests.inspect_job)
    inspect_many = _awaited(requests.inspect_many)
    inspect_jobs = _awaited(requests.inspect_jobs)
    inspect_scheduled_jobs = _awaited(requests.inspect_scheduled_jobs)
    inspect_queue = _awaited(requests.inspect_queue)
    inspect_queues = _awaited(requests.inspect_queues)
    inspect_server = _awaited(requests.inspect_server)
    stats = _awaited(requests.stats)
    ping = _awaited(requests.ping)
    help = _awaited(requests.help)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client._core.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)
