"""A simulated machine: its clocks, what happens when, and what a server's process finds on it.

`Machine` knows nothing of jobs. It has a heap of things to come, runs a server's loop, and puts
itself in the place of what the server takes from the system: time, threads, files, sockets, chance,
child processes. Nothing of the server is changed for it; the names that stand for the system in its
modules are set before a server starts and put back in the end (`installed`).
"""

from __future__ import annotations

import gc
import heapq
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final
from unittest import mock

from tests.simulation.faulty import FaultyDisk
from tests.simulation.loop import SimulatedLoop
from workq.errors import CompactionError, DirectoryError
from workq.recovery import compact
from workq.server import clock, compaction, ring, service, storage

#: 2030-01-01T00:00:00Z in microseconds.
START_US: Final = 1_893_456_000_000_000


class Machine:
    """A machine.

    Args:
        random: of all that is left to chance here.
        disk_us: what a step that waits for the disk takes, about.

    Attributes:
        now_us: since the start, by the clock that counts sleep.
        stepped_us: what the wall clock has been set forward by, all in all.
        disk: the directory of the log.
        loop: of the server that runs; None while none does.
        stalled_until_us: the server's loop does not run before.
        step_name: which step of a worker is being taken; empty for none.
        steps_on_the_way: of workers, that were not taken or not told of.
        in_child: whether a compaction's process is at work.
        slow: how many times as long the disk takes at present.
    """

    def __init__(self, random: Random, disk_us: int) -> None:
        self.random = random
        self.disk_us = disk_us
        self.now_us = 0
        self.stepped_us = 0
        self.disk = FaultyDisk()
        self.loop: SimulatedLoop | None = None
        self.stalled_until_us = 0
        self.step_name = ""
        self.in_child = False
        self.slow = 1
        self.boots = 0
        self._dead: list[SimulatedLoop] = []
        self.steps_on_the_way = 0
        self._busy_until_us = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    # --- time -------------------------------------------------------------------------------

    def wall_ms(self) -> int:
        """The wall clock."""
        return (START_US + self.now_us + self.stepped_us) // 1000

    def later(self, delay_us: int, act: Callable[[], None]) -> None:
        """Have something done after a while."""
        self.at(self.now_us + delay_us, act)

    def at(self, when_us: int, act: Callable[[], None]) -> None:
        """Have something done at a time."""
        self._count += 1
        heapq.heappush(self._events, (when_us, self._count, act))

    def soon(self, act: Callable[..., None], *arguments: Any) -> None:
        """Have something done in the server's next round, unless it is gone by then."""
        if self.loop is not None:
            self.loop.call_soon(act, *arguments)

    def step(self) -> None:
        """Let the next thing happen. May raise `Killed`."""
        loop = self.loop
        if loop is not None and loop.ready:
            free_us = max(self._busy_until_us, self.stalled_until_us)
            if not self._events or self._events[0][0] > max(free_us, self.now_us):
                self.now_us = max(self.now_us, free_us)
                self._busy_until_us = self.now_us + self.random.choice((0, 0, 30, 400))
                loop.round()
                return
        if self._events:
            when_us, _, act = heapq.heappop(self._events)
            self.now_us = max(self.now_us, when_us)
            act()

    def quiet_us(self) -> int:
        """How long nothing will happen."""
        return self._events[0][0] - self.now_us if self._events else 1 << 60

    def published(self) -> None:
        """A snapshot has got its name, and what it replaces is removed."""

    def compaction_failed(self, error: Exception) -> None:
        """A compaction has not come to its end."""

    def boot(self) -> SimulatedLoop:
        """Begin a new process."""
        self.boots += 1
        boot = self.boots

        def later(when_us: int, act: Callable[[], None]) -> None:
            self.at(when_us, lambda: act() if self.boots == boot else None)

        self.loop = SimulatedLoop(lambda: self.now_us, later)
        self.stalled_until_us = 0
        return self.loop

    def die(self) -> None:
        """The process is gone."""
        if self.loop is not None:
            self.loop.close()
            self._dead.append(self.loop)
        self.loop = None
        self.boots += 1
        self.step_name = ""
        self.in_child = False
        self.steps_on_the_way = 0

    def bury(self) -> None:
        """The world ends, and with it all that was left of its processes."""
        self.die()
        for loop in self._dead:
            loop.bury()
        self._dead.clear()

    # --- what a server finds ----------------------------------------------------------------

    def time_ns(self) -> int:
        """As `time.time_ns`."""
        return (START_US + self.now_us + self.stepped_us) * 1000

    def monotonic_ns(self) -> int:
        """As `time.monotonic_ns`."""
        return self.now_us * 1000

    CLOCK_BOOTTIME = 7

    def clock_gettime_ns(self, which: int) -> int:
        """As `time.clock_gettime_ns`."""
        assert which == self.CLOCK_BOOTTIME
        return self.now_us * 1000


