"""Logs of engines that have lived: on a simulated disk, whatever happens to jobs."""

from __future__ import annotations

from random import Random

from tests.cmdlog.making import Opened, opened
from tests.engine.making import QUEUE, SITUATIONS, added, job_id, job_in, later, running
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Reading
from workq.engine import dump
from workq.engine.engine import Engine
from workq.engine.job import Options
from workq.engine.state import State
from workq.recovery.records import bodies
from workq.recovery.replay import replay

SEGMENT_BYTES = 8192


class Life:
    """An engine and the log it is kept on.

    Args:
        disk: gets the log.

    Attributes:
        engine: the engine.
        digests: of its state, by the position of the last frame of each commit.
    """

    def __init__(self, disk: SimulatedDisk | None = None) -> None:
        self.disk = disk or SimulatedDisk()
        self.engine: Engine = running()
        self.opened: Opened = opened(self.disk, SEGMENT_BYTES)
        self.engine.resume(self.opened.log.epoch)
        self.digests: dict[int, bytes] = {}
        self._random = Random(1)
        self._given = 1000

    def fresh(self) -> int:
        """The number of an id that no job has had."""
        self._given += 1
        return self._given

    def keep(self) -> None:
        """Put what has happened on the log."""
        commit, self.engine.commit = self.engine.commit, []
        log = self.opened.log
        if commit:
            for records, body in bodies(commit):
                log.append(COMMIT, self.engine.now_ms, records, body)
                self.opened.worker.run()
        log.sync()
        self.opened.worker.run()
        self.digests[log.position] = dump.digest(self.engine)

    def live(self, acts: int, seed: int, bytes_max: int = 2000) -> None:
        """Let things happen, now and then a commit."""
        random = Random(seed)
        for _ in range(acts):
            self._act(random, bytes_max)
            if random.random() < 0.4:
                self.keep()
        self.keep()

    def _act(self, random: Random, bytes_max: int) -> None:
        engine = self.engine
        every = sorted(engine.jobs.values(), key=lambda job: job.seq)  # in no order of hashes
        jobs = [job for job in every if not job.foreground]
        job = random.choice(jobs) if jobs else None
        data = random.randbytes(random.choice((0, 3, 600, bytes_max)))
        what = random.choice("aaasellcfdtgr")
        if what in "ase":
            ttr_ms, ttl_ms = random.choice((50, 5000)), random.choice((200, 60_000))
            options = Options(ttr_ms, ttl_ms, 0, 2, 2, *random.choice(((), (40,), (30, 2, 100))))
            time_ms = engine.wall_ms + random.randrange(100) if what == "s" else None
            delay_ms = random.randrange(1, 90) if what == "e" else 0
            name = self.fresh()
            added(engine, name, options, payload=data, time_ms=time_ms, delay_ms=delay_ms)
        elif what == "t":
            later(engine, random.randrange(60))
        elif job is None:
            return
        elif what == "d":
            engine.delete(job)
        elif what == "l" and job.state == "ready" and job.hold is None:
            engine.lease(job)
        elif what == "g" and job.lease is not None:
            engine.give_back(job.id, job.lease.token)
        elif what == "r" and job.lease is not None:
            engine.touch(job, random.choice((20, 900)))
        elif what == "c" and not job.finished:
            engine.complete(job, data)
        elif what == "f" and not job.finished:
            engine.fail(job, data)

    def fill_segment(self) -> None:
        """Write until the segment that is being written has been sealed."""
        sealed = len(self.opened.log.sealed)
        while len(self.opened.log.sealed) == sealed:
            added(self.engine, self.fresh(), payload=self._random.randbytes(700))
            self.keep()

    @property
    def number(self) -> int:
        """The first segment that cannot be compacted yet."""
        return self.opened.log.sealed[-1].number + 1

    @property
    def position(self) -> int:
        """The last frame that can be."""
        return self.opened.log.sealed[-1].position

    def sealed_digest(self) -> bytes:
        """The digest of what can be compacted: commits may end within it or not."""
        return self.digests[max(p for p in self.digests if p <= self.position)]


def with_every_situation(data: bytes) -> Life:
    """A life with a job in every situation, each with data, all of it sealed."""
    life = Life()
    options = Options(10_000, 600_000, 3, 5, 1)
    for number, situation in enumerate(SITUATIONS, 1):
        job = job_in(life.engine, situation, number, options)
        assert job.queue.name == QUEUE
    for number in range(10, 14):
        added(life.engine, number, options, payload=data)
    for number, finish in ((10, life.engine.complete), (11, life.engine.fail)):
        found = life.engine.find(job_id(number))
        assert found is not None
        finish(found, data[::-1])
    head = life.engine.head(QUEUE)
    assert head is not None
    life.engine.lease(head)
    life.keep()
    life.fill_segment()
    return life


def read_back(disk: Disk) -> State:
    """The state that a log makes."""
    state = State()
    replay(Reading(disk), state)
    return state
