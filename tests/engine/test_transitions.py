"""The vocabulary of the log: numbers and fields that never change."""

import re

import msgpack

from tests.engine.making import added, job_in, later, running
from workq.engine import dump, transitions
from workq.engine.engine import Engine
from workq.engine.job import Options
from workq.engine.state import APPLY

#: The numbers that stand on disks. A line may be added; none may ever change or go.
NUMBERS = {
    1: "added",
    2: "due",
    3: "leased",
    4: "returned",
    5: "completed",
    6: "failed",
    7: "expired",
    8: "deleted",
    9: "started",
    10: "restored",
    11: "counters",
    12: "touched",
    13: "delayed",
    20: "clock",
}
REASONS = {"TIMED_OUT": 1, "FAILURE": 2, "GIVEN_BACK": 3}


def every_transition() -> Engine:
    """An engine whose commit has a transition of every durable type."""
    engine = running()
    engine.delete(job_in(engine, "completed", 1))
    added(engine, 2, Options(10, 100, 3, 1, 2), time_ms=engine.wall_ms + 5)
    later(engine, 5)
    job = engine.find(added(engine, 3, Options(10, 50)).id)
    assert job is not None
    engine.lease(job)
    engine.give_back(job.id, engine._last_token)
    engine.fail(job_in(engine, "leased", 4), b"why")
    job_in(engine, "touched", 5)
    job_in(engine, "held", 6)
    job_in(engine, "delayed", 7, Options(10, 100_000, 0, 0, 0, 5, 2, 50))
    later(engine, 50)
    engine.advance(engine.now_ms, 5000)
    return engine


def documented() -> dict[str, list[str]]:
    """The fields of each type, as the module's table names them."""
    text = transitions.__doc__ or ""
    found = re.findall(r"^- ([A-Z]+): (.+?)\.(?: |$)", text.replace("\n  ", " "), re.MULTILINE)
    table = {name.lower(): fields.split(", ") for name, fields in found}
    table["started"] = table["added"]
    table["restored"] = [
        *table["added"],
        *["state", "attempts", "fails", "timeouts", "token", "deadline_ms", "result"],
        "hold_until_ms",
    ]
    table["delayed"] = table["added"]
    return table


def has_fields(transition, fields):
    """Whether a transition has these fields; the last may be left out where it says nothing."""
    missing = 1 + len(fields) - len(transition)
    return missing == 0 or (missing == 1 and fields[-1] == "hold_until_ms")


def test_no_number_changes_its_meaning():
    """Logs written years ago are read by these numbers."""
    assert transitions.NAMES == NUMBERS
    for number, name in NUMBERS.items():
        assert getattr(transitions, name.upper()) == number
    for name, number in REASONS.items():
        assert getattr(transitions, name) == number


def test_every_type_can_be_applied():
    """And nothing can be applied that has no name."""
    assert set(APPLY) == set(transitions.NAMES)


def test_every_type_is_documented_with_its_fields():
    """The table in the module has a line for each, and the engine writes so many fields."""
    table = documented()
    assert set(table) == set(transitions.NAMES.values())
    for transition in every_transition().commit:
        assert has_fields(transition, table[transitions.NAMES[transition[0]]])


def test_the_engine_writes_every_durable_type():
    """This holds the helper of the tests here."""
    kinds = {transition[0] for transition in every_transition().commit}
    assert kinds == {*transitions.SERVING, transitions.CLOCK} - {transitions.STARTED}


def test_what_a_snapshot_is_made_of_has_the_documented_fields():
    """The other types are met in it, and nowhere else."""
    table = documented()
    found = list(dump.records(every_transition()))
    assert {record[0] for record in found} == set(transitions.NAMES) - set(transitions.SERVING)
    for record in found:
        assert has_fields(record, table[transitions.NAMES[record[0]]])


def test_every_transition_survives_packing():
    """What is on the log says the same as what was applied."""
    for transition in every_transition().commit:
        packed = msgpack.packb(transition)
        read = msgpack.unpackb(packed, use_list=False)
        assert read == transition


def test_the_largest_numbers_survive_packing():
    """A TTL may be anything below 2**64."""
    engine = running()
    there = added(engine, 1, Options(86_400_000, 2**64 - 1, -(2**31), 255, 255))
    (transition,) = engine.commit
    assert msgpack.unpackb(msgpack.packb(transition), use_list=False) == transition
    assert Options(*transition[7]) == there.options