class FakeOs:
    """The module `os`, but for chance."""

    def __init__(self, machine: Machine) -> None:
        self.urandom = machine.random.randbytes

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class Worker:
    """A `workq.cmdlog.disk.Worker` that takes its steps when the machine's disk has time.

    Args:
        machine: where.
        call: has a function called on the loop.
    """

    def __init__(self, machine: Machine, call: Callable[..., object]) -> None:
        self._machine = machine
        self._call = call
        self._boot = machine.boots
        self._steps: list[tuple[Any, Any]] = []
        self._told_us = 0  # ends are told in the order of the steps

    def submit(self, step: Any, done: Any) -> None:
        """Have a step taken, and its end told on the loop."""
        self._steps.append((step, done))
        self._machine.steps_on_the_way += 1
        if len(self._steps) == 1:
            self._begin()

    def close(self) -> None:
        """Take all steps that are left."""
        while self._steps:
            self._take()

    def _begin(self) -> None:
        machine = self._machine
        delay_us = machine.random.randint(1, machine.disk_us * machine.slow)
        if self._name() == "step":  # of a compaction, whose process takes a while
            delay_us *= 10
        machine.later(delay_us, self._due)

    def _name(self) -> str:
        step, _ = self._steps[0]
        return str(getattr(getattr(step, "func", step), "__name__", "step"))

    def _due(self) -> None:
        if self._machine.boots == self._boot and self._steps:
            self._take()
            if self._steps:
                self._begin()

    def _take(self) -> None:
        machine = self._machine
        step, done = self._steps[0]
        failure: Exception | None = None
        machine.step_name = self._name()
        try:
            step()
            if machine.step_name == "step":
                machine.published()
        except Exception as error:  # what a thread would catch
            failure = error
        finally:
            machine.step_name = ""
        del self._steps[0]
        delay_us = machine.random.choice((0, 0, machine.disk_us))
        self._told_us = max(self._told_us, machine.now_us + delay_us)
        machine.at(self._told_us, lambda: self._tell(done, failure))

    def _tell(self, done: Any, failure: Exception | None) -> None:
        if self._machine.boots == self._boot:
            self._machine.steps_on_the_way -= 1
            self._call(done, failure)


class Child:
    """A `workq.server.compaction.Run` in the same process: what the child does, through the disk.

    Args:
        machine: where.
        path: of the directory.
        number: of the first segment that is not compacted.
        position: of the last frame that is.
    """

    pid = 0

    def __init__(self, machine: Machine, path: str, number: int, position: int) -> None:
        self._machine = machine
        self._number, self._position = number, position
        self._ended = False

    def run(self) -> None:
        """Do the work."""
        machine = self._machine
        if self._ended:
            raise CompactionError("it was ended before it began")
        machine.in_child = True
        try:
            compact.compact(machine.disk, self._number, self._position)
        except (DirectoryError, OSError) as error:
            machine.compaction_failed(error)
            raise CompactionError(str(error)) from error
        finally:
            machine.in_child = False

    def end(self) -> None:
        """Do not begin."""
        self._ended = True


class Listener:
    """What the server believes to be its open socket."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def close(self) -> None:
        """Listen no longer."""
        self._loop.listening = None


@contextmanager
def installed(
    machine: Machine, make_ring: Callable[..., Any], commands: Any, limits: dict[str, int]
) -> Iterator[None]:
    """Let servers find this machine, and no other.

    Args:
        machine: the machine.
        make_ring: takes the place of the ring's class.
        commands: take the place of the commands.
        limits: that are other than shipped, by name.
    """

    async def listen(ring: Any, listener: Any, address: Any, sockets: Any) -> None:
        assert machine.loop is not None
        machine.loop.listening = ring.connection
        listener.servers.append(Listener(machine.loop))
        listener.places.append(str(address))

    def child(path: str, number: int, position: int) -> Child:
        return Child(machine, path, number, position)

    places: tuple[tuple[Any, str, Any], ...] = (
        (clock, "time", machine),
        (ring, "resident_bytes", lambda: 0),
        (ring, "descriptors_left", lambda: True),
        (ring, "collect_young", lambda changes: False),
        (ring, "COMMANDS", commands),
        (storage, "RealDisk", lambda path, make=False: machine.disk),
        (storage, "ThreadWorker", lambda call, second=True: Worker(machine, call)),
        (storage, "os", FakeOs(machine)),
        (storage, "time", machine),
        (compaction, "Child", child),
        (compaction, "time", machine),
        (service, "Ring", make_ring),
        (service, "bind", lambda address, insecure: []),
        (service, "_listen", listen),
        (service, "raise_descriptor_limit", lambda: 20_000),
        (service, "take_over_collection", lambda: None),
    )
    places += tuple(
        (module, name, value)
        for name, value in limits.items()
        for place, module in sorted(sys.modules.items())
        if place.startswith("workq.") and hasattr(module, name)
    )
    collecting = gc.isenabled()
    switching_s = sys.getswitchinterval()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    patches = [mock.patch.object(place, name, value) for place, name, value in places]
    for patch in patches:
        patch.start()
    gc.disable()
    try:
        yield
    finally:
        machine.disk.dead = True
        machine.bury()
        for patch in reversed(patches):
            patch.stop()
        logging.disable(before)
        sys.setswitchinterval(switching_s)
        if collecting:
            gc.enable()
