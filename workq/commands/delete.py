"""delete: remove a job, whatever its state."""

from workq.commands.base import Command, Desk
from workq.wire import replies
from workq.wire.fields import JOB_ID
from workq.wire.grammar import Arguments


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Remove the job; whoever waits for its result is told that it is not found."""
    job_id, _ = arguments
    job = desk.engine.find(job_id)
    if job is None:
        return replies.NOT_FOUND
    desk.engine.delete(job)
    return replies.OK


COMMAND = Command(
    "delete",
    (JOB_ID,),
    execute=execute,
    summary="remove a job, whatever its state",
    details="+OK or -NOT-FOUND.",
    closing=True,
)
