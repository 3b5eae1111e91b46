"""A log of the original server becomes one of ours."""

import pytest

from tests.recovery.gologs import (
    CREATED_MS,
    HEADER,
    ID,
    OTHER_ID,
    act,
    directory,
    job,
    record,
)  # fmt: skip
from tests.recovery.making import again
from tests.recovery.test_golog_originals import DATA, FIXTURE_NOW_MS
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog.frames import COMMIT, EPOCH, STOP
from workq.cmdlog.scan import Reading
from workq.engine.engine import TOKEN_EPOCH_SHIFT
from workq.engine.job import LEASED, READY
from workq.errors import DirectoryError, GoLogError
from workq.recovery.golog import read_go_log
from workq.recovery.takeover import take_over

NOW_MS = CREATED_MS + 500


def chance(size):
    """Not by chance at all."""
    return b"\x07" * size


def taken(path, *payloads, now_ms=NOW_MS):
    """The disk with the new log of an original one with these records."""
    source = directory(path, s1=HEADER + b"".join(record(payload) for payload in payloads))
    disk = SimulatedDisk()
    take_over(source, disk, now_ms, chance)
    return disk


def compare(state, go_jobs):
    """Hold every field of every job against what was read."""
    assert state.size == len(go_jobs)
    for seq, go_job in enumerate(go_jobs, 1):
        found = state.jobs.get(go_job.id)
        assert found is not None
        assert found.seq == seq
        assert found.queue.name == go_job.name
        assert found.at_ms == go_job.expires_ms
        for field in ("ttr_ms", "ttl_ms", "priority", "max_attempts", "max_fails"):
            assert getattr(found.options, field) == getattr(go_job, field)
        for field in (
            "payload", "created_ms", "due_ms", "time_ms", "state", "attempts", "fails",
            "timeouts", "result",
        ):  # fmt: skip
            assert getattr(found, field) == getattr(go_job, field), field
        assert (found.lease and found.lease.at_ms) == go_job.deadline_ms


@pytest.mark.parametrize("name", ["dir", "dir-torn"])
def test_every_job_of_the_original_is_there_with_every_field(name):
    """In the order of arrival."""
    disk = SimulatedDisk()
    log = take_over(DATA / name, disk, FIXTURE_NOW_MS, chance)
    compare(again(disk), log.jobs)
    assert log == read_go_log(DATA / name, FIXTURE_NOW_MS)


def test_the_new_log_is_one_like_any_other():
    """It begins with an epoch and ends with a clean stop; all is safe."""
    disk = SimulatedDisk()
    take_over(DATA / "dir", disk, FIXTURE_NOW_MS, chance)
    reading = Reading(disk)
    assert [frame.kind for frame in reading.frames()] == [EPOCH, COMMIT, STOP]
    assert (reading.epoch, reading.tail, reading.time_ms) == (1, None, FIXTURE_NOW_MS)
    assert disk.safe_files.keys() == disk.files.keys()


def test_numbers_go_on_behind_those_of_the_jobs(tmp_path):
    """No sequence and no token is used twice."""
    disk = taken(tmp_path, job(), act(7), job(id=OTHER_ID), act(7, id=OTHER_ID), now_ms=CREATED_MS)
    state = again(disk)
    tokens = [one.lease.token for one in state.jobs.values() if one.lease]
    assert len(set(tokens)) == len(tokens) == 2
    assert state.seq == 2
    assert max(tokens) <= state.token < 2 << TOKEN_EPOCH_SHIFT


def test_a_job_that_is_not_created_yet_is_ready(tmp_path):
    """Where the time of the import is before that."""
    payload = job(time_ms=CREATED_MS)
    state = again(taken(tmp_path, payload, now_ms=CREATED_MS - 10_000))
    assert [one.state for one in state.jobs.values()] == [READY]


def test_a_lease_that_is_running_runs_on(tmp_path):
    """To the deadline that it had."""
    state = again(taken(tmp_path, job(), act(7)))
    found = state.jobs.get(ID.encode())
    assert found is not None
    assert found.lease is not None
    assert (found.state, found.lease.at_ms) == (LEASED, CREATED_MS + 1000)


def test_an_original_without_jobs_gives_a_log_without_jobs(tmp_path):
    """That is no mistake."""
    disk = taken(tmp_path)
    assert again(disk).size == 0
    assert disk.names() == ["000000001.log"]


def test_a_directory_that_is_not_empty_is_refused():
    """Nothing in it is changed."""
    disk = SimulatedDisk()
    take_over(DATA / "dir", disk, FIXTURE_NOW_MS, chance)
    before = disk.read_all("000000001.log")
    with pytest.raises(DirectoryError, match="not empty"):
        take_over(DATA / "dir", disk, FIXTURE_NOW_MS, chance)
    assert disk.read_all("000000001.log") == before
    assert not disk.locked


