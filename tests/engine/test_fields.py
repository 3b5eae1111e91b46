"""The table of what is state, against the objects that have it."""

import pytest

from tests.engine.making import UNFINISHED, job_in, running
from workq.engine import dump, fields
from workq.engine.engine import Engine
from workq.engine.job import Job

KINDS = {fields.DURABLE, fields.DERIVED, fields.VOLATILE}


def named(table: dict[str, str], kind: str) -> set[str]:
    """The fields of a kind."""
    return {name for name, its_kind in table.items() if its_kind == kind}


def test_the_table_names_every_field_of_a_job():
    """Those it has as a timer too, and nothing else."""
    slots = [slot for cls in Job.__mro__ for slot in getattr(cls, "__slots__", ())]
    assert sorted(fields.JOB) == sorted(slots)


def test_the_table_names_every_field_of_the_engine():
    """Those of the state and those the engine adds, and nothing else."""
    assert set(fields.STATE) == set(vars(Engine()))


def test_there_are_three_kinds():
    """A field is of one of them."""
    assert set(fields.JOB.values()) | set(fields.STATE.values()) == KINDS


@pytest.mark.parametrize("situation", UNFINISHED)
def test_a_dump_shows_what_is_durable(situation):
    """All of it and nothing else; a job's TTL ends at its `at_ms`."""
    engine = running()
    job_in(engine, situation)
    shown = dump.durable(engine)
    assert set(shown) == named(fields.STATE, fields.DURABLE)
    assert set(shown["jobs"][0]) == named(fields.JOB, fields.DURABLE)


def test_the_rest_shows_what_is_derived():
    """Each derived field of the server, `resting` as the counts that follow from it."""
    shown = set(dump.rest(running())) - {"foreground"}
    derived = named(fields.STATE, fields.DERIVED)
    assert {"counts" if name == "resting" else name for name in derived} == shown
