"""The bytes of frames: one commit each, chained by hashes, kept or lost whole.

A frame is a head of 64 bytes, a body, and a blake2b-128 over both; there is no other checksum.
Each head holds the hash of the frame before it, so that nothing can be left out, put in twice or
put elsewhere without being seen. All numbers are little-endian:

    0  mark      8 bytes   drawn by chance when the log was begun, the same in all its frames
    8  kind      u8        and three bytes that are zero
    12 epoch     u32       how many times this log has been opened for writing
    16 records   u32       how many records the body holds
    20 length    u32       of the body, in bytes
    24 position  u64       the number of this frame, from 1 on
    32 time_ms   u64       when it was made, in milliseconds since 1970
    40 safe      u64       the last position known to be synced when the frame was built
    48 before    16 bytes  the hash of the frame before; zeros for the first
    64 body, then 16 bytes of hash

The mark takes the place of a fixed magic. Bodies hold what clients send, and a fixed magic could
be sent too: a payload made of frames would be found when a torn log is searched for frames that
verify on their own, and would pass for proof that something safe is damaged. Nobody outside knows
the mark, so nobody can write a frame, nor make the search expensive.

To build one of 3 KiB takes 5 µs, to verify it as much, nearly all of it the hash.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from workq.limits import FRAME_BODY_BYTES_MAX

#: Each start writes one before it serves; it holds no records.
EPOCH: Final = 1
#: What one turn of the server decided.
COMMIT: Final = 2
#: A clean stop: everything before it was synced. No records.
STOP: Final = 3
#: Vouches by its `safe` for what was synced before the log went idle. No records.
MARK: Final = 4
#: What a repair removed.
REPAIR: Final = 5
#: The three kinds in snapshot files: what the snapshot stands for, pieces of it, its end.
SNAPSHOT_HEAD: Final = 16
SNAPSHOT_PART: Final = 17
SNAPSHOT_END: Final = 18

KINDS: Final = frozenset(
    (EPOCH, COMMIT, STOP, MARK, REPAIR, SNAPSHOT_HEAD, SNAPSHOT_PART, SNAPSHOT_END)
)

MARK_BYTES: Final = 8
HASH_BYTES: Final = 16

#: The hash before the first frame of a log.
NO_HASH: Final = bytes(HASH_BYTES)

# The kind and its zeros are one number here: a set byte among them is an unknown kind.
_HEAD: Final = Struct("<8sIIIIQQQ16s")
_MEASURE: Final = Struct("<8s12xI")

HEAD_BYTES: Final = _HEAD.size
#: What a frame takes beside its body.
OVERHEAD_BYTES: Final = HEAD_BYTES + HASH_BYTES

_pack = _HEAD.pack
_unpack_from = _HEAD.unpack_from
_measure_from = _MEASURE.unpack_from
_new = tuple.__new__


class Frame(NamedTuple):
    """A frame that was read and verified; the fields are those of its head, and its own hash."""

    kind: int
    epoch: int
    records: int
    position: int
    time_ms: int
    safe: int
    before: bytes
    body: bytes
    hash: bytes


class Chain:
    """Builds the frames of a log one after the other.

    Args:
        mark: of the log, 8 bytes.
        epoch: of this opening.
        position: of the last frame there is, 0 for none.
        hash: of that frame.
        step: how much a frame's position is beyond the last one's: 1, but 0 in a snapshot, all of
            whose frames stand for one position.

    Attributes:
        position: of the last frame built.
        hash: of that frame.
    """

    __slots__ = ("_epoch", "_mark", "_step", "hash", "position")

    def __init__(self, mark: bytes, epoch: int, position: int, hash: bytes, step: int = 1) -> None:
        self._mark = mark
        self._epoch = epoch
        self._step = step
        self.position = position
        self.hash = hash

    def build(self, kind: int, time_ms: int, records: int, safe: int, body: bytes) -> bytes:
        """The bytes of the next frame.

        Args:
            kind: one of `KINDS`.
            time_ms: when, in milliseconds since 1970.
            records: how many the body holds.
            safe: the last position known to be synced.
            body: at most `FRAME_BODY_BYTES_MAX`.
        """
        length = len(body)
        assert length <= FRAME_BODY_BYTES_MAX
        self.position = position = self.position + self._step
        start = (
            _pack(
                self._mark, kind, self._epoch, records, length, position, time_ms, safe, self.hash
            )
            + body
        )
        self.hash = own = blake2b(start, digest_size=16).digest()
        return start + own


def measure(data: bytes, at: int, mark: bytes) -> int:
    """How many bytes the frame at an offset says that it takes, 0 if no frame begins there.

    Args:
        data: holds at least `HEAD_BYTES` from the offset on.
        at: the offset.
        mark: of the log.
    """
    found, length = _measure_from(data, at)
    if found != mark or length > FRAME_BODY_BYTES_MAX:
        return 0
    return int(length) + OVERHEAD_BYTES


def read(data: bytes, at: int, size: int) -> Frame | None:
    """The frame of a size (see `measure`) at an offset, None if its hash is not right.

    Args:
        data: holds all of the frame.
        at: the offset.
        size: of the frame, in bytes.
    """
    hash_at = at + size - HASH_BYTES
    start = data[at:hash_at]
    own = data[hash_at : at + size]
    if blake2b(start, digest_size=16).digest() != own:
        return None
    _, kind, epoch, records, _, position, time_ms, safe, before = _unpack_from(start)
    body = start[HEAD_BYTES:]
    return _new(Frame, (kind, epoch, records, position, time_ms, safe, before, body, own))
