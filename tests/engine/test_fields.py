"""The tables of what is state, against the objects that have it."""

import pytest

from tests.engine.making import UNFINISHED, job_in, running
from workq.engine import dump, fields
from workq.engine.engine import Engine
from workq.engine.job import Hold, Job, Lease, Schedule
from workq.engine.queue import Queue

KINDS = {fields.DURABLE, fields.DERIVED, fields.VOLATILE}


def named(table: dict[str, str], kind: str) -> set[str]:
    """The fields of a kind."""
    return {name for name, its_kind in table.items() if its_kind == kind}


def slots(kind: type) -> list[str]:
    """The fields of a class and of what it inherits from."""
    return sorted(slot for cls in kind.__mro__ for slot in getattr(cls, "__slots__", ()))


@pytest.mark.parametrize(
    "kind, table",
    [
        (Job, fields.JOB),
        (Lease, fields.LEASE),
        (Hold, fields.HOLD),
        (Schedule, fields.SCHEDULE),
        (Queue, fields.QUEUE),
    ],
)
def test_a_table_names_every_field(kind, table):
    """Those that a job, a lease and a schedule have as timers too, and nothing else."""
    assert sorted(table) == slots(kind)
    assert kind.__dictoffset__ == 0, "it has fields without slots"


def test_the_table_names_every_field_of_the_engine():
    """Those of the state and those the engine adds, and nothing else."""
    assert sorted(fields.STATE) == slots(Engine)
    assert Engine.__dictoffset__ == 0, "it has fields without slots"
    assert all(hasattr(Engine(), name) for name in fields.STATE)


def test_there_are_three_kinds():
    """A field is of one of them."""
    tables = (
        fields.JOB, fields.LEASE, fields.HOLD, fields.SCHEDULE, fields.QUEUE, fields.STATE,
    )  # fmt: skip
    assert {kind for table in tables for kind in table.values()} == KINDS


@pytest.mark.parametrize("situation", UNFINISHED)
def test_a_dump_shows_what_is_durable(situation):
    """All of it and nothing else; a job's TTL ends at its `at_ms`."""
    engine = running()
    job_in(engine, situation)
    shown = dump.durable(engine)
    assert set(shown) == named(fields.STATE, fields.DURABLE)
    assert set(shown["jobs"][0]) == named(fields.JOB, fields.DURABLE)


def test_a_dump_shows_of_a_lease_what_is_durable():
    """Its token and its deadline; its job is the one that shows it."""
    engine = running()
    lease = job_in(engine, "leased").lease
    assert lease is not None
    (shown,) = dump.durable(engine)["jobs"]
    assert shown["lease"] == [lease.token, lease.at_ms]
    assert named(fields.LEASE, fields.DURABLE) == {"job", "token", "at_ms"}


def test_the_rest_shows_of_a_queue_what_is_derived():
    """Each of these fields, by the name that they stand under."""
    engine = running()
    job_in(engine, "ready")
    (shown,) = dump.rest(engine)["queues"].values()
    assert {"name", *shown} == named(fields.QUEUE, fields.DERIVED)


def test_the_rest_shows_what_is_derived():
    """Each derived field of the server, `resting` as the counts that follow from it."""
    shown = set(dump.rest(running())) - {"foreground"}
    derived = named(fields.STATE, fields.DERIVED)
    assert {"counts" if name == "resting" else name for name in derived} == shown
