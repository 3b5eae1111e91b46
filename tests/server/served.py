"""A ring in a real event loop, and peers that talk to it over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import uvloop

from tests.talk import Side
from workq.limits import SEND_BUFFER_BYTES
from workq.server.ring import Ring

#: No test here takes longer unless something hangs.
PATIENCE_SECONDS = 20

#: The loops a ring must run on: the one it is made for, and the one everybody has.
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


async def until(holds: Callable[[], Any]) -> None:
    """Let the loop turn until something is so."""
    while not holds():  # noqa: ASYNC110 - nothing in the server tells of it
        await asyncio.sleep(0)


class Peer(Side):
    """The client's side of a connection, on a bare socket: nothing is read unasked.

    Args:
        server: where it is connected to.
        sock: the socket.
    """

    def __init__(self, server: Server, sock: socket.socket) -> None:
        super().__init__(sock)
        self.server = server
        self._loop = asyncio.get_running_loop()

    async def send(self, text: str) -> None:
        """Send all of a text."""
        await self._loop.sock_sendall(self.sock, text.encode("latin-1"))

    async def read(self, size: int) -> str:
        """Read just as much."""
        data = bytearray()
        while len(data) < size:
            piece = await self._loop.sock_recv(self.sock, size - len(data))
            assert piece, f"the end came after {bytes(data[-200:])!r}"
            data += piece
        return data.decode("latin-1")

    async def expect(self, text: str) -> None:
        """Read a text, and nothing else."""
        assert await self.read(len(text)) == text

    async def rest(self) -> str:
        """Read to the end."""
        data = bytearray()
        while piece := await self._loop.sock_recv(self.sock, 65536):
            data += piece
        return data.decode("latin-1")


class Server:
    """A ring that listens on a free port.

    Attributes:
        ring: the ring.
        port: its port.
    """

    def __init__(self, ring: Ring, port: int) -> None:
        self.ring = ring
        self.port = port
        self.peers: list[Peer] = []

    async def peer(self) -> Peer:
        """A new connection that the server has accepted."""
        before = len(self.ring.connections)
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        peer = Peer(self, sock)
        self.peers.append(peer)
        await until(lambda: len(self.ring.connections) > before)
        return peer


@asynccontextmanager
async def _serving() -> AsyncIterator[Server]:
    ring = Ring()
    # As a server's own: else the system takes as much as it remembers of others.
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener = await asyncio.get_running_loop().create_server(ring.connection, sock=sock)
    server = Server(ring, listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
        for peer in server.peers:
            peer.close()
        for connection in list(ring.connections):
            connection.abort()
        await until(lambda: not ring.connections)


Body: TypeAlias = Callable[[Server], Awaitable[None]]


def serve(loop_name: str, body: Body) -> None:
    """Run a test's body beside a server."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), _serving() as server:
            await body(server)

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(run())
