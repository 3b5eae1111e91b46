"""The network of `AsyncClient`: transports of the running asyncio loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from contextlib import suppress

from workq_client.addresses import Address
from workq_client.errors import InvalidRequest
from workq_client.limits import UNREAD_BYTES_MAX
from workq_client.network import Late, Places, Wire


class AsyncWire(asyncio.Protocol):
    """A connection that a task waits for."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self._received += data
        if len(self._received) > UNREAD_BYTES_MAX and not self._paused and self._transport:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def eof_received(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended = True
        self._error = self._error or exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def exchange(self, data: bytes, timeout_s: float) -> bytes:
        """See `Wire.exchange`."""
        if data and not self._ended and self._transport is not None:
            self._transport.write(data)
        if not (self._received or self._ended):
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(max(timeout_s, 0.0), self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if self._received:
            return self._take()
        if self._error is not None:
            raise ConnectionError(str(self._error)) from self._error
        if self._ended:
            return b""
        raise Late

    def _take(self) -> bytes:
        data = bytes(self._received)
        self._received.clear()
        if self._paused and self._transport is not None and not self._ended:
            self._transport.resume_reading()
            self._paused = False
        return data

    def quiet(self) -> bool:
        """See `Wire.quiet`."""
        transport = self._transport
        standing = transport is not None and not transport.is_closing()
        return standing and not (self._ended or self._received)

    def close(self) -> None:
        """See `Wire.close`."""
        if self._transport is not None and not self._loop.is_closed():
            self._transport.abort()
        self._ended = True
        self._wake()


class AsyncPlaces:
    """Leave to have one of a number of connections, for who came first.

    Args:
        count: the number.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._loop: asyncio.AbstractEventLoop | None = None
        self._line: deque[asyncio.Future[None]] = deque()

    async def take(self, timeout_s: float) -> bool:
        """See `Places.take`."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            raise InvalidRequest("the client belongs to another event loop: make one in each")
        if self._free > 0 and not self._line:
            self._free -= 1
            return True
        place: asyncio.Future[None] = loop.create_future()
        self._line.append(place)
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.give_back()  # it came, but who wanted it is gone
            else:
                with suppress(ValueError):
                    self._line.remove(place)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def give_back(self) -> None:
        """See `Places.give_back`."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class AsyncNetwork:
    """What a task reaches the world with."""

    async def connect(self, address: Address, timeout_s: float) -> Wire:
        """See `Network.connect`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                if address.path is not None:
                    _, wire = await loop.create_unix_connection(AsyncWire, address.path)
                    return wire
                return await _connected_by_name(address, loop.time() + timeout_s)
        except TimeoutError:
            raise Late from None

    async def pause(self, seconds: float) -> None:
        """See `Network.pause`."""
        await asyncio.sleep(seconds)

    def places(self, count: int) -> Places:
        """See `Network.places`."""
        return AsyncPlaces(count)


async def _connected_by_name(address: Address, until: float) -> AsyncWire:
    """Connected with one of the addresses that a name has; all of them together have the time."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    for at, (family, _, protocol, _, place) in enumerate(found):
        try:
            async with asyncio.timeout((until - loop.time()) / (len(found) - at)):
                transport, wire = await loop.create_connection(
                    AsyncWire, str(place[0]), int(place[1]), family=family, proto=protocol
                )
        except (OSError, TimeoutError):
            if at + 1 == len(found):
                raise
            continue
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and sock.getsockname() == sock.getpeername():
            wire.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        return wire
    raise OSError("the name has no address")
