"""What the tests of the wire share: a stream that is fed and read, and lines of every command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workq.commands import COMMANDS
from workq.commands.base import Command
from workq.errors import Refusal
from workq.wire import replies
from workq.wire.fields import Field
from workq.wire.grammar import Table, read_line
from workq.wire.reader import Reader

ID = "c0ffee00-1111-4222-8333-000000000001"

#: A right word for every field of every command, and a wrong one with its error.
RIGHT = {
    "id": ID,
    "name": "mails",
    "ttr": "1000",
    "ttl": "60000",
    "time": "2030-01-31T08:00:00Z",
    "wait-timeout": "500",
    "cursor-offset": "0",
    "limit": "10",
    "priority": "5",
    "max-attempts": "3",
    "max-fails": "2",
    "version": "2",
    "delay": "500",
    "retry-delay": "1000",
    "backoff": "2",
    "retry-max": "60000",
    "final": "1",
    "count": "10",
    "lease": "1099511627777",
    "command": "inspect",
    "object": "job",
}
WRONG = {
    "id": ("nobody", replies.INVALID_ID),
    "name": ("no/name", replies.INVALID_NAME),
    "ttr": ("0", replies.INVALID_TTR),
    "ttl": ("0", replies.INVALID_TTL),
    "time": ("today", replies.INVALID_TIME),
    "wait-timeout": ("soon", replies.INVALID_WAIT_TIMEOUT),
    "cursor-offset": ("first", replies.INVALID_CURSOR_OFFSET),
    "limit": ("0", replies.INVALID_LIMIT),
    "priority": ("high", replies.INVALID_PRIORITY),
    "max-attempts": ("256", replies.INVALID_MAX_ATTEMPTS),
    "max-fails": ("-1", replies.INVALID_MAX_FAILS),
    "delay": ("soon", replies.INVALID_DELAY),
    "retry-delay": ("31536000001", replies.INVALID_RETRY_DELAY),
    "backoff": ("0", replies.INVALID_BACKOFF),
    "retry-max": ("-1", replies.INVALID_RETRY_MAX),
    "final": ("2", replies.INVALID_FINAL),
    "count": ("101", replies.INVALID_COUNT),
    "version": ("1", replies.UNKNOWN_VERSION),
    "lease": ("0", replies.INVALID_LEASE),
}

BY_NAME = {command.name: command for command in COMMANDS}
WITH_BLOCK = tuple(command for command in COMMANDS if command.block_error is not None)

#: A request that was read, as (command's name, arguments), or ("", error reply).
Item = tuple[str, Any]


def table() -> Table[Command]:
    """The commands, with nothing remembered by the short way of reading."""
    return Table(COMMANDS)


def reader() -> Reader[Command]:
    """A reader that knows no line yet."""
    return Reader(table())


def drain(stream: Reader[Command]) -> list[Item]:
    """All requests that are complete."""
    items: list[Item] = []
    while (item := stream.next()) is not None:
        command, arguments = item
        items.append(("" if command is None else command.name, arguments))
    return items


def read(pieces: Iterable[bytes], stream: Reader[Command] | None = None) -> list[Item]:
    """All requests in pieces of a stream, and the error for what is cut off at its end."""
    stream = reader() if stream is None else stream
    items: list[Item] = []
    for piece in pieces:
        stream.feed(piece)
        items += drain(stream)
    if not stream.ended:
        cut_off = stream.finish()
        if cut_off:
            items.append(("", cut_off))
    return items


def line_of(command: Command, size: int = 2) -> str:
    """A right line of a command, without flags."""
    words = [command.name, *(RIGHT[field.name] for field in command.fields)]
    if command.block_error is not None:
        words.append(str(size))
    return " ".join(words)


def refusal_of(line: str) -> bytes | None:
    """The error that a line gets, whatever its block is; None if it is right."""
    return read_line(table(), line.encode("latin-1")).header.refusal


def error_of(field: Field, word: str | bytes) -> bytes | None:
    """The error of a field for a word; None if it takes it."""
    try:
        field.read(word if isinstance(word, bytes) else word.encode("latin-1"))
    except Refusal as refused:
        return refused.reply
    return None
