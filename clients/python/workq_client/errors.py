"""Everything that can go wrong, as one tree.

    WorkqError
    ├── InvalidRequest        the request could not be made of these arguments; nothing was sent
    ├── DecodeError           a payload or result is not what the codec reads
    ├── JobFailed             a result that was asked for with `check` is that of a failure
    ├── ManyFailed            some jobs of an `add_many` were not added
    ├── ClientClosed          the client was closed
    ├── Busy                  all connections were in use until the time was over; nothing was sent
    ├── Unreachable           there was no connection until the time was over; nothing was done
    ├── NoReply               no answer came in time; nothing had to be changed
    ├── OutcomeUnknown        it may have been done or not
    ├── BrokenReply           what came is no answer
    └── Refused               the server's own errors
        ├── NotFound          there is no such job or queue, or no longer
        ├── TimedOut          what was waited for did not happen in time
        ├── ClientError       something is wrong with the request
        │   ├── DuplicateJob, DuplicateResult, LeaseLost
        │   ├── InvalidArgument
        │   └── UnknownCommand
        └── ServerError       the server cannot do it now
            └── OutOfMemory, DiskFull, ShuttingDown, TooManyConnections

Where Python has a word for it, the error is that too: `Unreachable` is a `ConnectionError`,
`TimedOut`, `NoReply` and `Busy` are each a `TimeoutError`, `NotFound` is a `LookupError`.
"""

from __future__ import annotations

import os
from socket import gaierror
from typing import Any

from workq_client.limits import ANSWER_CHARACTERS_MAX


class WorkqError(Exception):
    """The root of all errors of this package."""


class InvalidRequest(WorkqError, ValueError):
    """No request can be made of these arguments. Nothing was sent."""


class DecodeError(WorkqError, ValueError):
    """A payload or a result is not what the codec reads.

    Attributes:
        data: the bytes.
    """

    def __init__(self, text: str, data: bytes) -> None:
        super().__init__(text)
        self.data = data


class JobFailed(WorkqError):
    """The result of a job is that of a failure.

    Attributes:
        job_id: the job.
        data: what its worker said, bytes.
    """

    def __init__(self, job_id: str, data: bytes) -> None:
        said = data[:ANSWER_CHARACTERS_MAX].decode("utf-8", "replace")
        super().__init__(f"job {job_id} has failed: {said}" if said else f"job {job_id} has failed")
        self.job_id = job_id
        self.data = data


class ManyFailed(WorkqError):
    """Some jobs of an `add_many` were not added.

    Attributes:
        added: how many were.
        failed: how many were not.
        errors: for the first of these, the job and its error.
    """

    def __init__(self, added: int, failed: int, errors: list[tuple[Any, WorkqError]]) -> None:
        super().__init__(f"{failed} jobs were not added, {added} were; the first: {errors[0][1]}")
        self.added = added
        self.failed = failed
        self.errors = errors


class ClientClosed(WorkqError):
    """The client was closed, before the call or meanwhile."""


class Busy(WorkqError, TimeoutError):
    """All connections that the client may have were in use until the time was over; nothing was
    sent.

    Attributes:
        connections: how many these are.
    """

    def __init__(self, connections: int, setting: str) -> None:
        super().__init__(f"all {connections} connections were in use; {setting} allows more")
        self.connections = connections


class Unreachable(WorkqError, ConnectionError):
    """There was no connection to the server until the time was over. Nothing was done.

    Attributes:
        address: of the server.
        attempts: how often it was tried.
        cause: the last error.
    """

    def __init__(self, address: str, attempts: int, cause: BaseException | None) -> None:
        tried = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(f"no connection to {address}, tried {tried}: {_reason(cause)}")
        self.address = address
        self.attempts = attempts
        self.cause = cause


def _reason(cause: BaseException | None) -> str:
    """Why there is no connection; of an error of the system its own words, however it came."""
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, gaierror):
        return os.strerror(cause.errno).lower()
    return str(cause or "") or "no time was left"


