"""One connection: what asyncio tells of it goes to the broker, what the broker asks is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from workq.broker.session import CLOSE, Session
from workq.limits import CHUNK_BYTES_LARGE, END_STALLED_MS, LINGER_BYTES_MAX, LINGER_MS

if TYPE_CHECKING:
    from workq.server.ring import Ring


class Connection(asyncio.Protocol):
    """A client's connection.

    Args:
        ring: whose connection it is.

    Attributes:
        transport: where replies go; None once the connection is gone.
        session: what the broker knows of it.
        reading: whether it is to be read from; it may be resting all the same.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._broker = ring.broker
        self.transport: asyncio.Transport | None = None
        self._lingering_bytes = -1  # read since the end began; -1: it has not begun
        self._eof = False
        self.reading = True
        self._resting = False
        self.session: Session

    # --- what asyncio tells -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)
        self._ring.connections[self] = None
        self.session = self._broker.open()
        self.session.peer = self
        self._ring.wake()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if len(data) >= CHUNK_BYTES_LARGE:
            self._rest()
        if self._lingering_bytes >= 0:
            self._lingering_bytes += len(data)
            if self._lingering_bytes > LINGER_BYTES_MAX:
                self.close()
            return
        if not self._broker.receive(self.session, data):
            self.set_reading(False)
        if not self._ring.awake:
            self._ring.wake()

    def eof_received(self) -> bool:
        """The client has closed its side, or everything: that looks alike."""
        self._eof = True
        if self._lingering_bytes >= 0:
            return False
        self._broker.eof(self.session)
        self._ring.wake()
        return True  # what it has sent is still answered

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self.transport = None
        self._ring.forget(self)
        self._ring.untaken.end(self)
        self._broker.lost(self.session)
        self.session.peer = None  # or only the collector could free both
        self._ring.wake()

    def pause_writing(self) -> None:
        """The client does not take its replies."""
        self._ring.untaken.begin(self)
        self._broker.stall(self.session, True)

    def resume_writing(self) -> None:
        """The client takes its replies again."""
        self._ring.untaken.end(self)
        self._broker.stall(self.session, False)
        self._ring.wake()

    # --- what the broker asks -----------------------------------------------------------------

    def end(self, data: bytes, ending: int) -> None:
        """Hand the last bytes to the transport and end the connection; after others were handed,
        none are."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if data and self._lingering_bytes < 0:
            transport.write(data)
        if ending == CLOSE or self._eof:
            self.close()
        elif self._lingering_bytes < 0:
            # Closing with unread input would send a reset, which may overtake the error.
            self._lingering_bytes = 0
            transport.write_eof()
            self.set_reading(True)
            asyncio.get_running_loop().call_later(LINGER_MS / 1000, self.close)

    def set_reading(self, reading: bool) -> None:
        """Read from the client, or let the kernel's buffers fill."""
        transport = self.transport
        if transport is None or reading == self.reading or transport.is_closing():
            return
        self.reading = reading
        if self._resting:
            return
        if reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _rest(self) -> None:
        """Let others be read from: uvloop would go on with this one as long as there is more."""
        if self.reading and not self._resting and self.transport is not None:
            self._resting = True
            self.transport.pause_reading()
            self._ring.rest(self)

    def read_on(self) -> None:
        """It has rested."""
        self._resting = False
        transport = self.transport
        if self.reading and transport is not None and not transport.is_closing():
            transport.resume_reading()

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        transport = self.transport
        if transport is None:
            return
        transport.close()
        if unsent_bytes := transport.get_write_buffer_size():
            self._cut_if_stalled(unsent_bytes + 1)

    def _cut_if_stalled(self, before_bytes: int) -> None:
        """Bear with a client that reads its last replies slowly, but not if it reads nothing."""
        transport = self.transport
        if transport is None:
            return
        unsent_bytes = transport.get_write_buffer_size()
        if unsent_bytes >= before_bytes:
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        loop.call_later(END_STALLED_MS / 1000, self._cut_if_stalled, unsent_bytes)

    def abort(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.abort()
