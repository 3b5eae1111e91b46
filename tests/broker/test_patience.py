"""Claims about half-sent requests, silence and the input that is kept for later."""

import pytest

from tests.broker.harness import Rig, add, complete, told
from workq.broker.session import LINGER
from workq.limits import INPUT_BYTES_MAX, LATE_MS, Bounds

OK = "+OK\r\n"
HALF = "add 00000000-0000-4000-8000-000000000001 q 1000 60000 5\r\nhe"
REQUEST_TIMEOUT = "-CLIENT-ERROR Request timeout\r\n"


@pytest.mark.parametrize("half", ["pi", HALF, HALF.replace(" 5\r", " 9000000\r")])
def test_a_request_must_be_complete_60_seconds_after_its_first_byte(half):
    """A line, a block, and a block that is thrown away: one byte more does not help."""
    rig = Rig()
    client = rig.client()
    client.say(half)
    client.take()
    rig.advance(59_000)
    client.say("x")
    rig.advance(999)
    assert client.ending != LINGER
    rig.advance(1)
    assert (client.take(), client.ending) == (REQUEST_TIMEOUT, LINGER)


def test_each_request_has_its_own_time():
    """A pipeline that is always in the middle of one is not slow."""
    rig = Rig()
    client = rig.client()
    client.say("pi")
    for _ in range(10):
        rig.advance(30_000)
        client.say("ng\r\npi")
        assert client.take() == OK


def test_a_request_that_was_completed_has_no_end():
    """However long the client is silent then: there is no idle limit unless one is set."""
    rig = Rig()
    client = rig.client()
    client.say("pi")
    rig.advance(59_999)
    client.say("ng\r\n")
    rig.advance(86_400_000)
    client.say("ping\r\n")
    assert client.take() == OK * 2


def test_what_comes_behind_a_request_that_waits_may_come_in_part():
    """Its time begins when the wait is over."""
    rig = Rig()
    client = rig.client()
    client.say("lease q 200000\r\npi")
    rig.advance(200_000)
    assert client.take() == "-TIMEOUT\r\n"
    rig.advance(59_999)
    client.say("ng\r\n")
    assert client.take() == OK


def test_an_idle_limit_ends_silence_and_nothing_else():
    """Neither a wait nor who says something now and then."""
    rig = Rig(bounds=Bounds(idle_timeout_ms=10_000))
    silent, talker, waiter = rig.clients(3)
    waiter.say("lease q 30000\r\n")
    rig.advance(9_999)
    talker.say("ping\r\n")
    assert (silent.take(), silent.ending == LINGER) == ("", False)
    rig.advance(1)
    assert (silent.take(), silent.ending) == ("-CLIENT-ERROR Idle timeout\r\n", LINGER)
    rig.advance(9_000)
    talker.say("ping\r\n")
    assert talker.take() == OK * 2
    talker.say(add(1))
    assert waiter.take() == told(1)
    rig.advance(10_000)
    assert waiter.take() == "-CLIENT-ERROR Idle timeout\r\n"


def test_input_of_all_clients_together_has_a_bound():
    """Who goes beyond it is told so; what it had sent is let go, and the others go on."""
    rig = Rig(bounds=Bounds(input_bytes_max=100_000))
    first, second = rig.clients(2)
    head = "add 00000000-0000-4000-8000-00000000000{} q 1000 60000 60000\r\n"
    first.say(head.format(1) + "x" * 50_000)
    second.say(head.format(2) + "x" * 50_000)
    assert (second.take(), second.ending) == ("-SERVER-ERROR Out of memory\r\n", LINGER)
    assert rig.gauge("input-bytes") < 60_000
    first.say("x" * 10_000 + "\r\n")
    assert first.take() == OK
    assert rig.gauge("input-bytes") == 0


def test_the_input_of_a_client_that_is_gone_counts_no_more():
    """Nor is it timed."""
    rig = Rig()
    client = rig.client()
    client.say(HALF)
    assert rig.gauge("input-bytes") == len(HALF)
    client.lose()
    rig.settle()
    assert rig.gauge("input-bytes") == 0
    rig.advance(60_000)
    assert client.take() == ""


def test_a_flood_behind_a_wait_counts_too():
    """And is let go when the wait is over."""
    rig = Rig()
    waiter, other = rig.clients(2)
    waiter.say("lease q 60000\r\n" + "ping\r\n" * 100)
    assert rig.gauge("input-bytes") == 600
    other.say(add(1) + complete(2))
    rig.settle()
    assert rig.gauge("input-bytes") == 0


