"""Files of a log that somebody has removed are missed."""

from __future__ import annotations

import errno

import pytest

from tests.simulation.disk import Inode, SimulatedDisk
from workq.limits import FILES_LOOKED_FOR_MAX
from workq.server.presence import Presence

NAMES = [f"{number:09d}.log" for number in range(2 * FILES_LOOKED_FOR_MAX)]


@pytest.fixture
def disk() -> SimulatedDisk:
    """A disk with all of them."""
    disk = SimulatedDisk()
    for name in NAMES:
        disk.put(name, Inode.of(b""))
    return disk


def test_all_files_are_looked_for_in_turn(disk):
    """Some each time, and none is left open."""
    presence = Presence(disk)
    disk.remove(NAMES[-1])
    assert presence.missing(NAMES) == ""
    assert presence.missing(NAMES) == NAMES[-1]
    assert not disk.handles
    assert Presence(disk).missing([]) == ""


def test_an_error_that_says_nothing_of_the_file_is_no_loss(disk, monkeypatch):
    """Such as too many open files."""

    def fail(name: str, writing: bool = False) -> int:
        raise OSError(errno.EMFILE, "Too many open files", name)

    monkeypatch.setattr(disk, "open", fail)
    assert Presence(disk).missing(NAMES) == ""
