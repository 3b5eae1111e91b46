"""What becomes of clients when the server shuts down."""

from tests.broker.harness import Rig, add, complete, result, run, told
from workq.limits import CLOSING_REQUEST_MS

OK = "+OK\r\n"
TIMEOUT = "-TIMEOUT\r\n"
SHUTTING_DOWN = "-SERVER-ERROR Shutting down\r\n"


def drained(rig):
    """Begin to shut down, as far as that goes at once."""
    rig.broker.drain()
    rig.settle()


def test_who_has_nothing_to_ask_is_closed_at_once():
    """And whose wait ends by it too, once that was told."""
    rig = Rig()
    idle, waiting = rig.clients(2)
    waiting.say("lease q 60000\r\n")
    drained(rig)
    assert waiting.take() == TIMEOUT
    assert idle.ending
    assert waiting.ending


def test_a_worker_is_waited_for_while_somebody_waits_for_its_job():
    """What it still says is served if it brings work to an end; else it is turned away."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1))
    worker.say("lease q 0\r\n")
    assert worker.take() == told(1)
    drained(rig)
    assert not worker.ending
    assert worker.ask(add(2)) == SHUTTING_DOWN
    assert worker.ask(complete(1)) == OK
    rig.settle()
    assert caller.take() == result(1)
    assert caller.ending
    assert worker.ending


def test_half_a_request_does_not_hold_the_server_for_long():
    """One byte of a line held it for all of its time to shut down; found from outside."""
    rig = Rig()
    client = rig.client()
    client.say("x")
    drained(rig)
    rig.advance(CLOSING_REQUEST_MS - 1)
    assert client.take() == ""
    rig.advance(1)
    assert client.take() == "-CLIENT-ERROR Request timeout\r\n"


def test_a_result_that_is_on_its_way_is_taken():
    """Its line has come, its bytes follow in time."""
    rig = Rig()
    client = rig.client()
    client.say(add(1) + "lease q 0\r\n")
    client.take()
    text = complete(1, "r" * 100)
    client.say(text[:60])
    drained(rig)
    client.say(text[60:])
    assert client.take() == OK
    assert client.ending


def test_at_the_end_everybody_is_told_and_closed():
    """Whatever they wait for."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.say(run(1))
    worker.say("lease q 0\r\n")
    drained(rig)
    rig.broker.end()
    rig.settle()
    assert caller.take() == TIMEOUT
    assert caller.ending
    assert worker.ending
