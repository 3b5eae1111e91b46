"""result: get the result of a job, waiting for it if need be."""

from collections.abc import Iterable
from typing import Any

from workq.commands.base import Command, Desk, Reply, ResultWait, finished, result_entry
from workq.errors import Refusal
from workq.limits import LISTED_BYTES_MAX, LISTED_MAX
from workq.wire import replies
from workq.wire.fields import JOB_ID, WAIT
from workq.wire.grammar import Arguments


def _make(values: list[Any], _: dict[str, Any]) -> tuple[Any, ...]:
    *others, wait_ms = values
    if others and wait_ms:
        raise Refusal(replies.INVALID_WAIT_TIMEOUT)
    return wait_ms, *others


def execute(desk: Desk, arguments: Arguments) -> Reply:
    """Tell the result; else wait until the job is finished or gone."""
    job_id, values = arguments
    if len(values) > 1:
        return _several(desk, dict.fromkeys((job_id, *values[1:])))
    job = desk.engine.find(job_id)
    if job is None:
        return replies.NOT_FOUND
    if job.result is not None:
        return finished(job)
    (wait_ms,) = values
    return ResultWait(job, wait_ms) if wait_ms else replies.TIMEOUT


def _several(desk: Desk, ids: Iterable[bytes]) -> bytes:
    """Tell the results there are, in the order asked for."""
    entries: list[bytes] = []
    size = 0
    for job_id in ids:
        job = desk.engine.find(job_id)
        if job is not None and job.result is not None:
            entries.append(result_entry(job))
            size += len(entries[-1])
            if size >= LISTED_BYTES_MAX:
                break
    return replies.counted(entries)


COMMAND = Command(
    "result",
    (JOB_ID, WAIT),
    many=LISTED_MAX,
    make=_make,
    effort=lambda arguments: len(arguments[1]),
    execute=execute,
    waits=True,
    summary="get the result of a job, waiting up to <wait-timeout> ms",
    details="""\
+OK 1, then `<id> <1|0> <size>` (1 completed, 0 failed) and the result.
-TIMEOUT when it is not finished, -NOT-FOUND when it is gone.
Of several ids, with wait-timeout 0: +OK <n>, then as much for each that is finished.""",
    closing=True,
)
