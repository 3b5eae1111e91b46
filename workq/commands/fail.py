"""fail: report that a job has failed."""

from workq.commands.base import Command, Desk, unfinished
from workq.wire import replies
from workq.wire.fields import JOB_ID


def execute(desk: Desk, job_id: bytes, result: bytes) -> bytes:
    """Count the failure. The last one the job may have finishes it, and its result is kept."""
    job = unfinished(desk, job_id, result)
    if isinstance(job, bytes):
        return job
    desk.engine.fail(job, result)
    return replies.OK


COMMAND = Command(
    "fail",
    (JOB_ID,),
    block_error=replies.INVALID_RESULT_SIZE,
    execute=execute,
    summary="report a failure; <size> bytes of result follow on the next line",
    details="""\
With max-fails the job returns to its queue until so many failures; otherwise it is finished.
+OK, -NOT-FOUND, or -CLIENT-ERROR Duplicate result when it is finished already;
-SERVER-ERROR Out of memory when a result of this size cannot be kept.""",
    closing=True,
)
