"""Logs that the original server wrote, and the jobs it showed when it had read them again.

`data/go-log` holds a directory with four segments, the same with a torn end, and what `inspect job`
and `result` of the original said.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.recovery.gologs import directory
from workq.engine.job import COMPLETED, FAILED, LEASED, READY, SCHEDULED
from workq.errors import GoLogError
from workq.recovery.golog import GoJob, read_go_log
from workq.recovery.golog_frames import read_records

DATA = Path(__file__).parent / "data" / "go-log"

#: A second after the last record of the fixture: 2026-11-22T09:36:26Z.
FIXTURE_NOW_MS = 1_795_340_186_000

#: The states of the original by their numbers.
STATES = {0: READY, 1: COMPLETED, 2: FAILED, 3: READY, 4: LEASED}


def inspected(go_job: GoJob) -> dict[str, object]:
    """A job as the original shows it; its numbers for states are given up."""
    seen: dict[str, object] = {
        "name": go_job.name.decode(),
        "ttr": go_job.ttr_ms,
        "ttl": go_job.ttl_ms,
        "payload-size": len(go_job.payload),
        "payload_hex": go_job.payload.hex(),
        "max-attempts": go_job.max_attempts,
        "attempts": go_job.attempts,
        "max-fails": go_job.max_fails,
        "fails": go_job.fails,
        "priority": go_job.priority,
        "state": READY if go_job.state == SCHEDULED else go_job.state,
        "created": shown(go_job.created_ms),
    }
    if go_job.time_ms is not None:
        seen["time"] = shown(go_job.time_ms)
    if go_job.result is not None:
        seen["result"] = {"ok": int(go_job.state == COMPLETED), "hex": go_job.result.hex()}
    return seen


def shown(time_ms: int) -> str:
    """A time as the original shows it."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expected() -> dict[str, dict[str, object]]:
    """The jobs of the fixture by id, as the original showed them."""
    jobs = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
    return {
        job_id: {**fields, "state": STATES[fields["state"]]}
        for job_id, fields in jobs.items()
        if fields != "-NOT-FOUND"
    }


def test_a_log_of_the_original_gives_the_jobs_it_showed():
    """Every field, of every job, and no other job: the deleted and the expired one are gone."""
    log = read_go_log(DATA / "dir", FIXTURE_NOW_MS)
    assert {found.id.decode(): inspected(found) for found in log.jobs} == expected()
    assert log.warnings == []
    assert (log.records, log.expired, log.homeless) == (22, 0, 0)


def test_a_torn_log_of_the_original_gives_all_but_its_last_job():
    """And says where it was cut and how much was left out."""
    log = read_go_log(DATA / "dir-torn", FIXTURE_NOW_MS)
    whole = expected()
    del whole["61a444a0-6128-41c0-8078-00000000000b"]
    assert {found.id.decode(): inspected(found) for found in log.jobs} == whole
    (warning,) = log.warnings
    assert str(warning) == (
        f"{DATA / 'dir-torn' / '000000004.log'}, byte 45: "
        "a record that is not whole: the last 3081 bytes of the log are left out"
    )


def test_deadlines_of_the_fixture_are_absolute():
    """They are counted from the records, to the millisecond."""
    jobs = {found.name: found for found in read_go_log(DATA / "dir", FIXTURE_NOW_MS).jobs}
    assert jobs[b"leased"].deadline_ms == 1_795_340_184_482 + 86_400_000
    assert jobs[b"plain"].expires_ms == 1_795_340_184_479 + 2_592_000_000
    later = jobs[b"later"]
    assert (later.state, later.time_ms, later.due_ms) == (SCHEDULED, 1798761600000, 1798761600000)
    assert later.expires_ms == 1798761600000 + 2_592_000_000


def test_years_later_nothing_of_the_fixture_is_left():
    """All TTLs have ended; no record said so."""
    log = read_go_log(DATA / "dir", FIXTURE_NOW_MS + 10 * 365 * 86_400_000)
    assert (log.jobs, log.expired) == ([], 9)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_segment_cut_anywhere_is_read_or_refused(tmp_path, number):
    """At every byte: the last segment gives a beginning of the log, another one a clear error."""
    segments = {f"s{n}": (DATA / "dir" / f"{n:09d}.log").read_bytes() for n in range(1, 5)}
    whole = segments[f"s{number}"]
    path = directory(tmp_path, **segments)
    starts: dict[int, list[int]] = {n: [] for n in range(1, 5)}
    for found in read_records(path, []):
        starts[int(Path(found.path).stem)].append(found.offset)
    counts, errors = set(), set()
    for size in range(len(whole)):
        (path / f"{number:09d}.log").write_bytes(whole[:size])
        try:
            log = read_go_log(path, FIXTURE_NOW_MS)
        except GoLogError as error:
            errors.add(Path(error.path).name)
        else:
            # Where it is cut between two records nothing can be seen of it.
            between = size == 8 or size in starts[number]
            assert len(log.warnings) == (not between)
            counts.add(log.records)
    assert errors == ({f"{number:09d}.log"} if number < 4 else set())
    assert counts == set(range(22 - len(starts[number]), 22))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_flipped_byte_anywhere_is_never_overlooked(tmp_path, number):
    """It is refused, or warned of if it is in the last record of all."""
    segments = {f"s{n}": (DATA / "dir" / f"{n:09d}.log").read_bytes() for n in range(1, 5)}
    path = directory(tmp_path, **segments)
    whole = segments[f"s{number}"]
    for at in range(0, len(whole), 1 if number < 4 else 7):
        bad = bytearray(whole)
        bad[at] ^= 0x81
        (path / f"{number:09d}.log").write_bytes(bad)
        try:
            log = read_go_log(path, FIXTURE_NOW_MS)
        except GoLogError:
            continue
        assert number == 4 and at >= 45
        assert (log.records, len(log.warnings)) == (21, 1)
