"""Transitions as bytes, and back."""

from typing import Any, NamedTuple

import msgpack
import pytest

from tests.engine.making import SITUATIONS, added, job_in, running
from tests.engine.test_transitions import every_transition
from workq.engine import dump, transitions
from workq.engine.job import Options
from workq.limits import FRAME_RECORDS_MAX, FRAME_SPLIT_BYTES
from workq.recovery import records as module
from workq.recovery.records import NewerRecord, RecordError, Unpacker, bodies


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


def with_options(*options):
    """A record that makes a job."""
    return [transitions.ADDED, 1, b"id", b"name", 2, 2, None, options, None, b"payload"]


@pytest.mark.parametrize(
    "record, problem",
    [
        ([99, b"id"], "type 99"),
        ([transitions.DELETED, b"id", 1], "type 8 with 3 values"),
        (with_options(1, 2, 3, 4, 5, 6, 7, 8, 9), "options with 9 values"),
        ([transitions.RETURNED, b"id", 2, 3, 4], "type 4 with 5 values"),
    ],
)
def test_an_unknown_record_is_that_of_a_newer_server(record, problem):
    """What it means cannot be guessed, but it is no damage."""
    with pytest.raises(NewerRecord, match=problem):
        Unpacker().records(msgpack.packb([record]))


@pytest.mark.parametrize(
    "record, problem",
    [
        ([transitions.DELETED], "type 8 with 1 values"),
        ([transitions.STARTED] + [0] * 9, "type 9"),
        ([-1], "type -1"),
        (["deleted", b"id"], "type 'deleted'"),
        (msgpack.unpackb(b"\x91" * 990 + b"\xc0"), r"type \(\(.*\.\.\."),
        (with_options(1, 2, 3, 4), "options with 4 values"),
    ],
)
def test_a_record_that_no_server_writes_makes_no_sense(record, problem):
    """Of this version, before or after it."""
    with pytest.raises(RecordError, match=problem) as caught:
        Unpacker().records(msgpack.packb([record]))
    assert not isinstance(caught.value, NewerRecord)


@pytest.fixture
def grown(monkeypatch):
    """A later version: a deletion has two more fields, and options two more numbers."""
    lengths = module._LENGTHS | {transitions.DELETED: 4}
    monkeypatch.setattr(module, "_LENGTHS", lengths)
    monkeypatch.setattr(module, "_DEFAULTS", {transitions.DELETED: (7, None)})
    fields = [(name, Any) for name in (*Options._fields, "sixth", "seventh")]
    monkeypatch.setattr(module, "Options", NamedTuple("LaterOptions", fields))
    monkeypatch.setattr(module, "_OPTIONS_LENGTH", 7)
    monkeypatch.setattr(module, "_OPTION_DEFAULTS", (60, 70))


@pytest.mark.parametrize(
    "fields, expected",
    [((), (7, None)), ((1,), (1, None)), ((1, 2), (1, 2))],
)
@pytest.mark.usefixtures("grown")
def test_what_an_older_server_did_not_write_has_its_default(fields, expected):
    """Each field for itself, in the order in which they came."""
    body = msgpack.packb([(transitions.DELETED, b"id", *fields)])
    assert Unpacker().records(body) == [(transitions.DELETED, b"id", *expected)]


@pytest.mark.usefixtures("grown")
def test_options_of_an_older_server_are_those_of_a_newer_one_that_says_the_defaults():
    """In every kind of record that has some; and they are one object."""
    added = [with_options(1, 2, 3, 4, 5, *more) for more in ((), (60,), (60, 70))]
    restored = [transitions.RESTORED, *added[0][1:], 1, 0, 0, 0, None, None, None]
    records = Unpacker().records(msgpack.packb([*added, restored]))
    assert {record[7] for record in records} == {(1, 2, 3, 4, 5, 60, 70)}
    assert len({id(record[7]) for record in records}) == 1


@pytest.mark.usefixtures("grown")
def test_what_never_was_optional_has_no_default():
    """And what is longer than the later version is still newer."""
    with pytest.raises(RecordError, match="type 8 with 1 values"):
        Unpacker().records(msgpack.packb([[transitions.DELETED]]))
    with pytest.raises(NewerRecord, match="type 8 with 5 values"):
        Unpacker().records(msgpack.packb([[transitions.DELETED, b"id", 1, 2, 3]]))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92\x01", msgpack.packb(1), msgpack.packb([1])])
def test_what_is_no_body_is_refused(body):
    """With the same error, whatever it is."""
    with pytest.raises(RecordError):
        Unpacker().records(body)
