"""Connections: what a client sends comes in pieces, late, or never; what it is sent likewise.

`Wire` is the server's transport and the client's socket at once. Each way keeps its order, as TCP
does; everything else is drawn: where segments are cut, how long each takes, whether the peer reads,
half-closes, resets, or vanishes without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Protocol

#: What the server's transport keeps before it says that the client does not keep up.
HIGH_BYTES, LOW_BYTES = 2048, 512

#: What lies between server and client before the server's transport has to keep it.
WINDOW_BYTES = 1024


class Machine(Protocol):
    """What a connection needs of the machine it ends in."""

    now_us: int

    def later(self, delay_us: int, act: Callable[[], None]) -> None:
        """Have something done after a while."""
        ...

    def soon(self, act: Callable[..., None], *args: Any) -> None:
        """Have something done in the server's next round, if it is still the same server."""
        ...


class Tap(Protocol):
    """Hears what passes between a connection and the server."""

    def received(self, wire: Wire, data: bytes) -> None:
        """The server has read something."""
        ...

    def handed(self, wire: Wire, data: bytes) -> None:
        """The server has handed something to the transport."""
        ...

    def closing(self, wire: Wire) -> None:
        """The server ends the connection."""
        ...


class Wire:
    """One connection, both of its ends.

    Args:
        machine: where the server runs.
        random: of this connection.
        tap: hears what passes.
        slowness_us: what a segment takes at the most.

    Attributes:
        inbox: what the client has received and not looked at.
        reading: whether the client reads.
        closed: whether the client knows that the connection is over.
        lost: whether the server knows.
        seen_end: whether the client has seen the end of what the server sends.
        shut: whether the client sends no more.
        vanished: whether the client is gone without a word.
    """

    def __init__(self, machine: Machine, random: Random, tap: Tap, slowness_us: int) -> None:
        self._machine = machine
        self._random = random
        self._tap = tap
        self._slowness_us = slowness_us
        self.protocol: Any = None
        self.session: Any = None
        self.inbox = bytearray()
        self.reading = True
        self.closed = self.lost = self.seen_end = self.shut = self.vanished = False
        self._arrived = bytearray()  # in the server's kernel
        self._eof_arrived = self._eof_told = False
        self._at_us = 0  # nothing overtakes what arrives then
        self._kept = bytearray()  # by the server's transport
        self._flying = 0  # bytes between server and client, or unread there
        self._back_us = 0
        self._stalled = False
        self._closing = False
        self._wants_eof = self._sent_eof = False
        self._server_reads = True
        self._scheduled = False
        self._unread: list[bytes] = []

    # --- the client's end ---------------------------------------------------------------------

    def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Let the server accept the connection."""
        self.protocol = factory()
        self.protocol.connection_made(self)
        self.session = self.protocol.session

    def send(self, data: bytes) -> None:
        """Send, in segments that arrive one after the other."""
        if self.shut or self.closed or self.vanished:
            return
        at = 0
        while at < len(data):
            size = len(data) if self._random.random() < 0.7 else self._random.randint(1, 40)
            piece = data[at : at + size]
            at += size
            self._arrive(partial(self._arrived.extend, piece))

    def half_close(self) -> None:
        """Send no more."""
        if not self.shut and not self.closed and not self.vanished:
            self.shut = True
            self._arrive(self._note_eof)

    def reset(self) -> None:
        """End the connection at once; what is on its way is lost."""
        if not self.closed:
            self.closed = self.shut = True
            self._at_us = max(self._at_us, self._machine.now_us)
            self._machine.later(self._random.randint(0, 2000), self._was_reset)

    def vanish(self) -> None:
        """Say nothing any more, and take nothing."""
        self.vanished = True
        self.reading = False
        self._arrived.clear()

    def read_on(self) -> None:
        """Read again, or never mind."""
        if self.vanished:
            return
        self.reading = True
        for piece in self._unread:
            self._take(piece)
        self._unread.clear()

    def _arrive(self, act: Callable[[], object]) -> None:
        delay_us = self._random.choice((0, 20, 300, self._slowness_us))
        self._at_us = max(self._at_us, self._machine.now_us + self._random.randint(0, delay_us))

        def arrived() -> None:
            if not self.lost and not self.vanished:
                act()
                self._schedule()

        self._machine.later(self._at_us - self._machine.now_us, arrived)

    def _note_eof(self) -> None:
        self._eof_arrived = True

    def _was_reset(self) -> None:
        self._arrived.clear()
        self._kept.clear()
        if not self.lost:
            self._closing = True
            self._machine.soon(self._lose, ConnectionResetError())

    # --- how the server reads -----------------------------------------------------------------

    def _schedule(self) -> None:
        wanted = self._server_reads and not self._closing and not self._scheduled
        if wanted and (self._arrived or (self._eof_arrived and not self._eof_told)):
            self._scheduled = True
            self._machine.soon(self._read)

    def _read(self) -> None:
        self._scheduled = False
        if self._closing or self.lost or not self._server_reads or self.protocol is None:
            return
        if self._arrived:
            data = bytes(self._arrived[:65_536])
            del self._arrived[:65_536]
            self._tap.received(self, data)
            self.protocol.data_received(data)
        elif self._eof_arrived and not self._eof_told:
            self._eof_told = True
            if not self.protocol.eof_received():
                self.close()
        self._schedule()

    def _lose(self, error: Exception | None = None) -> None:
        if not self.lost:
            self.lost = True
            if self.protocol is not None:
                self.protocol.connection_lost(error)

    # --- the server's transport ---------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send to the client, as fast as it reads."""
        assert not self._closing, "something is written to a connection that closes"
        if self._wants_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        self._tap.handed(self, data)
        self._kept += data
        self._push()
        if len(self._kept) > HIGH_BYTES and not self._stalled:
            self._stalled = True
            self.protocol.pause_writing()

    def _push(self) -> None:
        """Let go what the client has room for."""
        while self._kept and self._flying < WINDOW_BYTES:
            size = self._random.randint(1, WINDOW_BYTES - self._flying)
            piece = bytes(self._kept[:size])
            del self._kept[:size]
            self._flying += len(piece)
            self._come_back(partial(self._take, piece))
        if self._stalled and len(self._kept) <= LOW_BYTES:
            self._stalled = False
            if not self.lost:
                self._machine.soon(self._keeps_up)
        if not self._kept and not self.lost:
            if self._wants_eof and not self._sent_eof:
                self._sent_eof = True
                self._come_back(self._end)
            if self._closing:
                self._come_back(self._end)
                self._machine.soon(self._lose)

    def _keeps_up(self) -> None:
        if not self.lost:
            self.protocol.resume_writing()

    def _come_back(self, act: Callable[[], None]) -> None:
        delay_us = self._random.randint(0, self._slowness_us)
        self._back_us = max(self._back_us, self._machine.now_us + delay_us)
        self._machine.later(self._back_us - self._machine.now_us, act)

    def _take(self, piece: bytes) -> None:
        if self.vanished or self.closed:
            return
        if not self.reading:
            self._unread.append(piece)
            return
        self.inbox += piece
        self._flying -= len(piece)
        self._push()

    def _end(self) -> None:
        if self.reading and not self.vanished:
            self.seen_end = True

    def write_eof(self) -> None:
        """Send no more."""
        if self.takes_more():
            self._tap.closing(self)
        self._wants_eof = True
        self._push()

    def close(self) -> None:
        """Close when all is sent."""
        if self.takes_more():
            self._tap.closing(self)
        if not self._closing:
            self._closing = True
            self._push()

    def abort(self) -> None:
        """Close at once."""
        if self.takes_more():
            self._tap.closing(self)
        if not self.lost:
            self._closing = True
            self._kept.clear()
            self._come_back(self._end)
            self._machine.soon(self._lose)

    def takes_more(self) -> bool:
        """Whether the server may still send."""
        return not (self._closing or self._wants_eof or self.lost)

    def is_closing(self) -> bool:
        """Whether it is about to be gone."""
        return self._closing

    def get_write_buffer_size(self) -> int:
        """What the client has not taken."""
        return len(self._kept)

    def pause_reading(self) -> None:
        """Let what comes lie in the kernel."""
        self._server_reads = False

    def resume_reading(self) -> None:
        """Read on."""
        self._server_reads = True
        self._schedule()
