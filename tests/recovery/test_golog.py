"""What becomes of the jobs in a log of the original server; the cases are those it was tried with.

K01 to K34 are the numbers of the measured description of the original, section 3.8.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recovery.gologs import (
    CREATED_MS,
    HEADER,
    ID,
    OTHER_ID,
    act,
    directory,
    job,
    record,
)
from workq.engine.job import COMPLETED, FAILED, LEASED, READY, SCHEDULED
from workq.errors import GoLogError
from workq.recovery.golog import EARLY_IDS_MAX, EARLY_RECORDS_PER_ID_MAX, GoJob, GoLog, read_go_log

NOW_MS = CREATED_MS + 500


def read(path: Path, *payloads: bytes, now_ms: int = NOW_MS) -> GoLog:
    """Read a log of one segment with these records, all written when the jobs were created."""
    segment = HEADER + b"".join(record(payload) for payload in payloads)
    return read_go_log(directory(path, s1=segment), now_ms)


def the_job(log: GoLog) -> GoJob:
    """The only job of a log."""
    (only,) = log.jobs
    return only


def problems(log: GoLog) -> list[str]:
    """The warnings, without where and about which job."""
    return [warning.problem.removeprefix(f"job {ID}: ") for warning in log.warnings]


def refused(path: Path, *payloads: bytes) -> GoLogError:
    """The error that a log with these records is refused with."""
    with pytest.raises(GoLogError) as caught:
        read(path, *payloads)
    return caught.value


# --- the cases: what the log may hold ---------------------------------------------------------


def test_k02_an_added_job_is_there(tmp_path):
    """With all it was given."""
    payload = job(priority=-10, max_attempts=3, max_fails=1)
    assert the_job(read(tmp_path, payload)) == GoJob(
        id=ID.encode(),
        name=b"ping",
        payload=b"a",
        ttr_ms=1000,
        ttl_ms=60_000,
        priority=-10,
        max_attempts=3,
        max_fails=1,
        created_ms=CREATED_MS,
        due_ms=CREATED_MS,
        expires_ms=CREATED_MS + 60_000,
        time_ms=None,
        state=READY,
        attempts=0,
        fails=0,
        timeouts=0,
        deadline_ms=None,
        result=None,
    )


@pytest.mark.parametrize("payload", [b"\x09", b"\x09abc", b"\x00", act(9)])
def test_k16_and_k17_an_unknown_record_is_refused(tmp_path, payload):
    """It may mean anything, so nothing after it can be believed; the place is named."""
    error = refused(tmp_path, job(), payload)
    assert error.offset == 8 + len(record(job()))
    assert str(error).endswith(f"a record of kind {payload[0]}, which is not known")


def test_k18_an_empty_record_is_refused(tmp_path):
    """Its checksum is right, so somebody meant it."""
    assert "says nothing" in str(refused(tmp_path, b""))


@pytest.mark.parametrize("payload", [act(5), act(7), act(3, b"r"), job(), job(2)])
def test_k19_a_record_with_a_byte_too_many_is_refused(tmp_path, payload):
    """Of every form of record."""
    assert "1 bytes too many" in str(refused(tmp_path, payload + b"x"))


@pytest.mark.parametrize("payload", [act(5), act(3, b"result"), act(4, b"result"), job(), job(2)])
def test_k33_a_record_that_ends_early_is_refused(tmp_path, payload):
    """At whatever byte, though its checksum is right."""
    for size in range(1, len(payload)):
        assert "ends in the middle" in str(refused(tmp_path, payload[:size]))


def test_k20_of_a_job_added_twice_the_first_wins(tmp_path):
    """With a warning, for the second may have been another."""
    log = read(tmp_path, job(payload=b"first"), job(payload=b"second"))
    assert the_job(log).payload == b"first"
    assert problems(log) == ["added a second time: left out, the first stays"]


def test_k21_a_job_may_be_deleted_and_added_again(tmp_path):
    """It is a new one."""
    log = read(tmp_path, job(), act(7), act(5), job(payload=b"second"))
    assert (the_job(log).payload, the_job(log).attempts, log.warnings) == (b"second", 0, [])


def test_k22_a_lease_of_a_leased_job_ends_the_lease_before_it(tmp_path):
    """The original wakes the next worker before it has written that the lease ran out."""
    log = read(tmp_path, job(), act(7), act(7), act(8))
    found = the_job(log)
    assert (found.state, found.attempts, found.timeouts) == (LEASED, 2, 1)
    assert problems(log) == ["leased while it is leased: the earlier lease must have run out"]


@pytest.mark.parametrize(
    "acts, state, timeouts, warnings",
    [
        ([(7, 0), (7, 1001), (8, 1002)], LEASED, 1, 1),
        ([(7, 0), (7, 1001), (8, 1002), (8, 2005)], READY, 2, 1),
        ([(7, 0), (7, 1001), (8, 1002), (8, 1003)], READY, 2, 1),
        ([(7, 0), (7, 1500), (8, 2600), (7, 2700)], LEASED, 2, 1),
    ],
)
def test_k22_one_record_that_comes_late_does_not_end_the_next_lease(
    tmp_path, acts, state, timeouts, warnings
):
    """But another does, and so does one from after that lease's own end: a restart loses some."""
    segment = HEADER + record(job())
    segment += b"".join(record(act(kind), CREATED_MS + at_ms) for kind, at_ms in acts)
    log = read_go_log(directory(tmp_path, s1=segment), CREATED_MS + 1500)
    found = the_job(log)
    assert (found.state, found.timeouts, len(log.warnings)) == (state, timeouts, warnings)


