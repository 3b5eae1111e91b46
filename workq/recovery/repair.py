"""Mending a damaged log: what can be had of it becomes a snapshot, and every old file is kept.

The mended log is a snapshot with the state that was had, and a segment whose only frame, a REPAIR,
tells what was done. It goes on behind every position and epoch that the damaged log shows, so
that no number is used twice. The order of steps makes a crash harmless:

1. The old files get a second name in a directory `repaired-TIME`; that is synced.
2. The new segment is made. As long as there is no snapshot the log is damaged as before.
3. The snapshot is written, read back, and gets its name: from then on the log is the mended one.
4. The first names of the old files are removed.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from workq import __version__
from workq.cmdlog import segment, snapshot
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import OVERHEAD_BYTES, REPAIR, Chain
from workq.cmdlog.scan import Reading
from workq.cmdlog.snapshot import SnapshotWriter
from workq.engine import dump
from workq.engine.state import State
from workq.errors import CorruptionError
from workq.recovery.head import Head
from workq.recovery.listing import shown_time
from workq.recovery.records import Unpacker, pieces
from workq.recovery.replay import replay
from workq.recovery.salvage import Salvage, salvage

#: How many places of damage and runs of lost frames are told in the frame.
TOLD_MAX: Final = 100

#: How the directories begin in which old files are kept.
REPAIRED: Final = "repaired-"

#: Ways of mending: skip what is damaged, or end where it begins.
SKIP, CUT = "skip", "cut"


def damage_of(disk: Disk) -> CorruptionError | None:
    """What a server refuses a log for; None if it would start from it.

    Raises:
        DirectoryError: a newer server wrote it, or the original one: there is nothing to mend.
        OSError: of the disk.
    """
    try:
        replay(Reading(disk), State())
    except CorruptionError as error:
        return error
    return None


def plan(disk: Disk, way: str = SKIP) -> Salvage:
    """What a repair would make of a log that is damaged. Nothing is changed.

    Args:
        disk: the directory, whose lock is held.
        way: `SKIP` or `CUT`.

    Raises:
        CorruptionError: nothing at all can be had.
        DirectoryError: a newer server wrote it, or the original one.
        OSError: of the disk.
    """
    found = salvage(disk)
    if way == CUT and found.broken_from is not None:
        found = salvage(disk, found.broken_from)
    return found


def repair(disk: Disk, found: Salvage, way: str, now_ms: int) -> str:
    """Put what was had in the place of a damaged log.

    Args:
        disk: the directory, whose lock is held. Its `path` must be a real one.
        found: what `plan` gave.
        way: with which it was made.
        now_ms: the wall clock, in milliseconds since 1970: for the name, and to tell of it.

    Returns:
        The name of the directory inside it where the old files are.

    Raises:
        OSError: of the disk. The log is damaged as before, or mended; the old files are there.
    """
    aside = _keep(Path(disk.path), found.files, now_ms)
    number, state = found.fresh, found.state
    chain = Chain(found.mark, found.epoch + 1, found.position, found.hash)
    told = json.dumps(_told(found, way, aside, now_ms), ensure_ascii=False).encode()
    frame = chain.build(REPAIR, state.now_ms, 0, found.position, told)
    start = segment.header(segment.LOG, number, found.mark) + frame
    assert len(frame) == len(told) + OVERHEAD_BYTES
    disk.close(segment.make_file(disk, segment.segment_name(number), start, len(start)))
    _write_snapshot(disk, found)
    snapshot.publish(disk, number)
    return aside


def _keep(path: Path, files: list[str], now_ms: int) -> str:
    """Give files a second name in a directory of their own, and wait for the disk."""
    stem = REPAIRED + shown_time(now_ms)[:19].replace("-", "").replace(":", "") + "Z"
    name, tries = stem, 1
    while (path / name).exists():
        tries += 1
        name = f"{stem}-{tries}"
    kept = path / name
    kept.mkdir(mode=0o700)
    for file in files:
        try:
            os.link(path / file, kept / file)
        except OSError:  # not every file system has links
            shutil.copy2(path / file, kept / file)
            _sync(kept / file)
    _sync(kept)
    _sync(path)
    return name


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _told(found: Salvage, way: str, aside: str, now_ms: int) -> dict[str, object]:
    """What the frame says of the repair."""
    return {
        "repaired": shown_time(now_ms),
        "way": way,
        "kept_in": aside,
        "damage": [str(damage) for damage in found.damage[:TOLD_MAX]],
        "lost_frames": found.lost[:TOLD_MAX],
        "frames_taken": found.frames,
        "frames_left_out": found.left_out,
        "transitions_taken": found.applied,
        "transitions_made_up": found.made_up,
        "transitions_skipped": dict(found.skipped),
    }


def _write_snapshot(disk: Disk, found: Salvage) -> None:
    """Write the state; what was written must make the same state again."""
    state, again, unpacker = found.state, State(), Unpacker()
    again.now_ms = state.now_ms
    count = sum(1 for _ in dump.records(state))
    head = Head(__version__, dump.digest(state), count, state.held_bytes).pack()
    writer = SnapshotWriter(
        disk, found.fresh, found.mark, found.epoch, found.position, found.hash, state.now_ms, head
    )
    for count, body in pieces(dump.records(state)):
        writer.part(count, body)
        again.apply_all(unpacker.records(body))
    writer.end()
    assert dump.digest(again) == dump.digest(state)
