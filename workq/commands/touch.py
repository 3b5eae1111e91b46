"""touch: let the time of a lease run anew."""

from typing import Any

from workq.commands.base import Command, Desk, held
from workq.wire import replies
from workq.wire.fields import JOB_ID, LEASE, TTR
from workq.wire.grammar import Arguments


def _make(_: list[Any], flags: dict[str, Any]) -> tuple[int | None, int | None]:
    return flags.get("lease"), flags.get("ttr")


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Let the lease end one TTR from now; nothing is counted."""
    job_id, (token, ttr_ms) = arguments
    job = held(desk, job_id, token)
    if isinstance(job, bytes):
        return job
    desk.engine.touch(job, ttr_ms or job.options.ttr_ms)
    return replies.OK


COMMAND = Command(
    "touch",
    (JOB_ID,),
    flags=(TTR, LEASE),
    make=_make,
    execute=execute,
    summary="let the TTR of a leased job run anew from now",
    details="""\
ttr: another time than that of the job, ms; for this lease.
+OK, -NOT-FOUND, or -CLIENT-ERROR Lease lost when it is not leased, or not under -lease.""",
    closing=True,
)
