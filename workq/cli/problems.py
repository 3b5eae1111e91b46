"""What has gone wrong, in a line for people that says what to do, and the exit status for it."""

from __future__ import annotations

from typing import NamedTuple

from workq import limits
from workq.cli import statuses
from workq.cli.showing import length


class Problem(Exception):
    """A subcommand ends with a line and a status.

    Attributes:
        status: one of `workq.cli.statuses`.
    """

    def __init__(self, text: str, status: int = statuses.BAD_USAGE) -> None:
        super().__init__(text)
        self.status = status


class Explained(NamedTuple):
    """What is said of an error, and the exit status."""

    text: str
    status: int


def explain(error: Exception, directory: str | None = None) -> Explained | None:
    """What to say of an error.

    Args:
        error: that ended a subcommand.
        directory: that the subcommand was about, if it was about one.

    Returns:
        None if nobody has foreseen it: then it is a mistake of ours, and its trace is wanted.
    """
    from workq_client import WorkqError as SpokenError

    from workq.errors import CorruptionError, GoLogError, WorkqError

    if isinstance(error, Problem):
        return Explained(str(error), error.status)
    if isinstance(error, SpokenError):
        return Explained(_advice(error), status_of(error))
    if isinstance(error, CorruptionError | GoLogError):
        return Explained(str(error), statuses.WRONG)
    if isinstance(error, WorkqError):
        return Explained(str(error), statuses.UNUSABLE)
    if isinstance(error, OSError):
        where = error.filename or directory
        parts = [str(part) for part in (where, error.strerror or error) if part]
        return Explained(": ".join(parts), statuses.UNUSABLE)
    return None


def status_of(error: Exception) -> int:
    """The exit status for an error of the client."""
    from workq_client import errors

    if isinstance(error, errors.ManyFailed):
        return max(status_of(one) for _, one in error.errors)
    if isinstance(error, errors.InvalidRequest):
        return statuses.BAD_USAGE
    if isinstance(error, errors.OutcomeUnknown):
        return statuses.UNKNOWN
    if isinstance(error, errors.ServerError):
        return statuses.UNUSABLE
    if isinstance(error, errors.Refused | errors.JobFailed):
        return statuses.WRONG
    return statuses.UNUSABLE


def _advice(error: Exception) -> str:
    """What an error of the client says, and what can be done."""
    from workq_client import errors

    if isinstance(error, errors.InvalidArgument) and error.text in _RANGES:
        return f"{error}\n  {_RANGES[error.text]}"
    return f"{error}{_ADVICE[kind]}" if (kind := _kind(error, errors.__dict__)) else str(error)


def _kind(error: Exception, names: dict[str, type]) -> str | None:
    return next((name for name in _ADVICE if isinstance(error, names[name])), None)


#: What can be done, by the name of the client's error.
_ADVICE = {
    "Unreachable": "\n  Is a workq server running there? Start one with workq-server, "
    "or name another with --url or in WORKQ_URL.",
    "NoReply": "\n  It may be busy or stopped. A longer --timeout gives it more time.",
    "BrokenReply": "\n  Is that a workq server? Name another with --url or in WORKQ_URL.",
    "OutcomeUnknown": "\n  workq inspect job shows whether it was.",
    "LeaseLost": "\n  The job has no lease, or another one by now; nothing has changed.",
    "UnknownCommand": "\n  The server is older than this program; workq ping shows its version.",
    "OutOfMemory": "\n  It is as full as it may be; workq stats shows of what.",
    "DiskFull": "\n  It takes no new jobs until the disk of its command log has room.",
    "TooManyConnections": "\n  Try again later, or raise max-connections of the server.",
}

#: What a value has to be, by what the server says of one that is not.
_RANGES = {
    "Invalid TTR": f"A TTR is from 1ms to {length(limits.TTR_MS_MAX / 1000)}.",
    "Invalid TTL": "A TTL is 1ms or more.",
    "Invalid Priority": f"It is from {limits.PRIORITY_MIN:,} to {limits.PRIORITY_MAX:,}.",
    "Invalid Max Attempts": f"They are from 0, for no limit, to {limits.ATTEMPTS_MAX}.",
    "Invalid Max Fails": f"They are from 0 to {limits.FAILS_MAX}.",
    "Invalid Delay": f"It is up to {length(limits.DELAY_MS_MAX / 1000)}; later is for a schedule.",
    "Invalid Retry Delay": f"It is up to {length(limits.DELAY_MS_MAX / 1000)}.",
    "Invalid Retry Max": f"It is up to {length(limits.DELAY_MS_MAX / 1000)}.",
    "Invalid Backoff": f"It is from 1 to {limits.BACKOFF_MAX}.",
    "Invalid Count": f"It is from 1 to {limits.LEASE_COUNT_MAX}.",
    "Invalid Time": "It is too long ago: the job's time to live would be over already.",
    "Invalid wait timeout": f"A wait is up to {length(limits.WAIT_MS_MAX / 1000)}.",
    "Invalid cursor offset": f"It is from 0 to {limits.CURSOR_OFFSET_MAX:,}.",
}
