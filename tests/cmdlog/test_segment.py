"""Names and headers of files."""

from __future__ import annotations

from hashlib import blake2b
from random import Random

import pytest

from tests.simulation.disk import Inode, SimulatedDisk
from workq.cmdlog import segment
from workq.cmdlog.segment import HEADER_BYTES, LOG, SNAPSHOT, header, list_files, read_header
from workq.errors import CorruptionError, DirectoryError

MARK = b"12345678"


def disk_with(*names: str, data: bytes = b"") -> SimulatedDisk:
    """A disk with files."""
    disk = SimulatedDisk()
    for name in names:
        disk.put(name, Inode.of(data))
    return disk


def test_a_header_stands_byte_for_byte_where_the_format_says():
    """Offset by offset."""
    data = header(LOG, 7, MARK)
    assert data[0:8] == b"workqlog"
    assert data[8:12] == (1).to_bytes(4, "little")
    assert data[12:16] == bytes(4)
    assert data[16:24] == (7).to_bytes(8, "little")
    assert data[24:32] == MARK
    assert data[32:48] == bytes(16)
    assert data[48:] == blake2b(data[:48], digest_size=16).digest()
    assert len(data) == HEADER_BYTES == 64


def test_a_header_gives_the_mark():
    """What follows it does not matter."""
    data = header(LOG, 7, MARK) + b"more"
    assert read_header(SimulatedDisk(), "000000007.log", data, LOG, 7) == MARK


def test_a_header_of_which_a_bit_is_wrong_is_refused():
    """Any bit; and one that is cut short."""
    data = bytearray(header(LOG, 7, MARK))
    for bit in range(8 * HEADER_BYTES):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptionError, match=r"000000007\.log, byte 0"):
            read_header(SimulatedDisk(), "000000007.log", bytes(data), LOG, 7)
        data[bit // 8] ^= 1 << bit % 8
    for size in range(HEADER_BYTES):
        with pytest.raises(CorruptionError):
            read_header(SimulatedDisk(), "000000007.log", bytes(data[:size]), LOG, 7)


def version_0() -> bytes:
    """A header of a format that never was."""
    start = header(LOG, 7, MARK)[:48].replace(b"\1", b"\0", 1)
    return start + blake2b(start, digest_size=16).digest()


@pytest.mark.parametrize("data", [header(LOG, 8, MARK), header(SNAPSHOT, 7, MARK), version_0()])
def test_the_header_of_another_file_is_refused(data):
    """A file that was given a wrong name is not read."""
    with pytest.raises(CorruptionError, match="another file"):
        read_header(SimulatedDisk(), "000000007.log", data, LOG, 7)


def test_a_newer_format_is_told(monkeypatch):
    """It is no damage: the one who wrote it can read it."""
    monkeypatch.setattr(segment, "VERSION", 2)
    data = header(LOG, 7, MARK)
    monkeypatch.undo()
    with pytest.raises(DirectoryError, match="newer workq") as caught:
        read_header(SimulatedDisk(), "000000007.log", data, LOG, 7)
    assert not isinstance(caught.value, CorruptionError)


def test_the_original_servers_directory_is_told():
    """By its locks, or by its segments."""
    for name in ("append.lock", "read.lock"):
        with pytest.raises(DirectoryError, match="workq cmdlog import"):
            list_files(disk_with("000000001.log", name))
    with pytest.raises(DirectoryError, match="workq cmdlog import"):
        read_header(SimulatedDisk(), "000000001.log", b"wqwq\0\0\0\1", LOG, 1)


def test_files_are_told_by_their_names():
    """By number, beyond nine digits too; what is not ours is left alone."""
    disk = disk_with(
        "000000002.log", "1000000000.log", "000000003.snap", "000000004.snap.tmp",
        "000000009.17.cut", "1.log", "notes.txt", "000000005.log.bak",
    )  # fmt: skip
    listing = list_files(disk)
    assert listing.segments == [2, 1_000_000_000]
    assert listing.snapshots == [3]
    assert listing.fresh == 1_000_000_001
    assert listing.unfinished == ["000000004.snap.tmp"]


def test_nothing_but_our_own_names_is_counted_or_taken_for_unfinished():
    """However much like ours they look."""
    strange = (
        "x.tmp", "notes.log.tmp", "000000004.tmp", "000000004.bak.tmp", "000000004.cut.tmp",
        "1.log.tmp", "000000004.log.tmp.tmp", "20261123120000.tar", "000000005.log.bak",
        "999999999999999999999.bak", "9999999999999999.log", "999999999999999.1.cut",
        "000000004.999999999999999999999.cut", "000000004.log\n", "0000000004.log",
        "0000000004.snap.tmp", "0000000004.1.cut",
    )  # fmt: skip
    assert list_files(disk_with(*strange)) == ([], [], 1, [])
    unfinished = ["000000002.17.cut.tmp", "000000003.log.tmp", "000000004.snap.tmp"]
    assert list_files(disk_with(*strange, *unfinished)) == ([], [], 5, unfinished)


def test_a_number_that_no_server_comes_to_is_refused():
    """The next would have a digit too many to be found again."""
    for name in ("999999999999999.log", "999999999999999.snap"):
        with pytest.raises(DirectoryError, match=f"/simulated/{name}: .*move the file away"):
            list_files(disk_with("000000001.log", name))
    fresh = list_files(disk_with("99999999999999.1.cut")).fresh
    assert list_files(disk_with(segment.segment_name(fresh))).segments == [fresh]


def test_no_number_is_used_twice():
    """Not that of a file that was put aside or never finished."""
    assert list_files(SimulatedDisk()).fresh == 1
    assert list_files(disk_with("000000009.17.cut")).fresh == 10
    assert list_files(disk_with("000000004.log.tmp", "000000003.snap")).fresh == 5


def test_a_file_has_its_name_only_when_its_header_is_safe():
    """A power cut before any call leaves none, or a whole one."""

    class PowerCut(BaseException):
        pass

    start = header(LOG, 1, MARK)
    found = 0
    for call in range(1, 7):
        for seed in range(20):
            disk = SimulatedDisk()

            def cut(name: str, number: int, call: int = call) -> None:
                if number == call:
                    raise PowerCut

            disk.before = cut
            with pytest.raises(PowerCut):
                segment.make_file(disk, "000000001.log", start, 1024)
            after = disk.crash(Random(seed))
            if "000000001.log" in after.names():
                assert after.read_all("000000001.log") == start.ljust(1024, b"\0")
                found += 1
    assert found > 5


def test_what_cannot_be_made_leaves_nothing_behind():
    """Or a full disk would become fuller."""
    disk = SimulatedDisk()
    disk.space = 1023
    with pytest.raises(OSError, match="No space"):
        segment.make_file(disk, "000000001.log", header(LOG, 1, MARK), 1024)
    assert disk.names() == []
    assert disk.handles == {}
