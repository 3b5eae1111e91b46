"""The canonical form of the state."""

import pytest

from tests.engine.checking import check_derived, check_replay, replayed, shown
from tests.engine.making import (
    CALM,
    HOLD_MS,
    QUEUE,
    SITUATIONS,
    added,
    job_id,
    job_in,
    later,
    running,
)
from workq.engine import dump
from workq.engine.engine import Engine
from workq.engine.job import Options


def test_jobs_stand_by_id_whatever_order_they_came_in():
    """So that a dump can be compared by eye."""
    engine = running()
    for number in (3, 1, 2):
        added(engine, number)
    assert [job["id"] for job in dump.durable(engine)["jobs"]] == [job_id(n) for n in (1, 2, 3)]


def test_the_dump_of_a_job_is_complete():
    """A leased job, field by field."""
    engine = running()
    added(engine, 1, Options(1000, 60_000, 7, 3, 2), payload=b"\x00\xff")
    later(engine, 5)
    job = engine.head(QUEUE)
    assert job is not None
    token = engine.lease(job)
    created_ms = engine.now_ms - 5
    assert dump.durable(engine) == {
        "seq": 1,
        "token": token,
        "offset_ms": 0,
        "jobs": [
            {
                "id": job_id(1),
                "seq": 1,
                "queue": QUEUE,
                "options": [1000, 60_000, 7, 3, 2],
                "payload": b"\x00\xff",
                "created_ms": created_ms,
                "due_ms": created_ms,
                "at_ms": created_ms + 60_000,
                "time_ms": None,
                "state": "leased",
                "attempts": 1,
                "fails": 0,
                "timeouts": 0,
                "lease": [token, engine.now_ms + 1000],
                "hold": None,
                "result": None,
            }
        ],
    }


def test_the_rest_shows_orders_deadlines_and_numbers():
    """One job of each kind in two queues."""
    engine = running()
    now_ms = engine.now_ms
    job_in(engine, "scheduled", 1)
    job_in(engine, "leased", 2)
    added(engine, 3, queue=b"pong", payload=b"four")
    job_in(engine, "held", 5)
    engine.complete(engine.start(job_id(4), b"pong", Options(1000, 0), b"x"), b"yz")
    assert dump.rest(engine) == {
        "foreground": [job_id(4)],
        "queues": {
            b"ping": {"ready": [], "scheduled": [job_id(5), job_id(1)], "size": 3},
            b"pong": {"ready": [job_id(3)], "scheduled": [], "size": 2},
        },
        "expiries": [
            (now_ms + 60_000, job_id(2)),
            (now_ms + 60_000, job_id(3)),
            (now_ms + 60_000, job_id(5)),
            (now_ms + 60_500, job_id(1)),
        ],
        "deadlines": [(now_ms + 1000, job_id(2))],
        "holds": [(now_ms + HOLD_MS, job_id(5))],
        "schedules": [(engine.wall_ms + 500, job_id(1))],
        "counts": {"scheduled": 1, "ready": 2, "leased": 1, "completed": 1, "failed": 0},
        "size": 5,
        "queue_count": 2,
        "held_bytes": 7 + 7 + 4 + 7 + 1 + 2,
    }


def test_foreground_jobs_are_not_durable():
    """A server that starts again knows nothing of them."""
    engine = running()
    before = dump.durable(engine), dump.digest(engine)
    engine.start(job_id(1), QUEUE, Options(1000, 0), b"x")
    assert (dump.durable(engine), dump.digest(engine)) == before
    assert dump.rest(engine)["foreground"] == [job_id(1)]


def two_jobs() -> Engine:
    """An engine with two jobs, always the same."""
    engine = running()
    added(engine, 1)
    added(engine, 2)
    return engine


def test_equal_states_have_equal_digests():
    """Sixteen bytes, the same in every run of the same acts."""
    digest = dump.digest(two_jobs())
    assert len(digest) == 16
    assert digest == dump.digest(two_jobs())


@pytest.mark.parametrize(
    "field, value",
    [
        ("seq", 9),
        ("options", CALM._replace(priority=1)),
        ("payload", b""),
        ("created_ms", 1),
        ("due_ms", 1),
        ("at_ms", None),
        ("time_ms", 1),
        ("state", "leased"),
        ("attempts", 1),
        ("fails", 1),
        ("timeouts", 1),
        ("result", b""),
    ],
)
def test_a_digest_tells_any_field_of_a_job(field, value):
    """One field of one job is enough."""
    engine = two_jobs()
    job = engine.find(job_id(2))
    setattr(job, field, value)
    assert dump.digest(engine) != dump.digest(two_jobs())


@pytest.mark.parametrize("field", ["seq", "token"])
def test_a_digest_tells_the_counters(field):
    """Two servers that would give different numbers are not in the same state."""
    engine = two_jobs()
    setattr(engine, field, getattr(engine, field) + 1)
    assert dump.digest(engine) != dump.digest(two_jobs())


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_replayed_state_is_equal(situation):
    """A fresh state after the commits, in every situation of a job and at any time of its own."""
    engine = running()
    job_in(engine, situation)
    check_derived(engine)
    for now_ms in (0, engine.now_ms, 2 * engine.now_ms):
        replica = replayed(engine.commit, now_ms)
        check_replay(shown(engine), replica)
        assert dump.digest(replica) == dump.digest(engine)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_state_made_from_its_records_is_equal(situation):
    """What a snapshot keeps is all there is to keep, whatever the clock shows when it is read."""
    engine = running()
    job_in(engine, "completed", 1)
    job_in(engine, situation, 2, Options(1000, 60_000, 3, 5, 5))
    added(engine, 3, queue=b"other")
    for now_ms in (0, engine.now_ms, 2 * engine.now_ms):
        copy = replayed(dump.records(engine), now_ms)
        check_derived(copy)
        check_replay(shown(engine), copy)
        assert dump.digest(copy) == dump.digest(engine)


def test_the_counters_of_jobs_that_are_gone_are_kept():
    """No number is given twice, not even one whose job was removed before the snapshot."""
    engine = running()
    engine.delete(job_in(engine, "leased"))
    copy = replayed(dump.records(engine))
    assert (copy.seq, copy.token) == (engine.seq, engine.token)


def test_the_counters_come_back_though_older_jobs_come_after_them():
    """The last job is gone, and the one before it must not take its number back."""
    engine = running()
    added(engine, 1)
    engine.delete(job_in(engine, "leased", 2))
    copy = replayed(dump.records(engine))
    assert (copy.seq, copy.token) == (engine.seq, engine.token)
    assert dump.digest(copy) == dump.digest(engine)
