"""Directories and processes of the system, for what compacts in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.simulation.disk import SimulatedDisk

PATIENCE_SECONDS = 20


def until(holds: Callable[[], object]) -> None:
    """Ask again and again until something is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        os.sched_yield()


def laid_out(disk: SimulatedDisk, directory: Path) -> str:
    """A simulated directory as a real one."""
    directory.mkdir(mode=0o700)
    for name in disk.names():
        (directory / name).write_bytes(disk.read_all(name))
    return str(directory)


def descriptors(pid: int) -> list[str]:
    """What a process has open just now."""
    found: list[str] = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just closed it
            found.append(str(one.readlink()))
    return found
