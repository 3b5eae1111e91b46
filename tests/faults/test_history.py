"""The checker of the kill loop: it accepts what may be, and finds each thing that may not."""

from __future__ import annotations

import pytest

from tests.faults.history import Event, History, Job, order_problems, problems
from tests.faults.wire import (
    DUPLICATE_JOB,
    DUPLICATE_RESULT,
    LEASE_LOST,
    NONE,
    OK,
    TIMEOUT,
    TOUCHED_MS,
    Reply,
)

ID = "00000000-0000-4000-8000-000000000001"
QUEUE, TTR_MS, PAYLOAD = "q", 1000, b"xyz"


def said(verb: str, sent_ms: float, status: str = OK, body: bytes = b"") -> Event:
    """Something that was asked and answered 10 ms later."""
    return Event(verb, sent_ms, sent_ms + 10, Reply(status), body)


def unanswered(verb: str, sent_ms: float, body: bytes = b"") -> Event:
    """Something that was never answered."""
    return Event(verb, sent_ms, body=body)


def leased(sent_ms: float, payload: bytes = PAYLOAD) -> Event:
    """A lease."""
    head = (ID, QUEUE, str(TTR_MS), str(len(payload)))
    return Event("lease", sent_ms, sent_ms + 10, Reply(OK, head, payload))


def told(sent_ms: float, result: bytes, success: str = "1") -> Event:
    """A result."""
    return Event("result", sent_ms, sent_ms + 10, Reply(OK, (ID, success, "1"), result))


def looked(sent_ms: float, state: str = "0", **values: str) -> Event:
    """An inspection."""
    known = {"name": QUEUE, "payload-size": "3", "priority": "0", "max-fails": "0", "state": state}
    known |= {"attempts": "0", "fails": "0"} | values
    return Event("inspect", sent_ms, sent_ms + 10, Reply(OK, (ID,), PAYLOAD, known))


def history(*events: Event, max_fails: int = 0, due_ms: float = 0, retry_ms: int = 0) -> Job:
    """A job and what was said of it, after it was added."""
    events = (said("add", 0), *events)
    return Job(ID, QUEUE, TTR_MS, PAYLOAD, 0, max_fails, due_ms, retry_ms, list(events))


MAY_BE = {
    "a whole life": history(leased(20), said("complete", 40, body=b"r"), told(60, b"r")),
    "a lease after the first ran out": history(leased(20), leased(1_020)),
    "a lease after a failure that was not final": history(
        leased(20), said("fail", 40), leased(60), max_fails=2
    ),
    "a lease after a failure that nobody answered": history(
        leased(20), unanswered("fail", 40), leased(60), max_fails=2
    ),
    "a lease asked for before a completion was told": history(leased(20), said("complete", 25)),
    "a completion that nobody answered, and did not happen": history(
        leased(20), unanswered("complete", 40, b"r"), leased(1_100)
    ),
    "a completion that nobody answered, and happened": history(
        leased(20), unanswered("complete", 40, b"r"), told(60, b"r")
    ),
    "gone after a deletion that nobody answered": history(
        unanswered("delete", 20), said("result", 40, NONE)
    ),
    "gone after a deletion": history(said("delete", 20), said("inspect", 40, NONE)),
    "no result yet": history(leased(20), said("result", 40, TIMEOUT)),
    "refused a second time": history(said("add", 20, DUPLICATE_JOB)),
    "a scheduled one in time": history(leased(500), due_ms=500),
    "looked at": history(leased(20), looked(40, "4", attempts="1")),
    "a lease after a release, whose attempt does not count": history(
        leased(20), said("release", 40), leased(60), looked(80, "4", attempts="1"), retry_ms=500
    ),
    "a lease after a touched one ran out": history(
        leased(20), said("touch", 900), leased(900 + TOUCHED_MS)
    ),
    "a lease after a delay": history(
        leased(20), said("fail", 40), leased(540), leased(2_040), max_fails=2, retry_ms=500
    ),
    "a touch that comes too late": history(leased(20), said("touch", 1_100, LEASE_LOST)),
}

