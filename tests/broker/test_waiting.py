"""Who waits for what: lines before queues, and results."""

from collections import Counter

from tests.broker.harness import Rig, add, complete, job_id, result, run, told
from workq.broker.session import Session
from workq.broker.waiting import Waiter, Waiting
from workq.commands import COMMANDS
from workq.commands.base import JobWait
from workq.engine.calendar import NEVER
from workq.wire.grammar import Table

OK = "+OK\r\n"
TIMEOUT = "-TIMEOUT\r\n"
NOT_FOUND = "-NOT-FOUND\r\n"


# --- the lines by themselves ----------------------------------------------------------------


def waiting_for(waiting, *names, until_ms=1000):
    """One more waiter for some names."""
    waiter = Waiter(Session(Table(COMMANDS)), JobWait(names, until_ms), until_ms)
    waiting.add(waiter, 0)
    return waiter


def test_the_first_of_a_line_is_who_came_first():
    """And then who came next."""
    waiting = Waiting()
    first, second = waiting_for(waiting, b"a"), waiting_for(waiting, b"a")
    assert waiting.first(b"a") == (first, first.wait)
    waiting.remove(first)
    assert waiting.first(b"a") == (second, second.wait)
    waiting.remove(second)
    assert waiting.first(b"a") is None


def test_who_leaves_leaves_all_lines():
    """And a line without anybody is none."""
    waiting = Waiting()
    both, one = waiting_for(waiting, b"a", b"b"), waiting_for(waiting, b"b")
    waiting.remove(both)
    assert list(waiting.lines) == [b"b"]
    assert waiting.first(b"b") == (one, one.wait)
    assert (waiting.size, both.session.waiter) == (1, None)


def test_lines_that_begin_and_end_are_told():
    """Not those that only grow or shrink."""
    waiting = Waiting()
    first = waiting_for(waiting, b"a")
    second = waiting_for(waiting, b"a", b"b")
    waiting.remove(first)
    assert list(waiting.shifted) == [b"a", b"b"]
    waiting.remove(second)
    assert list(waiting.shifted) == [b"a", b"b"]


def test_waits_end_in_the_order_of_their_ends():
    """One that was removed does not end."""
    waiting = Waiting()
    late, removed, early = (waiting_for(waiting, b"a", until_ms=ms) for ms in (30, 10, 20))
    waiting.remove(removed)
    assert waiting.soonest_ms <= 20
    waiting.cascade(50, 100)
    assert waiting.ended(19) is None
    for waiter in (early, late):
        found = waiting.ended(50)
        assert found == waiter
        waiting.remove(waiter)
    assert waiting.ended(50) is None
    assert waiting.soonest_ms == NEVER


# --- waiting for jobs -----------------------------------------------------------------------


def test_waiters_are_served_first_come_first_served():
    """Each gets one job."""
    rig = Rig()
    workers = rig.clients(4)
    client = rig.client()
    for worker in workers:
        worker.say("lease q 9000\r\n")
    for number, worker in enumerate(workers, 1):
        client.say(add(number))
        assert worker.take() == told(number)
    assert rig.gauge("waiting") == 0


def test_exactly_one_waiter_gets_a_job():
    """The others wait on, until their time is over."""
    rig = Rig()
    workers = rig.clients(3)
    for worker in workers:
        worker.say("lease q 500\r\n")
    rig.client().say(add(1))
    assert [worker.take() for worker in workers] == [told(1), "", ""]
    rig.advance(499)
    assert [worker.take() for worker in workers] == ["", "", ""]
    rig.advance(1)
    assert [worker.take() for worker in workers] == ["", TIMEOUT, TIMEOUT]


def test_jobs_that_come_together_go_to_as_many_waiters():
    """In the order of both."""
    rig = Rig()
    workers = rig.clients(3)
    for worker in workers:
        worker.say("lease q 500\r\n")
    rig.client().say(add(1) + add(2))
    assert [worker.take() for worker in workers] == [told(1), told(2), ""]


