"""Clients that put a server under load and note everything they said and heard.

Each has one connection and pipelines: it sends a few requests at once, then reads their replies.
What it asks for is drawn from its own generator, so that a seed gives the same wishes each time;
the kernel gives them another order.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from uuid import UUID

from tests.faults import wire
from tests.faults.history import COMPLETED, FAILED, Event, History, Job
from tests.faults.wire import (
    DISK_FULL,
    DUPLICATE_JOB,
    DUPLICATE_RESULT,
    LEASE_LOST,
    NONE,
    OK,
    TIMEOUT,
)

QUEUES = ("mails", "images", "reports")
TTRS_MS = (300, 2_000, 60_000, 600_000)
TTL_MS = 86_400_000
PIPELINED_MAX = 16
UNFINISHED_MAX = 300

#: The answers that a request may get, but for a lost job, which the checker looks for.
ALLOWED = {
    "add": {OK, DUPLICATE_JOB, DISK_FULL},
    "lease": {OK, TIMEOUT},
    "complete": {OK, DUPLICATE_RESULT, NONE},
    "fail": {OK, DUPLICATE_RESULT, NONE},
    "touch": {OK, LEASE_LOST, NONE},
    "release": {OK, LEASE_LOST, NONE},
    "result": {OK, TIMEOUT, NONE},
    "delete": {OK, NONE},
    "inspect": {OK, NONE},
}


def now_ms() -> float:
    """The clients' clock."""
    return time.monotonic_ns() / 1e6


class World:
    """What all clients know together.

    Args:
        seed: of everything that is drawn.
        sizes: of payloads, to draw from.
        finished_max: with more finished jobs than this, clients delete some.

    Attributes:
        history: what was said and heard.
        open: the jobs that are not known to be finished.
        finished: those that are.
        adding: the jobs that are being added, by how many requests: none of them is deleted
            meanwhile, for one that came after that would rightly make another job of the same id.
        on_reply: called after each reply.
    """

    def __init__(
        self,
        seed: int,
        sizes: tuple[int, ...] = (0, 10, 100, 400, 5_000),
        finished_max: int = 1 << 30,
    ) -> None:
        self.random = Random(seed)
        self.sizes = sizes
        self.finished_max = finished_max
        self.history = History()
        self.open: dict[str, Job] = {}
        self.finished: dict[str, Job] = {}
        self.adding: Counter[str] = Counter()
        self.on_reply: Callable[[], None] = lambda: None
        self._requests: dict[str, wire.Request] = {}

    # --- wishes -----------------------------------------------------------------------------

    def new(self, random: Random, queue: str = "") -> wire.Request:
        """Add a job, or schedule one; to any queue if none is named."""
        job_id = str(UUID(bytes=random.randbytes(16), version=4))
        payload = random.randbytes(random.choice(self.sizes))
        job = Job(
            job_id,
            queue or random.choice(QUEUES),
            random.choice(TTRS_MS),
            payload,
            priority=random.choice((0, 0, 0, 5, -3)),
            max_fails=random.choice((0, 0, 1, 2, 3)),
            retry_ms=random.choice((0, 0, 0, 200)),
        )
        flags = f"-priority={job.priority}" if job.priority else ""
        flags += f" -max-fails={job.max_fails}" if job.max_fails else ""
        flags += f" -retry-delay={job.retry_ms}" if job.retry_ms else ""
        line = f"{job_id} {job.queue} {job.ttr_ms} {TTL_MS}"
        if not queue and random.random() < 0.2:
            delay_ms = random.randrange(2_000)
            wall_ms = time.time_ns() // 1_000_000 + delay_ms
            job.due_ms = now_ms() + delay_ms
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_ms // 1000))
            line = f"schedule {line} {stamp}.{wall_ms % 1000:03d}Z {{}} {flags}"
        else:
            line = f"add {line} {{}} {flags}"
        request = wire.with_block(line.rstrip(), "add", job_id, payload)
        assert job_id not in self.history.jobs, "two clients draw from the same seed"
        self.history.jobs[job_id] = self.open[job_id] = job
        self._requests[job_id] = request
        return request

    def again(self, job: Job) -> wire.Request:
        """Add a job once more, as a client does that got no answer."""
        return self._requests[job.job_id]

    def end(self, random: Random, job: Job) -> wire.Request:
        """Complete or fail a job."""
        body = random.randbytes(random.choice((0, 8, 60)))
        return (wire.complete if random.random() < 0.8 else wire.fail)(job.job_id, body)

    def wish(self, random: Random, held: list[Job]) -> wire.Request:
        """What a client wants next.

        Args:
            random: its own.
            held: the jobs that it has leased; one may be taken off.
        """
        if held and random.random() < 0.6:
            job = held.pop(random.randrange(len(held)))
            what = random.random()
            if what < 0.1:
                if what < 0.05:
                    held.append(job)  # else it is forgotten, and its lease does not run out soon
                return wire.touch(job.job_id)
            if what < 0.2:
                return wire.release(job.job_id)
            if what < 0.87:
                return self.end(random, job)  # else it is forgotten: its lease runs out
        if len(self.finished) > self.finished_max and (some := self._any(random, self.finished)):
            return self.delete(some)
        what = random.random()
        if what < 0.4 and len(self.open) < UNFINISHED_MAX:
            return self.new(random)
        if what < 0.7:
            return wire.lease(
                random.sample(QUEUES, random.randint(1, 3)), random.choice((0, 0, 30))
            )
        some = self._any(random, self.finished if what < 0.9 else self.open)
        if some is None:
            return self.new(random)
        if what < 0.8:
            return wire.result(some.job_id)
        if what < 0.86:
            return self.delete(some)
        if what < 0.9:
            return self.end(random, some)
        if what < 0.94:
            return self.again(some)
        return wire.inspect(some.job_id) if what < 0.98 else self.end(random, some)

    def delete(self, job: Job) -> wire.Request:
        """Delete a finished job; or look at it, if somebody is adding it."""
        return (wire.inspect if job.job_id in self.adding else wire.delete)(job.job_id)

    @staticmethod
    def _any(random: Random, jobs: dict[str, Job]) -> Job | None:
        if not jobs:
            return None
        keys = list(jobs)
        return jobs[keys[random.randrange(len(keys))]]

    def settle(self) -> None:
        """Forget the jobs that have retired, while no client is connected that knows them."""
        for job_id in self.history.settle():
            del self._requests[job_id]

    # --- what came of them ------------------------------------------------------------------

    def sent(self, request: wire.Request) -> Event:
        """Note that a request is being sent."""
        event = Event(request.verb, now_ms(), body=request.body)
        if request.job_id:
            self.history.jobs[request.job_id].events.append(event)
        if request.verb == "add":
            self.adding[request.job_id] += 1
        return event

    def over(self, request: wire.Request) -> None:
        """Note that a request has had its reply, or will never have one."""
        if request.verb == "add":
            self.adding[request.job_id] -= 1
            if not self.adding[request.job_id]:
                del self.adding[request.job_id]

    def came(self, request: wire.Request, event: Event, reply: wire.Reply) -> Job | None:
        """Note a reply; the job that it hands out, if it does."""
        history = self.history
        event.got_ms, event.reply = now_ms(), reply
        history.replies += 1
        self.on_reply()
        if reply.status not in ALLOWED[request.verb]:
            history.strange.append(f"{request.verb} got {reply.status!r}")
        if request.verb == "lease":
            if reply.status != OK:
                return None
            leased = history.jobs.get(reply.head[0])
            if leased is None:
                history.strange.append(f"a job nobody thought of: {reply.head}")
            else:
                leased.events.append(event)
            return leased
        self._sort(history.jobs[request.job_id], event)
        return None

    def _sort(self, job: Job, event: Event) -> None:
        """Keep a job among the open ones, the finished ones, or neither."""
        if event.verb == "delete" and event.heard(OK, NONE):
            self.open.pop(job.job_id, None)
            self.finished.pop(job.job_id, None)
            return
        assert event.reply is not None
        ends = (
            event.heard(DUPLICATE_RESULT)
            or (event.verb in ("complete", "result") and event.heard(OK))
            or event.reply.values.get("state") in (COMPLETED, FAILED)
        )
        if ends and self.open.pop(job.job_id, None) is not None:
            self.finished[job.job_id] = job


