"""Cuts a stream of bytes into requests, in whatever pieces it comes.

The operations wanted: append a piece; take the next request, or learn that more must come; know
at the end whether something was cut off. The plan: one bytes object is cut from the front by an
offset, without copying what lies behind. Pieces that come meanwhile gather in a bytearray, and
are joined to the rest only once a request can be complete with them, so that a client that
dribbles costs no more than one that does not.

Most lines differ from one seen before in their id only. The table remembers, of lines that the
general reader accepted, what followed the id; with it a line costs one regular expression and two
look-ups (1 µs) instead of 5 µs, and equal options are one object in memory.

A refused block is thrown away as it arrives. A stream that cannot be followed any further ends:
`ended` is set, and nothing more is read.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from workq import limits
from workq.wire import replies
from workq.wire.grammar import Grammar, Header, Table, read_line

Command = TypeVar("Command", bound=Grammar)

_CR: Final = 13

#: So many bytes of a line that is not known cost as much as a usual request: names to look at,
#: words to cut.
EFFORT_BYTES: Final = 16

#: A line that costs more besides is not remembered, so that it costs that each time.
EFFORT_KNOWN_MAX: Final = 4

_BLOCK_BYTES: Final = limits.BLOCK_BYTES_LIKE_A_REQUEST


class Reader(Generic[Command]):
    """The requests in a stream.

    Args:
        table: the commands there are.
        line_bytes_max: how long a line with its end may be; 0 for `LINE_BYTES_MAX`.

    Attributes:
        effort: what lines that were not known and large blocks have cost, in usual requests,
            since the broker last looked and set it to 0.
        tagging: whether requests may carry tags.
        tag: what the last request carried whose line was not known; None for nothing. The broker
            sets it to None; a line with a tag is never known, and costs some effort.
        unfinished: whether the last call of `next` left something that is not a whole request.
        at: how much of the piece that is being cut has been made into requests.
        empty: whether all that has come was made into requests.
        ended: whether nothing more will be read, whatever comes.
        silent: whether it ended because the other side speaks another protocol.
    """

    __slots__ = (
        "_amid",
        "_data",
        "_line_bytes_max",
        "_lines",
        "_match",
        "_more",
        "_partial",
        "_refusal",
        "_searched",
        "_skip",
        "_skip_crlf",
        "_size_error",
        "_table",
        "_tails",
        "_unknown",
        "_want",
        "at",
        "effort",
        "empty",
        "ended",
        "silent",
        "tag",
        "tagging",
        "unfinished",
    )

    def __init__(self, table: Table[Command], line_bytes_max: int = 0) -> None:
        self._table = table
        self._line_bytes_max = line_bytes_max or limits.LINE_BYTES_MAX
        self._tails = table.tails
        self._lines = table.lines
        self._match = table.request.match
        self._data = b""
        self.at = 0
        self._more = bytearray()
        self._searched = 0  # of _more, without a line end
        self._want = 0  # bytes from _at on that a request with a block needs; 0: a line end
        self._skip = -1  # bytes of a refused block still to come; -1: none is being skipped
        self._skip_crlf = False
        self._size_error = b""  # of the block that is being read or skipped
        self._refusal: bytes | None = None  # the reply due after a skipped block
        self._unknown = 0
        self._partial = False
        self._amid = False  # whether one of `_want` and `_partial` says that more must come
        self.effort = 0
        self.tagging = False
        self.tag: int | None = None
        self.empty = True
        self.unfinished = False
        self.ended = False
        self.silent = False

    @property
    def pending(self) -> int:
        """Bytes received and not yet made into requests."""
        return len(self._data) - self.at + len(self._more)

    def feed(self, data: bytes) -> None:
        """Take in what was received."""
        if self.empty:
            if data and not self.ended:
                self._data = data
                self.empty = False
        else:
            self._more += data

    def next(self) -> tuple[Command | None, Any] | None:
        """The next request: a command and its arguments; or None and an error reply, which is
        empty for none; or just None when more must come first."""
        if self.empty:
            self.unfinished = self._skip >= 0
            return None
        if self._amid and not self._can_go_on():
            return None
        # The short way: a whole request whose line is known, but for the id and the size.
        data = self._data
        match = self._match(data, self.at)
        if match is not None and self._skip < 0:
            name, job_id, rest = match.groups()
            stop = match.end()
            if name is None:
                line = self._lines.get(rest)
                if line is not None:
                    self._unknown = 0
                    self.at = stop
                    if stop == len(data) and not self._more:
                        self._let_go()
                    return line
            else:
                tail = self._tails[name].get(rest) or self._table.recall_sized(name, rest)
                if tail is not None:
                    command, values, size = tail
                    if size < 0:
                        request: tuple[Any, ...] = (job_id, values)
                    elif data[stop + size : stop + size + 2] == b"\r\n":
                        request = (job_id, values, data[stop : stop + size])
                        stop += size + 2
                        if size >= _BLOCK_BYTES:
                            self.effort += size // _BLOCK_BYTES
                        if self._amid:
                            self._want = 0
                            self._amid = False
                    else:
                        return self._next_in_general()
                    self._unknown = 0
                    self.at = stop
                    if stop == len(data) and not self._more:
                        self._let_go()
                    return command, request
        return self._next_in_general()

    def _can_go_on(self) -> bool:
        """Whether enough has come to go on with a request that has come in part."""
        if self._want > len(self._data) - self.at + len(self._more):
            self.unfinished = True
            return False  # its line was read before; it waits for its block
        if self._partial:
            if not self._join():
                return False  # what there was of its line has been looked through before
            self._partial = False
        return True

    def _let_go(self) -> None:
        """Everything that has come was read: keep nothing of it."""
        self.unfinished = self._skip >= 0
        self._data = b""
        self.at = 0
        self.empty = True

    def _next_in_general(self) -> tuple[Command | None, Any] | None:
        item = self._next_item()
        self._amid = self._want > 0 or self._partial
        if self.at == len(self._data) and not self._more:
            self._let_go()
        return item

    def _next_item(self) -> tuple[Command | None, Any] | None:
        while not self.ended:
            if self._skip < 0:
                item = self._cut()
            else:
                item = self._skip_block()
                if item is None and self._skip < 0:
                    continue  # past a block whose refusal was told before
            if item is not None:
                return item
            if not self._join():
                self.unfinished = self._skip >= 0 or bool(self._data)
                self._partial = bool(self._data) and not self._want and self._skip < 0
                return None
        self.unfinished = False
        return None

    def finish(self) -> bytes:
        """The stream has ended: the error reply for what was cut off, empty if none is due."""
        in_block = self._want or self._refusal is not None
        self._end()
        return self._size_error if in_block else b""

    def _cut(self) -> tuple[Command | None, Any] | None:
        data = self._data
        at = self.at
        end = data.find(b"\n", at)
        if end < 0 or end - at >= self._line_bytes_max:
            if end >= 0 or len(data) - at >= self._line_bytes_max:
                return self._give_up(replies.LINE_TOO_LONG)
            return None
        crlf = end > at and data[end - 1] == _CR
        text = data[at : end - 1] if crlf else data[at:end]
        line = read_line(self._table, text, self.tagging)
        command, header = line.command, line.header
        self.effort += len(text) // EFFORT_BYTES
        if self.tagging:
            self.tag = line.tag
            self.effort += 1
        if line.foreign:
            self.silent = True
            return self._give_up(b"")
        if command is None:
            return self._cut_unknown(header, text, end + 1)
        self._unknown = 0
        if header.refusal is not None:
            self.at = end + 1
            return self._refuse(command, header, crlf)
        effort = 0 if command.effort is None else command.effort(header.arguments)
        self.effort += effort
        if line.tag is None and effort <= EFFORT_KNOWN_MAX:
            self._table.remember(command, data[at:end], header)
        if header.size < 0:
            self.at = end + 1
            return command, header.arguments
        return self._cut_block(command, header.arguments, header.size, end + 1, crlf)

    def _refuse(
        self, command: Command, header: Header, crlf: bool
    ) -> tuple[Command | None, Any] | None:
        """Go on behind a line that is refused."""
        refusal = header.refusal
        assert refusal is not None
        if header.fatal:
            return self._give_up(refusal)
        if header.size < 0:
            return None, refusal
        self._skip = header.size
        self._skip_crlf = crlf
        self._size_error = command.block_error or b""
        self._refusal = None if header.early else refusal
        return (None, refusal) if header.early else self._skip_block()

    def _cut_unknown(
        self, header: Header, text: bytes, at: int
    ) -> tuple[Command | None, Any] | None:
        """Go on with a line that names no command."""
        self.at = at
        if text.partition(b" ")[0] in self._table.entries:  # a family's name is one
            self._unknown = 0
        else:
            self._unknown += 1
            if self._unknown >= limits.UNKNOWN_COMMANDS_IN_A_ROW_MAX:
                self.silent = True
                return self._give_up(b"")
        return None, header.refusal

    def _cut_block(
        self, command: Command, arguments: tuple[Any, ...], size: int, start: int, crlf: bool
    ) -> tuple[Command | None, Any] | None:
        """Go on behind the line of a request with a block."""
        data = self._data
        stop = start + size
        end = data[stop : stop + 2]
        if end == b"\r\n":
            self.at = stop + 2
        elif not crlf and end[:1] == b"\n":
            self.at = stop + 1
        elif not end or end == b"\r":
            self._want = stop + len(end) + 1 - self.at
            self._size_error = command.block_error or b""
            return None
        else:
            return self._give_up(command.block_error or b"")
        self._want = 0
        self.effort += size // _BLOCK_BYTES
        return command, (*arguments, data[start:stop])

    def _skip_block(self) -> tuple[Command | None, Any] | None:
        """Throw away what has come of a refused block; at its end, look at its end."""
        have = len(self._data) - self.at
        step = min(have, self._skip)
        self.effort += step // _BLOCK_BYTES
        self.at += step
        self._skip -= step
        if self._skip:
            return None
        end = self._data[self.at : self.at + 2]
        if end == b"\r\n":
            self.at += 2
        elif not self._skip_crlf and end[:1] == b"\n":
            self.at += 1
        elif not end or end == b"\r":
            return None
        else:
            return self._give_up(self._size_error if self._refusal is not None else b"")
        self._skip = -1
        refusal, self._refusal = self._refusal, None
        return None if refusal is None else (None, refusal)

    def _join(self) -> bool:
        """Join what has gathered to what is being cut, if it can make a difference."""
        more = self._more
        rest = len(self._data) - self.at
        if self._skip >= 0:
            enough = True
        elif self._want:
            enough = rest + len(more) >= self._want
        else:
            enough = (
                more.find(b"\n", self._searched) >= 0 or rest + len(more) >= self._line_bytes_max
            )
            self._searched = len(more)
        if not (enough and more):
            if self.at:  # keep no more than what is still needed
                self._data = self._data[self.at :]
                self.at = 0
            return False
        self._data = self._data[self.at :] + more
        self.at = 0
        self._more = bytearray()
        self._searched = 0
        return True

    def _give_up(self, reply: bytes) -> tuple[None, bytes]:
        self._end()
        return None, reply

    def _end(self) -> None:
        self.ended = True
        self._want = 0
        self._skip = -1
        self._partial = False
        self._refusal = None
        self._more = bytearray()
        self._let_go()