def test_who_asks_anew_stands_at_the_end():
    """Behind those who waited meanwhile."""
    rig = Rig()
    first, second, client = rig.clients(3)
    first.say("lease q 9000\r\nlease q 9000\r\n")
    second.say("lease q 9000\r\n")
    client.say(add(1))
    client.say(add(2))
    client.say(add(3))
    assert (first.take(), second.take()) == (told(1) + told(3), told(2))


def test_a_waiter_on_several_names_gets_one_job_only():
    """Even if one comes in each of them; the other is for the next."""
    rig = Rig()
    worker, other, client = rig.clients(3)
    worker.say("lease a b c 9000\r\n")
    other.say("lease b 9000\r\n")
    client.say(add(1, "a") + add(2, "b") + add(3, "c"))
    assert worker.take() == told(1, "a")
    assert other.take() == told(2, "b")
    assert client.ask("lease c 0\r\n").endswith(told(3, "c"))


def test_the_wait_ends_in_all_lines_at_once():
    """Who timed out is handed nothing any more."""
    rig = Rig()
    worker, client = rig.clients(2)
    worker.say("lease a b 100\r\n")
    rig.advance(100)
    client.say(add(1, "b") + "lease b 0\r\n")
    assert (worker.take(), client.take()) == (TIMEOUT, OK + told(1, "b"))


def test_a_name_said_twice_is_one():
    """The waiter stands in its line once."""
    rig = Rig()
    worker, client = rig.clients(2)
    worker.say("lease q q q 9000\r\n")
    client.say(add(1) + add(2))
    assert worker.take() == told(1)


def test_over_several_names_the_choice_rotates():
    """Whatever their order in the request, and however full one of them is."""
    rig = Rig()
    client, worker = rig.clients(2)
    for number in range(1, 31):
        client.say(add(number, "abc"[number % 3]))
    got = [worker.ask("lease b a c 0\r\n").split("\r\n")[1].split(" ")[1] for _ in range(30)]
    assert [Counter(got[at : at + 3]) for at in range(0, 30, 3)] == [Counter("abc")] * 10


def test_no_name_starves_for_jobs_that_keep_coming_to_another():
    """A job in the one is leased although the other is never empty."""
    rig = Rig()
    client, worker = rig.clients(2)
    client.say(add(1, "rare") + add(1001, "busy"))
    got = []
    for number in range(1002, 1012):
        client.say(add(number, "busy"))
        got.append(worker.ask("lease busy rare 0\r\n").split("\r\n")[1].split(" ")[1])
    assert got.count("rare") == 1
    assert "rare" in got[:2]


def test_a_scheduled_job_wakes_its_waiter_when_it_is_due():
    """Not before."""
    rig = Rig()
    worker, client = rig.clients(2)
    client.say(f"schedule {job_id(1)} q 60000 1000 2030-01-01T00:00:02Z 1\r\nx\r\n")
    worker.say("lease q 9000\r\n")
    rig.advance(1999)
    assert worker.take() == ""
    rig.advance(1)
    assert worker.take() == told(1)


def test_a_step_of_the_wall_clock_makes_scheduled_jobs_due():
    """Waits do not follow it."""
    rig = Rig()
    worker, other, client = rig.clients(3)
    client.say(f"schedule {job_id(1)} q 60000 9999999 2030-01-01T01:00:00Z 1\r\nx\r\n")
    worker.say("lease q 9000\r\n")
    other.say("lease other 9000\r\n")
    rig.offset_ms = 3_600_000
    rig.turn()
    assert (worker.take(), other.take()) == (told(1), "")


def test_a_lease_that_runs_out_wakes_the_next():
    """The job comes back, to whoever has waited for it."""
    rig = Rig()
    first, second, client = rig.clients(3)
    client.say(add(1, options="300 60000"))
    first.say("lease q 0\r\n")
    second.say("lease q 9000\r\n")
    rig.advance(300)
    assert second.take() == told(1, ttr_ms=300)


