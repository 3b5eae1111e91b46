"""schedule: hand a job in that is due at a time of the wall clock."""

from typing import Any

from workq.commands.add import OPTION_WORDS, OPTIONS, options
from workq.commands.base import Command, Desk, Reply
from workq.engine.job import Options
from workq.wire import replies
from workq.wire.fields import JOB_ID, QUEUE_NAME, TIME, TTL, TTR
from workq.wire.grammar import Arguments


def _make(values: list[Any], flags: dict[str, Any]) -> tuple[bytes, int, Options]:
    name, ttr_ms, ttl_ms, time_ms = values
    return name, time_ms, options(ttr_ms, ttl_ms, flags)


def execute(desk: Desk, arguments: Arguments) -> Reply:
    """Take the job in; its TTL runs from the time as given, be it past."""
    job_id, (name, time_ms, options), payload = arguments
    engine = desk.engine
    if time_ms + options.ttl_ms < engine.wall_ms:
        return replies.INVALID_TIME
    if engine.find(job_id) is not None:
        return replies.DUPLICATE_JOB
    if (refusal := desk.room.refuses_job(len(payload))) is not None:
        return refusal
    engine.add(job_id, name, options, payload, time_ms)
    return replies.OK


COMMAND = Command(
    "schedule",
    (JOB_ID, QUEUE_NAME, TTR, TTL, TIME),
    flags=OPTIONS,
    block_error=replies.INVALID_PAYLOAD_SIZE,
    make=_make,
    varied=True,
    execute=execute,
    cost=2,  # two deadlines: a turn must not make more of them than it can fire
    summary="add a job that is due at <time>, like 2030-01-31T08:00:00Z",
    details=f"""\
The TTL runs from that time. A time that is past is due at once.
{OPTION_WORDS}
+OK, -CLIENT-ERROR Duplicate job, or -CLIENT-ERROR Invalid Time when time and TTL are over.""",
)
