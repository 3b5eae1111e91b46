"""What a stream of requests means, read as `docs/protocol.md` tells it and as simply as can be.

It knows the whole stream at once, keeps nothing and shares no code with `workq.wire` but the texts
of the errors: where the two differ, one of them is wrong.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from workq import limits
from workq.wire import replies

#: A request that was read, as (command's name, arguments), or ("", error reply).
Item = tuple[str, Any]


class Reading(NamedTuple):
    """What a stream turned out to be.

    Attributes:
        items: the requests in it.
        ends: for each item where its request ends; -1 if it is not there, or the stream ends
            with it.
        ended: whether nothing behind it is read.
        silent: whether it ended because the other side speaks another protocol.
        cut_off: the error for a request that was cut off, empty if none is due.
        tags: for each item what its reply carries; None for nothing.
    """

    items: list[Item]
    ends: list[int]
    ended: bool = False
    silent: bool = False
    cut_off: bytes = b""
    tags: list[int | None] = []  # noqa: RUF012 - of a NamedTuple, never changed


class Form(NamedTuple):
    """The form of a request: its fields, the flags it knows, and the error of its block."""

    fields: str = ""
    flags: str = ""
    block: bytes | None = None
    least: int = -1  # positional words; -1: as many as fields
    many: int = 0  # how often the first may stand


_PAYLOAD = replies.INVALID_PAYLOAD_SIZE
_OPTIONS = "priority max-attempts max-fails retry-delay backoff retry-max"
_YEAR_MS = 31_536_000_000
FORMS: Final = {
    "add": Form("id name ttr ttl", f"{_OPTIONS} delay", _PAYLOAD),
    "schedule": Form("id name ttr ttl time", _OPTIONS, _PAYLOAD),
    "run": Form("id name ttr wait-timeout", "priority", _PAYLOAD),
    "lease": Form("name wait-timeout", "count", many=limits.LEASE_NAMES_MAX),
    "complete": Form("id", "lease", _PAYLOAD),
    "touch": Form("id", "ttr lease"),
    "release": Form("id", "lease"),
    "fail": Form("id", "lease delay final", replies.INVALID_RESULT_SIZE),
    "result": Form("id wait-timeout", many=limits.LISTED_MAX),
    "delete": Form("id"),
    "inspect job": Form("id", many=limits.LISTED_MAX),
    "inspect jobs": Form("name cursor-offset limit"),
    "inspect scheduled-jobs": Form("name cursor-offset limit"),
    "inspect queue": Form("name"),
    "inspect queues": Form("cursor-offset limit"),
    "inspect server": Form(),
    "stats": Form(),
    "ping": Form(),
    "hello": Form("version", "name"),
    "help": Form("command object", least=0),
    "quit": Form(),
}
NUMBERS: Final = {
    "ttr": (1, 86_400_000, replies.INVALID_TTR),
    "ttl": (1, 2**64 - 1, replies.INVALID_TTL),
    "wait-timeout": (0, 86_400_000, replies.INVALID_WAIT_TIMEOUT),
    "cursor-offset": (0, 4_294_967_295, replies.INVALID_CURSOR_OFFSET),
    "limit": (1, 100, replies.INVALID_LIMIT),
    "priority": (-2_147_483_648, 2_147_483_647, replies.INVALID_PRIORITY),
    "max-attempts": (0, 255, replies.INVALID_MAX_ATTEMPTS),
    "max-fails": (0, 255, replies.INVALID_MAX_FAILS),
    "version": (2, 2, replies.UNKNOWN_VERSION),
    "delay": (0, _YEAR_MS, replies.INVALID_DELAY),
    "retry-delay": (0, _YEAR_MS, replies.INVALID_RETRY_DELAY),
    "retry-max": (0, _YEAR_MS, replies.INVALID_RETRY_MAX),
    "backoff": (1, 100, replies.INVALID_BACKOFF),
    "count": (1, 100, replies.INVALID_COUNT),
    "final": (0, 1, replies.INVALID_FINAL),
    "lease": (1, 2**64 - 1, replies.INVALID_LEASE),
}
FOREIGN: Final = frozenset(b"GET POST PUT HEAD PATCH OPTIONS DELETE CONNECT TRACE".split())
FIRST_WORDS: Final = frozenset(name.partition(" ")[0].encode() for name in FORMS)


class Refused(Exception):
    """A request is refused; the text is the reply."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class Ended(Exception):
    """The stream cannot be followed any further, after this reply."""

    def __init__(self, reply: bytes, silent: bool = False) -> None:
        super().__init__(reply)
        self.reply = reply
        self.silent = silent


