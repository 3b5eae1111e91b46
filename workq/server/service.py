"""The life of a server: listen, tell that it is ready, serve, drain, end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

from workq.broker.session import CLOSE
from workq.errors import ListenError, LogError
from workq.limits import BACKLOG_CONNECTIONS_MAX, LINGER_MS, OWN_DESCRIPTORS, SWITCH_US, Bounds
from workq.server import logs
from workq.server.listen import Address, SocketFile, TcpAddress, UnixAddress, bind
from workq.server.notify import Notifier, watchdog_interval_ms
from workq.server.process import raise_descriptor_limit, take_over_collection
from workq.server.ring import Ring
from workq.server.settings import Settings
from workq.server.storage import Storage, load
from workq.wire import replies

_log = logs.get_logger("workq.server")


def bounds(settings: Settings, descriptors_max: int) -> Bounds:
    """The bounds of the broker from the settings, and from how many files may be open."""
    possible = max(descriptors_max - OWN_DESCRIPTORS, 1)
    if possible < settings.max_connections:
        _log.warning(
            "fewer connections than max-connections: raise the limit of open files",
            connections=possible,
            max_connections=settings.max_connections,
            open_files=descriptors_max,
        )
    return Bounds(
        line_bytes_max=settings.max_line_bytes,
        connections_max=min(settings.max_connections, possible),
        memory_bytes_max=settings.max_memory_bytes,
        jobs_max=settings.max_jobs,
        input_bytes_max=settings.max_half_received_bytes,
        request_timeout_ms=settings.request_timeout_ms,
        idle_timeout_ms=settings.idle_timeout_ms,
    )


class _Stopped(BaseException):
    """A signal says to stop, before there is anything to bring to an end."""


def prepare(settings: Settings, notifier: Notifier) -> Storage | None:
    """Make the state that the server begins with; no loop runs yet.

    Args:
        settings: the settings.
        notifier: told that the start goes on.

    Returns:
        What to serve from; None if a signal has said to stop meanwhile.

    Raises:
        DirectoryError: the directory of the command log cannot be used.
    """

    def stop(number: int, _: object) -> None:
        raise _Stopped(signal.Signals(number).name)

    gc.disable()  # it would look through all of the state again and again
    before = {number: signal.signal(number, stop) for number in _stopping()}
    try:
        return load(settings, notifier)
    except _Stopped as stopped:
        _log.info("stopped before the command log was read", signal=str(stopped))
        return None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopping() -> list[signal.Signals]:
    """The signals that stop the server."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it runs under nohup
        numbers.append(signal.SIGHUP)
    return numbers


async def serve(
    settings: Settings, addresses: Sequence[Address], notifier: Notifier, storage: Storage
) -> Exception | None:
    """Serve until a signal says to stop, then drain.

    Args:
        settings: the settings.
        addresses: where to listen.
        notifier: told when the server is ready, alive and stopping.
        storage: what to serve from.

    Returns:
        What has ended it, if it was not told to stop: a `LogError`, or a mistake of its own.

    Raises:
        DirectoryError: the directory of the command log cannot be used.
        ListenError: an address cannot be listened on.
    """
    take_over_collection()
    sys.setswitchinterval(SWITCH_US / 1_000_000)
    ring = Ring(bounds(settings, raise_descriptor_limit()), storage)
    signals = _Signals()
    listeners = await _listen_on_all(ring, addresses, settings.insecure)
    for told in (place for one in listeners for place in one.places):
        _log.info(f"Listening on {told}")  # other programs wait for this very line
    notifier.ready()
    watchdog = asyncio.create_task(_watch(notifier))
    await _first_of(None, signals.first, ring.failed)
    notifier.stopping()
    if not ring.failed.is_set():
        _log.info(
            "shutting down",
            signal=signals.name,
            clients=len(ring.connections),
            timeout_ms=settings.shutdown_timeout_ms,
            hint="a second signal ends it at once",
        )
    for listener in listeners:
        listener.close()
    if not ring.failed.is_set():
        await _drain(ring, signals, settings.shutdown_timeout_ms)
    if isinstance(ring.failure, LogError):
        await _tell_log_failed(ring)
    for connection in list(ring.connections):
        connection.abort()
    await _gone(ring)
    await _close_log(ring, storage, signals)
    watchdog.cancel()
    if ring.failure is None:
        _log.info("stopped")
    elif isinstance(ring.failure, LogError):
        _log.error(str(ring.failure))
    else:
        _log.error("the server has failed", exception=ring.failure)
    return ring.failure


