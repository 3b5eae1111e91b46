"""Frames read from a file in windows."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulation.disk import Inode, SimulatedDisk
from workq.cmdlog import stream
from workq.cmdlog.frames import COMMIT, NO_HASH, Chain
from workq.cmdlog.stream import Stream

MARK = b"12345678"


@pytest.fixture(autouse=True, params=[100, 128, 1000, 1 << 20])
def window(request, monkeypatch):
    """Windows of several sizes: the seams between them must not be seen."""
    monkeypatch.setattr(stream, "WINDOW_BYTES", request.param)
    return request.param


def built(bodies: list[bytes]) -> list[bytes]:
    """Frames with these bodies."""
    chain = Chain(MARK, 1, 0, NO_HASH)
    return [chain.build(COMMIT, 1, 1, 0, body) for body in bodies]


def open_stream(data: bytes, at: int = 0) -> Stream:
    """A stream of a file with this in it."""
    disk = SimulatedDisk()
    disk.put("file", Inode.of(data))
    return Stream(disk, disk.open("file"), MARK, at)


BODIES = [Random(number).randbytes(number * 37 % 400) for number in range(60)]


def test_all_frames_are_read_and_their_places_known():
    """Whatever stands before the first."""
    pieces = built(BODIES)
    reader = open_stream(b"head" + b"".join(pieces), 4)
    at = 4
    for body, piece, frame in zip(BODIES, pieces, reader.frames(), strict=True):
        assert frame.body == body
        assert reader.at == at
        at += len(piece)
    assert reader.at == reader.size == reader.read_to == at


@pytest.mark.parametrize("left", [1, 15, 63, 64, 100])
def test_a_file_that_ends_within_a_frame_ends_before_it(left):
    """However much of it is there."""
    pieces = built([*BODIES, bytes(100)])
    whole = b"".join(pieces[:-1])
    reader = open_stream(whole + pieces[-1][:left])
    assert len(list(reader.frames())) == len(BODIES)
    assert reader.at == len(whole)


def test_reading_stops_at_the_first_damage():
    """And says where."""
    pieces = built(BODIES)
    data = bytearray(b"".join(pieces))
    at = len(b"".join(pieces[:20]))
    data[at + 70] ^= 1
    reader = open_stream(bytes(data))
    assert len(list(reader.frames())) == 20
    assert reader.at == at


def test_frames_are_found_where_order_has_ended():
    """Behind garbage, behind damage, one within the claimed length of another."""
    pieces = built(BODIES)
    pieces[3] = pieces[3][:-1] + b"?"
    liar = bytearray(pieces[7])
    liar[20:24] = (300).to_bytes(4, "little")
    pieces[7] = bytes(liar)
    pieces.insert(12, b"garbage" * 50)
    pieces.insert(30, MARK * 3)
    data = b"".join(pieces)
    found = [(offset, frame.position) for offset, frame in open_stream(data).search(len(pieces[0]))]
    expected, at, position = [], 0, 0
    for number, piece in enumerate(pieces):
        if number not in (12, 30):
            position += 1
            if number not in (0, 3, 7):
                expected.append((at, position))
        at += len(piece)
    assert found == expected


def test_a_search_of_nothing_finds_nothing():
    """In zeros, in half a mark, behind the end."""
    for data in (b"", bytes(5000), MARK[:5], bytes(200) + MARK):
        assert list(open_stream(data).search(0)) == []
        assert list(open_stream(data).search(len(data))) == []


def test_zeros_at_the_end_are_not_used():
    """Zeros before something are."""
    assert open_stream(b"").used(0) == 0
    assert open_stream(bytes(3000)).used(70) == 70
    data = b"x" + bytes(1234) + b"y"
    assert open_stream(data + bytes(3000)).used(0) == len(data)
    assert open_stream(data + bytes(3000)).used(len(data)) == len(data)
    assert open_stream(data).used(500) == len(data)