def test_a_job_that_failed_and_may_again_wakes_the_next():
    """In the same turn."""
    rig = Rig()
    worker, client = rig.clients(2)
    client.say(f"add {job_id(1)} q 60000 60000 1 -max-fails=2\r\nx\r\nlease q 0\r\n")
    worker.say("lease q 9000\r\n")
    client.put(f"fail {job_id(1)} 0\r\n\r\n")
    rig.turn()
    assert worker.take() == told(1)


def test_a_worker_may_wait_for_its_own_job():
    """Its next request takes it: what waits holds up only what is behind it."""
    rig = Rig()
    caller, worker = rig.clients(2)
    worker.say("lease q 9000\r\n" + complete(1, "done"))
    caller.say(run(1))
    assert worker.take() == told(1) + OK
    assert caller.take() == result(1, "done")


# --- waiting for results --------------------------------------------------------------------


def test_a_finished_job_releases_everybody_who_waits_for_it():
    """Its caller and all who asked for the result."""
    rig = Rig()
    caller, worker = rig.clients(2)
    askers = rig.clients(3)
    caller.say(run(1, wait_ms=9000))
    for asker in askers:
        asker.say(f"result {job_id(1)} 9000\r\n")
    worker.say(complete(1))
    assert [one.take() for one in [caller, *askers]] == [result(1)] * 4
    assert rig.gauge("waiting") == 0


def test_a_job_that_goes_releases_everybody_at_once():
    """Whether it is deleted or its time is over."""
    rig = Rig()
    askers = rig.clients(2)
    client = rig.client()
    client.say(add(1) + add(2, options="1000 500"))
    for number, asker in enumerate(askers, 1):
        asker.say(f"result {job_id(number)} 9000\r\n")
    client.say(f"delete {job_id(1)}\r\n")
    assert [one.take() for one in askers] == [NOT_FOUND, ""]
    rig.advance(500)
    assert askers[1].take() == NOT_FOUND


def test_a_caller_whose_job_is_deleted_is_told():
    """At once, leased or not."""
    rig = Rig()
    caller, client = rig.clients(2)
    caller.say(run(1))
    client.say(f"delete {job_id(1)}\r\n")
    assert caller.ask(run(2)) == NOT_FOUND
    client.say(f"lease q 0\r\ndelete {job_id(2)}\r\n")
    assert caller.take() == NOT_FOUND


def test_a_caller_waits_on_for_the_end_of_a_lease():
    """And what is behind it waits too; a lease that runs out ends both."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1, wait_ms=100, ttr_ms=500) + "ping\r\n")
    rig.advance(99)
    worker.say("lease q 0\r\n")
    rig.advance(499)
    assert caller.take() == ""
    rig.advance(1)
    assert caller.take() == TIMEOUT + OK
    assert len(rig.engine.jobs) == 0


def test_a_lease_that_runs_out_within_the_wait_does_not_end_it():
    """The job goes to the next worker."""
    rig = Rig()
    caller, first, second = rig.clients(3)
    caller.say(run(1, wait_ms=9000, ttr_ms=500))
    first.say("lease q 0\r\n")
    second.say("lease q 9000\r\n")
    rig.advance(500)
    assert second.ask(complete(1)) == told(1, ttr_ms=500) + OK
    assert caller.take() == result(1)


def test_who_waits_for_a_foreground_job_is_told_when_its_caller_gives_up():
    """The job is gone then."""
    rig = Rig()
    caller, asker = rig.clients(2)
    caller.say(run(1, wait_ms=100))
    asker.say(f"result {job_id(1)} 9000\r\n")
    rig.advance(100)
    assert (caller.take(), asker.take()) == (TIMEOUT, NOT_FOUND)


def test_a_result_that_does_not_come_in_time_is_a_timeout():
    """The job goes on."""
    rig = Rig()
    asker, client = rig.clients(2)
    client.ask(add(1))
    asker.say(f"result {job_id(1)} 100\r\n")
    rig.advance(100)
    assert asker.take() == TIMEOUT
    assert client.ask(complete(1)) == OK
    assert asker.ask(f"result {job_id(1)} 0\r\n") == result(1)
