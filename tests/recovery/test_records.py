"""Transitions as bytes, and back."""

import msgpack
import pytest

from tests.engine.making import SITUATIONS, added, job_in, running
from tests.engine.test_transitions import every_transition
from workq.engine import dump, transitions
from workq.engine.job import Options
from workq.limits import FRAME_RECORDS_MAX, FRAME_SPLIT_BYTES
from workq.recovery.records import RecordError, Unpacker, bodies


def read_back(commit):
    """All records of a commit, as a server reads them that starts."""
    unpacker = Unpacker()
    return [record for _, body in bodies(commit) for record in unpacker.records(body)]


def test_what_is_read_is_what_was_written():
    """Every type that stands on a log, with options as options."""
    engine = every_transition()
    commit = [*engine.commit, *dump.records(engine)]
    found = read_back(commit)
    assert found == commit
    assert all(type(record[7]) is Options for record in found if len(record) > 9)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_job_in_any_situation_is_read_as_it_was(situation):
    """From the record that a snapshot keeps of it."""
    engine = running()
    job_in(engine, situation)
    records = list(dump.records(engine))
    assert read_back(records) == records


def test_equal_options_and_names_become_one_object():
    """Or a million jobs would take twice the memory after a restart."""
    engine = running()
    for number in (1, 2):
        added(engine, number, Options(10, 20, 3), queue=b"a" * 200)
    one, other = read_back(engine.commit)
    assert one[7] is other[7]
    assert one[3] is other[3]


def test_a_small_commit_is_one_body():
    """However many kinds of change it has."""
    commit = every_transition().commit
    assert [count for count, _ in bodies(commit)] == [len(commit)]


def test_a_long_commit_is_split():
    """At so many records; nothing is lost and the order stays."""
    commit = [(transitions.DELETED, b"%d" % number) for number in range(2 * FRAME_RECORDS_MAX + 1)]
    pieces = list(bodies(commit))
    assert [count for count, _ in pieces] == [FRAME_RECORDS_MAX, FRAME_RECORDS_MAX, 1]
    assert read_back(commit) == commit


def test_a_large_commit_is_split():
    """At so many bytes; one record that is larger has a body for itself."""
    sizes = [400_000, 400_000, 400_000, FRAME_SPLIT_BYTES + 1, 10]
    commit = [(transitions.COMPLETED, b"id", bytes(size)) for size in sizes]
    pieces = list(bodies(commit))
    assert [count for count, _ in pieces] == [2, 1, 1, 1]
    assert all(len(body) <= FRAME_SPLIT_BYTES or count == 1 for count, body in pieces)
    assert read_back(commit) == commit


@pytest.mark.parametrize(
    "record, problem",
    [
        ([99, b"id"], "type 99"),
        ([transitions.DELETED, b"id", 1], "type 8 with 3 values"),
        ([transitions.DELETED], "type 8 with 1 values"),
        ([transitions.STARTED] + [0] * 9, "type 9"),
    ],
)
def test_an_unknown_record_is_refused(record, problem):
    """A newer server wrote it: what it means cannot be guessed."""
    with pytest.raises(RecordError, match=problem):
        Unpacker().records(msgpack.packb([record]))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92\x01", msgpack.packb(1), msgpack.packb([1])])
def test_what_is_no_body_is_refused(body):
    """With the same error, whatever it is."""
    with pytest.raises(RecordError):
        Unpacker().records(body)
