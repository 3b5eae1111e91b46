"""While more deadlines have come than one turn may fire: answers are as if all had been."""

from collections import Counter

import pytest

from tests.broker.harness import Rig, add, complete, job_id, run, told
from workq.engine.engine import Engine
from workq.limits import (
    ANSWERS_PER_TURN_MAX,
    DEADLINES_PER_TURN_MAX,
    JOB_BYTES,
    QUEUE_BYTES,
    Bounds,
)

OK = "+OK\r\n"

#: Jobs that are over: the sweep and a look at the head of their queue both let go of some, and even
#: so there are some left after two turns.
OVER = 4 * DEADLINES_PER_TURN_MAX + 50


def behind(rig, *, after=""):
    """Let thousands of TTLs end in one millisecond; `after` adds what else ends with them."""
    client = rig.client()
    for number in range(10_001, 10_001 + OVER):
        client.put(add(number, "old", options="1000 1000"))
    client.put(after)
    rig.settle()
    client.take()
    rig.now_ms += 1000
    return client


@pytest.mark.parametrize(
    "request_",
    ["lease old 0", "inspect jobs old 0 1", "inspect queue old", "inspect queues 0 10", "stats"],
)
def test_what_looks_at_queues_waits_for_the_sweep(request_):
    """And then tells what it would have told at once, had there been few deadlines."""
    rig, calm = Rig(), Rig()
    behind(rig)
    calm.client().ask(add(1, "old", options="1000 1000"))
    calm.now_ms += 1000
    client, other = rig.client(), calm.client()
    client.put(request_ + "\r\nping\r\n")
    for _ in range(2):
        rig.turn()
        assert rig.engine.behind
        assert client.take() == ""
    rig.settle()
    answer = client.take()
    assert answer.endswith(OK)
    if request_ != "stats":
        assert answer == other.ask(request_ + "\r\nping\r\n")
    else:
        assert "\r\njobs 0\r\n" in answer


def test_a_foreground_job_waits_for_the_sweep():
    """It starts after it, for it may be the next of its queue only then."""
    rig = Rig()
    behind(rig)
    caller, worker = rig.clients(2)
    caller.put(run(1, "old", wait_ms=500))
    worker.put("lease old 100\r\n")
    rig.turn()
    assert rig.engine.behind
    assert worker.take() == ""
    rig.settle()
    assert worker.take() == told(1, "old")


@pytest.mark.parametrize(
    "request_, answer",
    [
        (complete(1), OK),
        (f"delete {job_id(1)}\r\n", OK),
        (f"result {job_id(1)} 0\r\n", "-TIMEOUT\r\n"),
        (complete(2), "-NOT-FOUND\r\n"),
        (f"result {job_id(2)} 1000\r\n", "-NOT-FOUND\r\n"),
        (f"inspect job {job_id(2)}\r\n", "-NOT-FOUND\r\n"),
        (add(2, "b"), OK),
        (f"fail {job_id(12_000)} 0\r\n\r\n", "-NOT-FOUND\r\n"),
        ("ping\r\n", OK),
    ],
)
def test_what_looks_at_one_job_does_not_wait_for_the_sweep(request_, answer):
    """It is answered in the first turn, as if all deadlines had been fired."""
    rig = Rig()
    behind(rig, after=add(1, "b") + add(2, "b", options="1000 1000"))
    client = rig.client()
    client.put(request_)
    rig.turn()
    assert rig.engine.behind
    assert client.take() == answer


def test_a_waiter_is_handed_no_job_that_is_over():
    """A queue's head may be past its TTL while the sweep is not done: nobody gets it."""
    rig = Rig()
    worker = rig.client()
    client = behind(rig, after=add(2, "b", options="1000 1000"))
    worker.put("lease b 1000\r\n")
    client.put(add(3, "b"))
    rig.settle()
    assert worker.take() == told(3, "b")


@pytest.mark.parametrize("request_", ["lease b 0", "lease b c 100", "lease c b -count=1 0"])
def test_who_leases_of_queues_without_jobs_that_are_over_does_not_wait_for_the_sweep(request_):
    """However many jobs of other queues are over."""
    rig = Rig()
    behind(rig, after=add(1, "b"))
    worker = rig.client()
    worker.put(request_ + "\r\n")
    rig.turn()
    assert rig.engine.behind
    assert worker.take() == told(1, "b")


