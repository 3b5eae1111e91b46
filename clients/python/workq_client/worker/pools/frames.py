"""What a worker and its child processes say to each other: tuples, each behind its size.

To the child: `("job", id, queue, ttr, payload, token, attempt)`, `("interrupt", why)`, `("end",)`.
From it: `("ready",)`, `("touch",)`, `("done", outcome, bytes of memory)`, `("broken", text)`.
"""

from __future__ import annotations

import pickle
from typing import Any

#: Bytes of a size.
SIZE_BYTES = 8


def packed(*message: Any) -> bytes:
    """The bytes of a message."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(SIZE_BYTES, "big") + data


class Unpacker:
    """Cuts messages out of the bytes that come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Any, ...]]:
        """Take bytes in; return the messages that are whole now."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= SIZE_BYTES:
            end = SIZE_BYTES + int.from_bytes(self._buffer[:SIZE_BYTES], "big")
            if len(self._buffer) < end:
                break
            messages.append(pickle.loads(memoryview(self._buffer)[SIZE_BYTES:end]))
            del self._buffer[:end]
        return messages
