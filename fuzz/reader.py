"""The request reader on any stream in any pieces. The target is `check`.

Data: the profile of bounds, the number of cuts, the cuts, and the stream (see `fuzz.words`). A cut
is the size of a piece, the cuts beginning anew until the stream is used up.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from fuzz import reference
from fuzz.bounds import bounds
from fuzz.reference import Item
from fuzz.words import Source, expand
from workq import limits
from workq.commands import COMMANDS
from workq.commands.base import Command
from workq.wire import replies
from workq.wire.grammar import Header, Table
from workq.wire.reader import Reader

#: The upper bits of a cut: 64 times the size; and not to be read before the next piece comes.
WIDE: Final = 0x40
UNREAD: Final = 0x80

#: Pieces of one stream, and recoverable errors in it that are tried; the rest costs only time.
PIECES_MAX: Final = 300
ERRORS_TRIED_MAX: Final = 4

Piece = tuple[bytes, bool]


class Forgetful(Table[Command]):
    """A table that knows no short way: every line is read in general."""

    def remember(self, command: Command, line: bytes, header: Header) -> None:
        """Remember nothing."""


@lru_cache
def _forgetful(block_bytes_max: int) -> Forgetful:
    """The table for a bound that is built into it; to make one takes longer than to read."""
    return Forgetful(COMMANDS)


def forgetful() -> Forgetful:
    """A table that knows no short way, as the bounds are now."""
    return _forgetful(limits.BLOCK_DISCARD_BYTES_MAX)


class Outcome(NamedTuple):
    """What came of a stream: the requests, and the reader's state before and after its end."""

    items: list[Item]
    ended: bool
    silent: bool
    pending: int
    cut_off: bytes


def check(data: bytes) -> None:
    """Read a stream in several ways, which must not make a difference."""
    source = Source(data)
    profile = source.byte()
    cuts = source.take(source.byte() % 16)
    stream = expand(source.rest())
    with bounds(profile) as bounded:
        _Check(bounded.line_bytes_max).check(stream, pieces(stream, cuts))


def pieces(stream: bytes, cuts: bytes) -> list[Piece]:
    """A stream in pieces, each with whether it is read at once."""
    found: list[Piece] = []
    at = 0
    while cuts and at < len(stream) and len(found) < PIECES_MAX:
        cut = cuts[len(found) % len(cuts)]
        size = (cut & 0x3F) * (64 if cut & WIDE else 1) + 1
        found.append((stream[at : at + size], not cut & UNREAD))
        at += size
    if at < len(stream):
        found.append((stream[at:], True))
    return found


class _Check:
    """The check of one stream.

    Args:
        line_bytes_max: how long a line may be.
    """

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max

    def check(self, stream: bytes, in_pieces: list[Piece]) -> None:
        """Read it as the documentation has it, whole, in pieces, and once lines are known."""
        expected = reference.read(stream, self._line_bytes_max)
        whole = [(stream, True)]
        first = self._outcome(forgetful(), whole)
        assert first.items == expected.items
        assert first[1:3] == expected[2:4]
        assert first.cut_off == expected.cut_off
        table = Table(COMMANDS)
        assert self._outcome(forgetful(), in_pieces) == first
        assert self._outcome(table, in_pieces) == first
        assert self._outcome(table, whole) == first
        assert self._outcome(table, in_pieces) == first
        for name, arguments in first.items:
            if name == "":
                assert arguments in replies.ERRORS.values() or (arguments == b"" and first.ended)
        assert first.cut_off == b"" or first.cut_off in replies.ERRORS.values()
        self._check_recovery(stream, expected, table)

    def _outcome(self, table: Table[Command], in_pieces: list[Piece]) -> Outcome:
        reader: Reader[Command] = Reader(table, self._line_bytes_max)
        items: list[Item] = []
        for piece, read_now in in_pieces:
            reader.feed(piece)
            if read_now:
                items += self._drain(reader)
        items += self._drain(reader)
        ended, pending = reader.ended, reader.pending
        cut_off = b"" if ended else reader.finish()
        assert reader.ended
        assert reader.pending == 0
        return Outcome(items, ended, reader.silent, pending, cut_off)

    def _drain(self, reader: Reader[Command]) -> list[Item]:
        """All requests that are complete; what is left is bounded."""
        items: list[Item] = []
        while (item := reader.next()) is not None:
            command, arguments = item
            items.append(("" if command is None else command.name, arguments))
        assert reader.pending < self._line_bytes_max + limits.BLOCK_BYTES_MAX + 2
        assert reader.next() is None
        return items

    def _check_recovery(
        self, stream: bytes, expected: reference.Reading, table: Table[Command]
    ) -> None:
        """Behind an error that does not end the stream, a ping is read."""
        places = [
            end
            for (name, _), end in zip(expected.items, expected.ends, strict=True)
            if name == "" and end >= 0
        ]
        for end in places[:ERRORS_TRIED_MAX]:
            outcome = self._outcome(table, [(stream[:end], True), (b"ping\r\n", True)])
            assert outcome.items[-1] == ("ping", ())
            assert not outcome.ended
