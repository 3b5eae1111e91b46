"""result: get the result of a job, waiting for it if need be."""

from workq.commands.base import Command, Desk, Reply, ResultWait, finished
from workq.wire import replies
from workq.wire.fields import JOB_ID, WAIT
from workq.wire.grammar import Arguments


def execute(desk: Desk, arguments: Arguments) -> Reply:
    """Tell the result; else wait until the job is finished or gone."""
    job_id, (wait_ms,) = arguments
    job = desk.engine.find(job_id)
    if job is None:
        return replies.NOT_FOUND
    if job.result is not None:
        return finished(job)
    return ResultWait(job, wait_ms) if wait_ms else replies.TIMEOUT


COMMAND = Command(
    "result",
    (JOB_ID, WAIT),
    execute=execute,
    summary="get the result of a job, waiting up to <wait-timeout> ms",
    details="""\
+OK 1, then `<id> <1|0> <size>` (1 completed, 0 failed) and the result.
-TIMEOUT when it is not finished, -NOT-FOUND when it is gone.""",
    closing=True,
)