@pytest.mark.parametrize("how", ["shut", "refused", "timeout", "server", "too much", "of all"])
def test_the_input_of_an_ended_session_counts_no_more(how):
    """From its end on, not only once its connection is gone. Found by fuzzing: others got `Out of
    memory` for it."""
    rig = Rig(safe=False, bounds=Bounds(input_bytes_max=INPUT_BYTES_MAX))
    rig.client().say(add(9))  # not safe, and so no end leaves
    client = rig.client()
    client.say("lease q2 60000\r\n" + HALF if how == "too much" or how == "of all" else HALF)
    assert rig.gauge("input-bytes") == len(HALF)
    if how == "shut":
        client.shut()
    elif how == "refused":
        client.put("y\r\nadd 1\r\n")
    elif how == "timeout":
        rig.advance(60_000)
    elif how == "server":
        rig.broker.end()
    elif how == "too much":
        client.put("x" * INPUT_BYTES_MAX)
    elif how == "of all":
        client.put("x" * (INPUT_BYTES_MAX - len(HALF)))
        client.put("x")
    if how not in ("server", "of all"):
        rig.settle()
    assert client.session.ending
    assert not client.session.lost
    assert rig.gauge("input-bytes") == 0


def test_a_client_whose_request_waits_to_be_executed_is_not_idle():
    """It has asked; that it does not take its replies is another matter. Found by fuzzing."""
    rig = Rig(bounds=Bounds(idle_timeout_ms=5000))
    client = rig.client()
    rig.broker.stall(client.session, True)
    client.say("ping\r\n")
    rig.advance(60_000)
    assert client.take() == ""
    rig.broker.stall(client.session, False)
    rig.settle()
    assert client.take() == OK
    rig.advance(4999)
    assert client.take() == ""
    rig.advance(1)
    assert client.take() == "-CLIENT-ERROR Idle timeout\r\n"


def test_a_client_that_asks_in_its_last_millisecond_is_not_idle():
    """However late the turn comes in which that is seen."""
    rig = Rig(bounds=Bounds(idle_timeout_ms=5000))
    client = rig.client()
    rig.settle()
    rig.now_ms += 6000
    client.say("ping\r\n")
    assert client.take() == OK
    rig.advance(4999)
    assert client.take() == ""
    rig.advance(1)
    assert client.take() == "-CLIENT-ERROR Idle timeout\r\n"


def test_a_client_that_reads_nothing_and_asks_nothing_is_idle():
    """Whatever was sent to it."""
    rig = Rig(bounds=Bounds(idle_timeout_ms=5000))
    client = rig.client()
    client.say("ping\r\n")
    rig.broker.stall(client.session, True)
    rig.advance(5000)
    assert client.take() == OK + "-CLIENT-ERROR Idle timeout\r\n"


def test_those_who_take_too_long_are_counted_by_kind():
    """Each once."""
    rig = Rig(bounds=Bounds(idle_timeout_ms=100_000))
    slow, slower, silent = rig.clients(3)
    slow.say("pi")
    slower.say(HALF)
    silent.say("ping\r\n")
    rig.advance(99_999)
    assert (rig.gauge("request-timeouts"), rig.gauge("idle-timeouts")) == (2, 0)
    rig.advance(100_000)
    assert (rig.gauge("request-timeouts"), rig.gauge("idle-timeouts")) == (2, 1)


def test_a_request_that_came_while_the_server_stood_still_is_in_time():
    """Found from outside: stopped and continued, it cut off who had sent all long before."""
    rig = Rig(bounds=Bounds(request_timeout_ms=2000))
    client = rig.client()
    text = add(1)
    client.say(text[:20])
    rig.now_ms += 3000
    rig.turn()  # the first thing after the standstill: nothing was read yet
    client.say(text[20:])
    assert client.take() == "+OK\r\n"


def test_a_limit_of_time_holds_though_it_is_noticed_late():
    """The server looks once at what has come, and then ends who sent nothing."""
    rig = Rig(bounds=Bounds(request_timeout_ms=2000))
    client = rig.client()
    client.say("half")
    rig.now_ms += 2000 + LATE_MS + 1
    rig.turn()
    assert client.take() == ""
    rig.advance(1)
    assert client.take() == "-CLIENT-ERROR Request timeout\r\n"


def test_what_has_come_at_last_is_looked_at_before_its_time_is_over():
    """After a standstill the rest of a request and the end of its time come to one turn."""
    rig = Rig(bounds=Bounds(request_timeout_ms=2000))
    client, other = rig.clients(2)
    client.say("pi")
    other.say("pi")
    rig.now_ms += 2000 + LATE_MS + 1
    rig.turn()
    rig.now_ms += 1
    client.put("ng\r\n")
    other.put("n")
    rig.settle()
    assert client.take() == OK
    assert other.take() == REQUEST_TIMEOUT
