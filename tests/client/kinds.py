"""Both clients behind one face, so that one case tries both; and what they talk to on sockets."""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from workq_client import AsyncClient, Client

from tests.client.fake import HELLO

#: No test here takes longer unless something hangs.
PATIENCE_S = 20


class Awaited:
    """An `AsyncClient` whose methods are done when they return, in a loop of its own.

    Args:
        args, kwargs: of the client.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._runner = asyncio.Runner()
        try:
            self.client = self.do(self._make(args, kwargs))
        except BaseException:
            self._runner.close()
            raise

    async def _make(self, args: Any, kwargs: Any) -> AsyncClient:
        return AsyncClient(*args, **kwargs)

    def do(self, coroutine: Any) -> Any:
        """Run a coroutine to its end."""

        async def limited() -> Any:
            async with asyncio.timeout(PATIENCE_S):
                return await coroutine

        return self._runner.run(limited())

    def pipe(self, fill: Callable[[Any], Any]) -> Any:
        """What a function of a pipeline returns, which is then sent."""

        async def piped() -> Any:
            async with self.client.pipeline() as pipeline:
                return fill(pipeline)

        return self.do(piped())

    def hang_up(self) -> None:
        """Close the client."""

        async def closed() -> None:
            await self.client.close()
            await asyncio.sleep(0.01)  # until the loop has closed its sockets

        self.do(closed())

    def close(self) -> None:
        """Close the client, and its loop."""
        self.hang_up()
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not inspect.ismethod(found):
            return found
        return lambda *args, **kwargs: self.do(found(*args, **kwargs))


class Blocking:
    """A `Client`.

    Args:
        args, kwargs: of the client.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.client = Client(*args, **kwargs)

    def pipe(self, fill: Callable[[Any], Any]) -> Any:
        """What a function of a pipeline returns, which is then sent."""
        with self.client.pipeline() as pipeline:
            return fill(pipeline)

    def hang_up(self) -> None:
        """Close the client."""
        self.client.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


KINDS = {"blocking": Blocking, "awaited": Awaited}


class Talk:
    """One connection as the peer has it.

    Args:
        sock: accepted.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def line(self) -> bytes:
        """The next line that came; b"" at the end."""
        while b"\r\n" not in self._read:
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            self._read += piece
        line, _, self._read = self._read.partition(b"\r\n")
        return line

    def hello(self) -> Talk:
        """Have the client say hello, and answer."""
        assert self.line().startswith(b"hello 2")
        self.send(HELLO)
        return self

    def send(self, data: bytes, piece: int = 0) -> None:
        """Send, at once or so many bytes at a time."""
        for start in range(0, len(data), piece or len(data) or 1):
            self.sock.sendall(data[start : start + (piece or len(data))])

    def reset(self) -> None:
        """Let the connection break."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def gone(self) -> bool:
        """Whether the client closes, and says nothing more."""
        try:
            return not self._read and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def peer(*scripts: Callable[[Talk], Any]) -> Iterator[str]:
    """A server that does with each connection, in order, what one of the scripts says, and then
    closes it. A script that fails, and one that nobody came for, fail the test.

    Yields:
        Its URL.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            for script in scripts:
                sock, _ = listener.accept()
                with sock:
                    script(Talk(sock))
        except BaseException as error:
            failures.append(error)
        finally:
            listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"workq://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.settimeout(0.2)
        thread.join(PATIENCE_S)
    assert not failures, failures
