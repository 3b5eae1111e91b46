"""How a directory of the original server is cut into records, and what of it is refused.

K01 to K34 are the numbers of the measured description of the original, section 3.8.
"""

import fcntl
import sys
from pathlib import Path

import pytest

from tests.recovery.gologs import (
    CREATED_MS,
    HEADER,
    ID,
    act,
    directory,
    instant,
    job,
    record,
    signed,
    unsigned,
)
from workq.errors import GoLogError, MissingExtra, WorkqError
from workq.recovery.golog_frames import RECORD_BYTES_MAX, Cursor, GoWarning, Record, read_records

ADD = record(job())


def read(path: Path) -> tuple[list[Record], list[GoWarning]]:
    """The records and warnings of a directory."""
    warnings: list[GoWarning] = []
    return list(read_records(path, warnings)), warnings


def refused(path: Path, **segments: bytes) -> GoLogError:
    """The error that a directory of these segments is refused with."""
    with pytest.raises(GoLogError) as caught:
        read(directory(path, **segments))
    return caught.value


def cut(path: Path, **segments: bytes) -> str:
    """The one warning of a directory of these segments, whose records are one add."""
    records, (warning,) = read(directory(path, **segments))
    assert [found.kind for found in records] == [1]
    return warning.problem


def test_records_are_what_was_measured():
    """The bytes of the test's own writer are those of the description."""
    deletion = bytes.fromhex(
        "7771777100000001010000000ecfd1eba000000000ffff110561a444a0612841c08078cc757d3bd2d8fcdbcbba"
    )
    assert HEADER + record(act(5)) == deletion
    addition = bytes.fromhex(
        "0161a444a0612841c08078cc757d3bd2d80470696e67e807e0d4031403010161"
        "01000000000000000000000000ffff010000000ecfd1eba000000000ffff"
    )
    assert job(priority=10, max_attempts=3, max_fails=1) == addition
    assert record(addition).endswith(bytes.fromhex("3fbf5519"))
    scheduled = job(2, priority=10, max_attempts=3, max_fails=1, time_ms=1_483_142_400_000)
    assert scheduled[17:32] == addition[17:32]
    assert scheduled[32:47] == bytes.fromhex("010000000ecff8ec0000000000ffff")


def test_a_record_has_its_place_time_and_kind(tmp_path):
    """And its body without them."""
    path = directory(tmp_path, s1=HEADER + ADD + record(act(5), CREATED_MS + 7))
    (_, deletion), warnings = read(path)
    assert deletion == Record(
        str(path / "000000001.log"),
        8 + len(ADD),
        (CREATED_MS + 7) * 1_000_000,
        5,
        bytes.fromhex(ID.replace("-", "")),
    )
    assert warnings == []


def test_k01_an_empty_directory_has_no_records(tmp_path):
    """With a warning: it may be the wrong one."""
    assert read(tmp_path) == ([], [GoWarning(str(tmp_path), 0, "no segment of a log is here")])


def test_k03_a_header_alone_is_a_whole_segment(tmp_path):
    """The original makes one before its first record."""
    assert read(directory(tmp_path, s1=HEADER)) == ([], [])


@pytest.mark.parametrize("data", [HEADER[:size] for size in range(8)] + [bytes(3), bytes(4096)])
def test_k04_to_k06_a_last_segment_without_a_header_is_empty(tmp_path, data):
    """Alone or after a good one: it was begun when the power went."""
    problem = "a segment that was only begun: empty"
    assert cut(directory(tmp_path, s1=HEADER + ADD), s2=data) == problem
    assert read(directory(tmp_path / "alone", s1=data))[0] == []


def test_a_segment_that_was_begun_is_no_segment_after_a_torn_one(tmp_path):
    """The torn record is still the last thing that was written."""
    records, warnings = read(directory(tmp_path, s1=HEADER + ADD + ADD[:-1], s2=b"", s3=b"wq"))
    assert (len(records), len(warnings)) == (1, 3)


@pytest.mark.parametrize("data", [b"", HEADER[:5]])
def test_k06_a_segment_without_a_header_is_refused_if_it_is_not_the_last(tmp_path, data):
    """What it held is lost, and what comes after may depend on it."""
    error = refused(tmp_path, s1=data, s2=HEADER + ADD)
    assert (error.path, error.offset) == (str(tmp_path / "000000001.log"), 0)


