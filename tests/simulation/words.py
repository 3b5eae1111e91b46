"""Replies as `docs/protocol.md` writes them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tests.simulation.model import Job

OK: Final = b"+OK\r\n"
TIMEOUT: Final = b"-TIMEOUT\r\n"
NOT_FOUND: Final = b"-NOT-FOUND\r\n"
DUPLICATE_JOB: Final = b"-CLIENT-ERROR Duplicate job\r\n"
DUPLICATE_RESULT: Final = b"-CLIENT-ERROR Duplicate result\r\n"
LEASE_LOST: Final = b"-CLIENT-ERROR Lease lost\r\n"
TOO_MANY_WAITS: Final = b"-CLIENT-ERROR Too many waits\r\n"
INVALID_TIME: Final = b"-CLIENT-ERROR Invalid Time\r\n"
OUT_OF_MEMORY: Final = b"-SERVER-ERROR Out of memory\r\n"
DISK_FULL: Final = b"-SERVER-ERROR Disk full\r\n"
SHUTTING_DOWN: Final = b"-SERVER-ERROR Shutting down\r\n"
TOO_MANY: Final = b"-SERVER-ERROR Too many connections\r\n"
TOO_MUCH_INPUT: Final = b"-CLIENT-ERROR Too much input\r\n"
REQUEST_TIMEOUT: Final = b"-CLIENT-ERROR Request timeout\r\n"
IDLE_TIMEOUT: Final = b"-CLIENT-ERROR Idle timeout\r\n"


def tagged(tag: int | None, reply: bytes) -> bytes:
    """A reply with the tag of its request, if that has one."""
    return reply if tag is None else b"=%d %b" % (tag, reply)


def counted(entries: list[bytes]) -> bytes:
    """A reply with several."""
    return b"+OK %d\r\n%b" % (len(entries), b"".join(entries))


def lease_of(job: Job, attributes: bytes = b"") -> bytes:
    """What hands a job out."""
    size = len(job.payload)
    head = b"%b %b %d %d" % (job.id, job.name, job.ttr, size)
    return b"%b%b\r\n%b\r\n" % (head, attributes, job.payload)


def result_of(job: Job) -> bytes:
    """What tells a result."""
    assert job.result is not None
    success = job.state == "completed"
    return b"%b %d %d\r\n%b\r\n" % (job.id, success, len(job.result), job.result)


class Lease(NamedTuple):
    """A job as a reply hands it out: its id, the attributes as they stand there, and by their
    keys."""

    id: bytes
    text: bytes
    attributes: dict[bytes, bytes]


_ENTRY: Final = re.compile(rb"([0-9a-f-]{36}) [\w.-]+ \d+ (\d+)((?: [a-z0-9-]+=[!-~]+)*)\r\n")


def leases_of(reply: bytes) -> list[Lease]:
    """The jobs that a reply hands out, as far as it looks like one that does."""
    found: list[Lease] = []
    line, _, entries = reply.partition(b"\r\n")
    at = 0
    while line.startswith(b"+OK ") and (match := _ENTRY.match(entries, at)) is not None:
        pairs = (word.partition(b"=")[::2] for word in match[3].split())
        found.append(Lease(match[1], match[3], dict(pairs)))
        at = match.end() + int(match[2]) + 2
    return found


#: What `hello` tells, but for the version of the server: the keys in their order, and the values
#: that nobody can turn.
HELLO: Final = {
    b"version": b"", b"protocol": b"2", b"line-bytes": b"65536", b"block-bytes": b"1048576",
    b"lease-names": b"256", b"lease-count": b"100", b"ids": b"100", b"waits": b"",
    b"idle-timeout-ms": b"",
}  # fmt: skip
