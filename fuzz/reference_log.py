"""What the files of a command log mean, read as `docs/cmdlog.md` tells it and as simply as can be.

It has all files at once, searches every byte and shares no code with `workq.cmdlog`: where the two
differ, one of them is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from struct import unpack_from
from typing import Final, NamedTuple

HEADER_BYTES: Final = 64
HEAD_BYTES: Final = 64
HASH_BYTES: Final = 16
BODY_BYTES_MAX: Final = 16_777_216

#: The kinds of frames in segments, and in snapshots.
EPOCH, COMMIT, STOP, MARK, REPAIR = SEGMENT_KINDS = (1, 2, 3, 4, 5)
HEAD, PART, END = SNAPSHOT_KINDS = (16, 17, 18)

#: Why a directory is refused: something that was safe is damaged; or another program wrote it.
DAMAGED, FOREIGN = "damaged", "foreign"

_NAME: Final = re.compile(r"([0-9]{9}|[1-9][0-9]{9,14})\.(log|snap)")
_NUMBER_MAX: Final = 900_000_000_000_000


class Refused(Exception):
    """A directory from which no server may start.

    Args:
        why: `DAMAGED` or `FOREIGN`.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Frame(NamedTuple):
    """A frame whose hash is right, and where it ends."""

    kind: int
    epoch: int
    records: int
    position: int
    time_ms: int
    safe: int
    before: bytes
    body: bytes
    hash: bytes
    end: int


class History(NamedTuple):
    """What is in a directory.

    Attributes:
        snapshot: the frames of the snapshot with which it begins; none if there is none.
        frames: those of the segments that count.
        tail: the position from which on nothing was ever synced, and how many whole frames there
            are nevertheless; None if every byte counts.
        refused: why no server may start from it; empty if one may, and else it is all that is told.
    """

    snapshot: list[Frame]
    frames: list[Frame]
    tail: tuple[int, int] | None
    refused: str = ""


def read(files: Mapping[str, bytes]) -> History:
    """Read a directory from its files by name."""
    try:
        return _read(files)
    except Refused as refused:
        return History([], [], None, refused.why)


def _read(files: Mapping[str, bytes]) -> History:
    if "append.lock" in files or "read.lock" in files:
        raise Refused(FOREIGN)
    numbers: dict[str, list[int]] = {"log": [], "snap": []}
    for name in files:
        if match := _NAME.fullmatch(name):
            if int(match[1]) > _NUMBER_MAX:
                raise Refused(FOREIGN)
            numbers[match[2]].append(int(match[1]))
    mark, first = b"", 0
    snapshot: list[Frame] = []
    if numbers["snap"]:
        first = max(numbers["snap"])
        data = files[f"{first:09d}.snap"]
        mark = _mark(data, b"workqsnp", first)
        snapshot = _snapshot(data, mark)
    segments: list[bytes] = []
    for number in sorted(n for n in numbers["log"] if n >= first):
        data = files[f"{number:09d}.log"]
        found = _mark(data, b"workqlog", number)
        if mark and found != mark:
            raise Refused(DAMAGED)
        mark = found
        segments.append(data)
    return History(snapshot, *_frames(segments, mark, snapshot))


def _mark(data: bytes, magic: bytes, number: int) -> bytes:
    """The mark in the header of a file, which must be right."""
    if data.startswith(b"wqwq"):
        raise Refused(FOREIGN)
    if len(data) < HEADER_BYTES or _hash(data[:48]) != data[48:64]:
        raise Refused(DAMAGED)
    found, version, found_number = unpack_from("<8sI4xQ", data)
    if version > 1:
        raise Refused(FOREIGN)
    if version != 1 or found != magic or found_number != number:
        raise Refused(DAMAGED)
    return data[24:32]


def _snapshot(data: bytes, mark: bytes) -> list[Frame]:
    """All frames of a snapshot, which must be whole."""
    frames: list[Frame] = []
    for frame in _in_order(data, mark):
        if frames:
            if frame.before != frames[-1].hash or frame.position != frames[0].position:
                break
            if frame.kind not in SEGMENT_KINDS + SNAPSHOT_KINDS:
                raise Refused(FOREIGN)
        if frame.kind != (PART if frames else HEAD):
            counts = [1 for one in frames if one.kind == PART], [one.records for one in frames[1:]]
            told = b"".join(sum(count).to_bytes(8, "little") for count in counts)
            if frames and frame.kind == END and frame.body == told and frame.end == len(data):
                return [*frames, frame]
            break
        frames.append(frame)
    raise Refused(DAMAGED)


def _frames(
    segments: list[bytes], mark: bytes, snapshot: list[Frame]
) -> tuple[list[Frame], tuple[int, int] | None]:
    """The frames that count, and what is behind them."""
    position, last, epoch = 0, bytes(HASH_BYTES), 0
    if snapshot:
        position, last, epoch = snapshot[0].position, snapshot[0].before, snapshot[0].epoch
    good: list[Frame] = []
    for index, data in enumerate(segments):
        at = HEADER_BYTES
        for frame in _in_order(data, mark):
            if (frame.position, frame.before) != (position + 1, last) or frame.epoch < epoch:
                break
            if frame.kind not in SEGMENT_KINDS:
                raise Refused(FOREIGN)
            good.append(frame)
            position, last, epoch, at = frame.position, frame.hash, frame.epoch, frame.end
        if data[at:].strip(b"\0"):
            behind = list(anywhere(data, mark, at))
            for later in segments[index + 1 :]:
                behind += anywhere(later, mark, HEADER_BYTES)
            if any(frame.safe > position for frame in behind):
                raise Refused(DAMAGED)
            return good, (position + 1, len(behind))
    return good, None


def _in_order(data: bytes, mark: bytes) -> Iterator[Frame]:
    """Frames without gaps, from the header on."""
    at = HEADER_BYTES
    while frame := frame_at(data, mark, at):
        yield frame
        at = frame.end


def anywhere(data: bytes, mark: bytes, at: int) -> Iterator[Frame]:
    """Frames with or without gaps, from an offset on."""
    while (at := data.find(mark, at)) >= 0:
        frame = frame_at(data, mark, at)
        if frame:
            yield frame
        at = frame.end if frame else at + 1


def frame_at(data: bytes, mark: bytes, at: int) -> Frame | None:
    """The frame that begins at an offset, if its hash is right."""
    if len(data) - at < HEAD_BYTES + HASH_BYTES or data[at : at + 8] != mark:
        return None
    kind, epoch, records, length, position, time_ms, safe, before = unpack_from(
        "<IIIIQQQ16s", data, at + 8
    )
    body_at, hash_at = at + HEAD_BYTES, at + HEAD_BYTES + length
    if length > BODY_BYTES_MAX or hash_at + HASH_BYTES > len(data):
        return None
    own = data[hash_at : hash_at + HASH_BYTES]
    if _hash(data[at:hash_at]) != own:
        return None
    body, end = data[body_at:hash_at], hash_at + HASH_BYTES
    return Frame(kind, epoch, records, position, time_ms, safe, before, body, own, end)


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=HASH_BYTES).digest()
