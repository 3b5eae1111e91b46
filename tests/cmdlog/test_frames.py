"""The bytes of frames, one by one."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workq.cmdlog import frames
from workq.cmdlog.frames import COMMIT, EPOCH, KINDS, NO_HASH, OVERHEAD_BYTES, Chain, Frame
from workq.limits import FRAME_BODY_BYTES_MAX

MARK = b"12345678"

#: An epoch frame as version 1 writes it: it may not change.
GOLDEN = (
    "3132333435363738" "01000000" "03000000" "00000000" "00000000"
    "0100000000000000" "d204000000000000" "0000000000000000" "00000000000000000000000000000000"
    "7617dbe402b506f906d73b4df890f67c"
)  # fmt: skip


def read_all(data: bytes) -> list[Frame]:
    """All frames of some bytes."""
    found, at = [], 0
    while at < len(data):
        size = frames.measure(data, at, MARK)
        frame = frames.read(data, at, size)
        assert frame is not None
        found.append(frame)
        at += size
    return found


def test_a_frame_stands_byte_for_byte_where_the_format_says():
    """Offset by offset."""
    frame = Chain(MARK, 3, 6, b"B" * 16).build(COMMIT, 1_700_000_000_123, 2, 5, b"body")
    assert frame[0:8] == MARK
    assert frame[8:12] == bytes((COMMIT, 0, 0, 0))
    assert frame[12:16] == (3).to_bytes(4, "little")
    assert frame[16:20] == (2).to_bytes(4, "little")
    assert frame[20:24] == (4).to_bytes(4, "little")
    assert frame[24:32] == (7).to_bytes(8, "little")
    assert frame[32:40] == (1_700_000_000_123).to_bytes(8, "little")
    assert frame[40:48] == (5).to_bytes(8, "little")
    assert frame[48:64] == b"B" * 16
    assert frame[64:68] == b"body"
    assert frame[68:] == blake2b(frame[:68], digest_size=16).digest()
    assert len(frame) == OVERHEAD_BYTES + 4


@given(st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))))
def test_what_was_built_is_read(items):
    """Field by field, each behind the one before."""
    chain = Chain(MARK, 1, 0, NO_HASH)
    data = b"".join(
        chain.build(kind, 10 * number, number, max(0, number - 1), body)
        for number, (kind, body) in enumerate(items, 1)
    )
    before = NO_HASH
    found = read_all(data)
    assert len(found) == len(items)
    for number, ((kind, body), frame) in enumerate(zip(items, found, strict=True), 1):
        assert frame[:6] == (kind, 1, number, number, 10 * number, max(0, number - 1))
        assert (frame.before, frame.body) == (before, body)
        before = frame.hash
    assert (chain.position, chain.hash) == (len(items), before)


def test_a_frame_of_which_a_bit_is_wrong_is_not_read():
    """Any bit: in the mark and the length it is not even measured so."""
    frame = bytearray(Chain(MARK, 1, 0, NO_HASH).build(EPOCH, 1, 0, 0, b"some body"))
    for bit in range(8 * len(frame)):
        frame[bit // 8] ^= 1 << bit % 8
        data = bytes(frame)
        size = frames.measure(data, 0, MARK)
        assert size != len(data) or frames.read(data, 0, size) is None
        frame[bit // 8] ^= 1 << bit % 8


def test_a_length_beyond_the_bound_is_no_frame():
    """Or a wrong one could ask for all memory."""
    frame = bytearray(Chain(MARK, 1, 0, NO_HASH).build(COMMIT, 1, 0, 0, b""))
    frame[20:24] = FRAME_BODY_BYTES_MAX.to_bytes(4, "little")
    assert frames.measure(bytes(frame), 0, MARK) == FRAME_BODY_BYTES_MAX + OVERHEAD_BYTES
    frame[20:24] = (FRAME_BODY_BYTES_MAX + 1).to_bytes(4, "little")
    assert frames.measure(bytes(frame), 0, MARK) == 0


def test_a_body_beyond_the_bound_is_a_mistake():
    """It could not be read back."""
    with pytest.raises(AssertionError):
        Chain(MARK, 1, 0, NO_HASH).build(COMMIT, 1, 0, 0, bytes(FRAME_BODY_BYTES_MAX + 1))


def test_a_frame_of_another_log_is_none():
    """The mark tells."""
    frame = Chain(b"another.", 1, 0, NO_HASH).build(COMMIT, 1, 0, 0, b"")
    assert frames.measure(frame, 0, MARK) == 0


def test_the_frames_of_a_snapshot_stand_for_one_position():
    """They are chained all the same."""
    chain = Chain(MARK, 1, 7, b"B" * 16, step=0)
    one, other = read_all(chain.build(16, 1, 0, 7, b"") + chain.build(18, 1, 0, 7, b""))
    assert one.position == other.position == 7
    assert (one.before, other.before) == (b"B" * 16, one.hash)


def test_the_format_has_not_changed():
    """What version 1 wrote once is what it writes."""
    golden = bytes.fromhex(GOLDEN)
    assert Chain(MARK, 3, 0, NO_HASH).build(EPOCH, 1234, 0, 0, b"") == golden