MAY_NOT_BE = {
    "a lost job": ("lost", history(said("inspect", 20, NONE))),
    "a lost job added again": ("lost", history(said("add", 20))),
    "a job lost after a lease told of it": (
        "lost",
        Job(ID, QUEUE, TTR_MS, PAYLOAD, events=[
            unanswered("add", 0), leased(20), said("complete", 40, NONE),
        ]),
    ),
    "a double lease": ("leased twice", history(leased(20), leased(500))),
    "a double lease at the same time": ("leased twice", history(leased(20), leased(20))),
    "a double lease after a failure before both": (
        "leased twice",
        history(leased(20), said("fail", 40), leased(60), leased(80), max_fails=3),
    ),
    "a lease after a completion": (
        "handed out at",
        history(leased(20), said("complete", 40), leased(2_000)),
    ),
    "a lease after a completion that a result told of": (
        "handed out at",
        history(leased(20), unanswered("complete", 40, b"r"), told(60, b"r"), leased(2_000)),
    ),
    "a lease after the last failure": (
        "handed out at",
        history(leased(20), said("fail", 40), leased(60), said("fail", 80), leased(2_000),
                max_fails=2),
    ),
    "a lease after a deletion": ("deleted at", history(said("delete", 20), leased(40))),
    "a lease before it is due": ("due at", history(leased(20), due_ms=500)),
    "another payload": ("as another", history(leased(20, b"abc"))),
    "completed twice": ("finished", history(said("complete", 20), said("complete", 40))),
    "failed after it was completed": (
        "finished",
        history(said("complete", 20), said("fail", 40), max_fails=3),
    ),
    "failed too often": ("finished", history(said("fail", 20), said("fail", 40))),
    "a lost result": (
        "result is lost",
        history(said("complete", 20, body=b"r"), said("result", 40, TIMEOUT)),
    ),
    "a result that was not acknowledged": (
        "not the acknowledged one",
        history(said("complete", 20, body=b"r"), unanswered("complete", 20, b"s"), told(40, b"s")),
    ),
    "a result that nobody gave": (
        "nobody gave",
        history(unanswered("complete", 20, b"r"), told(40, b"s")),
    ),
    "a result that changes": (
        "changes",
        history(
            unanswered("complete", 20, b"r"), unanswered("complete", 20, b"s"),
            told(40, b"s"), told(60, b"r"),
        ),
    ),
    "a completion taken back": (
        "state 0",
        history(said("complete", 20), looked(40, "0")),
    ),
    "a completion known by a refusal, taken back": (
        "state 3",
        history(said("complete", 20, DUPLICATE_RESULT), looked(40, "3")),
    ),
    "a forgotten lease": ("attempts 0", history(leased(20), looked(40, "0"))),
    "a forgotten touch": (
        "touched at", history(leased(20), said("touch", 900), leased(2_500)),
    ),
    "a forgotten delay after a failure": (
        "leased twice",
        history(leased(20), said("fail", 40), leased(500), max_fails=2, retry_ms=500),
    ),
    "a forgotten delay after a lease that ran out": (
        "leased twice", history(leased(20), leased(1_400), retry_ms=500),
    ),
    "a touch of what is finished": ("finished", history(said("complete", 20), said("touch", 40))),
    "a job lost after a refusal told of it": (
        "lost",
        Job(ID, QUEUE, TTR_MS, PAYLOAD, events=[
            unanswered("add", 0), said("touch", 20, LEASE_LOST), said("inspect", 40, NONE),
        ]),
    ),
    "a forgotten failure": ("fails 0", history(said("fail", 20), looked(40, "2"), max_fails=3)),
    "another priority": ("become another", history(looked(20, priority="7"))),
}  # fmt: skip


@pytest.mark.parametrize("what", MAY_BE)
def test_the_checker_accepts(what):
    """There is an order of moments that explains it."""
    assert list(problems(MAY_BE[what])) == []


@pytest.mark.parametrize("what", MAY_NOT_BE)
def test_the_checker_finds(what):
    """There is none, and it says what is wrong."""
    text, job = MAY_NOT_BE[what]
    assert any(text in problem for problem in problems(job))


def ready(number: int, sent_ms: float, priority: int = 0) -> Job:
    """A job that can be leased."""
    return Job(str(number), QUEUE, TTR_MS, PAYLOAD, priority, events=[said("add", sent_ms)])


def test_the_order_of_a_queue_is_priority_then_age():
    """What was asked for at the same time may come in any order."""
    in_order = [ready(1, 500, 5), ready(2, 0), ready(3, 5), ready(4, 0), ready(5, 100)]
    assert list(order_problems(in_order)) == []
    assert "has priority" in next(order_problems([ready(1, 0), ready(2, 0, 5)]))
    assert "came before" in next(order_problems([ready(1, 100), ready(2, 0)]))


def test_what_has_retired_is_judged_and_forgotten():
    """It is counted as before, and what was wrong with it is still told."""
    fine, wrong, alive = (history(said("add", 0), said("delete", 50)) for _ in range(3))
    wrong.events.append(said("delete", 100))
    whole = History({"fine": fine, "wrong": wrong, "alive": alive})
    for job_id, job in whole.jobs.items():
        job.job_id = job_id
        job.retired = job is not alive
    before, count = whole.problems(), whole.count("add", OK)
    assert len(before) == 1
    assert whole.settle() == ["fine", "wrong"]
    assert (whole.problems(), whole.count("add", OK)) == (before, count)
    assert (list(whole.jobs), whole.forgotten, whole.settle()) == (["alive"], 2, [])