class CutOff(Exception):
    """The stream is over within a request; this reply is due for it."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


def read(stream: bytes, line_bytes_max: int, version: int = 0) -> Reading:
    """Read a whole stream.

    Args:
        stream: what there is of it.
        line_bytes_max: how long a line may be, its end included.
        version: of the protocol, which is spoken at its beginning and which a `hello` changes; 0
            if nobody carries `hello` out.
    """
    items: list[Item] = []
    ends: list[int] = []
    tags: list[int | None] = []
    at = unknown = 0
    while True:
        tag = None
        try:
            line, crlf, at = _line(stream, at, line_bytes_max)
            line, tag = _tagged(line) if version == 2 else (line, None)
            first = line.split(b" ")[0]
            unknown = 0 if first in FIRST_WORDS else unknown + 1
            if unknown and (first in FOREIGN or first.endswith(b":")):
                raise Ended(b"", silent=True)
            if unknown >= limits.UNKNOWN_COMMANDS_IN_A_ROW_MAX:
                raise Ended(b"", silent=True)
            at = _request(line, crlf, stream, at, items)
            ends.append(at)
            tags.append(tag)
            if version and items[-1][0] == "hello":
                version = 2
        except Ended as ended:
            items.append(("", ended.reply))
            ends += [-1] * (len(items) - len(ends))
            tags += [tag] * (len(items) - len(tags))
            return Reading(items, ends, ended=True, silent=ended.silent, tags=tags)
        except CutOff as cut_off:
            reply = cut_off.reply
            if reply and tag is not None:
                reply = b"=%d %b" % (tag, reply)
            ends += [-1] * (len(items) - len(ends))
            tags += [tag] * (len(items) - len(tags))
            return Reading(items, ends, cut_off=reply, tags=tags)


def _tagged(line: bytes) -> tuple[bytes, int | None]:
    """A line without its tag, and the tag. A tag that is none, or a second one, stays there as a
    flag that is malformed."""
    first, *pieces = line.split(b" ")
    words = [piece for piece in pieces if piece]
    if len(words) >= limits.LINE_WORDS_MAX:
        return line, None
    found = [word for word in words if word.startswith(b"-tag=")]
    if not found:
        return line, None
    rest = [word for word in words if not word.startswith(b"-tag=")]
    value = found[0].partition(b"=")[2]
    digits = value.lstrip(b"0") or b"0"
    fits = re.fullmatch(rb"[0-9]+", value) and len(digits) <= 20 and int(digits) < 2**64
    if len(found) > 1 or not fits:
        return b" ".join((first, b"-=", *rest)), None
    return b" ".join((first, *rest)), int(digits)


def _line(stream: bytes, at: int, line_bytes_max: int) -> tuple[bytes, bool, int]:
    """The line that begins somewhere, whether it ends in CRLF, and where the next one begins."""
    end = stream.find(b"\n", at, at + line_bytes_max)
    if end < 0:
        if len(stream) - at >= line_bytes_max:
            raise Ended(replies.LINE_TOO_LONG)
        raise CutOff(b"")
    line = stream[at:end]
    crlf = line.endswith(b"\r")
    return (line[:-1] if crlf else line), crlf, end + 1


def _request(line: bytes, crlf: bool, stream: bytes, at: int, items: list[Item]) -> int:
    """Read one request, whose block would begin at a place; return where it ends."""
    first = line.split(b" ")[0].decode("latin-1")
    if re.sub(rb" +", b" ", line).count(b" ") >= limits.LINE_WORDS_MAX:
        known = first in FORMS or first == "inspect"
        error = replies.INVALID_ARGS if known else replies.UNKNOWN_COMMAND
        if first in FORMS and FORMS[first].block is not None:
            raise Ended(error)
        items.append(("", error))
        return at
    name, words, flags, malformed = _split(line)
    if malformed:
        early: bytes | None = replies.INVALID_FLAGS
    else:
        early = replies.UNKNOWN_COMMAND if name is None else None
    if name == "":
        early = early or replies.INVALID_ARGS
    if not name:
        assert early is not None
        items.append(("", early))
        return at
    form = FORMS[name]
    fields = form.fields.split()
    most = len(fields) + max(form.many - 1, 0)
    least = len(fields) if form.least < 0 else form.least
    has_block = form.block is not None
    if not least <= len(words) - has_block <= most:
        early = early or replies.INVALID_ARGS
        if has_block:
            raise Ended(early)
    if early is None and not {key for key, _ in flags} <= set(form.flags.encode().split()):
        early = replies.INVALID_ARGS
    block = b""
    if form.block is not None:
        early, block, at = _block(form.block, words.pop(), crlf, stream, at, early, items)
    elif early is not None:
        items.append(("", early))
    if early is None:
        try:
            arguments = _arguments(name, form, words, flags)
        except Refused as refused:
            items.append(("", refused.reply))
        else:
            items.append((name, (*arguments, block) if has_block else arguments))
    return at


def _split(line: bytes) -> tuple[str | None, list[bytes], list[tuple[bytes, bytes]], bool]:
    """A line's command (None if unknown, empty if incomplete), words, flags, and whether a flag
    is malformed or repeated."""
    first, *pieces = line.split(b" ")
    is_flag = re.compile(rb"-[^=]*=", re.DOTALL).match
    words = [piece for piece in pieces if piece and not is_flag(piece)]
    flags = []
    for piece in pieces:
        if is_flag(piece):
            key, _, value = piece[1:].partition(b"=")
            flags.append((key, value))
    malformed = not all(key and value for key, value in flags)
    malformed = malformed or len({key for key, _ in flags}) < len(flags)
    name = first.decode("latin-1")
    if name == "inspect":
        if not words:
            return "", words, flags, malformed
        name += " " + words.pop(0).decode("latin-1")
    elif " " in name:
        return None, words, flags, malformed
    return (name if name in FORMS else None), words, flags, malformed


def _block(
    error: bytes,
    word: bytes,
    crlf: bool,
    stream: bytes,
    at: int,
    early: bytes | None,
    items: list[Item],
) -> tuple[bytes | None, bytes, int]:
    """Read a request's block; return the error that was told before it, it, and its end."""
    try:
        size = _number(word, 0, limits.BLOCK_DISCARD_BYTES_MAX, error, signed=False)
    except Refused:
        raise Ended(early or error) from None
    if size > limits.BLOCK_BYTES_MAX:
        early = early or error
    told = early is not None
    if told:
        items.append(("", early))
    end = at + size
    if len(stream) < end:
        raise CutOff(b"" if told else error)
    behind = stream[end : end + 2]
    if behind == b"\r\n":
        return early, stream[at:end], end + 2
    if behind[:1] == b"\n" and not crlf:
        return early, stream[at:end], end + 1
    if behind in (b"", b"\r"):
        raise CutOff(b"" if told else error)
    raise Ended(b"" if told else error)


