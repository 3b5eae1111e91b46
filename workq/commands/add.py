"""add: hand a job in and return at once."""

from typing import Any

from workq.commands.base import Command, Desk
from workq.engine.job import Options
from workq.wire import replies
from workq.wire.fields import JOB_ID, MAX_ATTEMPTS, MAX_FAILS, PRIORITY, QUEUE_NAME, TTL, TTR
from workq.wire.grammar import Arguments


def _make(values: list[Any], flags: dict[str, Any]) -> tuple[bytes, Options]:
    name, ttr_ms, ttl_ms = values
    return name, options(ttr_ms, ttl_ms, flags)


def options(ttr_ms: int, ttl_ms: int, flags: dict[str, Any]) -> Options:
    """The options of a job from the fields and flags of its request."""
    return Options(
        ttr_ms,
        ttl_ms,
        flags.get("priority", 0),
        flags.get("max-attempts", 0),
        flags.get("max-fails", 0),
    )


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Take the job in; its TTL runs from now."""
    job_id, (name, options), payload = arguments
    engine = desk.engine
    if engine.find(job_id) is not None:
        return replies.DUPLICATE_JOB
    if (refusal := desk.room.refuses_job(len(payload))) is not None:
        return refusal
    engine.add(job_id, name, options, payload)
    return replies.OK


COMMAND = Command(
    "add",
    (JOB_ID, QUEUE_NAME, TTR, TTL),
    flags=(PRIORITY, MAX_ATTEMPTS, MAX_FAILS),
    block_error=replies.INVALID_PAYLOAD_SIZE,
    make=_make,
    execute=execute,
    summary="add a job to a queue; <size> bytes of payload follow on the next line",
    details="""\
ttr: how long a lease lasts, ms. ttl: how long the job exists, ms.
+OK, or -CLIENT-ERROR Duplicate job when the id is taken.""",
)
