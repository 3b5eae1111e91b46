"""Records by names: the vocabulary, and which of them are listed."""

import json
import re
from pathlib import Path

import pytest

from tests.cmdlog.making import opened
from tests.engine.making import CALM, job_id
from tests.recovery.making import damage, kept, lived, places
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.frames import REPAIR
from workq.cmdlog.scan import Reading
from workq.engine import transitions as t
from workq.engine.job import Options
from workq.errors import CorruptionError, DirectoryError
from workq.recovery import records
from workq.recovery.listing import FIELDS, REASONS, Wanted, describe, listing, shown_time

DOCS = Path(__file__).parents[2] / "docs" / "cmdlog.md"

ADDED = (t.ADDED, 1, job_id(1), b"ping", 5, 5, 65, CALM, None, b"payload")


def lines(disk, **wanted):
    """What is listed."""
    return list(listing(Reading(disk), Wanted(**wanted)))


def test_the_fields_are_those_of_the_transitions():
    """As their module tells them, in the same order; those that are never logged are left out."""
    text = (t.__doc__ or "").replace("\n  ", " ")
    told = dict(re.findall(r"^- ([A-Z]+): ([A-Za-z_, ]+)\.", text, re.MULTILINE))
    assert told.pop("STARTED") == told["DELAYED"] == "as ADDED"
    told["DELAYED"] = told["ADDED"]
    fields = {t.NAMES[kind].upper(): ", ".join(names) for kind, names in FIELDS.items()}
    told["RESTORED"] = told["RESTORED"].replace("as ADDED, then", f"{told['ADDED']},")
    assert fields == told


def test_the_fields_are_as_many_as_the_records_have():
    """What is packed has its type before them."""
    most = {kind: n + records._OPTIONAL.get(kind, 0) for kind, n in records._LENGTHS.items()}
    assert {kind: len(names) + 1 for kind, names in FIELDS.items()} == most


def test_the_documents_have_every_type_and_every_field():
    """A row each, by number and name, with the fields in their order."""
    text = DOCS.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| ([a-z]+ \| .+) \|$", text, re.MULTILINE))
    for kind, names in FIELDS.items():
        name, cell = rows[str(kind)].split(" | ")[:2]
        assert name == t.NAMES[kind]
        made = re.sub("as added(, then)?", " ".join(f"`{one}`" for one in FIELDS[t.ADDED]), cell)
        assert tuple(re.findall(r"`(\w+)`", made)) == names
    for number, reason in REASONS.items():
        assert f"{number} `{reason}`" in text
    for name in Options.NAMES:
        assert f"`{name}`" in text


def test_a_transition_is_shown_by_names():
    """Numbers that stand for something are told as what they stand for."""
    assert describe(ADDED) == {
        "type": "added", "seq": 1, "id": job_id(1).decode(), "name": "ping", "created_ms": 5,
        "due_ms": 5, "expires_ms": 65, "time_ms": None, "payload": "payload",
        "options": {
            "ttr_ms": 1000, "ttl_ms": 60_000, "priority": 0, "max_attempts": 0, "max_fails": 0,
        },
    }  # fmt: skip
    restored = describe((t.RESTORED, *ADDED[1:], 2, 1, 0, 0, 7, 99, None))
    assert (restored["state"], restored["token"], restored["result"]) == ("leased", 7, None)
    assert describe((t.RETURNED, job_id(1), t.GIVEN_BACK)) == {
        "type": "returned", "id": job_id(1).decode(), "reason": "given-back",
    }  # fmt: skip
    held = describe((t.RETURNED, job_id(1), t.FAILURE, 99))
    assert held["hold_until_ms"] == 99
    retrying = describe((*ADDED[:7], Options(1, 2, 0, 0, 0, 5), *ADDED[8:]))
    assert retrying["options"]["retry_delay_ms"] == 5


def test_numbers_that_have_no_name_are_shown_as_they_are():
    """No server writes them; whoever looks for what is wrong with a log wants to see them."""
    assert describe((t.RETURNED, job_id(1), 9))["reason"] == 9
    record = (t.RESTORED, *ADDED[1:], 9, 0, 0, 0, None, None, None)
    assert describe(record)["state"] == 9
    assert describe((*record[:10], "odd", *record[11:]))["state"] == "odd"


@pytest.mark.parametrize("data", [b"", b"text", "Grüße".encode(), b"\x00\r\n"])
def test_bytes_that_are_text_are_shown_as_text(data):
    """Whatever it says."""
    assert describe((t.COMPLETED, job_id(1), data))["result"] == data.decode()


def test_bytes_that_are_no_text_are_shown_in_base64_under_another_name():
    """So nobody takes one for the other."""
    shown = describe((t.COMPLETED, job_id(1), b"\xff\xfe"))
    assert shown["result_base64"] == "//4="
    assert "result" not in shown