def test_who_waits_at_a_queue_without_jobs_that_are_over_does_not_wait_for_the_sweep():
    """A job that comes goes to them at once, and a wait ends in time."""
    rig = Rig()
    worker, late, producer, caller = rig.clients(4)
    worker.put("lease b 2000\r\n")
    late.put("lease c 1000\r\n")
    behind(rig)
    producer.put(add(1, "b"))
    caller.put(run(2, "d", wait_ms=0))
    rig.turn()
    assert rig.engine.behind
    assert worker.take() == told(1, "b")
    assert late.take() == caller.take() == "-TIMEOUT\r\n"


def test_who_waits_at_the_queue_that_is_swept_holds_up_nobody_else():
    """Nor is it told that there is nothing while there may be something."""
    rig = Rig()
    client = behind(rig, after=add(1, "old", options="1000 9000"))
    waiting, hasty, worker = rig.clients(3)
    waiting.put("lease old 10\r\n")
    hasty.put("lease old -count=2 0\r\n")
    client.put(add(2, "b"))
    worker.put("lease b 0\r\n")
    rig.turn()
    assert rig.engine.behind
    assert worker.take() == told(2, "b")
    rig.now_ms += 10
    rig.settle()
    assert waiting.take() == told(1, "old", ttr_ms=1000)
    assert hasty.take() == "-TIMEOUT\r\n"


def test_a_lease_of_several_takes_none_that_is_over():
    """One between two that are not is let go of, though the sweep has not come to it."""
    rig = Rig()
    jobs = add(1, "b") + add(2, "b", options="1000 1000") + add(3, "b")
    behind(rig, after=jobs)
    worker = rig.client()
    worker.put("lease b 0 -count=3\r\n")
    rig.turn()
    assert rig.engine.behind
    assert worker.take() == "+OK 2\r\n" + told(1, "b")[7:] + told(3, "b")[7:]


def test_leases_that_have_ended_are_seen_to_before_the_jobs_that_are_over():
    """A job that comes back is handed out, however many others are over."""
    rig = Rig()
    producer, lost, worker = rig.clients(3)
    producer.say(add(1, "b", options="900 60000"))
    lost.say("lease b 0\r\n")
    behind(rig)
    worker.put("lease b 0\r\n")
    rig.turn()
    assert rig.engine.behind
    assert worker.take() == told(1, "b", ttr_ms=900)


def test_a_wait_does_not_end_before_the_job_that_came_in_time():
    """A job that gets due in the millisecond in which a wait ends still goes to the waiter."""
    rig = Rig()
    worker = rig.client()
    worker.put("lease b 1000\r\n")
    behind(rig, after=f"schedule {job_id(1)} b 1000 1000 2030-01-01T00:00:01Z 1\r\nx\r\n")
    rig.settle()
    assert worker.take() == told(1, "b", ttr_ms=1000)


def test_a_request_that_is_put_off_is_counted_once():
    """In the number of requests that `stats` shows."""
    rig = Rig()
    behind(rig)
    before = rig.gauge("requests")
    rig.client().put("lease old 0\r\n")
    rig.settle()
    assert rig.gauge("requests") - before == 1


def test_the_number_of_evicted_jobs_does_not_depend_on_the_sweep():
    """`inspect server` tells all that have reached their end."""
    rig = Rig()
    behind(rig)
    client = rig.client()
    client.put("inspect server\r\n")
    rig.settle()
    assert f"evicted-jobs {OVER}\r\n" in client.take()


def test_a_job_whose_ttl_and_last_lease_have_both_ended_is_gone():
    """Who waits for its result is told so, however many other TTLs have ended."""
    rig = Rig()
    waiter, worker = rig.clients(2)
    client = rig.client()
    for number in range(1001, 4001):
        client.put(add(number, "old", options="60000 1000"))
    line = f"add {job_id(1)} b 900 1001 1 -max-attempts=1\r\nx\r\n"
    client.put(line)
    rig.settle()
    worker.say("lease b 0\r\n")
    waiter.say(f"result {job_id(1)} 5000\r\n")
    rig.now_ms += 2000  # a turn that comes late: TTLs first, then TTRs
    rig.settle()
    assert waiter.take() == "-NOT-FOUND\r\n"


