"""complete: finish a job with success."""

from typing import Any

from workq.commands.base import UNFINISHED_REPLIES, Command, Desk, unfinished
from workq.wire import replies
from workq.wire.fields import JOB_ID, LEASE
from workq.wire.grammar import Arguments


def _make(_: list[Any], flags: dict[str, Any]) -> tuple[int | None]:
    return (flags.get("lease"),)


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Keep the result and release everybody who waits for it."""
    job = unfinished(desk, arguments)
    if isinstance(job, bytes):
        return job
    desk.engine.complete(job, arguments[2])
    return replies.OK


COMMAND = Command(
    "complete",
    (JOB_ID,),
    flags=(LEASE,),
    make=_make,
    block_error=replies.INVALID_PAYLOAD_SIZE,
    execute=execute,
    summary="finish a job with success; <size> bytes of result follow on the next line",
    details=UNFINISHED_REPLIES,
    closing=True,
)
