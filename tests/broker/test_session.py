"""The end of a client, whoever brings it about, and that nothing is left of one."""

import weakref

import pytest

from tests.broker.harness import (
    Rig,
    add,
    complete,
    job_id,
    result,
    run,
    sessions_alive,
    told,
)
from workq.broker.session import CLOSE, LINGER, STAY

OK = "+OK\r\n"
TIMEOUT = "-TIMEOUT\r\n"
NOT_FOUND = "-NOT-FOUND\r\n"
KIB = 1024
MIB = 1024 * 1024


def ready(rig, name=b"q"):
    """How many jobs of a queue are ready."""
    return len(list(rig.engine.queues.get(name).ready.from_offset(0)))


def attempts(rig, number=1):
    """How often a job was leased, and its state on the wire."""
    job = rig.engine.find(job_id(number).encode())
    return job.attempts, job.state


# --- a client that sends no more ------------------------------------------------------------


def test_what_was_sent_before_the_end_is_answered():
    """Then the connection closes; a line without its end is dropped."""
    rig = Rig()
    client = rig.client()
    client.put("ping\r\n" * 200 + "inspect queue q\r\npi")
    client.shut()
    rig.settle()
    assert client.take() == OK * 200 + NOT_FOUND
    assert client.ending == CLOSE
    assert rig.gauge("connections") == 0


def test_a_client_that_says_nothing_is_just_closed():
    """There is nothing to answer."""
    rig = Rig()
    client = rig.client()
    client.shut()
    rig.settle()
    assert (client.take(), client.ending) == ("", CLOSE)


def test_a_block_that_was_cut_off_is_a_size_error():
    """And nothing was added."""
    rig = Rig()
    client = rig.client()
    client.put(f"add {job_id(1)} q 1000 1000 5\r\nabc")
    client.shut()
    rig.settle()
    assert (client.take(), client.ending) == ("-CLIENT-ERROR Invalid payload size\r\n", CLOSE)
    assert rig.engine.find(job_id(1).encode()) is None


def test_every_wait_is_over_when_the_client_sends_no_more():
    """The one that runs, and those behind it."""
    rig = Rig()
    client = rig.client()
    client.say(add(1, "other"))
    client.take()
    client.put(f"lease q 9000\r\nresult {job_id(1)} 9000\r\nlease q 9000\r\n" + run(2))
    client.put("ping\r\n")
    rig.turn()
    client.shut()
    rig.settle()
    assert client.take() == TIMEOUT * 4 + OK
    assert client.ending == CLOSE
    assert rig.gauge("waiting") == 0
    assert rig.engine.find(job_id(2).encode()) is None


def test_a_waiting_lease_gets_no_job_that_comes_after_the_end():
    """The next in line does."""
    rig = Rig()
    first, second, client = rig.clients(3)
    first.say("lease q 9000\r\n")
    second.say("lease q 9000\r\n")
    first.shut()
    rig.turn()
    client.say(add(1))
    assert (first.take(), second.take()) == (TIMEOUT, told(1))


def test_a_lease_after_the_end_takes_a_job_that_is_there():
    """A wait of 0 asks for one that is ready now."""
    rig = Rig()
    client = rig.client()
    client.put(add(1) + "lease q 9000\r\nlease q 9000\r\n")
    client.shut()
    rig.settle()
    assert client.take() == OK + told(1) + TIMEOUT


@pytest.mark.parametrize("how", ["shut", "lose"])
def test_a_run_that_nobody_leased_is_removed(how):
    """When its caller sends no more, or is gone."""
    rig = Rig()
    caller, other = rig.clients(2)
    caller.say(run(1, wait_ms=9000))
    getattr(caller, how)()
    rig.settle()
    assert caller.take() == (TIMEOUT if how == "shut" else "")
    assert other.ask("lease q 0\r\n" + complete(1)) == TIMEOUT + NOT_FOUND
    assert len(rig.engine.queues) == 0


def test_a_run_that_is_leased_waits_on_for_its_result():
    """A caller that half-closed still gets it, and what it said behind it is answered too."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1, wait_ms=9000) + "ping\r\n")
    assert worker.ask("lease q 0\r\n") == told(1)
    caller.shut()
    rig.advance(20_000)
    assert caller.take() == ""
    assert worker.ask(complete(1)) == OK
    assert caller.take() == result(1) + OK
    assert caller.ending == CLOSE
    assert worker.ask(complete(1)) == NOT_FOUND


def test_a_run_whose_caller_is_gone_may_still_be_finished():
    """Its worker hears `+OK`, and the job is gone then."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1, wait_ms=9000))
    worker.ask("lease q 0\r\n")
    caller.lose()
    rig.settle()
    assert worker.ask(complete(1) + complete(1)) == OK + NOT_FOUND
    assert rig.gauge("waiting") == 0