def test_the_end_of_a_client_does_not_hide_the_end_of_its_job():
    """Whose result it waits for: what came first is told."""
    rig = Rig()
    client = rig.client()
    behind(rig, after=add(1, "b", options="1000 1000"))
    rig.now_ms -= 1
    client.put(f"result {job_id(1)} 5000\r\n")
    rig.turn()
    assert client.session.waiter is not None
    rig.now_ms += 1
    client.shut()
    rig.settle()
    assert client.take() == "-NOT-FOUND\r\n"


def test_a_turn_makes_no_more_deadlines_than_it_can_fire():
    """Or whoever looks at whole queues would wait for as long as others go on."""
    rig = Rig()
    clients = rig.clients(10)
    number = 0
    for turn in range(30):
        time = f"2030-01-01T00:00:00.{5 * turn + 25:03}Z"
        for client in clients:
            while client.session.reader.pending < 3000:
                number += 1
                client.put(f"schedule {job_id(number)} s 1 25 {time} 1\r\nx\r\n")
        rig.now_ms += 5
        rig.turn()
    assert not rig.engine.behind
    assert rig.engine.evicted > 100
    client = rig.client()
    client.put("lease empty 0\r\n")
    for _ in range(3):
        rig.now_ms += 5
        rig.turn()
    assert client.take() == "-TIMEOUT\r\n"


#: As much memory as those take, and one more job of another queue.
FULL = (OVER + 1) * (JOB_BYTES + 1) + 2 * QUEUE_BYTES


