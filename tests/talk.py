"""What tests say to a server and hear from it, in text; and how the client's side ends."""

from __future__ import annotations

import socket
import struct

OK = "+OK\r\n"
TIMEOUT = "-TIMEOUT\r\n"
NOT_FOUND = "-NOT-FOUND\r\n"
OUT_OF_MEMORY = "-SERVER-ERROR Out of memory\r\n"
SHUTTING_DOWN = "-SERVER-ERROR Shutting down\r\n"

MIB = 1024 * 1024


def job_id(number: int = 1) -> str:
    """The id of a test's n-th job."""
    return f"00000000-0000-4000-8000-{number:012x}"


def add(number: int, name: str = "q", payload: str = "x", flags: str = "") -> str:
    """A request that adds a test's n-th job."""
    head = f"add {job_id(number)} {name} 60000 600000 {len(payload)}{flags}"
    return f"{head}\r\n{payload}\r\n"


def run(number: int, name: str = "q", payload: str = "x", wait_ms: int = 60_000) -> str:
    """A request that runs a test's n-th job."""
    return f"run {job_id(number)} {name} 60000 {wait_ms} {len(payload)}\r\n{payload}\r\n"


def complete(number: int, result: str = "") -> str:
    """A request that completes a test's n-th job."""
    return f"complete {job_id(number)} {len(result)}\r\n{result}\r\n"


def told(number: int, name: str = "q", payload: str = "x") -> str:
    """The reply that hands out a test's n-th job."""
    return f"+OK 1\r\n{job_id(number)} {name} 60000 {len(payload)}\r\n{payload}\r\n"


def result(number: int, text: str = "", success: int = 1) -> str:
    """The reply that tells the result of a test's n-th job."""
    return f"+OK 1\r\n{job_id(number)} {success} {len(text)}\r\n{text}\r\n"


class Side:
    """The client's side of a connection.

    Args:
        sock: the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def shut(self) -> None:
        """Half-close."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close."""
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
