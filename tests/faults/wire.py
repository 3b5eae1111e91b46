"""The client's half of the protocol, written from docs/protocol.md; no code of the server's."""

from __future__ import annotations

from asyncio import IncompleteReadError, StreamReader
from typing import NamedTuple

OK, NONE, TIMEOUT = "ok", "not found", "timeout"
DUPLICATE_JOB, DUPLICATE_RESULT = "Duplicate job", "Duplicate result"
LEASE_LOST = "Lease lost"

#: What a lease is touched for: as long as any lasts, so that one that is forgotten shows soon.
TOUCHED_MS = 600_000
DISK_FULL, LOG_FAILED = "Disk full", "Log failed"


class Reply(NamedTuple):
    """What came back: `OK`, `NONE`, `TIMEOUT` or the text of an error; and what it carried.

    Attributes:
        status: as above.
        head: the words of its second line, if it has one.
        body: the block behind that, or of an inspected job the values by key.
    """

    status: str
    head: tuple[str, ...] = ()
    body: bytes = b""
    values: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


class Request(NamedTuple):
    """A request, and what the checker has to know of it.

    Attributes:
        verb: the command.
        job_id: the job that it names, empty for `lease`.
        body: its block.
        data: the bytes to send.
    """

    verb: str
    job_id: str
    body: bytes
    data: bytes


def with_block(line: str, verb: str, job_id: str, body: bytes) -> Request:
    """A request that ends in a block; `{}` in the line stands for its size."""
    return Request(verb, job_id, body, line.format(len(body)).encode() + b"\r\n" + body + b"\r\n")


def plain(line: str, verb: str, job_id: str = "") -> Request:
    """A request of one line."""
    return Request(verb, job_id, b"", line.encode() + b"\r\n")


def complete(job_id: str, result: bytes) -> Request:
    """Finish a job."""
    return with_block(f"complete {job_id} {{}}", "complete", job_id, result)


def fail(job_id: str, result: bytes) -> Request:
    """Report a failure."""
    return with_block(f"fail {job_id} {{}}", "fail", job_id, result)


def touch(job_id: str) -> Request:
    """Let a lease run anew, and long."""
    return plain(f"touch {job_id} -ttr={TOUCHED_MS}", "touch", job_id)


def release(job_id: str) -> Request:
    """Give a job back."""
    return plain(f"release {job_id}", "release", job_id)


def lease(queues: list[str], wait_ms: int) -> Request:
    """Ask for a job."""
    return plain(f"lease {' '.join(queues)} {wait_ms}", "lease")


def result(job_id: str) -> Request:
    """Ask for a result that should be there."""
    return plain(f"result {job_id} 0", "result", job_id)


def delete(job_id: str) -> Request:
    """Remove a job."""
    return plain(f"delete {job_id}", "delete", job_id)


def inspect(job_id: str) -> Request:
    """Look at a job."""
    return plain(f"inspect job {job_id}", "inspect", job_id)


async def read_reply(reader: StreamReader, verb: str) -> Reply | None:
    """The reply to a request; None if the connection ends first, or ends with the log."""
    try:
        line = (await reader.readuntil(b"\r\n"))[:-2].decode()
        if line == "+OK":
            return Reply(OK)
        if line != "+OK 1":
            return _refusal(line)
        head = tuple((await reader.readuntil(b"\r\n")).decode().split())
        if verb == "inspect":
            return await _inspected(reader, head)
        size = int(head[-1])
        return Reply(OK, head, (await reader.readexactly(size + 2))[:size])
    except (IncompleteReadError, ConnectionError):
        return None


async def _inspected(reader: StreamReader, head: tuple[str, ...]) -> Reply:
    values: dict[str, str] = {}
    payload = b""
    key = ""
    for _ in range(int(head[1])):
        if key == "payload-size":
            payload = await reader.readexactly(len("payload \r\n") + int(values["payload-size"]))
            assert payload.startswith(b"payload ") and payload.endswith(b"\r\n")
            payload = payload[8:-2]
            key = "payload"
        else:
            key, _, value = (await reader.readuntil(b"\r\n"))[:-2].decode().partition(" ")
            values[key] = value
    return Reply(OK, head, payload, values)


def _refusal(line: str) -> Reply | None:
    if line in ("-NOT-FOUND", "-TIMEOUT"):
        return Reply(NONE if line == "-NOT-FOUND" else TIMEOUT)
    kind, _, text = line.partition(" ")
    assert kind in ("-CLIENT-ERROR", "-SERVER-ERROR"), f"not a reply: {line!r}"
    return None if text in (LOG_FAILED, "Shutting down") else Reply(text)