class Client:
    """One of them.

    Args:
        world: what it shares with the others.
        port: of the server.
        seed: of its own wishes.
        rate: how many requests it sends in a second; 0 for as many as it can.
    """

    def __init__(self, world: World, port: int, seed: int, rate: float = 0) -> None:
        self.world = world
        self._port = port
        self._rate = rate
        self.random = Random(seed)
        self.held: list[Job] = []

    async def connect(self) -> bool:
        """Open the connection; whether that worked."""
        try:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=1 << 21
            )
        except ConnectionError:
            return False
        return True

    def close(self) -> None:
        """Close it."""
        self._writer.close()

    async def ask(self, requests: list[wire.Request]) -> list[wire.Reply | None]:
        """Send requests at once and read their replies; None for those that never came."""
        world = self.world
        events = [world.sent(request) for request in requests]
        self._writer.write(b"".join(request.data for request in requests))
        replies: list[wire.Reply | None] = []
        for request, event in zip(requests, events, strict=True):
            lost = replies and replies[-1] is None
            reply = None if lost else await wire.read_reply(self._reader, request.verb)
            replies.append(reply)
            world.over(request)
            if reply is None:
                world.history.unanswered += 1
            elif job := world.came(request, event, reply):
                self.held.append(job)
        return replies

    async def live(self, until: Callable[[], bool] = lambda: False) -> None:
        """Ask for this and that until the server is gone, or something is so."""
        if not await self.connect():
            return
        while not until():
            wishes = [
                self.world.wish(self.random, self.held)
                for _ in range(self.random.randint(1, PIPELINED_MAX))
            ]
            if None in await self.ask(wishes):
                break
            if self._rate:
                await asyncio.sleep(len(wishes) / self._rate)
        self.close()