def _arguments(
    name: str, form: Form, words: list[bytes], flags: list[tuple[bytes, bytes]]
) -> tuple[Any, ...]:
    """The values of a request's words and flags, in the form in which its command gets them."""
    fields = form.fields.split()
    if form.many:
        fields = fields[:1] * (len(words) - len(fields) + 1) + fields[1:]
    values = [_value(field, word) for field, word in zip(fields, words, strict=False)]
    options = {key.decode(): _value(key.decode(), value) for key, value in flags}
    priority = options.get("priority", 0)
    more = [priority, options.get("max-attempts", 0), options.get("max-fails", 0)]
    later = [options.get("retry-delay", 0), options.get("backoff", 1), options.get("retry-max", 0)]
    while later and later[-1] == (0, 1, 0)[len(later) - 1]:
        later.pop()
    more += later
    if name == "add":
        delay_ms = options.get("delay", 0)
        if delay_ms >= values[3]:
            raise Refused(replies.INVALID_DELAY)
        return values[0], (values[1], delay_ms, (values[2], values[3], *more))
    if name == "schedule":
        return values[0], (values[1], values[4], (values[2], values[3], *more))
    if name == "run":
        return values[0], (values[1], (values[2], 0, priority, 0, 0), values[3])
    if name == "lease":
        return ((tuple(dict.fromkeys(values[:-1])), values[-1], options.get("count", 1)),)
    if name == "result":
        if len(values) > 2 and values[-1]:
            raise Refused(replies.INVALID_WAIT_TIMEOUT)
        return values[0], (values[-1], *values[1:-1])
    if name == "hello":
        return values[0], options.get("name", b"")
    lease = options.get("lease")
    if name in ("complete", "release"):
        return values[0], (lease,)
    if name == "touch":
        return values[0], (lease, options.get("ttr"))
    if name == "fail":
        return values[0], (lease, options.get("delay"), options.get("final") == 1)
    if fields[:1] == ["id"]:
        return values[0], tuple(values[1:])
    return tuple(values)


def _value(field: str, word: bytes) -> Any:
    if field in NUMBERS:
        low, high, error = NUMBERS[field]
        return _number(word, low, high, error, signed=field == "priority")
    if field == "id":
        if not re.fullmatch(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", word):
            raise Refused(replies.INVALID_ID)
        if not word.strip(b"0-"):
            raise Refused(replies.INVALID_ID)
        return word.lower()
    if field == "name":
        if not re.fullmatch(rb"[a-zA-Z0-9_.-]+", word) or len(word) > 255:
            raise Refused(replies.INVALID_NAME)
        return word
    if field == "time":
        return _time(word)
    return word


def _number(word: bytes, low: int, high: int, error: bytes, *, signed: bool) -> int:
    if not re.fullmatch(rb"[+-]?[0-9]+" if signed else rb"[0-9]+", word):
        raise Refused(error)
    sign = -1 if word[:1] == b"-" else 1
    digits = word.lstrip(b"+-").lstrip(b"0") or b"0"
    if len(digits) > 30 or not low <= sign * int(digits) <= high:
        raise Refused(error)
    return sign * int(digits)


def _time(word: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?Z", word):
        raise Refused(replies.INVALID_TIME)
    seconds, _, fraction = word.decode()[:-1].partition(".")
    try:
        moment = datetime.strptime(seconds + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise Refused(replies.INVALID_TIME) from None
    since = moment - datetime.strptime("1970+0000", "%Y%z")
    return since // timedelta(milliseconds=1) + int((fraction + "000")[:3])