@pytest.mark.parametrize("header", [b"wqwx\0\0\0\1", b"wqwq\0\0\0\2", b"wqx", b"something else"])
def test_k07_another_format_is_refused(tmp_path, header):
    """Wrong magic or another version, in the last segment too."""
    error = refused(tmp_path, s1=HEADER + ADD, s2=header)
    assert "not a segment of version 1" in error.problem


@pytest.mark.parametrize("size", range(1, len(ADD)))
def test_k08_and_k09_a_torn_record_at_the_end_is_left_out(tmp_path, size):
    """Wherever it was torn; the record before it stays."""
    problem = cut(tmp_path, s1=HEADER + ADD + ADD[:size])
    assert problem == f"a record that is not whole: the last {size} bytes of the log are left out"


def test_k10_a_torn_record_is_refused_if_segments_follow(tmp_path):
    """It is no end then: something that was whole is damaged."""
    error = refused(tmp_path, s1=HEADER + ADD + ADD[:-1], s2=HEADER + record(act(5)))
    assert (error.path, error.offset) == (str(tmp_path / "000000001.log"), 8 + len(ADD))
    assert error.problem == "a record that is not whole, and segments after it"


def test_k11_a_wrong_checksum_is_refused(tmp_path):
    """With file and offset."""
    for rest in (ADD, ADD[:-1], b"x"):
        error = refused(tmp_path, s1=HEADER + record(job(), flip=1) + rest)
        assert (error.offset, error.problem) == (
            8,
            "a record whose checksum is wrong, and others after it",
        )


def test_k11_a_wrong_checksum_is_refused_if_segments_follow(tmp_path):
    """Though it is the last of its own."""
    error = refused(tmp_path, s1=HEADER + record(job(), flip=1), s2=HEADER)
    assert error.problem == "a record whose checksum is wrong, and segments after it"


def test_k11_a_wrong_checksum_in_the_very_last_record_leaves_it_out(tmp_path):
    """Its pages may have reached the disk in any order."""
    problem = cut(tmp_path, s1=HEADER + ADD + record(act(5), flip=0x100))
    assert problem.startswith("a record whose checksum is wrong: the last 37 bytes")


def test_k12_another_version_of_times_is_refused(tmp_path):
    """Newer Go writes version 2 for some zones; the original never met it."""
    error = refused(tmp_path, s1=HEADER + b"\0" + ADD[1:])
    assert error.problem == "a time of version 0; 1 is known"


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**40, RECORD_BYTES_MAX + 1])
def test_k13_a_size_that_no_record_has_is_refused(tmp_path, size):
    """Before anything is made of that size."""
    error = refused(tmp_path, s1=HEADER + instant(CREATED_MS) + unsigned(size) + b"x")
    assert error.problem.startswith(f"a record of {size} bytes; none has more than")


@pytest.mark.parametrize("size", [b"\xff" * 9 + b"\x02", b"\xff" * 20, b"\x80" * 10 + b"\0"])
def test_k14_a_size_of_more_than_64_bits_is_refused(tmp_path, size):
    """As a number, not as an end."""
    error = refused(tmp_path, s1=HEADER + instant(CREATED_MS) + size)
    assert error.problem == "a number of more than 64 bits"


def test_k15_a_line_end_after_the_header_is_a_torn_record(tmp_path):
    """An editor has been there; nothing is lost."""
    records, (warning,) = read(directory(tmp_path, s1=HEADER + b"\n"))
    assert (records, warning.offset) == ([], 8)


def test_k30_other_files_are_not_read(tmp_path):
    """Those that might be meant as segments get a warning."""
    directory(tmp_path, s3=HEADER + ADD)
    strays = ["00000001.log", "0000000x1.log", "x.log", "000000002.x.log", "+00000001.log"]
    for name in strays:
        (tmp_path / name).write_bytes(b"junk")
    for name in ("000000002.txt", "000000001.log.rw", "append.lock", "read.lock"):
        (tmp_path / name).write_bytes(b"")
    records, warnings = read(tmp_path)
    assert [Path(found.path).name for found in records] == ["000000003.log"]
    assert {Path(warning.path).name for warning in warnings} == set(strays)


