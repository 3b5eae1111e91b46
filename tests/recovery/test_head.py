"""The head of a snapshot, and its records held against it."""

from __future__ import annotations

import msgpack
import pytest

from tests.recovery.histories import Life, read_back
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.snapshot import SnapshotWriter, publish
from workq.engine import dump
from workq.errors import CorruptionError, DirectoryError
from workq.recovery.head import FORMAT, Digest, Head, read_head
from workq.recovery.records import pieces

HEAD = Head("1.2.3", b"digest of 16 byt", 7, 99)


def written(disk: SimulatedDisk, head: bytes, parts: list[tuple[int, bytes]]) -> SimulatedDisk:
    """A disk with nothing but a snapshot."""
    writer = SnapshotWriter(disk, 3, b"12345678", 1, 9, b"hash of frame 09", 1000, head)
    for records, body in parts:
        writer.part(records, body)
    writer.end()
    publish(disk, 3)
    return disk


def test_a_head_is_read_as_it_was_written():
    """All its fields."""
    assert read_head("/log", 3, HEAD.pack()) == HEAD


@pytest.mark.parametrize("jobs", [0, 1, 14, 15, 16, 1500])
def test_the_digest_over_bodies_is_that_of_the_state(jobs):
    """However many records are in one, whose header is one byte or three."""
    life = Life()
    life.live(jobs, seed=jobs)
    digest = Digest()
    for _, body in pieces(dump.records(life.engine)):
        digest.add(body)
    assert digest.value() == dump.digest(life.engine)


def test_a_snapshot_of_a_newer_format_is_refused_by_its_name_and_version():
    """Whatever else is in it, which cannot be known."""
    head = msgpack.packb({"format": FORMAT + 1, "version": "9.0"})
    disk = written(SimulatedDisk(), head, [])
    with pytest.raises(DirectoryError, match=r"000000003\.snap.* newer workq \(9\.0.*use that"):
        read_back(disk)


def test_what_a_newer_server_of_the_same_format_adds_is_left_alone():
    """It would have raised the format if that could not be."""
    fields = msgpack.unpackb(HEAD.pack()) | {"more": [1]}
    assert read_head("/log", 3, msgpack.packb(fields)) == HEAD


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"head",
        b"\xc1",
        msgpack.packb([1]),
        msgpack.packb({"format": "1"}),
        msgpack.packb({"format": 1}),
        msgpack.packb(msgpack.unpackb(HEAD.pack()) | {"digest": "text"}),
        b"\x81\x90\x01",
    ],
)
def test_a_head_that_is_none_is_damage(head):
    """Whatever it is instead."""
    with pytest.raises(CorruptionError, match=r"000000003\.snap.*no sense"):
        read_head("/log", 3, head)


def parts_of_a_life() -> tuple[Life, list[tuple[int, bytes]]]:
    """A life, and its records."""
    life = Life()
    life.live(30, seed=1)
    return life, list(pieces(dump.records(life.engine)))


def test_a_snapshot_with_the_right_digest_is_read():
    """This holds the next test."""
    life, parts = parts_of_a_life()
    digest = dump.digest(life.engine)
    head = Head("1", digest, sum(records for records, _ in parts), 0).pack()
    assert dump.digest(read_back(written(SimulatedDisk(), head, parts))) == digest


@pytest.mark.parametrize("wrong", ["digest", "records"])
def test_a_snapshot_with_other_records_than_it_says_is_damage(wrong):
    """Its frames may be whole, but it is not what was to be kept."""
    life, parts = parts_of_a_life()
    head = Head("1", dump.digest(life.engine), sum(records for records, _ in parts), 0)
    head = head._replace(**{"digest": bytes(16)} if wrong == "digest" else {"records": 1})
    with pytest.raises(CorruptionError, match="not those that its head tells of"):
        read_back(written(SimulatedDisk(), head.pack(), parts))


def test_a_part_with_nothing_in_it_is_damage():
    """No server writes one, whatever its hash says."""
    disk = written(SimulatedDisk(), HEAD.pack(), [(0, b"")])
    with pytest.raises(CorruptionError, match="makes no sense"):
        read_back(disk)
