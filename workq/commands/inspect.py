"""inspect: look at jobs, queues and the server. Six objects, each a command of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, cast

from workq.commands.base import WHOLE, Command, Desk
from workq.engine.job import COMPLETED, FAILED, LEASED, READY, Job
from workq.engine.queue import Order, Queue
from workq.limits import LISTED_BYTES_MAX, LISTED_MAX
from workq.wire import replies
from workq.wire.fields import JOB_ID, LIMIT, OFFSET, QUEUE_NAME
from workq.wire.grammar import Arguments

# State numbers on the wire (section 2.0 of the original's description).
_NEW, _COMPLETED, _FAILED, _PENDING, _LEASED = range(5)


def _state_number(job: Job) -> int:
    if job.state is COMPLETED:
        return _COMPLETED
    if job.state is FAILED:
        return _FAILED
    if job.state is LEASED:
        return _LEASED
    back = job.state is READY and (job.attempts or job.fails)
    return _PENDING if back else _NEW


#: What is shown of every job, and how: a list of them takes a quarter of the time that a line
#: made for each would.
_KEYS = {
    "name": "%b",
    "ttr": "%d",
    "ttl": "%d",
    "payload-size": "%d",
    "payload": "%b",
    "max-attempts": "%d",
    "attempts": "%d",
    "max-fails": "%d",
    "fails": "%d",
    "priority": "%d",
    "state": "%d",
    "created": "%b",
}
_LINES = "".join(f"{key} {form}\r\n" for key, form in _KEYS.items()).encode("ascii")


def _job_block(desk: Desk, job: Job) -> bytes:
    # Times are kept by the clock that never steps, and shown by the wall's.
    options, offset_ms = job.options, _offset_ms(desk)
    more: list[tuple[str, Any]] = []
    if job.time_ms is not None:
        more.append(("time", replies.time(job.time_ms)))
    if desk.version > 1:
        more += _later_pairs(job, offset_ms)
    lines = _LINES % (
        job.queue.name,
        options.ttr_ms,
        options.ttl_ms,
        len(job.payload),
        job.payload,
        options.max_attempts,
        job.attempts,
        options.max_fails,
        job.fails,
        options.priority,
        _state_number(job),
        replies.time(job.created_ms + offset_ms),
    )
    return b"%b %d\r\n%b%b" % (job.id, len(_KEYS) + len(more), lines, replies.lines(more))


def _later_pairs(job: Job, offset_ms: int) -> list[tuple[str, Any]]:
    """What version 2 shows besides, at the end."""
    pairs: list[tuple[str, Any]] = [("timeouts", job.timeouts)]
    pairs += zip(("retry-delay", "backoff", "retry-max"), job.options.retry, strict=True)
    if job.hold_until_ms is not None:
        pairs.append(("held-until", replies.time(job.hold_until_ms + offset_ms)))
    return pairs


def _job(desk: Desk, arguments: Arguments) -> bytes:
    job_id, others = arguments
    if others:
        return _several_jobs(desk, dict.fromkeys((job_id, *others)))
    job = desk.engine.find(job_id)
    if job is None:
        return replies.NOT_FOUND
    return replies.counted([_job_block(desk, job)])


def _several_jobs(desk: Desk, ids: Iterable[bytes]) -> bytes:
    found = (desk.engine.find(job_id) for job_id in ids)
    return _listed(desk, (job for job in found if job is not None))


def _listed(desk: Desk, jobs: Iterable[Job]) -> bytes:
    """Jobs, until they are too many bytes."""
    blocks: list[bytes] = []
    size = 0
    for job in jobs:
        blocks.append(_job_block(desk, job))
        size += len(blocks[-1])
        if size >= LISTED_BYTES_MAX:
            break
    return replies.counted(blocks)


def _offset_ms(desk: Desk) -> int:
    return desk.engine.wall_ms - desk.engine.now_ms


def _listing(command: str, of: Callable[[Queue[Job]], Order[Job]], summary: str) -> Command:
    """A command that lists the jobs of a queue.

    Args:
        command: its name.
        of: which jobs.
        summary: its line for `help`.
    """

    def execute(desk: Desk, arguments: Arguments) -> bytes:
        name, offset, limit = arguments
        queue = desk.engine.queues.get(name)
        if queue is None:
            return replies.counted([]) if name in desk.names else replies.NOT_FOUND
        return _listed(desk, islice(of(queue).from_offset(offset), limit))

    return Command(
        command,
        (QUEUE_NAME, OFFSET, LIMIT),
        execute=execute,
        cost=lambda arguments: 4 + 2 * cast(int, arguments[2]),
        summary=summary,
        details="+OK <n>, then n jobs as in inspect job; -NOT-FOUND for a queue never heard of.",
        knows=WHOLE,
        naming=True,
    )


def _queue_block(desk: Desk, name: bytes) -> bytes:
    queue = desk.engine.queues.get(name)
    ready, scheduled = (0, 0) if queue is None else (queue.ready.size, queue.scheduled.size)
    return replies.block(name, [("ready-len", ready), ("scheduled-len", scheduled)])


def _queue(desk: Desk, arguments: Arguments) -> bytes:
    (name,) = arguments
    if name not in desk.names:
        return replies.NOT_FOUND
    return replies.counted([_queue_block(desk, name)])


def _queues(desk: Desk, arguments: Arguments) -> bytes:
    offset, limit = arguments
    return replies.counted([_queue_block(desk, name) for name in desk.names.listed(offset, limit)])


def _server(desk: Desk, _: Arguments) -> bytes:
    pairs: list[tuple[str, Any]] = [
        ("active-clients", desk.gauges()["connections"]),
        ("evicted-jobs", desk.engine.evicted),
        ("started", replies.time(desk.facts.started_ms)),
    ]
    return replies.counted([replies.block(b"server", pairs)])


COMMANDS = (
    Command(
        "inspect job",
        (JOB_ID,),
        many=LISTED_MAX,
        execute=_job,
        cost=2,
        effort=lambda arguments: 2 * len(arguments[1]),
        summary="show a job",
        details="""\
+OK 1, then `<id> <number of keys>` and a line for each; -NOT-FOUND.
Of several ids: +OK <n>, then as much for each that there is.""",
    ),
    _listing(
        "inspect jobs",
        lambda queue: queue.ready,
        "show the ready jobs of a queue, in the order they will be leased",
    ),
    _listing(
        "inspect scheduled-jobs",
        lambda queue: queue.scheduled,
        "show the jobs of a queue that wait for their time",
    ),
    Command(
        "inspect queue",
        (QUEUE_NAME,),
        execute=_queue,
        summary="show how many jobs of a queue are ready and scheduled",
        details="+OK 1, then `<name> 2`, ready-len and scheduled-len; -NOT-FOUND.",
        knows=WHOLE,
        naming=True,
    ),
    Command(
        "inspect queues",
        (OFFSET, LIMIT),
        execute=_queues,
        cost=lambda arguments: 4 + cast(int, arguments[1]) // 2,
        summary="show the queues in the order of their names",
        details="+OK <n>, then n queues as in inspect queue.",
        knows=WHOLE,
        naming=True,
    ),
    Command(
        "inspect server",
        execute=_server,
        summary="show clients, evicted jobs and when the server was started",
        details="+OK 1, then `server 3` and a line for each key.",
        knows=WHOLE,
        naming=True,
    ),
)