def test_k31_and_k32_numbers_may_be_missing_and_begin_at_zero(tmp_path):
    """The order is that of the numbers."""
    path = directory(tmp_path, s9=HEADER + record(act(5)), s0=HEADER + ADD, s10=HEADER + ADD)
    records, warnings = read(path)
    assert ([found.kind for found in records], warnings) == ([1, 5, 1], [])


def test_a_directory_may_have_any_name(tmp_path):
    """The original takes it for a pattern, and finds nothing if it has brackets."""
    path = directory(tmp_path / "a[1]*?", s1=HEADER + ADD)
    assert len(read(path)[0]) == 1


def test_zeros_at_the_end_are_left_out(tmp_path):
    """A file may have grown on the disk before its bytes were there; but only at the end."""
    zeros = HEADER + ADD + bytes(4096)
    assert cut(tmp_path, s1=zeros).startswith(
        "zeros that no record was written over: the last 4096"
    )
    assert "segments after it" in refused(tmp_path, s1=zeros, s2=HEADER + ADD).problem


def test_a_damaged_size_is_not_taken_for_the_end(tmp_path):
    """It would hide every record after it."""
    bad = bytearray(HEADER + ADD + ADD + ADD)
    bad[8 + 15] = 0xFF  # 127, and 128 more for the next byte, which is the kind: 1
    error = refused(tmp_path, s1=bytes(bad))
    follows = 8 + len(ADD)
    assert (
        error.problem == f"a record that is not whole, though a whole one follows at byte {follows}"
    )


def test_a_directory_in_use_is_refused(tmp_path):
    """Jobs would be worked on there and here."""
    path = directory(tmp_path, s1=HEADER + ADD)
    lock = path / "append.lock"
    lock.touch()
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert refused(path).problem == "a server is using this log: stop it first"
    assert len(read(path)[0]) == 1


def test_a_directory_that_cannot_be_read_is_refused(tmp_path):
    """Missing, or a file, or with a directory where a segment should be."""
    with pytest.raises(GoLogError, match="No such file or directory"):
        read(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(GoLogError, match="Not a directory"):
        read(tmp_path / "file")
    (tmp_path / "000000001.log").mkdir()
    with pytest.raises(GoLogError, match=r"000000001\.log: Is a directory"):
        read(tmp_path)


def test_nothing_in_the_directory_is_changed(tmp_path):
    """Not even a lock is made: it may be the only copy."""
    path = directory(tmp_path, s1=HEADER + ADD + ADD[:5])
    read(path)
    assert [file.name for file in path.iterdir()] == ["000000001.log"]
    assert (path / "000000001.log").read_bytes() == HEADER + ADD + ADD[:5]


def test_without_its_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    """It is an extra: few need it, and once."""
    monkeypatch.setitem(sys.modules, "crc32c", None)
    with pytest.raises(MissingExtra, match=r"pip install 'workq\[import\]'") as caught:
        read(directory(tmp_path, s1=HEADER + ADD))
    assert isinstance(caught.value, WorkqError)


@pytest.mark.parametrize("value", [0, 1, -1, 10, -10, 63, -64, 64, 2**31 - 1, -(2**31)])
def test_signed_numbers_are_read_as_they_were_written(value):
    """Priority -10 is the byte 13 in hexadecimal."""
    assert Cursor(signed(value)).signed() == value
    assert signed(-10) == b"\x13"


@pytest.mark.parametrize(
    "data",
    [
        b"\x01" + b"\x7f" + b"\xff" * 7 + bytes(4) + b"\xff\xff",
        b"\x01" + b"\xff" * 8 + bytes(4) + b"\xff\xff",
        b"\x01" + bytes(8) + b"\xff\xff\xff\xff" + b"\xff\xff",
        b"\x01" + bytes(8) + (10**9).to_bytes(4, "big") + b"\xff\xff",
    ],
)
def test_a_time_that_no_calendar_has_is_refused(data):
    """Years before 1 or after 9999, and nanoseconds that are more than a second."""
    with pytest.raises(ValueError, match="outside of the years 1 to 9999"):
        Cursor(data).time_ns()
