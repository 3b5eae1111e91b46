"""The checks of the fuzzer of logs find what they are there for: here is what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fuzz import log
from fuzz.edits import CHAIN, EDITS, NOT, OWN
from workq.cmdlog import frames, segment, settle, snapshot, stream
from workq.cmdlog.scan import Place, Reading
from workq.engine.state import APPLY, State
from workq.engine.transitions import RESTORED
from workq.recovery import head, replay, salvage

Patch = pytest.MonkeyPatch

#: Logs by number: with all segments, with a snapshot, after a crash, just begun.
WRITTEN, PUBLISHED, CRASHED, BEGUN = range(4)
NOTHING = 31


def program(history: int, *steps: bytes, look: int = NOTHING, choice: int = 0) -> bytes:
    """Data: a log, what is changed, and what is done with it."""
    return bytes((look | choice << 5, history)) + b"".join(steps)


def looked(name: str) -> int:
    """The number of something that is done with a log."""
    return log.LOOKS.index(name)


def step(name: str, *choices: int, seal: int = NOT) -> bytes:
    """One change."""
    return bytes((EDITS.index(name) | seal << 6, *choices))


#: A bit of the time of the second segment's second frame: what comes later has it for safe.
DAMAGE = step("flip", 1, 2, 0, 33, 1)

#: The same of a frame near the end: nobody has it for safe.
TORN = step("flip", 4, 2, 0, 33, 1)


def found(monkeypatch: Patch, data: bytes, place: object, name: str, value: Any) -> None:
    """Whatever is in the data passes, and no more once something is broken."""
    log.check(data)
    monkeypatch.setattr(place, name, value)
    with pytest.raises(AssertionError):
        log.check(data)


def test_a_reader_that_does_not_look_at_hashes_is_found(monkeypatch: Patch) -> None:
    """It takes a frame of which a bit is wrong."""

    def read(data: bytes, at: int, size: int) -> frames.Frame:
        _, kind, epoch, records, _, *rest = frames._unpack_from(data, at)
        body, own = data[at + 64 : at + size - 16], data[at + size - 16 : at + size]
        return frames.Frame._make((kind, epoch, records, *rest, body, own))

    found(monkeypatch, program(WRITTEN, DAMAGE), frames, "read", read)


def test_a_reader_that_takes_damage_for_a_tail_is_found(monkeypatch: Patch) -> None:
    """It does not search for frames that prove the damage."""
    wrong: Any = lambda stream, at: iter(())  # noqa: E731
    found(monkeypatch, program(WRITTEN, DAMAGE), stream.Stream, "search", wrong)


def test_a_reader_that_takes_a_tail_for_damage_is_found(monkeypatch: Patch) -> None:
    """Frames that nobody vouches for may be lost."""

    def judge(reading: Reading, place: Place) -> None:
        raise reading._damaged(place, 1, "is always damaged")

    found(monkeypatch, program(WRITTEN, TORN), Reading, "_judge", judge)


def test_a_reader_that_drops_good_frames_is_found(monkeypatch: Patch) -> None:
    """It stops one frame before the end of each segment."""
    chained = Reading._chained

    def wrong(reading: Reading, stream: Any) -> Iterator[frames.Frame]:
        yield from list(chained(reading, stream))[:-1]

    found(monkeypatch, program(WRITTEN), Reading, "_chained", wrong)


def test_a_chain_that_is_not_looked_at_is_found(monkeypatch: Patch) -> None:
    """A stop is there twice."""

    def wrong(reading: Reading, stream: Any) -> Iterator[frames.Frame]:
        for frame in stream.frames():
            reading.position, reading.hash = frame.position, frame.hash
            yield frame

    found(monkeypatch, program(WRITTEN, step("double", 1, 3, 1, 4)), Reading, "_chained", wrong)


def test_a_header_that_is_not_looked_at_is_found(monkeypatch: Patch) -> None:
    """A segment under the number of another."""

    def wrong(disk: Any, name: str, data: bytes, magic: bytes, number: int) -> bytes:
        return data[24:32]

    found(monkeypatch, program(WRITTEN, step("rename", 6, 20, 0)), segment, "read_header", wrong)


def test_a_snapshot_whose_records_are_not_held_against_its_head_is_found(
    monkeypatch: Patch,
) -> None:
    """Reading it comes to an end, with something missing."""
    parts = snapshot.parts

    def wrong(disk: Any, snapshot: Any) -> Iterator[frames.Frame]:
        yield from list(parts(disk, snapshot))[1:]

    monkeypatch.setattr(head.Digest, "value", lambda digest: b"")
    monkeypatch.setattr(replay, "checked_parts", lambda reading: reading.parts())
    found(monkeypatch, program(PUBLISHED), snapshot, "parts", wrong)


def test_a_traceback_is_found(monkeypatch: Patch) -> None:
    """Records that make no sense are met, and only some errors are expected."""
    data = program(WRITTEN, step("write_bytes", 4, 1, 1, 0xC1, seal=CHAIN))
    log.check(data)
    monkeypatch.setattr(replay, "RecordError", ZeroDivisionError)
    with pytest.raises(Exception, match="cannot be unpacked"):
        log.check(data)


def test_a_tail_that_is_thrown_away_is_found(monkeypatch: Patch) -> None:
    """Nothing is kept aside."""
    data = program(WRITTEN, TORN, look=looked("settle"))
    found(monkeypatch, data, settle, "_copy", lambda disk, tail: "")


def test_a_tail_that_is_not_cut_is_found(monkeypatch: Patch) -> None:
    """It would be met by the next start again."""
    data = program(WRITTEN, TORN, look=looked("settle"))
    found(monkeypatch, data, settle, "cut", lambda disk, tail: [])


def test_a_log_that_goes_on_from_elsewhere_is_found(monkeypatch: Patch) -> None:
    """Its first frame does not fit behind the last one."""
    data = program(WRITTEN, look=looked("go_on"))
    wrong: Any = lambda disk, reading: settle.settle(disk, reading)._replace(hash=bytes(16))  # noqa: E731
    found(monkeypatch, data, log, "settle", wrong)


def test_a_compaction_that_forgets_is_found(monkeypatch: Patch) -> None:
    """A counter is not in the snapshot."""
    data = program(WRITTEN, look=looked("compact"), choice=1)
    log.check(data)
    restored = State._restored

    def wrong(state: State, transition: Any, job: None) -> None:
        restored(state, transition, job)
        made = state.jobs.get(transition[2])
        assert made is not None
        made.attempts = 0

    monkeypatch.setitem(APPLY, RESTORED, wrong)
    with pytest.raises(AssertionError):
        log.check(data)


def test_a_salvage_that_takes_half_of_a_record_is_found(monkeypatch: Patch) -> None:
    """The values of a record are not looked at before it is taken."""
    body = step("write_records", 4, 1, 1, 0, 6, 24, 0, 0, 0, 0, 0, 0x86, 16, seal=OWN)
    data = program(WRITTEN, DAMAGE, body, look=looked("salvage"))
    log.check(data)
    monkeypatch.setattr(salvage, "makes_sense", lambda record: True)
    with pytest.raises(TypeError):
        log.check(data)


def test_a_reader_that_does_not_end_is_found(monkeypatch: Patch) -> None:
    """It reads the same place again and again."""

    def wrong(stream: Any, at: int) -> int:
        while True:
            stream._read(1, at)

    found(monkeypatch, program(WRITTEN), stream.Stream, "used", wrong)
