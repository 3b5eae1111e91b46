"""What the directory of a log may hold: when it is compacted, left alone, or stopped in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.simulation.faulty import HEADER_BYTES, FaultyDisk, Head, heads
from tests.simulation.model import Job
from tests.simulation.violation import demand

#: The kind of frame by which an idle log vouches for what it has.
MARK: Final = 4


def _frames(disk: FaultyDisk, name: str) -> list[Head]:
    data = bytes(disk.files[name].now)
    return heads(data, HEADER_BYTES, data[24:32])


def _segments(disk: FaultyDisk) -> list[str]:
    return sorted(name for name in disk.files if name.endswith(".log"))


def removing(disk: FaultyDisk, name: str) -> None:
    """Something is removed because a snapshot has taken its place: has it, for sure?"""
    sure = any(
        other.endswith(".snap") and other[:9] > name[:9]
        and inode.now == inode.safe and disk.safe_files.get(other) is inode
        for other, inode in disk.files.items()
    )  # fmt: skip
    demand(
        sure or name.endswith(".tmp"), "snapshot",
        f"{name} is removed, and no snapshot is safe that has taken its place",
    )  # fmt: skip


def stopped(disk: FaultyDisk) -> None:
    """A server has stopped in order: no room is left that was made ahead."""
    for name in _segments(disk):
        frames = _frames(disk, name)
        demand(
            frames and len(disk.files[name].now) == frames[-1].end, "survival",
            f"a clean stop leaves room behind the frames of {name}",
        )  # fmt: skip


def kept_aside(disk: FaultyDisk, found: dict[str, bytes], position: int) -> None:
    """A start goes on from a position: what it found behind that is kept, in `.cut` files."""
    snapshots = [name[:9] for name in disk.files if name.endswith(".snap")]
    newest = max(snapshots, default="")
    kept = [bytes(inode.now) for name, inode in disk.files.items() if name.endswith(".cut")]
    for name, data in found.items():
        if not name.endswith(".log") or name[:9] < newest:
            continue
        good = HEADER_BYTES
        for head in heads(data, HEADER_BYTES, data[24:32]):
            if head.position > position:
                break
            good = head.end
        tail = data[good:].rstrip(b"\0")
        demand(
            not tail or any(tail in one for one in kept), "damage",
            f"{len(tail)} bytes of {name} were cut off and are not kept",
        )  # fmt: skip


def vouched(disk: FaultyDisk, position: int) -> None:
    """A server was left alone, and had come to a position long enough ago: damage to any of it
    must be found."""
    found = [head for name in _segments(disk) for head in _frames(disk, name)]
    if found[-1].kind == MARK:  # which nobody needs to vouch for
        position = min(position, found[-1].position - 1)
    safe = max(head.safe for head in found)
    demand(safe >= position, "damage", f"{safe} of {position} positions are vouched for, at rest")


def bounded(disk: FaultyDisk, jobs: Iterable[Job], segment_bytes: int) -> bool:
    """Whether a log takes what is promised, and no more."""
    taken = sum(len(inode.now) for name, inode in disk.files.items() if ".cut" not in name)
    live = 4096 + sum(200 + len(job.payload) + len(job.result or b"") for job in jobs)
    limit = max(3 * live + 2 * segment_bytes, 2 * live + 4 * segment_bytes)
    return taken <= limit
