"""What may pile up: input behind a request that waits, replies that are not taken."""

import pytest

from tests.broker.harness import Rig, add, complete, job_id, run, sessions_alive, told
from workq.broker.session import CLOSE, LINGER, STAY
from workq.limits import (
    HELD_BYTES_MAX,
    INPUT_BYTES_MAX,
    INPUT_BYTES_PAUSE,
    RELEASED_BYTES_PER_TURN_MAX,
    UNSENT_BYTES_MAX,
    Bounds,
)

OK = "+OK\r\n"
TIMEOUT = "-TIMEOUT\r\n"
NOT_FOUND = "-NOT-FOUND\r\n"
KIB = 1024
MIB = 1024 * 1024


# --- too much input -------------------------------------------------------------------------


def test_too_much_input_behind_a_request_that_waits_ends_it():
    """With one error for the request that waits, and none for what is behind it."""
    rig = Rig()
    client, other = rig.clients(2)
    client.say("lease q 9000\r\n")
    while client.ending == STAY:
        assert client.reads_on
        assert client.session.reader.pending <= INPUT_BYTES_MAX
        client.say("ping\r\n" * 10_000)
    assert client.take() == "-CLIENT-ERROR Too much input\r\n"
    assert client.ending == LINGER
    assert rig.gauge("waiting") == 0
    assert other.ask(add(1) + "lease q 0\r\n") == OK + told(1)


def test_as_much_input_as_allowed_does_no_harm():
    """It is executed when the wait is over."""
    rig = Rig()
    client = rig.client()
    client.put("lease q 9000\r\n")
    rig.turn()
    count = INPUT_BYTES_MAX // len("inspect queue nothing\r\n")
    client.say("inspect queue nothing\r\n" * count)
    rig.advance(9000)
    assert client.take() == TIMEOUT + NOT_FOUND * count