class NoReply(WorkqError, TimeoutError):
    """No answer came in time. The request changes nothing, or nothing that lasts.

    Attributes:
        command: what was asked.
        address: of the server.
    """

    def __init__(self, command: str, address: str) -> None:
        super().__init__(f"{address} has not answered {command} in time")
        self.command = command
        self.address = address


class OutcomeUnknown(WorkqError):
    """The request was sent, and whether it was done is not known.

    Attributes:
        command: what was asked.
        job_id: the job it was about, if it was about one.
        cause: what came in place of an answer that tells.
    """

    def __init__(self, command: str, job_id: str | None, cause: BaseException) -> None:
        about = f"{command} of {job_id}" if job_id else command
        super().__init__(f"{about} may have been done or not: {cause}")
        self.command = command
        self.job_id = job_id
        self.cause = cause


class BrokenReply(WorkqError):
    """What came is no answer to what was asked. Whether that was done is not known.

    Attributes:
        data: the beginning of it.
    """

    def __init__(self, problem: str, data: bytes) -> None:
        super().__init__(f"{problem}: {data!r}")
        self.data = data


class Refused(WorkqError):
    """The server refuses. Nothing has changed.

    Attributes:
        text: what it says, without its class.
        command: what was asked.
        job_id: the job it was about, if it was about one.
    """

    def __init__(self, text: str, command: str = "", job_id: str | None = None) -> None:
        where = f"{command} {job_id}" if job_id else command
        super().__init__(f"{where}: {text}" if where else text)
        self.text = text
        self.command = command
        self.job_id = job_id


class NotFound(Refused, LookupError):
    """There is no such job or queue, or no longer."""


class TimedOut(Refused, TimeoutError):
    """What was waited for did not happen in time."""


class ClientError(Refused):
    """Something is wrong with the request, or with how it was sent."""


class DuplicateJob(ClientError):
    """The id is taken."""


class DuplicateResult(ClientError):
    """The job is finished already, one way or the other."""


class LeaseLost(ClientError):
    """The lease is over: its time ran out, or the job was finished, failed or given back."""


class InvalidArgument(ClientError, ValueError):
    """The server does not take a value."""


class UnknownCommand(ClientError):
    """The server does not know the command: it is older than this client, or another program."""


class ServerError(Refused):
    """The request may be right, but the server cannot serve it now."""


class OutOfMemory(ServerError):
    """The server holds as much as it may."""


class DiskFull(ServerError):
    """The disk of the command log has no room: no new jobs until it has."""


class ShuttingDown(ServerError):
    """The server is about to end, and takes nothing new."""


class TooManyConnections(ServerError):
    """The server has as many connections as it may."""


_TEXTS: dict[str, type[Refused]] = {
    "CLIENT-ERROR Duplicate job": DuplicateJob,
    "CLIENT-ERROR Duplicate result": DuplicateResult,
    "CLIENT-ERROR Lease lost": LeaseLost,
    "CLIENT-ERROR Unknown command": UnknownCommand,
    "SERVER-ERROR Out of memory": OutOfMemory,
    "SERVER-ERROR Disk full": DiskFull,
    "SERVER-ERROR Shutting down": ShuttingDown,
    "SERVER-ERROR Too many connections": TooManyConnections,
}

_CLASSES: dict[str, type[Refused]] = {
    "CLIENT-ERROR": ClientError,
    "SERVER-ERROR": ServerError,
    "NOT-FOUND": NotFound,
    "TIMEOUT": TimedOut,
}


def refusal(line: str, command: str, job_id: str | None) -> Refused | None:
    """The error that a line of the server stands for.

    Args:
        line: without its `-` and its end.
        command: what was asked.
        job_id: the job it was about, if it was about one.

    Returns:
        The error; None if the line is none of the four classes.
    """
    kind, _, text = line.partition(" ")
    found = _TEXTS.get(line) or _CLASSES.get(kind)
    if found is ClientError and text.startswith("Invalid "):
        found = InvalidArgument
    if found is NotFound:
        text = text or "not found"
    elif found is TimedOut:
        text = text or "it did not happen in time"
    return None if found is None else found(text, command, job_id)
