"""A bad network between a worker and its server: it cuts connections, or lets them fall silent, at
the very byte that a test waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

#: No test here takes longer unless something hangs.
PATIENCE_S = 20


class Line:
    """A connection of a client, and the one of it to the server.

    Attributes:
        silent: whether it has fallen silent: nothing comes through any more, and nobody is told.
        completing: whether the last request was a result.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.silent = False
        self.completing = False
        self.client: asyncio.Transport | None = None
        self.server: asyncio.Transport | None = None
        self.early = bytearray()

    def end(self) -> None:
        """Cut both."""
        for transport in (self.client, self.server):
            if transport is not None:
                transport.abort()


class ClientSide(asyncio.Protocol):
    """What a client says."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It has come."""
        assert isinstance(transport, asyncio.Transport)
        self.line.client = transport
        self.line.proxy.accepted(self.line)

    def data_received(self, data: bytes) -> None:
        """It has sent something."""
        self.line.proxy.asked(self.line, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.line.proxy.lines.discard(self.line)
        self.line.end()


class ServerSide(asyncio.Protocol):
    """What the server says."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def data_received(self, data: bytes) -> None:
        """It has answered something."""
        self.line.proxy.answered(self.line, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and so is the client's, unless that must not know."""
        if not self.line.silent:
            self.line.end()


class Proxy:
    """Stands between clients and a server, in a thread of its own.

    Args:
        port: of the server, on 127.0.0.1.

    Attributes:
        lines: connections.
        silent: whether every new one is silent from its beginning.
        refusing: whether every new one is cut.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.lines: set[Line] = set()
        self.silent = self.refusing = False
        self._trap: tuple[str, Callable[[], None]] | None = None
        self.sprung = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ended = threading.Event()
        started = threading.Event()
        self.port = 0

        async def serve() -> None:
            self._server = server = await self._loop.create_server(
                lambda: ClientSide(Line(self)), "127.0.0.1", 0
            )
            self.port = server.sockets[0].getsockname()[1]
            started.set()

        def run() -> None:
            self._loop.run_until_complete(serve())
            self._loop.run_forever()
            self._server.close()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        started.wait()

    # --- for tests ----------------------------------------------------------------------------

    def do(self, act: Callable[[], None]) -> None:
        """Do something in the proxy's thread, and wait until it is done."""
        done = threading.Event()

        def acted() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(acted)
        assert done.wait(PATIENCE_S)

    def arm(self, moment: str, harm: Callable[[], None]) -> None:
        """Do harm, once, at a moment: see `accepted`, `asked` and `answered`."""
        self.sprung.clear()
        self.do(lambda: setattr(self, "_trap", (moment, harm)))

    def cut(self) -> None:
        """Cut all connections; in the proxy's thread."""
        for line in list(self.lines):
            line.end()

    def refuse(self) -> None:
        """Cut all connections, and those that come."""
        self.refusing = True
        self.cut()

    def fall_silent(self) -> None:
        """Let all connections, and those that come, fall silent. The server's side of them ends: a
        lease that waits there would else take a job with it, which is no fault of the worker."""
        self.silent = True
        for line in list(self.lines):
            line.silent = True
            if line.server is not None:
                line.server.abort()

    def heal(self) -> None:
        """Let new connections through. Those that have fallen silent stay so."""
        self.silent = self.refusing = False

    def close(self) -> None:
        """Be gone."""
        self.do(self.refuse)
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.1, self._loop.stop)
        self._thread.join(PATIENCE_S)

    # --- in its thread ------------------------------------------------------------------------

    def _spring(self, moment: str) -> bool:
        if self._trap is None or self._trap[0] != moment:
            return False
        harm, self._trap = self._trap[1], None
        harm()
        self.sprung.set()
        return True

    def accepted(self, line: Line) -> None:
        """A client connects: the moment `connecting`."""
        self.lines.add(line)
        self._spring("connecting")
        if self.refusing:
            line.end()
        elif self.silent:
            line.silent = True
        else:
            self._loop.create_task(self._connect(line))

    async def _connect(self, line: Line) -> None:
        try:
            transport, _ = await self._loop.create_connection(
                lambda: ServerSide(line), "127.0.0.1", self.server_port
            )
        except OSError:
            line.end()
            return
        line.server = transport
        if line.silent or line not in self.lines:
            transport.abort()
        elif line.early:
            transport.write(bytes(line.early))

    def asked(self, line: Line, data: bytes) -> None:
        """A client has sent a request: the moments `hello`, `lease`, `touch` and `complete`, when
        the server has it too, but for the last: that one is lost on its way."""
        if line.silent:
            return
        line.completing = data.startswith(b"complete ")
        lost = line.completing and self._spring("complete")
        if lost:
            return
        if line.server is None:
            line.early += data
        else:
            line.server.write(data)
        for word in ("hello", "lease", "touch"):
            if word.encode() + b" " in data:
                self._spring(word)

    def answered(self, line: Line, data: bytes) -> None:
        """The server has answered: the moments `half a job` and `half a reply`, when the first part
        of it has come through."""
        if line.silent or line.client is None:
            return
        moment = "half a job" if b"token=" in data else "half a reply" if line.completing else ""
        if moment and self._trap is not None and self._trap[0] == moment:
            line.client.write(data[: len(data) // 2])
            with suppress(OSError):
                self._spring(moment)
        else:
            line.client.write(data)