def test_a_run_whose_caller_is_gone_ends_with_its_lease():
    """It does not go back to its queue."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1, wait_ms=9000, ttr_ms=500))
    worker.ask("lease q 0\r\n")
    caller.shut()
    rig.advance(500)
    assert (caller.take(), caller.ending) == (TIMEOUT, CLOSE)
    assert worker.ask("lease q 0\r\n" + complete(1)) == TIMEOUT + NOT_FOUND


def test_a_run_said_just_before_the_end_can_still_be_done():
    """If a worker waits for it at that moment."""
    rig = Rig()
    caller, worker = rig.clients(2)
    worker.say("lease q 9000\r\n")
    caller.put(run(1, wait_ms=9000))
    caller.shut()
    rig.settle()
    assert worker.ask(complete(1)) == told(1) + OK
    assert (caller.take(), caller.ending) == (result(1), CLOSE)


# --- a client that is gone ------------------------------------------------------------------


def test_input_received_before_a_loss_is_still_executed():
    """All of it, in as many turns as it takes; nobody is told."""
    rig = Rig()
    client = rig.client()
    client.put("".join(add(number) for number in range(1, 201)))
    client.lose()
    rig.settle()
    assert ready(rig) == 200
    assert client.take() == ""


def test_a_waiting_lease_of_a_lost_client_swallows_no_job():
    """Even of one that comes in the same turn as the loss."""
    rig = Rig()
    gone, worker, client = rig.clients(3)
    gone.say("lease q 9000\r\n")
    worker.say("lease q 9000\r\n")
    client.put(add(1))
    gone.lose()
    rig.settle()
    assert worker.take() == told(1)
    assert attempts(rig) == (1, "leased")


def test_a_job_that_gets_ready_in_the_turn_of_a_loss_goes_to_the_next():
    """It is handed to the lost one by the sweep first, and taken back, attempt and all."""
    rig = Rig()
    gone, worker, client = rig.clients(3)
    client.say(f"schedule {job_id(1)} q 60000 1000 2030-01-01T00:00:01Z 1\r\nx\r\n")
    gone.say("lease q 9000\r\n")
    worker.say("lease q 9000\r\n")
    gone.lose()
    rig.now_ms += 1000
    rig.settle()
    assert worker.take() == told(1)
    assert attempts(rig) == (1, "leased")


def test_a_lease_of_a_lost_client_is_undone():
    """The one it asked for after it was gone, and its attempt does not count."""
    rig = Rig()
    client = rig.client()
    client.put(add(1) + "lease q 0\r\n")
    client.lose()
    rig.settle()
    assert attempts(rig) == (0, "ready")


def test_leases_held_by_the_gate_are_undone_when_the_connection_is_lost():
    """All of them: attempts are not counted, and the next waiter is served."""
    rig = Rig(safe=False)
    gone, worker, client = rig.clients(3)
    client.say(add(1) + add(2))
    gone.say("lease q 0\r\n")
    gone.say("lease q 0\r\n")
    worker.say("lease q 9000\r\n")
    assert attempts(rig, 2) == (1, "leased")
    gone.lose()
    rig.settle()
    assert (attempts(rig, 1), attempts(rig, 2)) == ((1, "leased"), (0, "ready"))
    rig.sync()
    assert worker.take() == told(1)
    assert gone.take() == ""


def test_a_lease_that_was_delivered_is_not_undone():
    """The client may be working on it; its TTR runs."""
    rig = Rig(safe=False)
    gone, client = rig.clients(2)
    client.say(add(1) + add(2))
    gone.say("lease q 0\r\n")
    rig.sync()
    gone.say("lease q 0\r\n")
    gone.lose()
    rig.settle()
    rig.sync()
    assert gone.take() == told(1)
    assert (attempts(rig, 1), attempts(rig, 2)) == ((1, "leased"), (0, "ready"))


def test_a_lease_that_was_completed_meanwhile_is_not_undone():
    """By whomever: the job is finished, and stays so."""
    rig = Rig(safe=False)
    gone, client = rig.clients(2)
    client.say(add(1))
    gone.say("lease q 0\r\n")
    client.say(complete(1))
    gone.lose()
    rig.settle()
    assert attempts(rig) == (1, "completed")


def test_a_newer_lease_is_not_undone_with_an_older():
    """One that ran out and was given to another is the other's."""
    rig = Rig(safe=False)
    gone, worker, client = rig.clients(3)
    client.say(add(1, options="100 60000"))
    gone.say("lease q 0\r\n")
    rig.advance(100)
    worker.say("lease q 0\r\n")
    gone.lose()
    rig.settle()
    assert attempts(rig) == (2, "leased")


def test_a_foreground_job_held_by_the_gate_goes_to_another_worker():
    """Its caller notices nothing."""
    rig = Rig(safe=False)
    caller, gone, worker, client = rig.clients(4)
    client.say(add(1, "other"))
    caller.say(run(2))
    gone.say("lease q 0\r\n")
    gone.lose()
    worker.say("lease q 0\r\n" + complete(2))
    rig.sync()
    assert worker.take() == told(2) + OK
    assert caller.take() == result(2)


def test_input_is_executed_after_a_loss_however_much_it_says():
    """Nobody takes the replies, so they hold up nothing."""
    rig = Rig()
    client = rig.client()
    client.say(add(1, payload="x" * MIB))
    client.put(f"inspect job {job_id(1)}\r\n" * 3 + f"delete {job_id(1)}\r\n")
    client.lose()
    rig.settle()
    assert rig.engine.find(job_id(1).encode()) is None


