"""Making the state again from a log: its snapshot, then every frame after it.

Each transition goes through `State.apply`, as it did when it happened; nothing is decided here.
What ran out while no server was there is not seen to here either: the first turns of the server
do that, as they always do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from workq.cmdlog import segment
from workq.cmdlog.frames import COMMIT, SNAPSHOT_PART, Frame
from workq.cmdlog.scan import Reading
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.errors import CorruptionError
from workq.recovery.head import checked_parts
from workq.recovery.records import RecordError, Unpacker

#: What is applied instead of the records of a frame: the same, with other bytes of clients.
Keep: TypeAlias = Callable[[Frame, list[Transition]], list[Transition]]


def replay(
    reading: Reading,
    state: State,
    progress: Callable[[], None] | None = None,
    keep: Keep | None = None,
) -> int:
    """Apply everything that a log holds to an empty state.

    Args:
        reading: of the log; its `frames` has ended afterwards.
        state: gets it. Its `now_ms` is the time of the last frame afterwards.
        progress: called after each frame.
        keep: what is to be kept of records; by default all that is in them.

    Returns:
        How many transitions there were.

    Raises:
        CorruptionError: something in the log that was safe is damaged, or makes no sense.
        DirectoryError: a newer server wrote it.
        OSError: of the disk.
    """
    unpacker = Unpacker()
    count = 0
    for source in (checked_parts(reading), reading.frames()):
        for frame in source:
            if frame.time_ms > state.now_ms:
                state.now_ms = frame.time_ms
            if frame.kind == COMMIT or frame.kind == SNAPSHOT_PART:
                count += _apply(reading, frame, state, unpacker, keep)
            if progress is not None:
                progress()
    return count


def _apply(
    reading: Reading, frame: Frame, state: State, unpacker: Unpacker, keep: Keep | None
) -> int:
    """Apply the transitions of a frame; return how many there were."""
    apply = state.apply
    try:
        records = unpacker.records(frame.body)
        if len(records) != frame.records:
            raise RecordError(f"it has {len(records)} records and says {frame.records}")
        if keep is not None:
            records = keep(frame, records)
        for record in records:
            apply(record)
    except RecordError as error:
        raise _senseless(reading, frame, str(error)) from error
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise _senseless(reading, frame, f"its changes do not fit: {error!r}") from error
    return len(records)


def _senseless(reading: Reading, frame: Frame, problem: str) -> CorruptionError:
    """The error for a frame that is whole and cannot have been written by this server."""
    number, offset = reading.at
    name = segment.segment_name(number)
    if frame.kind == SNAPSHOT_PART:
        assert reading.snapshot is not None
        name, offset = segment.snapshot_name(reading.snapshot.number), 0
    return CorruptionError(
        f"{reading.path}/{name}", offset, f"frame {frame.position} makes no sense: {problem}"
    )
