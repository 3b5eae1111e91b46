"""Looks at every job after a restart, and at the very end empties every queue."""

from __future__ import annotations

from tests.faults import wire
from tests.faults.history import NEW, PENDING, Job, order_problems
from tests.faults.load import QUEUES, Client, World, now_ms
from tests.faults.wire import NONE, OK

AT_ONCE = 200


async def look(world: World, port: int) -> None:
    """Inspect every job there is or was, and read the results of those that are finished."""
    client = Client(world, port, 0)
    assert await client.connect()
    jobs = [job for job in world.history.jobs.values() if not job.retired]
    for at in range(0, len(jobs), AT_ONCE):
        piece = jobs[at : at + AT_ONCE]
        requests = [wire.inspect(job.job_id) for job in piece]
        requests += [wire.result(job.job_id) for job in piece if job.job_id in world.finished]
        for request, reply in zip(requests, await client.ask(requests), strict=True):
            assert reply is not None, "the server went away while all jobs were looked at"
            job = world.history.jobs[request.job_id]
            if reply.status == NONE:
                job.retired = job.retired or bool(job.got("delete", OK))
    client.close()


async def drain(world: World, port: int) -> None:
    """Take all that is ready, one by one, and see to the order; finish everything; look again."""
    client = Client(world, port, 0)
    assert await client.connect()
    await look(world, port)
    begun_ms = now_ms()
    ready = {job.job_id for job in world.open.values() if _is_ready(job, begun_ms)}
    for queue in sorted({*QUEUES, *(job.queue for job in world.open.values())}):
        drained: list[Job] = []
        while True:
            (reply,) = await client.ask([wire.lease([queue], 0)])
            assert reply is not None
            if reply.status != OK:
                break
            job = world.history.jobs[reply.head[0]]
            if job.job_id in ready:
                drained.append(job)
            await client.ask([wire.complete(job.job_id, b"drained")])
        world.history.strange += order_problems(drained)
        left = ready - {job.job_id for job in drained}
        missed = [one for one in left if world.history.jobs[one].queue == queue]
        world.history.strange += [f"ready and never handed out: {one}" for one in missed]
    for job in list(world.open.values()):  # leased, or not due, or never came to be
        await client.ask([wire.complete(job.job_id, b"finished")])
    client.close()
    await look(world, port)


def _is_ready(job: Job, begun_ms: float) -> bool:
    """Whether the look told that a job is ready, and nothing keeps it back."""
    reply = job.events[-1].reply
    state = reply.values.get("state") if reply else None
    free = state == NEW or (state == PENDING and not job.retry_ms)  # else it may be held back
    return free and job.due_ms < begun_ms - 10