def test_every_transition_of_a_log_is_listed_in_order():
    """With the position and time of its frame, and JSON can hold it."""
    commits = lived(1)
    found = lines(kept(commits))
    assert len(found) == sum(len(commit) for commit, _ in commits)
    expected = [
        (shown_time(time_ms), t.NAMES[record[0]])
        for commit, time_ms in commits
        for record in commit
    ]
    assert [(line["time"], line["type"]) for line in found] == expected
    positions = [line["position"] for line in found]
    assert positions == sorted(positions)
    json.dumps(found)


def test_of_a_job_all_is_listed_and_nothing_else():
    """From its beginning to its end."""
    commits = lived(1)
    wanted = job_id(3)
    expected = [
        t.NAMES[record[0]] for commit, _ in commits for record in commit if wanted in record[1:3]
    ]
    found = lines(kept(commits), job=wanted)
    assert [line["type"] for line in found] == expected
    assert len(expected) > 1


def test_of_a_queue_all_is_listed_though_most_records_have_only_an_id():
    """Those of its jobs, and of no other; two queues make up the whole."""
    disk = kept(lived(2))
    ping, pong = lines(disk, queue=b"ping"), lines(disk, queue=b"pong")
    ids = {line["id"] for line in ping}
    assert not ids & {line["id"] for line in pong}
    assert {line["type"] for line in ping} >= {"added", "leased"}
    assert len(ping) + len(pong) == len(lines(disk))
    both = lines(disk, queue=b"ping", job=ping[0]["id"].encode())
    assert both
    assert lines(disk, queue=b"pong", job=ping[0]["id"].encode()) == []


def test_an_id_that_is_used_anew_in_another_queue_belongs_there():
    """Once the first job is gone, its queue has nothing to do with it."""
    again = (*ADDED[:3], b"pong", *ADDED[4:])
    disk = kept([([ADDED, (t.DELETED, job_id(1))], 5), ([again, (t.EXPIRED, job_id(1))], 6)])
    assert [line["type"] for line in lines(disk, queue=b"ping")] == ["added", "deleted"]
    assert [line["type"] for line in lines(disk, queue=b"pong")] == ["added", "expired"]


def test_a_span_of_time_begins_with_its_first_moment_and_ends_before_its_last():
    """So that two spans that meet share nothing."""
    commits = lived(1)
    disk = kept(commits)
    middle_ms = commits[len(commits) // 2][1]
    before, after = lines(disk, until_ms=middle_ms), lines(disk, since_ms=middle_ms)
    assert before + after == lines(disk)
    assert after[0]["time"] == shown_time(middle_ms)


def test_a_repair_is_listed_where_nothing_narrower_is_asked_for():
    """It is of no job."""
    disk = SimulatedDisk()
    log = opened(disk).log
    log.append(REPAIR, 1000, 0, b'{"way": "skip"}')
    log.append(REPAIR, 1000, 0, b"\xff")
    first, second = lines(disk)
    assert (first["type"], first["way"]) == ("repair", "skip")
    assert second["body_base64"] == "/w=="
    assert lines(disk, queue=b"ping") == []


def test_what_is_before_damage_is_listed():
    """Then the error comes."""
    disk = kept(lived(1))
    at = places(disk)
    damage(disk, at[20])
    positions: set[int] = set()
    with pytest.raises(CorruptionError):
        positions.update(line["position"] for line in listing(Reading(disk), Wanted()))
    assert positions == set(range(2, 20))


@pytest.mark.parametrize("record", [(99, job_id(1)), (t.DELETED, job_id(1), 5)])
def test_a_record_of_a_newer_server_is_no_damage(record):
    """What is before it is listed; then it says who can read it."""
    found: list[object] = []
    with pytest.raises(DirectoryError, match=r"000000001\.log was written by a newer") as caught:
        found += listing(Reading(kept([([ADDED], 5), ([record], 5)])), Wanted())
    assert not isinstance(caught.value, CorruptionError)


def test_a_frame_that_makes_no_sense_is_named_with_its_file():
    """As a server does."""
    with pytest.raises(CorruptionError, match=r"000000001\.log, byte \d+: frame 2 makes no sense"):
        lines(kept([([(t.DELETED,)], 5)]))


def test_counters_are_of_no_job():
    """They are listed where all is."""
    disk = kept([([(t.COUNTERS, 5, 6)], 5)])
    assert [line["type"] for line in lines(disk)] == ["counters"]
    assert lines(disk, queue=b"ping") == lines(disk, job=job_id(1)) == []


def test_times_are_shown_in_utc_to_the_millisecond():
    """One beyond the calendar is shown as the number that it is."""
    assert shown_time(1_795_340_186_007) == "2026-11-22T09:36:26.007Z"
    assert shown_time(2**60) == f"{2**60} ms"