def test_too_much_input_behind_a_run_removes_its_job():
    """Also a leased one: nobody waits for it any more."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1, wait_ms=9000))
    worker.say("lease q 0\r\n")
    caller.say("x" * INPUT_BYTES_MAX + "x")
    assert caller.take() == "-CLIENT-ERROR Too much input\r\n"
    worker.take()
    assert worker.ask(complete(1)) == NOT_FOUND


def test_too_much_input_releases_who_waits_for_the_removed_job():
    """It is gone, and they are told."""
    rig = Rig()
    caller, asker = rig.clients(2)
    caller.say(run(1, wait_ms=9000))
    asker.say(f"result {job_id(1)} 9000\r\n")
    caller.say("x" * INPUT_BYTES_MAX + "x")
    assert asker.take() == NOT_FOUND


def test_reading_pauses_while_what_was_read_waits_for_its_turn():
    """And goes on once the broker has caught up."""
    rig = Rig()
    client = rig.client()
    piece = "inspect queue nothing\r\n" * 100
    while client.reads_on:
        client.put(piece)
    pending = client.session.reader.pending
    assert INPUT_BYTES_PAUSE <= pending < INPUT_BYTES_PAUSE + len(piece)
    assert not rig.broker.reads_on(client.session)
    rig.settle()
    assert rig.broker.reads_on(client.session)


def test_reading_goes_on_while_a_block_is_incomplete():
    """However long the block: otherwise it could never be completed."""
    rig = Rig()
    client = rig.client()
    client.say(f"add {job_id(1)} q 1000 1000 {MIB}\r\n")
    for _ in range(16):
        client.say("x" * 64 * KIB)
        assert client.reads_on
        assert rig.broker.reads_on(client.session)
    assert client.ask("\r\n") == OK


# --- replies that are not taken -------------------------------------------------------------


def test_no_request_starts_while_a_mebibyte_of_replies_is_unsent():
    """It goes on when the log has let them go."""
    rig = Rig(safe=False)
    client = rig.client()
    client.say(add(1, payload="x" * 600 * KIB))
    client.say(f"inspect job {job_id(1)}\r\n" * 3 + f"delete {job_id(1)}\r\nping\r\n")
    assert client.session.unsent_bytes >= UNSENT_BYTES_MAX
    assert client.session.unsent_bytes < UNSENT_BYTES_MAX + 700 * KIB
    assert rig.engine.find(job_id(1).encode()) is not None
    assert rig.broker.next_ms() > rig.now_ms + 1000  # the broker does not spin meanwhile
    rig.sync()
    rig.settle()
    rig.sync()
    assert client.take().endswith("\r\n" + OK * 2)
    assert not client.session.choked
    assert rig.engine.find(job_id(1).encode()) is None


def test_a_choked_session_holds_up_nobody_else():
    """Others are served, and their answers leave in their turn."""
    rig = Rig(safe=False)
    client, other = rig.clients(2)
    client.say(add(1, payload="x" * MIB))
    client.say(f"inspect job {job_id(1)}\r\n" * 2)
    other.say("ping\r\n")
    rig.sync()
    assert other.take() == OK


def test_a_client_that_takes_nothing_is_not_served():
    """Until it takes its replies; then it goes on where it was."""
    rig = Rig()
    client, other = rig.clients(2)
    rig.broker.stall(client.session, True)
    client.say(add(1) + "lease q 0\r\n")
    assert client.take() == ""
    assert other.ask("inspect queue q\r\n") == NOT_FOUND
    rig.broker.stall(client.session, False)
    rig.settle()
    assert client.take() == OK + told(1)


def test_a_client_that_takes_nothing_is_not_closed_before_it_was_answered():
    """Its end comes after its last answer."""
    rig = Rig()
    client = rig.client()
    rig.broker.stall(client.session, True)
    client.put("ping\r\n")
    client.shut()
    rig.settle()
    assert client.ending == STAY
    rig.broker.stall(client.session, False)
    rig.settle()
    assert (client.take(), client.ending) == (OK, CLOSE)


def test_what_a_stalled_client_sent_is_executed_when_it_is_lost():
    """It was received."""
    rig = Rig()
    client = rig.client()
    rig.broker.stall(client.session, True)
    client.put(add(1))
    client.lose()
    rig.settle()
    assert rig.engine.find(job_id(1).encode()) is not None


@pytest.mark.parametrize("why", ["stalled", "choked"])
def test_reading_pauses_while_a_client_does_not_take_its_replies(why):
    """Otherwise who sends and never reads grows memory without end."""
    rig = Rig(safe=why == "stalled")
    client = rig.client()
    if why == "stalled":
        rig.broker.stall(client.session, True)
    else:
        client.say(add(1, payload="x" * MIB))
        client.say(f"inspect job {job_id(1)}\r\n" * 3)
        assert client.session.choked
    for _ in range(INPUT_BYTES_PAUSE // 60_000 + 2):
        client.say("ping\r\n" * 10_000)
    assert not client.reads_on


def test_what_is_sent_behind_quit_is_thrown_away():
    """While the answer is held by the gate, it grows no memory."""
    rig = Rig(safe=False)
    client = rig.client()
    client.say(add(1) + "quit\r\n")
    for _ in range(10):
        client.say("ping\r\n" * 10_000)
    assert client.session.reader.pending < INPUT_BYTES_PAUSE


def test_who_is_cut_off_for_its_input_is_counted_by_the_reason():
    """Too much of its own, or too much of all."""
    rig = Rig(bounds=Bounds(input_bytes_max=INPUT_BYTES_MAX + 1000))
    rig.client().say("lease q 9000\r\n" + "x" * (INPUT_BYTES_MAX + 1))
    assert (rig.gauge("cut-for-input"), rig.gauge("cut-for-memory")) == (1, 0)
    for _ in range(2):
        rig.client().say("lease q 9000\r\n" + "x" * INPUT_BYTES_MAX)
    assert (rig.gauge("cut-for-input"), rig.gauge("cut-for-memory")) == (1, 1)


# --- replies that wait for the log ----------------------------------------------------------


def held_up(rig):
    """Let one client after the other ask for a megabyte until the log is too far behind; return
    them."""
    rig.client().say(add(1, payload="x" * MIB))
    clients = rig.clients(HELD_BYTES_MAX // MIB + 10)
    for client in clients:
        client.say(f"inspect job {job_id(1)}\r\n")
    return clients


def test_what_waits_for_the_log_is_bounded_for_all_clients_together():
    """Then no request starts, and nothing turns in vain, until the log has come on."""
    rig = Rig(safe=False)
    clients = held_up(rig)
    assert HELD_BYTES_MAX <= rig.gauge("unsent-bytes") < HELD_BYTES_MAX + 2 * MIB
    last = rig.client()
    last.put(add(2))
    rig.turn()
    assert rig.broker.next_ms() > rig.now_ms + 1000
    assert rig.engine.find(job_id(2).encode()) is None
    rig.sync()
    assert rig.broker.next_ms() == rig.now_ms
    rig.settle()
    rig.sync()
    assert all(client.take().startswith("+OK 1\r\n") for client in clients)
    assert last.take() == OK
    assert rig.gauge("unsent-bytes") == 0


def test_what_has_waited_for_the_log_leaves_in_several_turns():
    """One after the other, and nobody has to come to make them be had."""
    rig = Rig(safe=False)
    clients = held_up(rig)
    rig.sync()
    some = sum(len(client.take()) > 0 for client in clients)
    assert some == RELEASED_BYTES_PER_TURN_MAX // MIB
    assert rig.broker.next_ms() == rig.now_ms
    rig.settle()
    assert sum(len(client.take()) > 0 for client in clients) == len(clients) - some


def test_while_too_much_waits_for_the_log_time_goes_on_and_nobody_is_told_of_it():
    """Leases end; who waits for the job or for a result gets it when the log has come on."""
    rig = Rig(safe=False)
    worker, waiter, asker, caller = rig.clients(4)
    caller.say(add(2, "r", options="1000 60000"))
    worker.say("lease r 0\r\n")
    waiter.say("lease r 20000\r\n")
    asker.say("lease s 500\r\n")
    held_up(rig)
    rig.advance(1000)
    job = rig.engine.find(job_id(2).encode())
    assert job is not None
    assert job.lease is None
    assert waiter.session.waiter is not None
    rig.sync()
    rig.settle()
    rig.sync()
    assert waiter.take() == told(2, "r", ttr_ms=1000)
    assert asker.take() == TIMEOUT
    assert worker.take() == told(2, "r", ttr_ms=1000)


def test_clients_that_leave_while_the_log_hangs_leave_nothing_behind():
    """Nothing they asked was acknowledged; who comes back again and again fills no memory."""
    rig = Rig(safe=False)
    held_up(rig)
    before = sessions_alive()
    for number in range(10, 30):
        lost = rig.client()
        lost.put(add(number, payload="x" * MIB))
        lost.lose()
        rig.turn()
        del lost
    assert sessions_alive() <= before + 1  # the broker knows who asked last
    assert rig.gauge("input-bytes") == 0