def test_k23_a_job_leased_again_is_leased(tmp_path):
    """Both attempts count, and the deadline is the second lease's."""
    found = the_job(read(tmp_path, job(), act(7), act(8), act(7)))
    assert (found.state, found.attempts, found.timeouts) == (LEASED, 2, 1)
    assert found.deadline_ms == CREATED_MS + 1000


def test_k24_a_lease_of_a_completed_job_is_counted_and_changes_nothing(tmp_path):
    """The worker that completed it had it, its record came late."""
    log = read(tmp_path, job(), act(3, b"done"), act(7))
    found = the_job(log)
    assert (found.state, found.result, found.attempts) == (COMPLETED, b"done", 1)
    assert problems(log) == ["leased though it is finished: counted as an attempt"]


def test_k24_only_the_last_lease_can_have_brought_the_result(tmp_path):
    """So the ones before it ran out, whether or not that was written in time."""
    for before in ([act(7), act(3)], [act(7), act(3), act(8)], [act(7), act(8), act(3)]):
        found = the_job(read(tmp_path, job(), *before, act(7)))
        assert (found.attempts, found.timeouts) == (2, 1)


@pytest.mark.parametrize("first, state", [(3, COMPLETED), (4, FAILED)])
@pytest.mark.parametrize("second", [3, 4])
def test_k25_of_two_results_the_first_holds(tmp_path, first, state, second):
    """With a warning about the other."""
    log = read(tmp_path, job(), act(first, b"first"), act(second, b"second"))
    found = the_job(log)
    assert (found.state, found.result) == (state, b"first")
    assert problems(log) == ["finished a second time: this result of 6 bytes is left out"]


def test_k26_a_result_written_before_its_job_is_not_lost(tmp_path):
    """The original would do the work again: its records change places under load."""
    log = read(tmp_path, act(7), act(3, b"done"), job())
    found = the_job(log)
    assert (found.state, found.result, found.attempts) == (COMPLETED, b"done", 1)
    assert problems(log) == ["its record stands before that of the job: taken after it"] * 2
    assert log.homeless == 0


def test_k26_a_result_older_than_the_job_was_another_jobs(tmp_path):
    """One that had the id before and is not on the log any more."""
    log = read(tmp_path, act(7), act(3, b"done"), job(created_ms=CREATED_MS + 1))
    assert (the_job(log).state, the_job(log).attempts) == (READY, 0)
    assert (log.homeless, log.warnings) == (2, [])