# --- ends that the broker makes -------------------------------------------------------------


def test_quit_is_answered_and_closes():
    """What was sent behind it is not executed."""
    rig = Rig()
    client = rig.client()
    client.say("ping\r\nquit\r\n" + add(1))
    assert (client.take(), client.ending) == (OK * 2, LINGER)
    assert len(rig.engine.jobs) == 0


@pytest.mark.parametrize(
    "line, reply",
    [
        ("x" * 64 * KIB, "-CLIENT-ERROR Line too long\r\n"),
        ("add 1 2 3\r\n", "-CLIENT-ERROR Invalid command args\r\n"),
        (f"complete {job_id(1)} -1\r\n", "-CLIENT-ERROR Invalid payload size\r\n"),
        (f"fail {job_id(1)} 17000000\r\n", "-CLIENT-ERROR Invalid result size\r\n"),
        (f"fail {job_id(1)} 1\r\nabc\r\n", "-CLIENT-ERROR Invalid result size\r\n"),
    ],
)
def test_an_error_that_closes_is_given_time_to_arrive(line, reply):
    """After what was answered before it; what is behind it is not executed."""
    rig = Rig()
    client = rig.client()
    client.say("ping\r\n" + line + add(1))
    assert (client.take(), client.ending) == (OK + reply, LINGER)
    assert len(rig.engine.jobs) == 0


def test_another_protocol_is_closed_without_a_word():
    """No web page may enqueue jobs."""
    rig = Rig()
    client = rig.client()
    client.say("POST / HTTP/1.1\r\nHost: x\r\n\r\n" + add(1))
    assert (client.take(), client.ending) == ("", CLOSE)
    assert len(rig.engine.jobs) == 0


def test_the_twentieth_unknown_command_closes():
    """The nineteen before it are answered."""
    rig = Rig()
    client = rig.client()
    client.say("ehlo\r\n" * 30)
    assert client.take() == "-CLIENT-ERROR Unknown command\r\n" * 19
    assert client.ending == CLOSE


# --- nothing is left ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        "ping\r\n",
        "lease q r 9000\r\n",
        f"result {job_id(1)} 9000\r\n",
        run(2, wait_ms=9000),
        "ping\r\n" * 500,
        "add",
        "quit\r\n",
        "add 1 2\r\n",
        "GET / HTTP/1.1\r\n",
    ],
)
@pytest.mark.parametrize("how", ["shut", "lose"])
def test_nothing_is_left_of_a_client(how, request_):
    """Its session is freed once it has ended, whatever it was doing."""
    rig = Rig()
    other = rig.client()
    other.say(add(1, "other"))
    before = sessions_alive()
    client = rig.client()
    client.put(request_)
    rig.turn()
    if client.ending == STAY:
        getattr(client, how)()
    rig.settle()
    other.say("ping\r\n")  # the broker may keep the one who asked last
    ghost = weakref.ref(client)
    del client
    assert sessions_alive() == before
    assert ghost() is None
    assert rig.gauge("connections") == 1
    assert rig.gauge("waiting") == 0


def test_nothing_is_left_of_a_lost_caller_whose_lease_has_ended():
    """Until then it is kept, for its job is."""
    rig = Rig()
    worker = rig.client()
    before = sessions_alive()
    caller = rig.client()
    caller.say(run(1, wait_ms=9000, ttr_ms=500))
    worker.say("lease q 0\r\n")
    caller.lose()
    rig.settle()
    del caller
    assert sessions_alive() == before + 1
    rig.advance(500)
    worker.say("ping\r\n")
    assert sessions_alive() == before
    assert len(rig.engine.jobs) == 0


def test_nothing_is_left_of_clients_whose_replies_were_held():
    """The gate lets go of them when the log has come so far."""
    rig = Rig(safe=False)
    other = rig.client()
    before = sessions_alive()
    client = None
    for number in range(1, 20):
        client = rig.client()
        client.say(add(number) + "lease q 0\r\n")
        client.lose()
        rig.settle()
    del client
    other.say("ping\r\n")
    rig.sync()
    assert sessions_alive() == before
    assert ready(rig) == 19


def test_leases_in_replies_that_bounced_are_given_back_when_the_connection_is_lost():
    """Those that arrived before are not, nor is any attempt counted that nobody heard of."""
    rig = Rig()
    worker, other = rig.clients(2)
    worker.say(add(1) + add(2) + add(3) + "lease q 0\r\n")
    worker.take()
    worker.put("lease q 0\r\nlease q 0\r\n")
    rig.broker.turn(rig.now_ms, rig.offset_ms)
    for session, data, _ in rig.broker.release():
        assert data.decode() == told(2) + told(3)
        rig.broker.bounced(session)
    rig.turn()  # one more before the loop tells that the connection is lost
    worker.lose()
    rig.settle()
    assert other.ask("lease q 0\r\n" * 3) == told(2) + told(3) + "-TIMEOUT\r\n"
    assert [attempts(rig, number)[0] for number in (1, 2, 3)] == [1, 1, 1]
