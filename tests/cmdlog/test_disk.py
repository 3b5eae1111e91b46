"""What every disk does: the real one and the simulated one are held to the same."""

from __future__ import annotations

import pytest

from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.disk import FULL, Disk
from workq.cmdlog.files import RealDisk


@pytest.fixture(params=["real", "simulated"])
def disk(request, tmp_path) -> Disk:
    """One of both."""
    return RealDisk(str(tmp_path)) if request.param == "real" else SimulatedDisk()


def test_what_is_written_is_read(disk):
    """At any offset; what lies before it is zero, and behind the end is nothing."""
    handle = disk.create("file")
    disk.write(handle, b"later", 10)
    disk.write(handle, b"first", 0)
    assert disk.read(handle, 100, 0) == b"first" + bytes(5) + b"later"
    assert disk.read(handle, 3, 1) == b"irs"
    assert disk.read(handle, 3, 15) == b""
    assert disk.size(handle) == 15
    disk.sync(handle)
    disk.close(handle)
    again = disk.open("file")
    assert disk.read(again, 5, 10) == b"later"
    disk.close(again)


def test_a_file_is_cut_and_made_longer(disk):
    """What was preallocated is zero."""
    handle = disk.create("file")
    disk.write(handle, b"123456", 0)
    disk.truncate(handle, 3)
    assert disk.size(handle) == 3
    disk.preallocate(handle, 8)
    assert disk.read(handle, 100, 0) == b"123" + bytes(5)
    disk.preallocate(handle, 4)
    assert disk.size(handle) == 8


def test_a_file_that_is_made_again_is_empty(disk):
    """What an earlier attempt left is gone."""
    disk.write(disk.create("file"), b"old", 0)
    assert disk.size(disk.create("file")) == 0


def test_names_come_and_go(disk):
    """In order; a renamed file takes another's place."""
    one = disk.create("b")
    other = disk.create("a")
    assert disk.names() == ["a", "b"]
    disk.write(one, b"one", 0)
    disk.rename("b", "a")
    disk.sync_names()
    assert disk.names() == ["a"]
    assert disk.read(disk.open("a"), 9, 0) == b"one"
    assert (disk.links(one), disk.links(other)) == (1, 0)
    disk.remove("a")
    assert disk.names() == []
    assert disk.links(one) == 0


def test_a_file_that_is_not_there_cannot_be_opened(disk):
    """Nor is it made."""
    with pytest.raises(FileNotFoundError):
        disk.open("file", writing=True)
    assert disk.names() == []


def test_a_full_disk_is_told_from_a_broken_one():
    """So is a quota that is used up."""
    disk = SimulatedDisk()
    disk.space = 10
    with pytest.raises(OSError, match="No space left") as caught:
        disk.preallocate(disk.create("file"), 11)
    assert caught.value.errno in FULL