def test_k27_an_expired_job_is_gone_with_its_result(tmp_path):
    """No record says that it expired: the server was down."""
    log = read(tmp_path, job(ttl=400), act(7), act(3, b"done"))
    assert (log.jobs, log.expired, log.homeless, log.warnings) == ([], 1, 0, [])


def test_k28_an_id_of_any_version_is_imported(tmp_path):
    """The original refuses them; our server does not."""
    version_one = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert the_job(read(tmp_path, job(id=version_one))).id == version_one.encode()


@pytest.mark.parametrize(
    "fields, problem",
    [
        ({"ttr": 0}, "its ttr is 0, not 1 to 86400000"),
        ({"ttr": 86_400_001}, "its ttr is 86400001, not 1 to 86400000"),
        ({"ttl": 0}, "its ttl is 0, not 1 to 18446744073709551615"),
        ({"priority": 2**31}, "its priority is 2147483648, not -2147483648 to 2147483647"),
        ({"max_attempts": 256}, "its max-attempts is 256, not 0 to 255"),
        ({"max_fails": 256}, "its max-fails is 256, not 0 to 255"),
        ({"payload": bytes(2**20 + 1)}, "its payload-size is 1048577, not 0 to 1048576"),
        ({"name": b""}, "its name cannot be one: b''"),
        ({"name": b"a b"}, "its name cannot be one: b'a b'"),
    ],
)
def test_k28_a_job_that_cannot_be_one_of_ours_is_left_out(tmp_path, fields, problem):
    """With a warning; the others are imported."""
    log = read(tmp_path, job(**fields), act(7), job(id=OTHER_ID))
    assert the_job(log).id == OTHER_ID.encode()
    assert problems(log) == [f"left out: {problem}"]


def test_k28_a_nil_id_is_left_out(tmp_path):
    """It is the one UUID that no job may have."""
    nil = "00000000-0000-0000-0000-000000000000"
    log = read(tmp_path, job(id=nil))
    assert (log.jobs, problems(log)) == ([], [f"job {nil}: left out: its id is nil"])


def test_k29_a_lease_beyond_the_attempts_changes_nothing(tmp_path):
    """The job has failed."""
    log = read(tmp_path, job(max_attempts=1), act(7), act(8), act(7))
    found = the_job(log)
    assert (found.state, found.result, found.attempts, found.timeouts) == (FAILED, b"", 1, 1)
    assert problems(log) == ["leased though it has failed: left out"]


def test_k34_the_ttl_does_not_start_anew(tmp_path):
    """It ends when it would have ended without a restart, to the millisecond."""
    assert len(read(tmp_path, job(ttl=2000), now_ms=CREATED_MS + 1999).jobs) == 1
    assert len(read(tmp_path, job(ttl=2000), now_ms=CREATED_MS + 2000).jobs) == 0


# --- what the cases do not name ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [5, 6])
def test_a_deleted_or_expired_job_is_gone(tmp_path, kind):
    """In whatever state it was."""
    for before in ([], [act(7)], [act(3, b"x")]):
        log = read(tmp_path, job(), *before, act(kind))
        assert (log.jobs, log.expired, log.warnings) == ([], 0, [])


def test_a_lease_that_ran_out_meanwhile_has_run_out(tmp_path):
    """At its deadline, not before; the job goes back to its place."""
    before = the_job(read(tmp_path, job(), act(7), now_ms=CREATED_MS + 999))
    assert (before.state, before.deadline_ms) == (LEASED, CREATED_MS + 1000)
    after = the_job(read(tmp_path, job(), act(7), now_ms=CREATED_MS + 1000))
    assert (after.state, after.deadline_ms) == (READY, None)
    assert (after.attempts, after.timeouts) == (1, 1)


def test_the_last_lease_that_ran_out_meanwhile_fails_its_job(tmp_path):
    """With an empty result, as if a server had been there to see it."""
    log = read(tmp_path, job(max_attempts=1), act(7), now_ms=CREATED_MS + 1000)
    found = the_job(log)
    assert (found.state, found.result, found.timeouts) == (FAILED, b"", 1)