@pytest.mark.parametrize("tag", [None, 7])
def test_jobs_that_are_over_take_no_room_from_others(tag):
    """What would be refused because of them is done once enough of them are gone."""
    rig = Rig(bounds=Bounds(memory_bytes_max=FULL))
    client = rig.client()
    request, expected = add(1, "b", payload="x" * (FULL // 2)), OK
    if tag is not None:
        client.say("hello 2\r\n")
        client.take()
        request, expected = request.replace("\r\n", f" -tag={tag}\r\n", 1), f"={tag} {OK}"
    behind(rig, after=add(2, "b"))
    client.put(request)
    rig.turn()
    assert rig.engine.behind
    assert client.take() == ""
    rig.settle()
    assert client.take() == expected
    assert rig.gauge("refused-for-memory") == 0


def test_a_result_does_not_wait_for_the_room_of_jobs_that_are_over():
    """Its lease may end meanwhile: there is a little more room for it instead."""
    rig = Rig(bounds=Bounds(memory_bytes_max=FULL + JOB_BYTES + 1))
    client = behind(rig, after=add(2, "b") + add(3, "b"))
    freed = DEADLINES_PER_TURN_MAX * (JOB_BYTES + 1)
    client.put(complete(2, "x" * (freed + FULL // 5)) + complete(3, "x" * (FULL // 5)))
    rig.turn()
    assert rig.engine.behind
    assert client.take() == OK + "-SERVER-ERROR Out of memory\r\n"


def test_what_there_is_no_room_for_is_refused_when_all_that_is_over_is_gone():
    """A request that was put off is not put off for ever."""
    rig = Rig(bounds=Bounds(memory_bytes_max=FULL))
    behind(rig, after=add(2, "b"))
    client = rig.client()
    client.put(add(1, "b", payload="x" * 2 * FULL))
    rig.settle()
    assert client.take() == "-SERVER-ERROR Out of memory\r\n"
    assert rig.gauge("refused-for-memory") == 1


def test_a_block_that_is_put_off_counts_as_input():
    """Or as much as there are connections could be kept so."""
    rig = Rig(bounds=Bounds(memory_bytes_max=FULL, input_bytes_max=FULL))
    behind(rig)
    first, second = rig.clients(2)
    first.put(add(1, "b", payload="x" * (FULL * 2 // 3)))
    rig.turn()
    assert rig.gauge("input-bytes") == FULL * 2 // 3
    second.put(add(2, "b", payload="x" * (FULL * 2 // 3)))
    rig.turn()
    assert rig.engine.behind
    assert second.take() == "-SERVER-ERROR Out of memory\r\n"
    rig.settle()
    assert first.take() == OK
    assert rig.gauge("input-bytes") == 0


def test_nobody_overtakes_who_waits_at_a_queue_whose_head_is_not_known():
    """By having what is over at its head let go of, one by one, and then leasing."""
    rig = Rig()
    waiter, thief = rig.clients(2)
    waiter.say("lease old 60000\r\n")
    rig.broker.stall(waiter.session, True)  # it does not take its replies for a while
    behind(rig, after=add(1, "old"))
    rig.broker.stall(waiter.session, False)
    rig.turn()
    assert rig.engine.behind
    ids = [job_id(number) for number in range(10_001, 10_001 + OVER)]
    left = [each for each in ids if each.encode() in rig.engine.jobs]
    thief.put("".join(f"result {each} 0\r\n" for each in left) + "lease old 0\r\n")
    rig.settle()
    assert waiter.take() == told(1, "old")
    assert thief.take() == "-NOT-FOUND\r\n" * len(left) + "-TIMEOUT\r\n"


@pytest.mark.parametrize("request_", ["lease old 0\r\n", "inspect queue old\r\n"])
def test_who_is_put_off_while_the_server_shuts_down_is_told_so(request_):
    """And not closed without an answer."""
    rig = Rig()
    behind(rig)
    client = rig.client()
    client.put(request_)
    rig.turn()
    assert client.take() == ""
    rig.broker.drain()
    rig.settle()
    assert client.take() == "-SERVER-ERROR Shutting down\r\n"


def test_one_queue_full_of_jobs_that_are_over_does_not_hold_up_a_lease_of_another():
    """Which has some at its head too."""
    rig = Rig()
    client = behind(rig, after=add(1, "b", options="1000 1000") + add(2, "b"))
    workers = rig.clients(20)
    for worker in workers:
        worker.put("lease old 0\r\n")
    client.put("lease b 0\r\n")
    rig.turn()
    assert rig.engine.behind
    assert client.take() == told(2, "b")


def test_a_lease_that_is_put_off_is_charged_for_its_names_again(monkeypatch):
    """For they are looked at again."""
    rig = Rig()
    behind(rig)
    names = " ".join(f"n{number}" for number in range(255))
    workers = rig.clients(50)
    for worker in workers:
        worker.put(f"lease {names} old 0\r\n")
    looked = []
    knows_heads = Engine.knows_heads

    def noted(engine, names):
        looked.append(rig.turns)
        return knows_heads(engine, names)

    monkeypatch.setattr(Engine, "knows_heads", noted)
    for _ in range(3):
        rig.turn()
    assert rig.engine.behind
    assert max(Counter(looked).values()) <= 2
    rig.settle()
    assert [worker.take() for worker in workers] == ["-TIMEOUT\r\n"] * 50


def test_a_lease_of_several_goes_past_a_queue_whose_head_is_not_known():
    """It tells fewer than there are, but none that is over."""
    rig = Rig()
    behind(rig, after=add(1, "b") + add(2, "b") + add(3, "old"))
    worker = rig.client()
    worker.put("lease b 0 -count=3\r\n")
    rig.turn()
    assert worker.take() == "+OK 2\r\n" + told(1, "b")[7:] + told(2, "b")[7:]


def test_two_who_hear_of_a_run_whose_wait_ends_are_told_the_same_as_ever():
    """Its caller that the wait is over, and who asked for the result too, if theirs is over too."""
    outcomes = []
    for crowd in (0, OVER):
        rig = Rig()
        caller, watcher, producer = rig.clients(3)
        caller.put(run(1, "r", wait_ms=1000))
        rig.turn()
        watcher.put(f"result {job_id(1)} 1000\r\n")
        for number in range(10_001, 10_001 + crowd):
            producer.put(add(number, "old", options="1000 1000"))
        rig.settle()
        rig.now_ms += 1000
        rig.settle()
        outcomes.append((caller.take(), watcher.take()))
    assert outcomes[0] == outcomes[1]


def test_a_run_that_does_not_wait_goes_to_a_worker_who_does():
    """Though the turn in which it comes has told so many of a result that it has no room left."""
    rig = Rig()
    crowd = rig.clients(ANSWERS_PER_TURN_MAX + 10)
    worker, producer, caller = rig.clients(3)
    producer.say(add(1, "done"))
    for one in crowd:
        one.say(f"result {job_id(1)} 60000\r\n")
    worker.say("lease q 60000\r\n")
    producer.put(complete(1))
    caller.put(run(2, "q", wait_ms=0))
    rig.settle()
    assert worker.take() == told(2, "q")
    worker.say(complete(2))
    assert caller.take() == f"+OK 1\r\n{job_id(2)} 1 1\r\nr\r\n"
