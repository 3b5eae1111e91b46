"""run: a foreground job, which lives while its caller waits. No end of it leaves one hanging."""

from __future__ import annotations

import pytest

from tests.commands.harness import Client, Server, job_id


def call(server: Server, wait: int = 5000, ttr: int = 1000, number: int = 1) -> Client:
    """Call `run` on a connection of its own."""
    caller = server.client()
    caller.say(f"run {job_id(number)} q {ttr} {wait}", f"job {number}")
    return caller


def gone(server: Server, number: int = 1) -> bool:
    """Whether nothing is left of a job."""
    return (
        server.state(number) == ""
        and server.lengths("q") in ("0/0", "")
        and (server.engine.held_bytes == 0)
    )


@pytest.mark.parametrize("verb, success", [("complete", 1), ("fail", 0)])
def test_the_caller_gets_the_result(server: Server, verb: str, success: int) -> None:
    """And the job is gone before anybody else can ask for it."""
    caller = call(server)
    assert server.ask("lease q 0") == server.leased()
    assert caller.take() == ""

    assert server.ask(f"{verb} {job_id()}", "sum") == "+OK\r\n"
    assert caller.take() == server.finished(1, success, "sum")
    assert server.ask(f"result {job_id()} 0") == "-NOT-FOUND\r\n"
    assert gone(server)
    assert caller.ask("ping") == "+OK\r\n"


def test_a_foreground_job_is_shown_without_ttl(server: Server) -> None:
    """Otherwise as any other, but it is nothing that is kept."""
    commits = server.commits
    call(server)

    assert (server.shown()["ttl"], server.state()) == ("0", "0")
    assert server.lengths("q") == "1/0"
    assert server.commits == commits


def test_without_a_worker_the_caller_gets_timeout(server: Server) -> None:
    """At the end of its wait, not before."""
    caller = call(server, wait=5000)
    server.advance(4999)
    assert caller.take() == ""
    server.advance(1)

    assert caller.take() == "-TIMEOUT\r\n"
    assert gone(server)
    assert server.engine.evicted == 0


def test_wait_0_gets_timeout_at_once_unless_a_worker_waits(server: Server) -> None:
    """Then it has the job for one lease."""
    assert call(server, wait=0).take() == "-TIMEOUT\r\n"
    worker = server.client()
    worker.say("lease q 1000")
    caller = call(server, wait=0)

    assert worker.take() == server.leased()
    assert caller.take() == ""
    server.complete(result="r")
    assert caller.take() == server.finished(result="r")


def test_a_lease_that_runs_out_within_the_wait_puts_the_job_back(server: Server) -> None:
    """As often as need be."""
    caller = call(server, wait=5000, ttr=1000)
    for attempts in (1, 2, 3):
        server.ask("lease q 0")
        server.advance(1000)
        assert (server.state(), server.shown()["attempts"]) == ("3", str(attempts))
    assert caller.take() == ""
    server.advance(2000)

    assert caller.take() == "-TIMEOUT\r\n"
    assert gone(server)


@pytest.mark.parametrize("finished", [True, False])
def test_a_lease_that_outlasts_the_wait_decides(server: Server, finished: bool) -> None:
    """The result if it comes in that lease, else TIMEOUT at its end; never a second lease."""
    caller = call(server, wait=500, ttr=1000)
    server.advance(400)
    worker = server.client()
    worker.say("lease q 0")
    waiting = server.client()
    waiting.say("lease q 60000")
    server.advance(999)
    assert caller.take() == ""
    if finished:
        server.complete(result="r")
    server.advance(1)

    assert caller.take() == (server.finished(result="r") if finished else "-TIMEOUT\r\n")
    assert waiting.take() == ""
    assert server.state() == ""


@pytest.mark.parametrize("leased", [False, True])
@pytest.mark.parametrize("over", [False, True])
def test_a_deleted_job_answers_its_caller_at_once(server: Server, leased: bool, over: bool) -> None:
    """Ready or leased, within the wait or after it."""
    caller = call(server, wait=500, ttr=60_000)
    if leased:
        server.ask("lease q 0")
    if over:
        server.advance(500)
    server.ask(f"delete {job_id()}")

    assert caller.take() == ("-TIMEOUT\r\n" if over and not leased else "-NOT-FOUND\r\n")
    assert gone(server)


@pytest.mark.parametrize("how", ["shut", "close"])
def test_a_caller_that_goes_before_a_lease_takes_its_job_along(server: Server, how: str) -> None:
    """Half-closed it hears of it."""
    caller = call(server)
    getattr(caller, how)()

    assert caller.take() == ("-TIMEOUT\r\n" if how == "shut" else "")
    assert gone(server)
    assert server.ask("lease q 0") == "-TIMEOUT\r\n"


@pytest.mark.parametrize("how", ["shut", "close"])
@pytest.mark.parametrize("end", ["complete", "ttr", "delete"])
def test_a_caller_that_goes_after_a_lease_leaves_it_to_the_worker(
    server: Server, how: str, end: str
) -> None:
    """For that lease; half-closed the caller still gets what comes of it."""
    caller = call(server)
    server.ask("lease q 0")
    getattr(caller, how)()
    assert server.state() == "4"
    if end == "complete":
        assert server.complete(result="r") == "+OK\r\n"
    elif end == "delete":
        assert server.ask(f"delete {job_id()}") == "+OK\r\n"
    else:
        server.advance(1000)

    said = {"complete": server.finished(result="r"), "ttr": "-TIMEOUT\r\n"}
    assert caller.take() == (said.get(end, "-NOT-FOUND\r\n") if how == "shut" else "")
    assert caller.closed
    assert gone(server)
    assert server.ask("stats").count("\r\nconnections 1\r\n") == 1


def test_who_waits_for_the_result_gets_it_with_the_caller(server: Server) -> None:
    """Or hears that the job is gone when the caller's wait ends."""
    for number, finished in ((1, True), (2, False)):
        caller = call(server, number=number)
        other = server.client()
        other.say(f"result {job_id(number)} 60000")
        if finished:
            server.complete(number, "r")
        server.advance(5000)

        told = server.finished(number, result="r")
        assert other.take() == (told if finished else "-NOT-FOUND\r\n")
        assert caller.take() == (told if finished else "-TIMEOUT\r\n")


def test_a_foreground_job_keeps_order_with_others(server: Server) -> None:
    """By its priority, then by its arrival."""
    server.add(1)
    call(server, number=2)
    urgent = server.client()
    urgent.say(f"run {job_id(3)} q 1000 5000 5 -priority=1\r\njob 3")

    leases = [server.ask("lease q 0") for _ in range(3)]
    assert leases == [server.leased(number) for number in (3, 1, 2)]


def test_an_id_that_is_taken_is_refused(server: Server) -> None:
    """By background jobs and foreground jobs alike; the first one is not touched."""
    first = call(server)
    assert call(server).take() == "-CLIENT-ERROR Duplicate job\r\n"
    assert server.add() == "-CLIENT-ERROR Duplicate job\r\n"

    server.complete(result="r")
    assert first.take() == server.finished(result="r")


def test_a_request_behind_run_is_answered_after_it(server: Server) -> None:
    """In order, also when it came in the same piece."""
    caller = server.client()
    caller.send(f"run {job_id()} q 1000 500 0\r\n\r\nping\r\n".encode())
    assert caller.take() == ""
    server.advance(500)

    assert caller.take() == "-TIMEOUT\r\n+OK\r\n"