def test_a_result_holds_though_the_last_attempt_ran_out(tmp_path):
    """Only what was accepted is on the log: its worker was told so."""
    log = read(tmp_path, job(max_attempts=1), act(7), act(8), act(3, b"done"), act(3, b"again"))
    found = the_job(log)
    assert (found.state, found.result, found.timeouts) == (COMPLETED, b"done", 0)
    assert problems(log) == [
        "finished though its last attempt ran out: the result holds",
        "finished a second time: this result of 5 bytes is left out",
    ]


def test_the_end_of_a_lease_that_is_none_changes_nothing(tmp_path):
    """The original writes it whenever the timer fires."""
    for before, state in (([], READY), ([act(7), act(3, b"x")], COMPLETED)):
        log = read(tmp_path, job(), *before, act(8))
        assert (the_job(log).state, the_job(log).timeouts, log.warnings) == (state, 0, [])


def test_an_id_may_be_used_anew_after_its_ttl(tmp_path):
    """Though no record says that the first job expired."""
    second = job(payload=b"second", created_ms=CREATED_MS + 400)
    log = read(tmp_path, job(ttl=400), act(3, b"done"), second)
    assert (the_job(log).payload, the_job(log).state, log.warnings) == (b"second", READY, [])


def test_the_late_expiry_of_the_job_before_does_not_take_the_new_one(tmp_path):
    """The original frees the id before it writes so; its own end does end the new job."""
    second = job(created_ms=CREATED_MS + 400)
    records = [(job(ttl=400), 0), (second, 401), (act(6), 402)]
    segment = HEADER + b"".join(record(data, CREATED_MS + at) for data, at in records)
    log = read_go_log(directory(tmp_path, s1=segment), NOW_MS)
    assert (the_job(log).created_ms, log.warnings) == (CREATED_MS + 400, [])
    segment += record(act(6), CREATED_MS + 60_400)
    assert read_go_log(directory(tmp_path, s1=segment), NOW_MS).jobs == []


def test_records_of_foreground_jobs_are_counted(tmp_path):
    """Their adding is never on the log, so there is nothing to warn of."""
    log = read(tmp_path, act(7), act(8), act(7), act(3, b"x"), act(6), act(5))
    assert (log.jobs, log.homeless, log.warnings) == ([], 6, [])


def test_what_a_foreground_job_left_is_not_taken_for_a_new_job(tmp_path):
    """Its end clears it."""
    log = read(tmp_path, act(7), act(3, b"x"), act(6), job())
    assert (the_job(log).state, the_job(log).attempts) == (READY, 0)


def test_few_early_records_are_kept(tmp_path):
    """The newest ids only: the job's own record is milliseconds behind, if it comes at all."""
    others = [f"61a444a0-6128-41c0-8078-{number:012x}" for number in range(EARLY_IDS_MAX)]
    for count, attempts in ((EARLY_IDS_MAX - 1, 1), (EARLY_IDS_MAX, 0)):
        log = read(tmp_path, act(7), *(act(7, id=other) for other in others[:count]), job())
        assert the_job(log).attempts == attempts
    log = read(tmp_path, *[act(7)] * 300, job())
    assert the_job(log).attempts == EARLY_RECORDS_PER_ID_MAX


def test_a_scheduled_job_waits_for_its_time(tmp_path):
    """Then it is ready; it is due then, and its TTL counts from then."""
    data = job(2, time_ms=CREATED_MS + 600)
    found = the_job(read(tmp_path, data))
    assert (found.state, found.due_ms, found.time_ms) == (
        SCHEDULED,
        CREATED_MS + 600,
        CREATED_MS + 600,
    )
    assert found.expires_ms == CREATED_MS + 60_600
    assert the_job(read(tmp_path, data, now_ms=CREATED_MS + 600)).state == READY


