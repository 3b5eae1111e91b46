"""What payloads and results are for Python: one codec for all of a client.

The server knows bytes only. `BYTES` leaves them alone, `TEXT` is str in UTF-8, `JSON` everything
that JSON can say; no bytes at all are None. Another one is an object with the two methods of
`Codec`; it should read what others may have written, so think twice before it is pickle.
"""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

from workq_client.errors import InvalidRequest


class Codec(Protocol):
    """How values become bytes, and back."""

    def encode(self, value: Any, /) -> bytes:
        """The bytes of a value.

        Raises:
            TypeError, ValueError: it has none.
        """
        ...

    def decode(self, data: bytes, /) -> Any:
        """The value of some bytes.

        Raises:
            ValueError: they are none.
        """
        ...


class _Bytes:
    def encode(self, value: Any, /) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise TypeError(
            f"it is {type(value).__name__}, not bytes: Client(codec=TEXT) takes str, "
            "Client(codec=JSON) whatever JSON can say"
        )

    def decode(self, data: bytes, /) -> bytes:
        return data


class _Text:
    def encode(self, value: Any, /) -> bytes:
        if isinstance(value, str):
            return value.encode()
        raise TypeError(f"it is {type(value).__name__}, not str")

    def decode(self, data: bytes, /) -> str:
        return data.decode()


class _Json:
    def encode(self, value: Any, /) -> bytes:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()

    def decode(self, data: bytes, /) -> Any:
        return json.loads(data) if data else None


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


#: No payload, or no result: no bytes at all, whatever the codec.
NOTHING: Final = _Nothing()


def encoded(codec: Codec, value: Any, what: str) -> bytes:
    """The bytes of a value.

    Args:
        codec: that makes them.
        value: the value, or `NOTHING`.
        what: it is, for the error.

    Raises:
        InvalidRequest: it has none.
    """
    if value is NOTHING:
        return b""
    try:
        return codec.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} cannot be sent: {error}") from error


#: Payloads and results are bytes.
BYTES: Final[Codec] = _Bytes()
#: They are str, in UTF-8.
TEXT: Final[Codec] = _Text()
#: They are whatever JSON can say.
JSON: Final[Codec] = _Json()
