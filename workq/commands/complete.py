"""complete: finish a job with success."""

from workq.commands.base import Command, Desk, unfinished
from workq.wire import replies
from workq.wire.fields import JOB_ID


def execute(desk: Desk, job_id: bytes, result: bytes) -> bytes:
    """Keep the result and release everybody who waits for it."""
    job = unfinished(desk, job_id, result)
    if isinstance(job, bytes):
        return job
    desk.engine.complete(job, result)
    return replies.OK


COMMAND = Command(
    "complete",
    (JOB_ID,),
    block_error=replies.INVALID_PAYLOAD_SIZE,
    execute=execute,
    summary="finish a job with success; <size> bytes of result follow on the next line",
    details="""\
+OK, -NOT-FOUND, or -CLIENT-ERROR Duplicate result when it is finished already;
-SERVER-ERROR Out of memory when a result of this size cannot be kept.""",
    closing=True,
)
