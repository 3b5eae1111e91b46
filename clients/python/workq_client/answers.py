"""Replies as they come off the wire: bytes in, answers out; no socket is known here.

A reply begins with `+OK`, or with `-` and an error. How it goes on depends on what was asked, so
each request tells the `Shape` of its reply. What a client does not know of is passed over in the
four places that docs/protocol.md names ("How the protocol grows"): attributes `key=value` behind
the words of a line, and keys at the end of an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from workq_client.errors import BrokenReply, Refused, refusal
from workq_client.limits import (
    EXCERPT_BYTES_MAX,
    REPLY_BLOCK_BYTES_MAX,
    REPLY_ENTRIES_MAX,
    REPLY_LINE_BYTES_MAX,
)


class Shape(Enum):
    """How a reply goes on behind its `+OK`."""

    #: `+OK`, and nothing else.
    DONE = "done"
    #: `+OK <count>`, then for each a line whose last word is a size, and a block of so many bytes.
    BLOCKS = "blocks"
    #: `+OK <count>`, then for each a line with a title and a number, and as many lines
    #: `<key> <value>`.
    KEYS = "keys"
    #: `+OK <count>`, then so many lines of text.
    LINES = "lines"


@dataclass(frozen=True)
class Entry:
    """One entry of a reply.

    Attributes:
        words: of its line, without attributes; all of a line of text is one word.
        attributes: of its line, by name.
        block: its bytes, if it has any.
        keys: its keys, by name.
    """

    words: tuple[str, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    block: bytes = b""
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """A reply that is no error.

    Attributes:
        entries: what it tells, in order.
        attributes: of its first line, by name.
    """

    entries: tuple[Entry, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


#: The usual answer.
DONE: Final = Answer()

_CRLF = b"\r\n"
_OK = b"+OK\r\n"


class _Incomplete(Exception):
    """A reply has not come whole.

    Attributes:
        needs: bytes of it that must be there before looking again is worth it.
    """

    def __init__(self, needs: int) -> None:
        self.needs = needs


class Reader:
    """Cuts answers out of the bytes that a connection receives.

    Looking again at what is there costs as much as it is long, so a reply that comes in many
    pieces is looked at only when the line or the block that was missing may have come.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needs = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in what was received."""
        self._buffer += data

    def take(self, shape: Shape, command: str, job_id: str | None) -> Answer | Refused | None:
        """The next reply, which is that to a certain request; None if it is not there as a whole.

        Args:
            shape: of its answer.
            command, job_id: what was asked, for an error to tell.

        Raises:
            BrokenReply: it is none.
        """
        if len(self._buffer) < self._needs:
            return None
        if shape is Shape.DONE and self._buffer.startswith(_OK):  # the usual one
            del self._buffer[: len(_OK)]
            return DONE
        cursor = _Cursor(self._buffer)
        try:
            answer = _read(cursor, shape, command, job_id)
        except _Incomplete as incomplete:
            self._needs = incomplete.needs
            return None
        except UnicodeDecodeError:
            raise cursor.broken("a line is not ASCII") from None
        del self._buffer[: cursor.at]
        self._needs = 0
        return answer


class _Cursor:
    """A place in received bytes.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.at = 0

    def line(self) -> str:
        """The next line, without its end."""
        start = self.at
        end = self.data.find(_CRLF, start, start + REPLY_LINE_BYTES_MAX + 2)
        if end < 0:
            if len(self.data) - start > REPLY_LINE_BYTES_MAX + 1:
                raise self.broken("a line does not end")
            raise _Incomplete(len(self.data) + 1)
        self.at = end + 2
        return self.data[start:end].decode("ascii")

    def block(self, size: int) -> bytes:
        """The next bytes, behind which a line ends."""
        if size > REPLY_BLOCK_BYTES_MAX:
            raise self.broken(f"a block of {size} bytes")
        start, end = self.at, self.at + size
        if len(self.data) < end + 2:
            raise _Incomplete(end + 2)
        if self.data[end : end + 2] != _CRLF:
            self.at = end
            raise self.broken("no line end behind a block")
        self.at = end + 2
        return bytes(memoryview(self.data)[start:end])

    def number(self, text: str) -> int:
        """What a word of digits says."""
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise self.broken(f"{text[:40]!r} is no number")
        return int(text)

    def broken(self, problem: str) -> BrokenReply:
        """The error for what stands here."""
        start = max(min(self.at, len(self.data)) - EXCERPT_BYTES_MAX // 2, 0)
        return BrokenReply(problem, bytes(self.data[start : start + EXCERPT_BYTES_MAX]))


def _read(cursor: _Cursor, shape: Shape, command: str, job_id: str | None) -> Answer | Refused:
    line = cursor.line()
    if line.startswith("-"):
        error = refusal(line[1:], command, job_id)
        if error is None:
            raise cursor.broken("an error of no known class")
        return error
    words, attributes = _split(line)
    if words[0] != "+OK" or len(words) > 2:
        raise cursor.broken("neither +OK nor an error")
    if shape is Shape.DONE:
        if len(words) > 1:
            raise cursor.broken("an answer with entries")
        return Answer((), attributes)
    if len(words) == 1:
        raise cursor.broken("an answer without entries")
    count = cursor.number(words[1])
    if count > REPLY_ENTRIES_MAX:
        raise cursor.broken(f"an answer of {count} entries")
    read = _ENTRIES[shape]
    return Answer(tuple([read(cursor) for _ in range(count)]), attributes)


def _split(line: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The fixed words of a line, and its attributes."""
    words = line.split(" ")
    if "=" not in line:
        return tuple(words), {}
    pairs = (word.partition("=") for word in words if "=" in word)
    return tuple(word for word in words if "=" not in word), {key: value for key, _, value in pairs}


def _block_entry(cursor: _Cursor) -> Entry:
    words, attributes = _split(cursor.line())
    return Entry(words, attributes, cursor.block(cursor.number(words[-1] if words else "")))


def _keys_entry(cursor: _Cursor) -> Entry:
    words, attributes = _split(cursor.line())
    count = cursor.number(words[-1] if words else "")
    if count > REPLY_ENTRIES_MAX:
        raise cursor.broken(f"an entry of {count} keys")
    keys: dict[str, str] = {}
    block = b""
    for _ in range(count):
        if cursor.data.startswith(b"payload ", cursor.at) and "payload-size" in keys:
            cursor.at += len(b"payload ")
            block = cursor.block(cursor.number(keys["payload-size"]))
            continue
        key, gap, value = cursor.line().partition(" ")
        if not key or not gap:
            raise cursor.broken("a key without a value")
        keys[key] = value
    return Entry(words, attributes, block, keys)


def _text_entry(cursor: _Cursor) -> Entry:
    return Entry((cursor.line(),))


_ENTRIES = {Shape.BLOCKS: _block_entry, Shape.KEYS: _keys_entry, Shape.LINES: _text_entry}
