"""release: give a leased job back, as if it had never been taken."""

from typing import Any

from workq.commands.base import Command, Desk, held
from workq.wire import replies
from workq.wire.fields import JOB_ID, LEASE
from workq.wire.grammar import Arguments


def _make(_: list[Any], flags: dict[str, Any]) -> tuple[int | None]:
    return (flags.get("lease"),)


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Put the job back at its place; its attempt does not count."""
    job_id, (token,) = arguments
    job = held(desk, job_id, token)
    if isinstance(job, bytes):
        return job
    desk.engine.release(job)
    return replies.OK


COMMAND = Command(
    "release",
    (JOB_ID,),
    flags=(LEASE,),
    make=_make,
    execute=execute,
    summary="give a leased job back; the attempt does not count",
    details="""\
+OK, -NOT-FOUND, or -CLIENT-ERROR Lease lost when it is not leased, or not under -lease.""",
    closing=True,
)
