"""What may be replied to which request, as `docs/protocol.md` tells it."""

from __future__ import annotations

import re
from typing import Any, Final

from workq.wire import replies

_CUT_SHORT = frozenset((replies.TIMEOUT, replies.TOO_MUCH_INPUT, replies.OUT_OF_MEMORY))
_NOT_FOUND = frozenset((replies.NOT_FOUND,))
_FULL = frozenset((replies.OUT_OF_MEMORY,))

#: What nobody asked for: the last words to a client that is one too many, or takes too long.
UNASKED: Final = frozenset(
    (
        replies.TOO_MANY_CONNECTIONS,
        replies.SHUTTING_DOWN,
        replies.REQUEST_TIMEOUT,
        replies.IDLE_TIMEOUT,
        replies.OUT_OF_MEMORY,
    )
)

#: The errors of each command beside those of its line.
ERRORS: Final[dict[str, frozenset[bytes]]] = {
    "add": frozenset((replies.DUPLICATE_JOB,)) | _FULL,
    "schedule": frozenset((replies.DUPLICATE_JOB, replies.INVALID_TIME)) | _FULL,
    "run": frozenset((replies.DUPLICATE_JOB,)) | _NOT_FOUND | _CUT_SHORT,
    "lease": _CUT_SHORT,
    "complete": frozenset((replies.DUPLICATE_RESULT, replies.LEASE_LOST)) | _NOT_FOUND | _FULL,
    "fail": frozenset((replies.DUPLICATE_RESULT, replies.LEASE_LOST)) | _NOT_FOUND | _FULL,
    "touch": frozenset((replies.LEASE_LOST,)) | _NOT_FOUND,
    "release": frozenset((replies.LEASE_LOST,)) | _NOT_FOUND,
    "result": _NOT_FOUND | _CUT_SHORT,
    "delete": _NOT_FOUND,
    "inspect job": _NOT_FOUND,
    "inspect jobs": _NOT_FOUND,
    "inspect scheduled-jobs": _NOT_FOUND,
    "inspect queue": _NOT_FOUND,
    "help": _NOT_FOUND,
}
PLAIN: Final = frozenset(
    ("add", "schedule", "complete", "fail", "touch", "release", "delete", "ping", "quit")
)

#: The commands that wait.
WAITING: Final = frozenset(("lease", "run", "result"))
JOB_KEYS: Final = [
    b"name", b"ttr", b"ttl", b"payload-size", b"payload", b"max-attempts", b"attempts",
    b"max-fails", b"fails", b"priority", b"state", b"created",
]  # fmt: skip

_RETRY_KEYS = [b"timeouts", b"retry-delay", b"backoff", b"retry-max"]
#: What may follow, of which version 1 has nothing.
LATER_KEYS: Final[list[list[bytes]]] = [[], _RETRY_KEYS, [*_RETRY_KEYS, b"held-until"]]

_ID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FINISHED = re.compile(rb"(%b) ([01]) (\d+)\r\n" % _ID)
_LEASED = re.compile(rb"(%b) ([A-Za-z0-9_.-]+) (\d+) (\d+)((?: [a-z]+=\d+)*)\r\n" % _ID)
_COUNT = re.compile(rb"\+OK (\d+)\r\n")
_LINE = re.compile(rb"([^ \r\n]+) ([^\r\n]*)\r\n")

#: An entry of keys and values: its head, the keys, the values by key.
Entry = tuple[bytes, list[bytes], dict[bytes, bytes]]


def check_reply(name: str, arguments: Any, reply: bytes) -> None:
    """Hold a reply against the request it answers.

    Args:
        name: the command's name, empty for a request that could not be read.
        arguments: the command's arguments, or the error of a request that could not be read.
        reply: the reply.
    """
    if name == "":
        assert reply == arguments
    elif reply[:1] == b"-":
        assert reply in replies.ERRORS.values()
        assert reply in ERRORS.get(name, ())
    elif name in PLAIN:
        assert reply == replies.OK
    elif name == "lease":
        found = _blocks(_LEASED, 4, reply)
        assert 1 <= len(found) <= arguments[0].jobs_max
        assert all(head[2] in arguments[0].names for head, _ in found)
    elif name in WAITING:
        others = arguments[1][1:] if name == "result" else ()
        results = [head[1] for head, _ in _blocks(_FINISHED, 3, reply)]
        assert results == [arguments[0]] or (others and {*results} <= {arguments[0], *others})
    elif name == "help":
        match = _COUNT.match(reply)
        assert match
        assert reply.count(b"\r\n") == 1 + int(match[1])
    else:
        _check_entries(name, arguments, entries(reply))


