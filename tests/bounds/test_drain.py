"""Told to stop, over real sockets: what is under way comes to its end, nothing new is begun."""

import signal
import socket
import time

import pytest

from tests.bounds.program import until
from tests.talk import (
    NOT_FOUND,
    OK,
    SHUTTING_DOWN,
    TIMEOUT,
    add,
    complete,
    job_id,
    result,
    run,
    told,
)
from workq.limits import CLOSING_REQUEST_MS


def fail(number, text=""):
    """A request that reports the failure of a test's n-th job."""
    return complete(number, text).replace("complete", "fail")


class Scene:
    """A caller whose job a worker has, in a server that is told to stop.

    Attributes:
        server: the server.
        worker, caller: the two.
    """

    def __init__(self, start, *arguments):
        self.server = start(*arguments)
        self.worker, self.caller = self.server.peers(2)
        self.worker.send("lease q 80000000\r\n")
        self.caller.send(run(1))
        self.worker.expect(told(1))

    def stop(self, number=signal.SIGTERM):
        """Tell the server to stop, and wait until it has begun to."""
        self.server.signal(number)
        self.server.logged("shutting down")


@pytest.fixture
def scene(start):
    """A caller whose job a worker has."""
    return Scene(start)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("finish, success", [(complete, 1), (fail, 0)])
def test_a_caller_whose_job_a_worker_has_gets_its_result(scene, number, finish, success):
    """Its worker is served until then; then the server is gone, without an error."""
    scene.stop(number)
    scene.worker.ask(finish(1, "done"), OK)
    assert scene.caller.rest() == result(1, "done", success)
    assert scene.worker.rest() == ""
    assert scene.server.ended() == 0


def test_what_ends_work_is_served_and_all_else_is_refused(start):
    """By the worker whom a caller waits for."""
    scene = Scene(start)
    scene.worker.ask(add(2) + add(3) + add(4) + add(5), OK * 4)
    scene.stop()
    for request in (
        add(6),
        run(7),
        "lease q 0\r\n",
        "ping\r\n",
        "stats\r\n",
        "help\r\n",
        "inspect server\r\n",
        f"inspect job {job_id(2)}\r\n",
    ):
        scene.worker.ask(request, SHUTTING_DOWN)
    scene.worker.ask(complete(2, "a"), OK)
    scene.worker.ask(fail(3, "b"), OK)
    scene.worker.ask(f"result {job_id(2)} 0\r\n", result(2, "a"))
    scene.worker.ask(f"result {job_id(3)} 0\r\n", result(3, "b", 0))
    scene.worker.ask(f"result {job_id(5)} 80000000\r\n", TIMEOUT)
    scene.worker.ask(f"delete {job_id(4)}\r\n", OK)
    scene.worker.ask(f"delete {job_id(9)}\r\n", NOT_FOUND)
    scene.worker.ask("nonsense\r\n", "-CLIENT-ERROR Unknown command\r\n")
    scene.worker.ask(f"delete {job_id(1)}\r\n", OK)
    assert scene.caller.rest() == NOT_FOUND
    assert scene.server.ended() == 0


def test_waits_end_and_the_idle_are_closed(start):
    """Leases, results and calls that nobody works on; with what is behind them in the pipeline."""
    server = start()
    idle, leaser, asker, caller, pipeliner = server.peers(5)
    idle.ask(add(1, "elsewhere"), OK)
    leaser.send("lease nothing 80000000\r\n")
    asker.send(f"result {job_id(1)} 80000000\r\n")
    caller.send(run(2, "unworked"))
    pipeliner.send(f"lease nothing 80000000\r\nping\r\n{complete(1)}")
    until(lambda: server.stats(idle)["waiting"] == 4)
    server.signal(signal.SIGTERM)
    assert idle.rest() == ""
    assert [one.rest() for one in (leaser, asker, caller)] == [TIMEOUT] * 3
    assert pipeliner.rest() == TIMEOUT + SHUTTING_DOWN + OK
    assert server.ended() == 0


def test_no_new_client_is_taken(scene):
    """Its connection is refused, or told so."""
    scene.stop()
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's
        scene.server.peer().ask("ping\r\n", OK)
    scene.worker.ask(complete(1), OK)
    assert scene.caller.rest() == result(1)


def test_when_the_time_is_over_who_still_waits_is_told(start):
    """And the server goes; it says that not all came to an end."""
    scene = Scene(start, "--shutdown-timeout", "300ms")
    begun = time.monotonic()
    scene.stop()
    assert scene.caller.rest() == TIMEOUT
    assert scene.worker.rest() == ""
    assert scene.server.ended() == 0
    assert 0.25 < time.monotonic() - begun < 5
    assert scene.server.logged("not all clients")["clients"] == 2


def test_a_second_signal_ends_it_at_once(scene):
    """Whoever still waits."""
    scene.stop()
    begun = time.monotonic()
    scene.server.signal(signal.SIGINT)
    assert scene.server.ended() == 0
    assert time.monotonic() - begun < 3


def test_a_half_sent_request_and_a_silent_reader_do_not_hold_it_up_for_ever(start):
    """Only until the time is over."""
    server = start("--shutdown-timeout", "300ms")
    half, slow = server.peer(), server.peer(receive_bytes=4096)
    half.ask(add(1, payload="x" * 2**20), OK)
    slow.send(f"inspect job {job_id(1)}\r\n" * 50)
    half.send("pi")
    begun = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert time.monotonic() - begun < 3
    half.sock.settimeout(1)
    assert half.rest() == ""


def test_half_a_request_has_little_time_once_the_server_shuts_down(inside):
    """Less than the server has; a request that comes whole meanwhile is answered."""
    server = inside()
    half, late, waiter = server.peers(3)
    half.send("pi")
    late.send(f"delete {job_id(1)}")
    until(lambda: server.call(server.ring.broker.gauges)["input-bytes"] > 40)
    server.call(server.ring.drain)
    assert waiter.rest() == ""
    with server.standing_still():
        late.send("\r\n")
    assert late.rest() == NOT_FOUND
    server.pass_time(CLOSING_REQUEST_MS)
    assert half.rest() == "-CLIENT-ERROR Request timeout\r\n"
    until(server.ring.drained.is_set)


def test_a_reply_under_way_still_arrives(start):
    """A large one, to a reader who is slow but reads."""
    server = start()
    slow, other = server.peer(receive_bytes=4096), server.peer()
    payload = "x" * 2**20
    other.ask(add(1, payload=payload), OK)
    slow.send("lease q 80000000\r\n")
    first = slow.read(100)
    server.signal(signal.SIGTERM)
    server.logged("shutting down")
    assert first + slow.rest() == told(1, payload=payload)
    assert server.ended() == 0


def test_a_caller_whose_worker_dies_is_told(start):
    """Its job has nobody any more when the lease ends; until then it waits, no longer than told."""
    scene = Scene(start, "--shutdown-timeout", "400ms")
    scene.worker.sock.shutdown(socket.SHUT_RDWR)
    scene.stop()
    assert scene.caller.rest() == TIMEOUT
    assert scene.server.ended() == 0
