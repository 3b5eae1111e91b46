"""What a log amounts to, as JSON: to be written down once, and compared with for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workq.cmdlog.files import RealDisk
from workq.cmdlog.scan import Reading
from workq.engine import dump
from workq.engine.state import State
from workq.recovery.replay import replay


def look(path: Path) -> dict[str, Any]:
    """The state that a log makes, its digest, and where the log ends."""
    reading, state = Reading(RealDisk(str(path))), State()
    count = replay(reading, state)
    tail = reading.tail
    return {
        "transitions": count,
        "position": reading.position,
        "epoch": reading.epoch,
        "hash": reading.hash.hex(),
        "time_ms": reading.time_ms,
        "tail": None if tail is None else [*tail.place, tail.position, tail.frames, tail.later],
        "digest": dump.digest(state).hex(),
        "state": plain(_shown(state)),
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: bytes are text if they are ASCII, else hex digits behind `0x`."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode() if value.isascii() else f"0x{value.hex()}"
    return value


def _shown(state: State) -> dict[str, Any]:
    """The durable state, without what did not exist when the first of these were written, as long
    as that says nothing."""
    shown = dump.durable(state)
    if not shown["offset_ms"]:
        del shown["offset_ms"]
    for job in shown["jobs"]:
        if job["hold"] is None:
            del job["hold"]
    return shown
