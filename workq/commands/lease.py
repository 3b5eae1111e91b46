"""lease: take the next job of some queues, waiting for one if need be."""

from typing import Any

from workq.commands.base import Command, Desk, JobWait, Reply
from workq.engine.engine import Engine
from workq.limits import LEASE_NAMES_MAX, NAMES_LIKE_A_REQUEST
from workq.wire import replies
from workq.wire.fields import COUNT, QUEUE_NAME, WAIT
from workq.wire.grammar import Arguments


def _make(values: list[Any], flags: dict[str, Any]) -> tuple[JobWait]:
    *names, wait_ms = values
    return (JobWait(tuple(dict.fromkeys(names)), wait_ms, flags.get("count", 1)),)


def _effort(arguments: Arguments) -> int:
    wait: JobWait = arguments[0]
    return wait.jobs_max - 1 + len(wait.names) // NAMES_LIKE_A_REQUEST


def _knows(engine: Engine, arguments: Arguments) -> bool:
    wait: JobWait = arguments[0]
    return engine.knows_heads(wait.names)


def execute(desk: Desk, arguments: Arguments) -> Reply:
    """Hand out the job that is next; else wait for it, first come, first served."""
    (wait,) = arguments
    engine = desk.engine
    names = wait.names
    job = engine.head(names[0]) if len(names) == 1 else engine.choose(names)
    if job is None and wait.wait_ms:
        return desk.room.refuses_wait(len(names)) or wait  # its place in line makes a name known
    if job is None or len(names) > 1:  # a single queue with a job is known anyway
        desk.names.mention(names)
    return replies.TIMEOUT if job is None else desk.hand_out(job, wait)


COMMAND = Command(
    "lease",
    (QUEUE_NAME, WAIT),
    many=LEASE_NAMES_MAX,
    flags=(COUNT,),
    make=_make,
    execute=execute,
    waits=True,
    effort=_effort,
    summary="take the next job of one of the queues, waiting up to <wait-timeout> ms",
    details="""\
wait-timeout 0 asks only for a job that is ready now.
count: up to so many jobs, of those that are ready; it waits only for the first.
+OK <n>, then n times `<id> <name> <ttr> <size>` and the payload; -TIMEOUT when none came.
-SERVER-ERROR Out of memory when too many wait for too many queues.""",
    knows=_knows,
)
