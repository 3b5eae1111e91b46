"""What a client needs of the world: connections as bytes, leave to have them, and time that passes.

`Client` has it of sockets and threads (`workq_client.blocking`), `AsyncClient` of asyncio
(`workq_client.aio`), and tests have a world of their own.
"""

from __future__ import annotations

from typing import Protocol

from workq_client.addresses import Address


class Late(Exception):
    """The time is over."""

    def __str__(self) -> str:
        return "the time was over"


class Lost(Exception):
    """A connection is of no use any more.

    Attributes:
        cause: why.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Wire(Protocol):
    """A connection as bytes."""

    async def exchange(self, data: bytes, timeout_s: float) -> bytes:
        """Send, and return what was received as soon as there is anything; b"" at the end.

        What cannot be sent at once is kept and sent while this, or the next exchange, waits: so two
        that both send much do not wait for each other.

        Raises:
            Late: nothing came in time.
            OSError: the connection is broken.
        """
        ...

    def quiet(self) -> bool:
        """Whether it stands, and nothing was received that nobody has asked for."""
        ...

    def close(self) -> None:
        """End it at once, also for who waits in `exchange`; more than once does no harm."""
        ...


class Places(Protocol):
    """Leave to have one of a number of connections."""

    async def take(self, timeout_s: float) -> bool:
        """Take one of the places as soon as one is free; return whether there was one in time."""
        ...

    def give_back(self) -> None:
        """Let somebody else have it."""
        ...


class Network(Protocol):
    """How a kind of client reaches the world."""

    async def connect(self, address: Address, timeout_s: float) -> Wire:
        """Make a connection.

        Raises:
            Late: it was not made in time.
            OSError: it cannot be made.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def places(self, count: int) -> Places:
        """So many places."""
        ...
