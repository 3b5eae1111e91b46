"""Engines and jobs in the situations that tests start from."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from workq.engine import engine as engine_module
from workq.engine.engine import Engine
from workq.engine.job import Job, Options

#: A time far from zero, in the middle of all calendar spans.
NOW_MS = 1_700_000_000_123
HOUR_MS = 3_600_000
QUEUE = b"ping"

#: Options under which nothing runs out in a test that does not ask for it.
CALM = Options(ttr_ms=1000, ttl_ms=60_000)

#: Every situation of a job's life that `job_in` can make.
SITUATIONS = (
    "scheduled", "delayed", "ready", "returned", "held", "leased", "touched", "completed", "failed",
)  # fmt: skip
UNFINISHED = SITUATIONS[:7]

#: How long `job_in` holds a job back.
HOLD_MS = 700


def job_id(number: int) -> bytes:
    """The canonical id with a number; ids sort as their numbers do."""
    return b"00000000-0000-4000-8000-%012d" % number


def running(offset_ms: int = 0) -> Engine:
    """An engine at `NOW_MS`, without jobs."""
    engine = Engine()
    engine.advance(NOW_MS, offset_ms)
    return engine


def later(engine: Engine, step_ms: int) -> None:
    """Let time pass; the wall clock keeps its distance."""
    engine.advance(engine.now_ms + step_ms, engine.wall_ms - engine.now_ms)


def added(
    engine: Engine,
    number: int,
    options: Options = CALM,
    *,
    queue: bytes = QUEUE,
    payload: bytes = b"payload",
    time_ms: int | None = None,
    delay_ms: int = 0,
) -> Job:
    """A job that was handed in just now."""
    engine.add(job_id(number), queue, options, payload, time_ms, delay_ms)
    job = engine.jobs.get(job_id(number))
    assert job is not None
    return job


def job_in(engine: Engine, situation: str, number: int = 1, options: Options = CALM) -> Job:
    """A job in a situation; no time passes."""
    if situation == "scheduled":
        return added(engine, number, options, time_ms=engine.wall_ms + 500)
    if situation == "delayed":
        return added(engine, number, options, delay_ms=HOLD_MS)
    if situation == "held":
        options = Options(*options[:4], 2)
    job = added(engine, number, options)
    if situation == "returned":
        engine.give_back(job.id, engine.lease(job))
    elif situation == "held":
        engine.lease(job)
        engine.fail(job, b"", HOLD_MS)
    elif situation in ("leased", "touched"):
        engine.lease(job)
        if situation == "touched":
            engine.touch(job, 2 * options.ttr_ms)
    elif situation == "completed":
        engine.complete(job, b"done")
    elif situation == "failed":
        engine.fail(job, b"why")
    return job


def order(engine: Engine, queue: bytes = QUEUE) -> list[bytes]:
    """The ids of the ready jobs of a queue in the order they are leased."""
    found = engine.queues.get(queue)
    return [] if found is None else [job.id for job in found.ready.from_offset(0)]


@contextmanager
def budgets(deadlines: int, cascades: int) -> Iterator[None]:
    """Let one `advance` do less than it may, so that a few jobs bring it behind."""
    with (
        mock.patch.object(engine_module, "DEADLINES_PER_TURN_MAX", deadlines),
        mock.patch.object(engine_module, "CASCADES_PER_TURN_MAX", cascades),
    ):
        yield