async def _close_log(ring: Ring, storage: Storage, signals: _Signals) -> None:
    """Bring the log to a clean end, for which the disk is waited for; but not by who is told a
    second time to go, nor if the log has failed: the next start does without."""
    if ring.failed.is_set() or signals.second.is_set():
        storage.kill()
        return
    closing = asyncio.create_task(_close(ring, storage))
    await _first_of(None, signals.second, ring.failed, done=closing)
    if closing.done():
        closing.result()  # a mistake of ours must not pass for a stop in order
    else:
        closing.cancel()
        storage.kill()


async def _close(ring: Ring, storage: Storage) -> None:
    await storage.end_compaction()
    await ring.close()
    storage.close()


async def _tell_log_failed(ring: Ring) -> None:
    """Tell every client; what it waits for cannot be answered honestly any more."""
    for connection in list(ring.connections):
        connection.end(replies.LOG_FAILED, CLOSE)
    await _gone(ring)


async def _gone(ring: Ring) -> None:
    """Wait until the connections that were closed are gone, but not long."""
    if ring.connections:
        ring.deserted.clear()
        await _first_of(LINGER_MS, ring.deserted)


class _Signals:
    """The signals that stop the server: the first begins to drain, the second ends it.

    Attributes:
        name: of the first one.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.name = ""
        loop = asyncio.get_running_loop()
        for number in _stopping():
            loop.add_signal_handler(number, self._received, number)

    def _received(self, number: signal.Signals) -> None:
        self.name = self.name or number.name
        (self.second if self.first.is_set() else self.first).set()


class _Listener:
    """What listens on one address.

    Args:
        address: the address.

    Attributes:
        servers: one for each of the addresses its name stands for.
        places: how these are told; with the port, where any would do.
        file: of a Unix socket. The open socket keeps its number from being given to another.
    """

    def __init__(self, address: Address) -> None:
        self.servers: list[asyncio.Server] = []
        self.places: list[str] = []
        self.file = SocketFile(address) if isinstance(address, UnixAddress) else None

    def close(self) -> None:
        """Take no more clients, and leave no file behind."""
        if self.file is not None:
            self.file.remove()
        for server in self.servers:
            server.close()


async def _listen_on_all(
    ring: Ring, addresses: Sequence[Address], insecure: bool
) -> list[_Listener]:
    """Listen on all addresses, or, if one cannot be listened on, on none."""
    listeners: list[_Listener] = []
    try:
        for address in addresses:
            sockets = bind(address, insecure=insecure)
            listeners.append(_Listener(address))
            await _listen(ring, listeners[-1], address, sockets)
    except ListenError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


async def _listen(
    ring: Ring, listener: _Listener, address: Address, sockets: list[socket.socket]
) -> None:
    loop = asyncio.get_running_loop()
    for bound in sockets:
        if bound.family == socket.AF_UNIX:
            server = await loop.create_unix_server(
                ring.connection, sock=bound, backlog=BACKLOG_CONNECTIONS_MAX
            )
            listener.places.append(str(address))
        else:
            server = await loop.create_server(
                ring.connection, sock=bound, backlog=BACKLOG_CONNECTIONS_MAX
            )
            host, port = bound.getsockname()[:2]
            listener.places.append(str(TcpAddress(host, port)))
        listener.servers.append(server)


async def _watch(notifier: Notifier) -> None:
    """Tell the service manager that the loop is alive, as often as it wants to hear it."""
    interval_ms = watchdog_interval_ms(os.environ, os.getpid())
    while interval_ms:
        notifier.watchdog()
        await asyncio.sleep(interval_ms / 1000)


async def _drain(ring: Ring, signals: _Signals, timeout_ms: int) -> None:
    """Let what is under way come to its end, but no longer than until the time is over."""
    ring.drain()
    if not await _first_of(timeout_ms, ring.drained, signals.second, ring.failed):
        _log.warning("not all clients came to an end in time", clients=len(ring.connections))
        ring.end()
        await _first_of(LINGER_MS, ring.drained, signals.second, ring.failed)


async def _first_of(
    timeout_ms: int | None, *events: asyncio.Event, done: asyncio.Task[None] | None = None
) -> bool:
    """Wait for any of some events, or until something is done; return whether an event came
    before the time was over."""
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    tasks = [asyncio.create_task(event.wait()) for event in events]
    waited: list[asyncio.Task[Any]] = [*tasks, *([done] if done is not None else [])]
    await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return any(event.is_set() for event in events)
