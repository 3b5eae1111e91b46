"""Making the state again from a log: its snapshot, then every frame after it.

Each transition goes through `State.apply_all`, which refuses what cannot happen to the state as it
is; nothing is decided here.
What ran out while no server was there is not seen to here either: the first turns of the server
do that, as they always do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from workq.cmdlog import segment
from workq.cmdlog.frames import COMMIT, SNAPSHOT_PART, Frame
from workq.cmdlog.scan import Reading
from workq.engine.fitting import TransitionError
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.errors import CorruptionError, DirectoryError
from workq.recovery.head import checked_parts
from workq.recovery.records import NewerRecord, RecordError, Unpacker

#: What is applied instead of the records of a frame: the same, with other bytes of clients.
Keep: TypeAlias = Callable[[Frame, list[Transition]], list[Transition]]

#: What a transition raises whose values are of the wrong kind.
NONSENSE: Final = (AssertionError, AttributeError, LookupError, TypeError, ValueError)


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
    try:
        records = unpacker.records(frame.body)
        if len(records) != frame.records:
            raise RecordError(f"it has {len(records)} records and says {frame.records}")
        if keep is not None:
            records = keep(frame, records)
        state.apply_all(records)
    except RecordError as error:
        raise refused(reading, frame, error) from error
    except (TransitionError, *NONSENSE) as error:
        raise refused(reading, frame, RecordError(f"its changes do not fit: {error}")) from error
    return len(records)


def refused(reading: Reading, frame: Frame, error: RecordError) -> DirectoryError:
    """The error for a frame that is whole and was not written by this server or one before it.

    Args:
        reading: of the log.
        frame: that was read last.
        error: what is wrong with its body.

    Returns:
        A CorruptionError, unless a newer server has written it.
    """
    number, offset = reading.at
    name = segment.segment_name(number)
    if frame.kind == SNAPSHOT_PART:
        assert reading.snapshot is not None
        name, offset = segment.snapshot_name(reading.snapshot.number), 0
    if isinstance(error, NewerRecord):
        return segment.newer(reading.path, name, f"frame {frame.position}: {error}")
    return CorruptionError(
        f"{reading.path}/{name}", offset, f"frame {frame.position} makes no sense: {error}"
    )