def test_a_job_scheduled_for_the_past_is_due_at_its_creation(tmp_path):
    """But its TTL counts from the time as given."""
    found = the_job(read(tmp_path, job(2, time_ms=CREATED_MS - 10_000)))
    assert (found.state, found.due_ms) == (READY, CREATED_MS)
    assert (found.time_ms, found.expires_ms) == (CREATED_MS - 10_000, CREATED_MS + 50_000)


def test_a_job_scheduled_for_the_zero_time_is_not_scheduled(tmp_path):
    """That instant is how the original says so."""
    found = the_job(read(tmp_path, job(2)))
    assert (found.state, found.time_ms, found.expires_ms) == (READY, None, CREATED_MS + 60_000)


def test_a_scheduled_job_may_be_finished_before_its_time(tmp_path):
    """Its result stays until the end of its TTL."""
    found = the_job(read(tmp_path, job(2, time_ms=CREATED_MS + 600), act(3, b"x")))
    assert (found.state, found.result) == (COMPLETED, b"x")


def test_a_ttl_beyond_the_last_deadline_never_ends(tmp_path):
    """As with a job that is added here."""
    assert the_job(read(tmp_path, job(ttl=2**53))).expires_ms is None


def test_arrival_goes_by_creation_then_by_the_log(tmp_path):
    """Appending may have changed places; the original orders by creation too."""
    ids = [f"61a444a0-6128-41c0-8078-00000000000{digit}" for digit in "3124"]
    later = {ids[0]: 2, ids[1]: 1, ids[2]: 1, ids[3]: 0}
    jobs = [job(id=job_id, created_ms=CREATED_MS + ms) for job_id, ms in later.items()]
    log = read(tmp_path, *jobs)
    assert [found.id.decode() for found in log.jobs] == [ids[3], ids[1], ids[2], ids[0]]


def test_jobs_may_be_created_in_the_future(tmp_path):
    """`now` may be any: a log can be looked at as of any moment."""
    found = the_job(read(tmp_path, job(), act(7), now_ms=0))
    assert (found.state, found.deadline_ms) == (LEASED, CREATED_MS + 1000)


@given(st.lists(st.binary(max_size=60) | st.builds(lambda data: job() + data, st.binary())))
def test_whatever_a_record_says_it_is_read_or_refused(payloads):
    """With the right checksum; no other error comes out."""
    with TemporaryDirectory() as path:
        try:
            log = read(Path(path), *payloads)
        except GoLogError as error:
            assert error.offset is not None  # noqa: PT017
        else:
            assert log.records == len(payloads)


#: What may stand in a log of one job, at times some of which are beyond its deadlines.
EVENTS = st.tuples(
    st.sampled_from(["add", "add twice", 3, 4, 5, 6, 7, 7, 7, 8, 8]), st.integers(0, 3000)
)


@given(st.lists(EVENTS, max_size=20), st.integers(0, 2), st.integers(0, 3000))
def test_in_whatever_order_records_stand_a_job_is_one_that_can_be(events, max_attempts, now):
    """Its state, its counters and its deadlines fit together."""
    segment = HEADER
    for kind, after_ms in events:
        moment = CREATED_MS + after_ms
        if isinstance(kind, int):
            payload = act(kind, b"x")
        else:
            created_ms = CREATED_MS if kind == "add" else moment
            payload = job(max_attempts=max_attempts, ttl=2000, created_ms=created_ms)
        segment += record(payload, moment)
    now_ms = CREATED_MS + now
    with TemporaryDirectory() as path:
        log = read_go_log(directory(Path(path), s1=segment), now_ms)
    assert len(log.jobs) + log.expired <= 1
    for found in log.jobs:
        assert (found.result is not None) == (found.state in (COMPLETED, FAILED))
        assert (found.deadline_ms is not None) == (found.state == LEASED)
        assert found.deadline_ms is None or found.deadline_ms > now_ms
        assert found.expires_ms is not None and found.expires_ms > now_ms
        unended = found.attempts - found.timeouts
        assert unended in {LEASED: (1,), READY: (0,)}.get(found.state, (0, 1))
        assert not max_attempts or found.attempts <= max_attempts
        if found.state == READY and max_attempts:
            assert found.attempts < max_attempts