def untagged(reply: bytes) -> tuple[int | None, bytes]:
    """A reply's tag, None for none, and what is behind it."""
    match = re.match(rb"=(\d+) ", reply)
    return (int(match[1]), reply[match.end() :]) if match else (None, reply)


def wait_ms(name: str, arguments: Any) -> int:
    """How long a request may wait."""
    if name == "lease":
        return int(arguments[0].wait_ms)
    return int(arguments[1][0 if name == "result" else -1])


def finished(reply: bytes) -> list[tuple[bytes, int, bytes]]:
    """Of a reply that tells results: of each the id, whether it is a success, and the result."""
    return [(head[1], int(head[2]), block) for head, block in _blocks(_FINISHED, 3, reply)]


def lease_entries(reply: bytes) -> list[bytes]:
    """The entries of a reply that hands jobs out; none of another reply."""
    return [head[0] + block + b"\r\n" for head, block in _blocks(_LEASED, 4, reply)]


def _blocks(
    head: re.Pattern[bytes], size: int, reply: bytes
) -> list[tuple[re.Match[bytes], bytes]]:
    """The entries of a reply that have a head and a block, whose size is one of its groups; none
    if the first is no such entry."""
    count = _COUNT.match(reply)
    if count is None or not head.match(reply, count.end()):
        return []
    at = count.end()
    found = []
    for _ in range(int(count[1])):
        match = head.match(reply, at)
        assert match
        end = match.end() + int(match[size])
        assert reply[end : end + 2] == b"\r\n"
        found.append((match, reply[match.end() : end]))
        at = end + 2
    assert at == len(reply)
    return found


def entries(reply: bytes) -> list[Entry]:
    """The entries of a reply to `inspect` or `stats`; there is nothing else in it."""
    match = _COUNT.match(reply)
    assert match
    at = match.end()
    found: list[Entry] = []
    for _ in range(int(match[1])):
        match = _LINE.match(reply, at)
        assert match
        head, count, at = match[1], int(match[2]), match.end()
        keys: list[bytes] = []
        values: dict[bytes, bytes] = {}
        for _ in range(count):
            if keys[-1:] == [b"payload-size"]:  # the one value that may be anything
                end = at + len(b"payload ") + int(values[b"payload-size"])
                keys.append(b"payload")
                values[b"payload"] = reply[at + len(b"payload ") : end]
                assert reply[at:end].startswith(b"payload ")
                assert reply[end : end + 2] == b"\r\n"
                at = end + 2
                continue
            match = _LINE.match(reply, at)
            assert match
            keys.append(match[1])
            values[match[1]] = match[2]
            at = match.end()
        found.append((head, keys, values))
    assert at == len(reply)
    return found


def _check_entries(name: str, arguments: Any, found: list[Entry]) -> None:
    if name == "inspect job":
        heads = [head for head, _, _ in found]
        assert heads == [arguments[0]] or (
            arguments[1] and {*heads} <= {arguments[0], *arguments[1]}
        )
    if name in ("inspect jobs", "inspect scheduled-jobs"):
        assert all(values[b"name"] == arguments[0] for _, _, values in found)
    if name in ("inspect job", "inspect jobs", "inspect scheduled-jobs"):
        for _, keys, _ in found:
            assert keys[:12] == JOB_KEYS
            assert keys[12:] in [time + more for time in ([], [b"time"]) for more in LATER_KEYS]
    if name in ("inspect jobs", "inspect scheduled-jobs", "inspect queues"):
        assert len(found) <= arguments[-1]
    if name in ("inspect queue", "inspect queues"):
        assert all(keys == [b"ready-len", b"scheduled-len"] for _, keys, _ in found)
    if name == "inspect queue":
        assert [head for head, _, _ in found] == [arguments[0]]
    if name == "inspect queues":
        heads = [head for head, _, _ in found]
        assert heads == sorted(set(heads))
    if name == "inspect server":
        assert found[0][1] == [b"active-clients", b"evicted-jobs", b"started"]
    if name == "hello":
        assert found[0][1][:2] == [b"version", b"protocol"]
    if name in ("stats", "inspect server", "hello"):
        assert [head for head, _, _ in found] == [name.removeprefix("inspect ").encode()]
