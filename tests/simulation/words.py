"""Replies as `docs/protocol.md` writes them."""

from __future__ import annotations

from typing import Final

from tests.simulation.model import Job

OK: Final = b"+OK\r\n"
TIMEOUT: Final = b"-TIMEOUT\r\n"
NOT_FOUND: Final = b"-NOT-FOUND\r\n"
DUPLICATE_JOB: Final = b"-CLIENT-ERROR Duplicate job\r\n"
DUPLICATE_RESULT: Final = b"-CLIENT-ERROR Duplicate result\r\n"
INVALID_TIME: Final = b"-CLIENT-ERROR Invalid Time\r\n"
OUT_OF_MEMORY: Final = b"-SERVER-ERROR Out of memory\r\n"
DISK_FULL: Final = b"-SERVER-ERROR Disk full\r\n"
SHUTTING_DOWN: Final = b"-SERVER-ERROR Shutting down\r\n"
TOO_MANY: Final = b"-SERVER-ERROR Too many connections\r\n"
TOO_MUCH_INPUT: Final = b"-CLIENT-ERROR Too much input\r\n"
REQUEST_TIMEOUT: Final = b"-CLIENT-ERROR Request timeout\r\n"
IDLE_TIMEOUT: Final = b"-CLIENT-ERROR Idle timeout\r\n"


def lease_of(job: Job) -> bytes:
    """The reply that hands a job out."""
    size = len(job.payload)
    return b"+OK 1\r\n%b %b %d %d\r\n%b\r\n" % (job.id, job.name, job.ttr, size, job.payload)


def result_of(job: Job) -> bytes:
    """The reply that tells a result."""
    assert job.result is not None
    success = job.state == "completed"
    return b"+OK 1\r\n%b %d %d\r\n%b\r\n" % (job.id, success, len(job.result), job.result)


def leased_id(reply: bytes) -> bytes:
    """The id of the job that a reply hands out; empty if it is none."""
    if not reply.startswith(b"+OK 1\r\n"):
        return b""
    return reply.split(b"\r\n")[1].split(b" ")[0]
