"""The records of a log for people and programs: each transition by names instead of numbers.

`docs/cmdlog.md`, chapter "Records", has the same vocabulary; a test compares the two, and both with
`workq.engine.transitions`.

Bytes that clients sent are shown as text where they are UTF-8, else in base64 under a name of its
own (`payload_base64`): a reader can tell by the name, and never takes one for the other.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from workq.cmdlog.frames import COMMIT, REPAIR, SNAPSHOT_PART, Frame
from workq.cmdlog.scan import Reading
from workq.engine import transitions
from workq.engine.job import STATES, Options
from workq.engine.transitions import Transition
from workq.recovery.head import checked_parts
from workq.recovery.records import RecordError, Unpacker
from workq.recovery.replay import refused

_JOB: Final = (
    "seq", "id", "name", "created_ms", "due_ms", "expires_ms", "options", "time_ms", "payload",
)  # fmt: skip

#: The fields of every type of record that may stand on a log, in their order.
FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    transitions.ADDED: _JOB,
    transitions.DUE: ("id",),
    transitions.LEASED: ("id", "token", "deadline_ms"),
    transitions.RETURNED: ("id", "reason", "hold_until_ms"),
    transitions.COMPLETED: ("id", "result"),
    transitions.FAILED: ("id", "reason", "result"),
    transitions.EXPIRED: ("id",),
    transitions.DELETED: ("id",),
    transitions.RESTORED: (
        *_JOB, "state", "attempts", "fails", "timeouts", "token", "deadline_ms", "result",
        "hold_until_ms",
    ),
    transitions.COUNTERS: ("seq", "token"),
    transitions.TOUCHED: ("id", "deadline_ms"),
    transitions.DELAYED: _JOB,
    transitions.CLOCK: ("offset_ms",),
}  # fmt: skip

#: Why a lease ended, by the numbers in the records.
REASONS: Final[Mapping[int, str]] = {
    transitions.TIMED_OUT: "timed-out",
    transitions.FAILURE: "failure",
    transitions.GIVEN_BACK: "given-back",
}

_STATES: Final = dict(enumerate(STATES))

_MAKING: Final = (transitions.ADDED, transitions.RESTORED, transitions.DELAYED)
_ENDING: Final = (transitions.EXPIRED, transitions.DELETED)


class Wanted(NamedTuple):
    """Which transitions are listed; None for all.

    Attributes:
        job: those of the job with this id, in canonical form.
        queue: those of jobs in this queue.
        since_ms: those of frames from this time on.
        until_ms: those of frames before this time.
    """

    job: bytes | None = None
    queue: bytes | None = None
    since_ms: int | None = None
    until_ms: int | None = None


def shown_time(time_ms: int) -> str:
    """A time in milliseconds since 1970 as ISO 8601, in UTC."""
    try:
        time = datetime.fromtimestamp(time_ms // 1000, UTC)
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return f"{time_ms} ms"
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def describe(transition: Transition) -> dict[str, Any]:
    """A transition as JSON can hold it: its type and fields by name."""
    shown: dict[str, Any] = {"type": transitions.NAMES[transition[0]]}
    for name, value in zip(FIELDS[transition[0]], transition[1:], strict=False):
        if name == "options":
            shown[name] = dict(zip(Options.NAMES, value, strict=False))
        elif name == "reason":
            shown[name] = _named(REASONS, value)
        elif name == "state":
            shown[name] = _named(_STATES, value)
        elif isinstance(value, bytes):
            shown |= _shown_bytes(name, value)
        else:
            shown[name] = value
    return shown


def _named(names: Mapping[int, str], value: Any) -> Any:
    """The name of a number; a number without a name stays, and so does what is none."""
    return names.get(value, value) if isinstance(value, int) else value


def _shown_bytes(name: str, value: bytes) -> dict[str, str]:
    try:
        return {name: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(value).decode("ascii")}


def listing(reading: Reading, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """What a log holds, in order: a line for each transition, and one for each repair.

    Args:
        reading: of the log.
        wanted: which of them. Repairs are left out where a job or a queue is asked for.

    Raises:
        CorruptionError: the log is damaged; everything before has been listed.
        DirectoryError: a newer server wrote it.
        OSError: of the disk.
    """
    unpacker = Unpacker()
    members: set[bytes] = set()  # the jobs of the queue that is asked for
    for source in (checked_parts(reading), reading.frames()):
        for frame in source:
            if frame.kind not in (COMMIT, SNAPSHOT_PART, REPAIR):
                continue
            since_ms, until_ms = wanted.since_ms, wanted.until_ms
            in_time = (since_ms is None or frame.time_ms >= since_ms) and (
                until_ms is None or frame.time_ms < until_ms
            )
            start = {"position": frame.position, "time": shown_time(frame.time_ms)}
            if frame.kind == REPAIR:
                if in_time and wanted.job is None and wanted.queue is None:
                    yield {**start, "type": "repair", **_repair(frame.body)}
                continue
            for record in _records(reading, unpacker, frame):
                if _is_wanted(record, wanted, members) and in_time:
                    yield {**start, **describe(record)}


def _records(reading: Reading, unpacker: Unpacker, frame: Frame) -> list[Transition]:
    try:
        return unpacker.records(frame.body)
    except RecordError as error:
        raise refused(reading, frame, error) from error


def _is_wanted(record: Transition, wanted: Wanted, members: set[bytes]) -> bool:
    """Whether a transition is of the job and the queue that are asked for."""
    kind = record[0]
    if wanted.job is None and wanted.queue is None:
        return True
    if kind == transitions.COUNTERS or kind == transitions.CLOCK:
        return False
    job_id = record[2] if kind in _MAKING else record[1]
    if wanted.queue is not None:
        if kind in _MAKING and record[3] == wanted.queue:
            members.add(job_id)
        if job_id not in members:
            return False
        if kind in _ENDING:
            members.remove(job_id)
    return wanted.job is None or job_id == wanted.job


def _repair(body: bytes) -> dict[str, Any]:
    """What a repair wrote of itself."""
    try:
        said = json.loads(body)
    except ValueError:
        return _shown_bytes("body", body)
    return said if isinstance(said, dict) else {"body": said}
