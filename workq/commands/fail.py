"""fail: report that a job has failed."""

from typing import Any

from workq.commands.base import UNFINISHED_REPLIES, Command, Desk, unfinished
from workq.wire import replies
from workq.wire.fields import DELAY, FINAL, JOB_ID, LEASE
from workq.wire.grammar import Arguments


def _make(_: list[Any], flags: dict[str, Any]) -> tuple[int | None, int | None, bool]:
    return flags.get("lease"), flags.get("delay"), flags.get("final") == 1


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Count the failure. The last one the job may have finishes it, and its result is kept."""
    job = unfinished(desk, arguments)
    if isinstance(job, bytes):
        return job
    _, (_, delay_ms, final), result = arguments
    desk.engine.fail(job, result, delay_ms, final)
    return replies.OK


COMMAND = Command(
    "fail",
    (JOB_ID,),
    flags=(LEASE, DELAY, FINAL),
    make=_make,
    block_error=replies.INVALID_RESULT_SIZE,
    execute=execute,
    summary="report a failure; <size> bytes of result follow on the next line",
    details=f"""\
With max-fails the job returns to its queue until so many failures; otherwise it is finished.
delay: how long it is held back then, ms. final: 1 finishes it whatever max-fails says.
{UNFINISHED_REPLIES}""",
    closing=True,
)
