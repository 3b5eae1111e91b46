"""run: hand a job in and wait for its result (a foreground job)."""

from typing import Any

from workq.commands.base import Command, Desk, Reply, ResultWait
from workq.engine.engine import Engine
from workq.engine.job import Options
from workq.wire import replies
from workq.wire.fields import JOB_ID, PRIORITY, QUEUE_NAME, TTR, WAIT
from workq.wire.grammar import Arguments


def _make(values: list[Any], flags: dict[str, Any]) -> tuple[bytes, Options, int]:
    name, ttr_ms, wait_ms = values
    return name, Options(ttr_ms, 0, flags.get("priority", 0)), wait_ms


def _knows(engine: Engine, arguments: Arguments) -> bool:
    name, _, _ = arguments[1]
    return engine.knows_heads((name,))


def execute(desk: Desk, arguments: Arguments) -> Reply:
    """Start the job and wait; however the wait ends, the job ends with it."""
    job_id, (name, options, wait_ms), payload = arguments
    engine = desk.engine
    if engine.find(job_id) is not None:
        return replies.DUPLICATE_JOB
    if (refusal := desk.room.refuses_job(len(payload), logged=False)) is not None:
        return refusal
    job = engine.start(job_id, name, options, payload)
    return ResultWait(job, wait_ms, caller=True)


COMMAND = Command(
    "run",
    (JOB_ID, QUEUE_NAME, TTR, WAIT),
    flags=(PRIORITY,),
    block_error=replies.INVALID_PAYLOAD_SIZE,
    make=_make,
    execute=execute,
    waits=True,
    summary="add a job and wait for its result; it is gone when the wait ends",
    details="""\
wait-timeout: how long it may wait for a worker, ms; one that has it then may end its lease.
+OK 1, then `<id> <1|0> <size>` (1 completed, 0 failed) and the result.
-TIMEOUT without a result, -NOT-FOUND when it was deleted, -CLIENT-ERROR Duplicate job.""",
    knows=_knows,
)
