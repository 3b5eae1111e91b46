"""Logs in simulated directories with the transitions of engines in them."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tests.cmdlog.making import SEGMENT_BYTES, opened
from tests.engine.making import CALM, NOW_MS, job_id, running
from tests.simulation.disk import Inode, SimulatedDisk
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Place, Reading
from workq.engine import dump
from workq.engine.engine import Engine
from workq.engine.job import LEASED, READY, Options
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.recovery.records import bodies
from workq.recovery.replay import replay

Commits = list[tuple[list[Transition], int]]


def kept(
    commits: Iterable[tuple[list[Transition], int]], size: int = SEGMENT_BYTES
) -> SimulatedDisk:
    """A disk with a log of some commits, each with its time; stopped in order, all safe."""
    disk = SimulatedDisk()
    log, _, worker, *_ = opened(disk, size)
    for commit, time_ms in commits:
        for records, body in bodies(commit):
            log.append(COMMIT, time_ms, records, body)
        log.sync()
        worker.run()
    log.close(NOW_MS, lambda: None)
    worker.run()
    return disk.copy()


def lived(seed: int, turns: int = 60) -> Commits:
    """What a server decides in some turns with random clients; time goes on between them.
    From seed 2 on jobs are delayed, retried and touched; the others are of the fuzzer's corpus."""
    random = Random(seed)
    engine = running()
    commits: Commits = []
    later = seed >= 2
    last = Options(500, 60_000, 1, 2, 2, *((100, 2) if later else ()))
    options = (CALM, Options(200, 3000), last)
    for number in range(turns):
        engine.advance(engine.now_ms + random.randrange(300), 0)
        _turn(engine, number, random, random.choice(options), later)
        if engine.commit:
            commits.append((engine.commit, engine.now_ms))
            engine.commit = []
    return commits


def _turn(engine: Engine, number: int, random: Random, options: Options, later: bool) -> None:
    every = sorted(engine.jobs.values(), key=lambda job: job.seq)  # in no order of hashes
    jobs = [job for job in every if not job.finished]
    time_ms = random.choice((None, None, engine.now_ms + random.randrange(1000)))
    queue = random.choice((b"ping", b"pong"))
    delay_ms = random.choice((0, 0, 300)) if later and time_ms is None else 0
    engine.add(job_id(number), queue, options, b"%d" % number * 9, time_ms, delay_ms)
    for job in random.sample(jobs, min(3, len(jobs))):
        act = random.randrange(5)
        if job.state == READY and job.hold is None:
            token = engine.lease(job)
            if act == 0:
                engine.give_back(job.id, token)
        elif act == 1:
            engine.delete(job)
        elif act == 4 and later and job.state == LEASED:
            engine.touch(job, 700)
        elif act == 2:
            engine.fail(job, b"why")
        elif job.state == LEASED:
            engine.complete(job, b"done")


def again(disk: SimulatedDisk) -> State:
    """The state that a log on a disk makes."""
    state = State()
    replay(Reading(disk), state)
    return state


def places(disk: Disk) -> dict[int, Place]:
    """Where each frame is, by position."""
    reading = Reading(disk)
    return {frame.position: reading.at for frame in reading.frames()}


def damage(disk: SimulatedDisk, place: Place, offset: int = 70) -> None:
    """Flip a bit of a frame."""
    name = f"{place.number:09d}.log"
    data = bytearray(disk.read_all(name))
    data[place.offset + offset] ^= 1
    disk.files[name] = disk.safe_files[name] = Inode.of(bytes(data))


def same(state: State, other: State) -> bool:
    """Whether two states agree in all that is durable."""
    return dump.digest(state) == dump.digest(other)
