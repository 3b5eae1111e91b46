"""When the faults are over: all must come right again.

Every wait and every connection comes to its end, what is left to do is handed out and done, a disk
that had room again is not full, a server that is left alone tidies its log up and vouches for it,
and one that is told to stop leaves all as it is for the next. A night may lie between, in which the
machine sleeps and time goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.simulation.violation import demand

#: How long all may take to come right.
HEALING_MS: Final = 30_000

#: How long a server is left alone: it vouches for its log within two seconds of its last sync,
#: which may come an interval after the last change.
ALONE_MS: Final = 4500

#: How long a machine may sleep.
NIGHTS_MS: Final = (90_000, 1_400_000, 9_000_000, 50_000_000)


def come_right(world: Any) -> None:
    """Let nothing go wrong any more."""
    random = Random(f"{world.seed} healing")
    world.note("the faults are over")
    world.forgive_all()
    world.winding_down = True
    until(world, lambda: world.serving, "no server starts")
    until(world, lambda: not world.promises.oracle.full, "the disk has room and is full", 3000)
    if random.random() < 0.3:
        night_ms = random.choice(NIGHTS_MS)
        world.note(f"the machine sleeps for {night_ms} ms")
        world.stall(night_ms * 1000)
    _end_clients(world)
    if random.random() < 0.5:
        _drain(world)
    _leave_alone(world)
    if random.random() < 0.3:
        world.crash_now(random.choice(("kill", "power")), flip=random.random() < 0.7)
        until(world, lambda: world.serving, "no server starts after a crash at rest")
    _drain(world)
    _stop_and_start(world)


def until(
    world: Any,
    holds: Callable[[], Any],
    what: str,
    for_ms: int = HEALING_MS,
    checker: str = "liveness",
) -> None:
    """Let time pass until something holds."""
    end_us = world.now_us + for_ms * 1000
    end_us = max(end_us, world.stalled_until_us + for_ms * 1000)
    while not holds():
        world.take_step()
        demand(world.now_us < end_us, checker, what)


def _end_clients(world: Any) -> None:
    """No client sends more; one that does not take its last replies is not waited for."""
    for wire in world.wires:
        if wire.vanished:
            wire.reset()
        else:
            wire.read_on()
            wire.half_close()
    deaf = world.connect(None)
    deaf.reading = False
    deaf.send(b"stats\r\nstats\r\n")
    deaf.half_close()
    worker = world.connect(None)
    finished: set[bytes] = set()

    def others_have_ended() -> bool:
        nonlocal worker
        # It finishes what a caller would wait a day for: `touch` may do that.
        called_for = set(world.promises.called_for(HEALING_MS // 2))
        if called_for and worker.seen_end:  # there were too many connections
            worker.half_close()
            worker = world.connect(None)
            finished.clear()
        for job_id in sorted(called_for - finished):
            worker.send(b"complete %b 0\r\n\r\n" % job_id)
            finished.add(job_id)
        return all(wire.lost or wire is worker for wire in world.wires)

    until(world, others_have_ended, "connections do not end")
    worker.half_close()
    until(world, lambda: not world.promises.served(), "connections do not end")
    world.promises.all_gone()


def _drain(world: Any) -> None:
    """A worker finishes what there is."""

    def act() -> None:
        if wire.seen_end or wire.closed:
            return
        world.later(20_000, act)
        if not wire.inbox and asked:
            return
        words = [line.split(b" ") for line in bytes(wire.inbox).split(b"\r\n")]
        jobs = [word[0] for word in words if len(word) == 4 and len(word[0]) == 36]
        wire.inbox.clear()
        for job_id in jobs:
            wire.send(b"complete %b 0\r\n\r\n" % job_id)
        wire.send(b"lease red green blue 300\r\n")
        asked.append(1)

    end_us = world.now_us + 9_000_000
    wire: Any = None
    asked: list[int] = []
    while world.promises.unfinished() and world.now_us < end_us:
        if wire is None or wire.seen_end:
            wire = world.connect(None)
            assert wire is not None
            asked.clear()
            act()
        world.take_step()
    demand(not world.promises.unfinished(), "liveness", "work is left that nobody is handed")
    if wire is not None:
        wire.half_close()


def _leave_alone(world: Any) -> None:
    """A server with nothing to do tidies up, and vouches for all that it has."""
    end_us = world.now_us + ALONE_MS * 1000
    while world.now_us < end_us:
        world.take_step()
    # What has kept it from compacting keeps it a while longer.
    what, for_ms = "the log takes more than is promised", 20_000 if world.promises.hampered else 1
    until(world, world.promises.bounded, what, for_ms, "bounds")
    world.promises.left_alone()


def _stop_and_start(world: Any) -> None:
    """A server that stops leaves all as it is."""
    world.final = True
    world.ended = ""
    world.stop()
    until(world, lambda: world.ended == "stopped" and world.loop is None, "it does not stop")
    world.final = False
    world.start()
    until(world, lambda: world.serving, "it does not start")
