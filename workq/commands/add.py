"""add: hand a job in and return at once."""

from typing import Any

from workq.commands.base import Command, Desk, Reply
from workq.engine.job import Options
from workq.errors import Refusal
from workq.wire import replies
from workq.wire.fields import (
    BACKOFF,
    DELAY,
    JOB_ID,
    MAX_ATTEMPTS,
    MAX_FAILS,
    PRIORITY,
    QUEUE_NAME,
    RETRY_DELAY,
    RETRY_MAX,
    TTL,
    TTR,
)
from workq.wire.grammar import Arguments

#: The flags of a job's options.
OPTIONS = (PRIORITY, MAX_ATTEMPTS, MAX_FAILS, RETRY_DELAY, BACKOFF, RETRY_MAX)

#: What they mean, for the details of the commands that know them.
OPTION_WORDS = """\
retry-delay: how long it is held back after a failure or a lost lease, ms, times backoff for each
one before, up to retry-max."""


def _make(values: list[Any], flags: dict[str, Any]) -> tuple[bytes, int, Options]:
    name, ttr_ms, ttl_ms = values
    delay_ms = flags.get("delay", 0)
    if delay_ms >= ttl_ms:
        raise Refusal(replies.INVALID_DELAY)  # it would be gone before it is due
    return name, delay_ms, options(ttr_ms, ttl_ms, flags)


def options(ttr_ms: int, ttl_ms: int, flags: dict[str, Any]) -> Options:
    """The options of a job from the fields and flags of its request."""
    return Options(
        ttr_ms,
        ttl_ms,
        flags.get("priority", 0),
        flags.get("max-attempts", 0),
        flags.get("max-fails", 0),
        flags.get("retry-delay", 0),
        flags.get("backoff", 1),
        flags.get("retry-max", 0),
    )


def execute(desk: Desk, arguments: Arguments) -> Reply:
    """Take the job in; its TTL runs from now."""
    job_id, (name, delay_ms, options), payload = arguments
    engine = desk.engine
    if engine.find(job_id) is not None:
        return replies.DUPLICATE_JOB
    if (refusal := desk.room.refuses_job(len(payload))) is not None:
        return refusal
    engine.add(job_id, name, options, payload, None, delay_ms)
    return replies.OK


COMMAND = Command(
    "add",
    (JOB_ID, QUEUE_NAME, TTR, TTL),
    flags=(*OPTIONS, DELAY),
    block_error=replies.INVALID_PAYLOAD_SIZE,
    make=_make,
    execute=execute,
    summary="add a job to a queue; <size> bytes of payload follow on the next line",
    details=f"""\
ttr: how long a lease lasts, ms. ttl: how long the job exists, ms.
delay: in what time it is ready, ms; less than its ttl.
{OPTION_WORDS}
+OK, or -CLIENT-ERROR Duplicate job when the id is taken.""",
)
