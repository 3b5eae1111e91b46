"""The network of `Client`: sockets and threads. Every step is done when it returns.

So a coroutine over it never suspends, and `run` has it done in one go.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from workq_client.addresses import Address
from workq_client.limits import ONE_WAIT_S_MAX, READ_BYTES
from workq_client.network import Late, Places, Wire

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Have a coroutine done, all of whose steps are done when they return.

    Raises:
        Whatever the coroutine does.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise AssertionError("a step of a blocking client has suspended")


class BlockingWire:
    """A connection that a thread waits for.

    Args:
        sock: connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._unsent = memoryview(b"")
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._pid = os.getpid()
        self._busy = False
        self._closed = False

    async def exchange(self, data: bytes, timeout_s: float) -> bytes:
        """See `Wire.exchange`."""
        self._busy = True
        try:
            return self._exchange(data, timeout_s)
        finally:
            self._busy = False

    def _exchange(self, data: bytes, timeout_s: float) -> bytes:
        if data:
            self._unsent = memoryview(bytes(self._unsent) + data if self._unsent else data)
            self._send()
        until = time.monotonic() + timeout_s
        while True:
            if self._wait(timeout_s):
                try:
                    return self._sock.recv(READ_BYTES)
                except BlockingIOError:
                    pass
            timeout_s = until - time.monotonic()
            if timeout_s <= 0:
                raise Late
            self._send()

    def _send(self) -> None:
        """Send what can be sent at once."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass

    def _wait(self, timeout_s: float) -> bool:
        """Wait until something was received, or the rest may be sent; return whether the former."""
        if self._closed:
            raise ConnectionError("the connection was closed")
        if self._unsent:
            self._poll.modify(self._sock, select.POLLIN | select.POLLOUT)
        events = self._poll.poll(min(max(timeout_s, 0.0), ONE_WAIT_S_MAX) * 1000)
        if self._unsent:
            self._poll.modify(self._sock, select.POLLIN)
        return any(event & ~select.POLLOUT for _, event in events)

    def quiet(self) -> bool:
        """See `Wire.quiet`."""
        return not (self._closed or self._poll.poll(0))

    def close(self) -> None:
        """See `Wire.close`. Who waits for it in another thread is woken, and closes it for good."""
        self._closed = True
        if os.getpid() == self._pid:  # after a fork the connection goes on, for the parent
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        if not self._busy or os.getpid() != self._pid:  # in a child nobody else has it
            self._sock.close()


class BlockingPlaces:
    """Leave to have one of a number of connections.

    Args:
        count: the number.
    """

    def __init__(self, count: int) -> None:
        # Not a `threading.Semaphore`: interrupted by Ctrl-C, it may stay locked for ever.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._places.put(None)

    async def take(self, timeout_s: float) -> bool:
        """See `Places.take`."""
        try:
            self._places.get(timeout=min(max(timeout_s, 0.0), threading.TIMEOUT_MAX))
        except Empty:
            return False
        return True

    def give_back(self) -> None:
        """See `Places.give_back`."""
        self._places.put(None)


class BlockingNetwork:
    """What a thread reaches the world with."""

    async def connect(self, address: Address, timeout_s: float) -> Wire:
        """See `Network.connect`."""
        try:
            return BlockingWire(_connected(address, timeout_s))
        except TimeoutError:
            raise Late from None

    async def pause(self, seconds: float) -> None:
        """See `Network.pause`."""
        time.sleep(seconds)  # noqa: ASYNC251 - no loop runs here

    def places(self, count: int) -> Places:
        """See `Network.places`."""
        return BlockingPlaces(count)


def _connected(address: Address, timeout_s: float) -> socket.socket:
    if address.path is None:
        return _unless_own(_connected_by_name(address, timeout_s))
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock


def _connected_by_name(address: Address, timeout_s: float) -> socket.socket:
    """Connected with one of the addresses that a name has; all of them together have the time."""
    until = time.monotonic() + timeout_s
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    for at, (family, kind, protocol, _, place) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max((until - time.monotonic()) / (len(found) - at), 0.001))
            sock.connect(place)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError) or at + 1 == len(found):
                raise
    raise OSError("the name has no address")


def _unless_own(sock: socket.socket) -> socket.socket:
    """The socket, unless it is connected with itself, as may be where nobody listens on a port that
    the system gives to clients."""
    try:
        own = sock.getsockname() == sock.getpeername()
    except OSError:  # it broke at once
        sock.close()
        raise
    if own:
        sock.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
    return sock
