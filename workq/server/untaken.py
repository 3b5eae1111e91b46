"""Replies that were sent and not taken: how many bytes of them are kept, and who is cut for it.

A client that does not read costs the server a reply or two, which its transport keeps; many of
them together must not cost all of its memory. The event loop tells which transports keep more
than a little. When all of these together keep too much, who has not caught up for longest is cut
off, and may come again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from workq.broker.gate import Send
from workq.limits import UNTAKEN_BYTES_MAX

if TYPE_CHECKING:
    from workq.server.connection import Connection


class Untaken:
    """The connections whose clients do not keep up.

    Attributes:
        connections: them, with the bytes that their transports kept when that was last looked
            at; who began first comes first.
        kept_bytes: the sum.
        cut: how many were cut off so far.
    """

    def __init__(self) -> None:
        self.connections: dict[Connection, int] = {}
        self.kept_bytes = 0
        self.cut = 0

    def begin(self, connection: Connection) -> None:
        """A client does not keep up any more. What its transport keeps is looked at later."""
        self.connections[connection] = 0

    def end(self, connection: Connection) -> None:
        """A client has caught up, or is gone."""
        self.kept_bytes -= self.connections.pop(connection, 0)

    def look(self, sends: Iterable[Send]) -> None:
        """Look at those to whom something was just sent; cut off whom there is no room for."""
        for session, _, _ in sends:
            if session.peer in self.connections:
                self._weigh(session.peer)
        if self.kept_bytes > UNTAKEN_BYTES_MAX:
            self._cut()

    def _cut(self) -> None:
        for connection in self.connections:
            self._weigh(connection)  # it may have taken something meanwhile
        if self.kept_bytes <= UNTAKEN_BYTES_MAX:
            return
        # A little more than needed: else all would be looked at again with every reply.
        for connection in list(self.connections):
            if self.kept_bytes <= UNTAKEN_BYTES_MAX - UNTAKEN_BYTES_MAX // 8:
                break
            self.cut += 1
            self.end(connection)
            connection.abort()

    def _weigh(self, connection: Connection) -> None:
        transport = connection.transport
        size = 0 if transport is None else transport.get_write_buffer_size()
        self.kept_bytes += size - self.connections[connection]
        self.connections[connection] = size
