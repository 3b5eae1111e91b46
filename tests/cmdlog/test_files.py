"""The directory of the operating system."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from workq.cmdlog.files import RealDisk
from workq.cmdlog.settle import lock
from workq.errors import DirectoryError


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_missing_directory_is_made_for_its_owner_only(tmp_path):
    """With those above it; what is in it too."""
    path = tmp_path / "a" / "b"
    disk = RealDisk(str(path), make=True)
    disk.create("file")
    assert mode(path) == mode(tmp_path / "a") == 0o700
    assert mode(path / "file") == 0o600


def test_a_directory_that_is_there_is_used_as_it_is(tmp_path):
    """Its mode is its owner's affair."""
    tmp_path.chmod(0o750)
    RealDisk(str(tmp_path), make=True)
    assert mode(tmp_path) == 0o750


def test_a_missing_directory_is_refused_when_it_is_not_to_be_made(tmp_path):
    """A tool that reads makes nothing."""
    path = tmp_path / "missing"
    with pytest.raises(DirectoryError, match="No such file"):
        RealDisk(str(path))
    assert not path.exists()


def test_a_file_is_no_directory(tmp_path):
    """And the refusal says so."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(DirectoryError, match="Not a directory"):
        RealDisk(str(path), make=True)


def test_a_link_that_leads_nowhere_is_told_from_a_file(tmp_path):
    """What it leads to may be a disk that is not mounted: nothing is made in its place."""
    (tmp_path / "link").symlink_to("/nowhere/log")
    for path in (tmp_path / "link", tmp_path / "link" / "log"):
        with pytest.raises(DirectoryError) as caught:
            RealDisk(str(path), make=True)
        assert str(caught.value) == (
            f"{tmp_path}/link: is a symbolic link to /nowhere/log, which leads nowhere"
        )


def test_errors_name_the_file_with_its_directory(tmp_path):
    """Of a file that is found by its name, of one that is open, and of the directory itself."""
    disk = RealDisk(str(tmp_path))
    (tmp_path / "folder").mkdir()
    missing, folder = f"{tmp_path}/missing", f"{tmp_path}/folder"
    handle, reader = disk.create("old"), disk.open("folder")
    disk.rename("old", "new")
    wrong = [
        (missing, lambda: disk.open("missing")),
        (folder, lambda: disk.create("folder")),
        (missing, lambda: disk.rename("missing", "new")),
        (folder, lambda: disk.remove("folder")),
        (folder, lambda: disk.read(reader, 1, 0)),
        (folder, lambda: disk.write(reader, b"x", 0)),
        (f"{tmp_path}/new", lambda: disk.truncate(handle, -1)),
        (f"{tmp_path}/new", lambda: disk.preallocate(handle, -1)),
        (str(tmp_path), lambda: disk.sync(1_000_000)),
    ]
    for path, act in wrong:
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            act()
        assert caught.value.filename == path


def test_a_directory_has_one_owner(tmp_path):
    """The second is refused at once, with a clear word; when the first is gone it may."""
    first, second = RealDisk(str(tmp_path)), RealDisk(str(tmp_path))
    lock(first)
    with pytest.raises(DirectoryError, match="another workq-server"):
        lock(second)
    first.unlock()
    lock(second)


def test_short_writes_and_reads_are_gone_on_with(tmp_path, monkeypatch):
    """The system may take and give less than asked for."""
    pwrite, pread = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:3], at))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 2), at))
    disk = RealDisk(str(tmp_path))
    handle = disk.create("file")
    disk.write(handle, b"0123456789", 5)
    assert disk.read(handle, 100, 5) == b"0123456789"
    assert disk.read(handle, 4, 6) == b"1234"


def test_descriptors_are_not_inherited(tmp_path):
    """A program that is started must not hold the lock."""
    disk = RealDisk(str(tmp_path))
    assert not os.get_inheritable(disk.create("file"))
    assert not os.get_inheritable(disk.open("file"))


def test_space_is_taken_when_it_is_preallocated(tmp_path):
    """Not when it is written."""
    disk = RealDisk(str(tmp_path))
    disk.preallocate(disk.create("file"), 1 << 20)
    assert (tmp_path / "file").stat().st_blocks * 512 >= 1 << 20
