"""Logs in simulated directories: opened, filled, read back."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.simulation.disk import SimulatedDisk
from tests.simulation.worker import StepWorker
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.frames import COMMIT, Frame
from workq.cmdlog.scan import Reading
from workq.cmdlog.settle import lock, settle

SEGMENT_BYTES = 2048


class Noted:
    """Notes what a log reports, and that it reports nothing impossible."""

    def __init__(self, first: int = 0) -> None:
        self.told: list[tuple[str, object]] = []
        self.position = first  # written
        self.safe = first  # synced
        self.reason = ""
        self.is_full = False

    def written(self, position: int) -> None:
        """So far written."""
        assert position > self.position
        assert not self.reason
        self.position = position
        self.told.append(("written", position))

    def synced(self, position: int) -> None:
        """So far synced."""
        assert self.safe < position <= self.position
        assert not self.reason
        self.safe = position
        self.told.append(("synced", position))

    def full(self, full: bool) -> None:
        """No room, or room again."""
        assert full != self.is_full
        assert not self.reason
        self.is_full = full
        self.told.append(("full", full))

    def fullness(self) -> list[object]:
        """What was told about room."""
        return [what for name, what in self.told if name == "full"]

    def failed(self, reason: str) -> None:
        """The end."""
        assert reason
        assert not self.reason
        self.reason = reason
        self.told.append(("failed", reason))


class Opened(NamedTuple):
    """A log that is open, what came with it, and what was read before."""

    log: DirectoryLog
    disk: SimulatedDisk
    worker: StepWorker
    noted: Noted
    frames: list[Frame]
    reading: Reading


def read(disk: SimulatedDisk) -> tuple[Reading, list[Frame]]:
    """Read a log to its end."""
    reading = Reading(disk)
    frames = list(reading.frames())
    assert reading.bytes_done == reading.bytes_in_all
    return reading, frames


def opened(disk: SimulatedDisk, segment_bytes: int = SEGMENT_BYTES) -> Opened:
    """Open a log as a server does at its start."""
    lock(disk)
    reading, frames = read(disk)
    end = settle(disk, reading)
    worker = StepWorker()
    noted = Noted(end.position + 1)
    log = DirectoryLog(
        disk,
        worker,
        noted,
        end,
        segment_bytes=segment_bytes,
        time_ms=1000,
        chance=lambda size: Random(1).randbytes(size),
    )
    return Opened(log, disk, worker, noted, frames, reading)


def body(number: int, size: int = 100) -> bytes:
    """The body of a commit, told from all others."""
    return Random(number).randbytes(size)


def fill(opened: Opened, numbers: range, size: int = 100) -> None:
    """Append some commits."""
    for number in numbers:
        opened.log.append(COMMIT, 1000 + number, number, body(number, size))


def commits(frames: list[Frame]) -> list[int]:
    """Which commits there are, each checked for its body."""
    found = []
    for frame in frames:
        if frame.kind == COMMIT:
            assert frame.body == body(frame.records, len(frame.body))
            found.append(frame.records)
    return found
