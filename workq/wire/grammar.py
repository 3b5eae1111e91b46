"""What a request line looks like, and the one reader that defines it and makes every error.

A line is words between single spaces. A word that begins with `-` and holds a `=` is a flag, and
may stand anywhere after the command's name; every other word is positional. The order in which
errors are found is part of the protocol: malformed or repeated flag, unknown command, number of
positional words, unknown flag, block size, end of the block, positional fields from left to
right, flag values as written. What a command does with its arguments is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from workq import limits
from workq.errors import Refusal
from workq.wire import replies
from workq.wire.fields import CANONICAL_ID, JOB_ID, TAG, Field, number

#: What a command is executed with: of one that takes an id, the id and a tuple of the values of its
#: other fields; else just those values. The block, if there is one, is the last.
Arguments = tuple[Any, ...]

#: First words that no job client sends, but web browsers and mail programs do.
_FOREIGN_WORDS = frozenset(
    (b"GET", b"POST", b"PUT", b"HEAD", b"PATCH", b"OPTIONS", b"DELETE", b"CONNECT", b"TRACE")
)


class Header(NamedTuple):
    """What a request line turned out to be.

    Attributes:
        arguments: what the command is called with, the block not yet among it.
        size: the size of the block that follows; -1 when none does, or none that can be known.
        refusal: the error reply, None if the line is right.
        early: whether the refusal stands whatever the block looks like.
        fatal: whether the stream cannot be followed any further.
        varied: whether it seldom repeats, so that remembering it is of no use.
    """

    arguments: Arguments = ()
    size: int = -1
    refusal: bytes | None = None
    early: bool = False
    fatal: bool = False
    varied: bool = False


class Grammar:
    """The form of one command's request.

    Args:
        name: the command's name; two words for a command of a family (`inspect job`).
        fields: its positional fields in order, without the block's size.
        flags: the flags it knows.
        many: how often the first field may stand; 0 as 1.
        optional: how many of the last fields may be missing.
        block_error: the error for a bad block; None for a command without a block.
        make: turns the values of the fields but the id, and the flags' values by name, into the
            values the command wants.
        varied: whether its lines seldom repeat, so that remembering them is of no use.
        effort: what a line costs besides, in usual requests; it is charged when a line is read that
            is not known, and one that costs much is never known.
    """

    def __init__(
        self,
        name: str,
        fields: tuple[Field, ...] = (),
        *,
        flags: tuple[Field, ...] = (),
        many: int = 0,
        optional: int = 0,
        block_error: bytes | None = None,
        make: Callable[[list[Any], dict[str, Any]], tuple[Any, ...]] | None = None,
        varied: bool = False,
        effort: Callable[[Arguments], int] | None = None,
    ) -> None:
        self.name = name
        self.fields = fields
        self.flags = {flag.name.encode("ascii"): flag for flag in flags}
        self.many = many
        self.block_error = block_error
        self.varied = varied
        self.effort = effort
        self._make = make
        self._most = len(fields) + max(many - 1, 0)
        self._least = len(fields) - optional
        self._optional = optional
        self.by_id = bool(fields) and fields[0] is JOB_ID

    @property
    def usage(self) -> str:
        """The request line with its fields named."""
        words = [self.name]
        for index, field in enumerate(self.fields):
            word = f"<{field.name}>"
            if index >= len(self.fields) - self._optional:
                word = f"[{word}]"
            words.append(word)
            if self.many and index == 0:
                words.append(f"[{word} ...]")
        if self.block_error is not None:
            words.append("<size>")
        words += [f"[-{flag.name}=<{flag.name}>]" for flag in self.flags.values()]
        return " ".join(words)

    def read(self, words: list[bytes], flags: dict[bytes, bytes], malformed: bool) -> Header:
        """Read the words of a line after the command's name.

        Args:
            words: the positional words.
            flags: the flags in the order written.
            malformed: whether a flag was malformed or repeated.
        """
        refusal = replies.INVALID_FLAGS if malformed else None
        has_block = self.block_error is not None
        if not self._least <= len(words) - has_block <= self._most:
            return Header(refusal=refusal or replies.INVALID_ARGS, fatal=has_block)
        if refusal is None and not flags.keys() <= self.flags.keys():
            refusal = replies.INVALID_ARGS
        size = -1
        if self.block_error is not None:
            try:
                size = _read_size(words.pop())
            except Refusal:
                return Header(refusal=refusal or self.block_error, fatal=True)
            if size > limits.BLOCK_BYTES_MAX:
                refusal = refusal or self.block_error
        if refusal is not None:
            return Header((), size, refusal, early=True)
        try:
            varied = any(self.flags[key].varied for key in flags)
            varied = varied or (self.by_id and len(words) > len(self.fields))  # several ids
            return Header(self._read_values(words, flags), size, varied=self.varied or varied)
        except Refusal as refused:
            return Header((), size, refused.reply)

    def _read_values(self, words: list[bytes], flags: dict[bytes, bytes]) -> Arguments:
        fields = self.fields
        if self.many:
            names = len(words) - len(fields) + 1
            fields = fields[:1] * names + fields[1:]
        values = [field.read(word) for field, word in zip(fields, words, strict=False)]
        named = {self.flags[key].name: self.flags[key].read(flags[key]) for key in flags}
        job_id = values.pop(0) if self.by_id else b""
        made = tuple(values) if self._make is None else self._make(values, named)
        return (job_id, made) if self.by_id else made


#: Of what follows the id in a line with a block: the words before the size, the size, flags behind.
_SIZED = re.compile(rb"(.*) ([0-9]{1,7})((?: -[^ =]+=[^ ]+)*\r?)")

_SPACES = re.compile(rb" {2,}")

#: A size that is a number; one beyond what is discarded is as good as none.
_read_size = number(0, limits.BLOCK_DISCARD_BYTES_MAX, b"")

Command = TypeVar("Command", bound=Grammar)

#: What follows the id in a line: the command, the values of its other fields, the block's size.
Tail: TypeAlias = tuple[Command, tuple[Any, ...], int]


class Table(Generic[Command]):
    """The commands there are.

    Args:
        commands: all of them.

    Attributes:
        entries: by first word the command, or a family's commands by second word.
        request: the short way (see `workq.wire.reader`): matches a whole line with its end, if it
            is short enough to be remembered. In the common form of a command that takes an id
            its groups are the command's name, the id and what follows it; else none, none, and
            the whole line.
        tails: by name and by what follows the id, the command, the values of its other fields and
            the block's size (-1 for no block), for lines read before.
        sized: by name and by what follows the id without the block's size, the same.
        lines: by the whole line the command and its arguments, for lines read before of commands
            without id and block.
    """

    def __init__(self, commands: Iterable[Command]) -> None:
        self.entries: dict[bytes, Command | dict[bytes, Command]] = {}
        self.tails: dict[bytes, dict[bytes, Tail[Command]]] = {}
        self.sized: dict[bytes, dict[bytes, Tail[Command]]] = {}
        self.lines: dict[bytes, tuple[Command, Arguments]] = {}
        for command in commands:
            first, _, second = command.name.encode("ascii").partition(b" ")
            if second:
                family = self.entries.setdefault(first, {})
                assert isinstance(family, dict)
                family[second] = command
            else:
                self.entries[first] = command
                if command.by_id:
                    self.tails[first] = {}
                    self.sized[first] = {}
        # Nothing in it is possessive: up to Python 3.11.4 a group that did not match in such a part
        # leaves the place behind what it had matched, and what follows is read from there. It is
        # bounded instead: where no line ends, it would go through a whole block and back. `(…|)`
        # takes a sixth less than `(…)?`.
        self.request = re.compile(
            rb"(?:(%b) (%b)|)([^\n]{0,%d})\n"
            % (b"|".join(self.tails), CANONICAL_ID.pattern, limits.KNOWN_LINE_BYTES_MAX)
        )

    def remember(self, command: Command, line: bytes, header: Header) -> None:
        """Remember an accepted line, if it has the common form and is not too long.

        Args:
            command: its command.
            line: the line with its CR, if it has one, without the LF.
            header: what it was read as.
        """
        if header.varied or len(line) > limits.KNOWN_LINE_BYTES_MAX:
            return
        match = self.request.match(line + b"\n")
        assert match is not None
        name, job_id, rest = match.groups()
        if name is None:
            if header.size < 0 and not command.by_id:
                _make_room(self.lines)
                self.lines[rest] = command, header.arguments
        elif job_id == header.arguments[0]:
            tail = command, header.arguments[1], header.size
            _make_room(self.tails[name])
            self.tails[name][rest] = tail
            if header.size >= 0 and (match := _SIZED.fullmatch(rest)) is not None:
                _make_room(self.sized[name])
                self.sized[name][match[1] + match[3]] = tail

    def recall_sized(self, name: bytes, rest: bytes) -> Tail[Command] | None:
        """The tail of a line that is like one remembered but for the size of its block.

        The size is the last word that is no flag, so the other words are the same in the same
        order, and mean the same.
        """
        match = _SIZED.fullmatch(rest)
        if match is None:
            return None
        before, size, behind = match.groups()
        tail = self.sized[name].get(before + behind)
        if tail is None or int(size) > limits.BLOCK_BYTES_MAX:
            return None
        return tail[0], tail[1], int(size)


def _make_room(known: dict[bytes, Any]) -> None:
    if len(known) >= limits.KNOWN_LINES_MAX:
        known.clear()


class Line(NamedTuple, Generic[Command]):
    """A line that was read: which command, None if none that is known, and the rest of it.

    Attributes:
        foreign: whether somebody speaks another protocol.
        tag: what its reply carries; None for none.
    """

    command: Command | None
    header: Header
    foreign: bool = False
    tag: int | None = None


def read_line(table: Table[Command], line: bytes, tagging: bool = False) -> Line[Command]:
    """Read a request line without its end.

    Args:
        table: the commands.
        line: the line.
        tagging: whether it may carry a tag.
    """
    if b"  " in line:
        line = _SPACES.sub(b" ", line)
    name, *pieces = line.split(b" ", limits.LINE_WORDS_MAX)
    entry = table.entries.get(name)
    if entry is None and (name in _FOREIGN_WORDS or name.endswith(b":")):
        return Line(None, Header(fatal=True), foreign=True)
    if len(pieces) >= limits.LINE_WORDS_MAX:  # the last one is the rest of the line, unread
        return _too_many_words(entry)
    words: list[bytes] = []
    flags: dict[bytes, bytes] = {}
    malformed = False
    for piece in pieces:
        if piece.startswith(b"-") and b"=" in piece:
            key, _, value = piece[1:].partition(b"=")
            malformed = malformed or not key or not value or key in flags
            flags[key] = value
        elif piece:
            words.append(piece)
    tag: int | None = None
    if tagging and b"tag" in flags:
        tag = _read_tag(flags.pop(b"tag"), pieces)
        malformed = malformed or tag is None
    if entry is None:
        return Line(None, _refused(malformed, replies.UNKNOWN_COMMAND), tag=tag)
    if isinstance(entry, dict):
        if not words:
            return Line(None, _refused(malformed, replies.INVALID_ARGS), tag=tag)
        entry = entry.get(words.pop(0))
        if entry is None:
            return Line(None, _refused(malformed, replies.UNKNOWN_COMMAND), tag=tag)
    return Line(entry, entry.read(words, flags, malformed), tag=tag)


def _read_tag(word: bytes, pieces: list[bytes]) -> int | None:
    """The tag of a line, None if it is no number or not the only one."""
    if sum(piece.startswith(b"-tag=") for piece in pieces) > 1:
        return None
    try:
        return TAG(word)
    except Refusal:
        return None


def _too_many_words(entry: Command | dict[bytes, Command] | None) -> Line[Command]:
    if entry is None:
        return Line(None, Header(refusal=replies.UNKNOWN_COMMAND))
    if isinstance(entry, dict):
        return Line(None, Header(refusal=replies.INVALID_ARGS))
    return Line(entry, Header(refusal=replies.INVALID_ARGS, fatal=entry.block_error is not None))


def _refused(malformed: bool, otherwise: bytes) -> Header:
    return Header(refusal=replies.INVALID_FLAGS if malformed else otherwise)
