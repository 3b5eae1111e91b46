"""Every log there is, held to the contract of all."""

from __future__ import annotations

from random import Random

import pytest

from tests.cmdlog.contract import Driver, LogContract
from tests.cmdlog.making import Noted, opened
from tests.simulation.disk import SimulatedDisk
from tests.simulation.log import MemoryLog
from workq.cmdlog import directory


class DirectoryDriver(Driver):
    """A log on a simulated disk."""

    def __init__(self) -> None:
        self.opened = opened(SimulatedDisk())
        self.log = self.opened.log
        self.noted = self.opened.noted

    def step(self, random: Random) -> None:
        """A step of the worker, or its end told."""
        random.choice((self.opened.worker.step, self.opened.worker.tell))()

    def run(self) -> None:
        """All steps."""
        self.opened.worker.run()

    def fail(self) -> None:
        """No write and no sync works any more."""

        def fault(name: str, number: int) -> None:
            if name in ("write", "sync"):
                raise OSError(5, "Input/output error")

        self.opened.disk.before = fault

    def set_full(self, full: bool) -> None:
        """The next segment but one finds no room: the next was made before."""
        disk = self.opened.disk
        disk.space = disk.used() if full else 1 << 40
        while full and not self.noted.is_full:
            self.append(1000)
            self.run()


@pytest.fixture(autouse=True)
def a_thousand_bytes_are_large(monkeypatch):
    """So that the worker writes too."""
    monkeypatch.setattr(directory, "FRAME_BYTES_ON_LOOP_MAX", 1000)


class TestDirectoryLog(LogContract):
    """The log in a directory."""

    def drive(self) -> Driver:
        """On a disk of its own."""
        return DirectoryDriver()


class MemoryDriver(Driver):
    """A log in memory."""

    def __init__(self, eager: bool) -> None:
        self.noted = Noted()
        self.log = self.memory = MemoryLog(self.noted, eager)

    def step(self, random: Random) -> None:
        """A frame is written, or a sync begins or ends."""
        match random.randrange(3):
            case 0:
                self.memory.write(self.memory.written + 1)
            case 1:
                self.memory.begin_sync()
            case _:
                self.memory.end_sync()

    def run(self) -> None:
        """All that was asked for."""
        self.memory.run()

    def fail(self) -> None:
        """At once."""
        self.memory.fail()

    def set_full(self, full: bool) -> None:
        """At once."""
        self.memory.set_full(full)


class TestMemoryLog(LogContract):
    """The log in memory, late."""

    def drive(self) -> Driver:
        """Frames are written when it is told to."""
        return MemoryDriver(eager=False)


class TestEagerMemoryLog(LogContract):
    """The log in memory, early."""

    def drive(self) -> Driver:
        """Frames are written at once."""
        return MemoryDriver(eager=True)