def test_a_directory_in_use_is_refused():
    """Another server's."""
    disk = SimulatedDisk()
    disk.lock()
    with pytest.raises(DirectoryError, match="uses this directory"):
        take_over(DATA / "dir", disk, FIXTURE_NOW_MS, chance)


def test_an_original_that_cannot_be_read_leaves_nothing(tmp_path):
    """Not even an empty log."""
    disk = SimulatedDisk()
    with pytest.raises(GoLogError):
        take_over(directory(tmp_path, s1=b"nonsense"), disk, NOW_MS, chance)
    assert disk.names() == []


def test_an_import_that_ends_at_any_step_leaves_no_log():
    """And can be done again in the same directory."""
    step, rests = 0, set()
    while True:
        step += 1
        disk = SimulatedDisk()

        def end(_, number, step=step):
            if number == step:
                raise OSError(28, "No space left on device")

        disk.before = end
        try:
            take_over(DATA / "dir", disk, FIXTURE_NOW_MS, chance)
        except OSError:
            rest = tuple(name for name in disk.names() if name.endswith(".log"))
            rests.add(rest)
            if not rest:
                disk.before = lambda *_: None
                take_over(DATA / "dir", disk, FIXTURE_NOW_MS, chance)
                assert again(disk).size == 9
        else:
            break
    # Only after the last step but one the name is there, and then the log is whole.
    assert rests <= {(), ("000000001.log",)}
    assert step > 5


A = record(job())


def x(kind, **rest):
    """A record about the job."""
    return record(act(kind, **rest))


#: The cases of the measured description of the original, section 3.8: segments, and how many jobs
#: there are in the end; None where the log is refused.
CASES = {
    "K01": ({}, 0),
    "K02": ({"s1": HEADER + A}, 1),
    "K03": ({"s1": HEADER}, 0),
    "K04": ({"s1": b""}, 0),
    "K05": ({"s1": HEADER + A, "s2": b""}, 1),
    "K06": ({"s1": HEADER[:5]}, 0),
    "K07": ({"s1": b"nonsense" + A}, None),
    "K08": ({"s1": HEADER + A + A[:3]}, 1),
    "K09": ({"s1": HEADER + A + record(job(id=OTHER_ID))[:-5]}, 1),
    "K10": ({"s1": HEADER + A[:-5], "s2": HEADER + A}, None),
    "K11": ({"s1": HEADER + record(job(), flip=1) + x(7)}, None),
    "K12": ({"s1": HEADER + b"\0" + A[1:] + x(7)}, None),
    "K13": ({"s1": HEADER + A[:15] + b"\xff" * 8 + b"\x7f" + A}, None),
    "K14": ({"s1": HEADER + A[:15] + b"\xff" * 11 + A}, None),
    "K15": ({"s1": HEADER + b"\n"}, 0),
    "K16": ({"s1": HEADER + record(b"\x63")}, None),
    "K17": ({"s1": HEADER + record(b"\x63data")}, None),
    "K18": ({"s1": HEADER + record(b"")}, None),
    "K19": ({"s1": HEADER + A + record(act(5) + b"x")}, None),
    "K20": ({"s1": HEADER + A + A}, 1),
    "K21": ({"s1": HEADER + A + x(5) + A}, 1),
    "K22": ({"s1": HEADER + A + x(7) + x(7)}, 1),
    "K23": ({"s1": HEADER + A + x(7) + x(8) + x(7)}, 1),
    "K24": ({"s1": HEADER + A + x(3) + x(7)}, 1),
    "K25": ({"s1": HEADER + A + x(3) + x(3)}, 1),
    "K26": ({"s1": HEADER + x(3) + A}, 1),
    "K27": ({"s1": HEADER + record(job(ttl=1)) + x(3)}, 0),
    "K28": ({"s1": HEADER + record(job(ttr=0))}, 0),
    "K29": ({"s1": HEADER + record(job(max_attempts=1)) + x(7) + x(8) + x(7)}, 1),
    "K30": ({"s3": HEADER + A}, 1),
    "K31": ({"s1": HEADER + A, "s9": HEADER}, 1),
    "K32": ({"s0": HEADER + A}, 1),
    "K33": ({"s1": HEADER + A + record(act(3)[:-1])}, None),
    "K34": ({"s1": HEADER + record(job(ttl=2000))}, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_known_cases_are_taken_over_or_refused(tmp_path, case):
    """What is read comes out of the new log in every field; what is refused leaves nothing."""
    segments, count = CASES[case]
    source = directory(tmp_path, **segments)
    disk = SimulatedDisk()
    if count is None:
        with pytest.raises(GoLogError):
            take_over(source, disk, NOW_MS, chance)
        assert disk.names() == []
    else:
        log = take_over(source, disk, NOW_MS, chance)
        assert len(log.jobs) == count
        compare(again(disk), log.jobs)
