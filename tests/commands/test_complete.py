"""complete: a job has succeeded, and its result is there for everybody."""

import pytest

from tests.commands.harness import Server, job_id
from workq.limits import BLOCK_BYTES_MAX


@pytest.mark.parametrize("state", ["ready", "leased", "back"])
def test_a_job_can_be_completed_by_anybody_who_knows_its_id(server: Server, state: str) -> None:
    """Leased or not; it leaves queue and lease."""
    server.add()
    if state != "ready":
        server.ask("lease q 0")
    if state == "back":
        server.advance(1000)

    assert server.complete(result="pong") == "+OK\r\n"
    assert server.state() == "1"
    assert server.lengths("q") == "0/0"
    server.advance(5000)
    assert server.ask(f"result {job_id()} 0") == server.finished(result="pong")


@pytest.mark.parametrize("first", ["complete", "fail"])
@pytest.mark.parametrize("second", ["complete", "fail"])
def test_the_first_result_counts(server: Server, first: str, second: str) -> None:
    """The second one is refused and changes nothing."""
    server.add()
    server.ask(f"{first} {job_id()}", "first")

    assert server.ask(f"{second} {job_id()}", "2nd") == "-CLIENT-ERROR Duplicate result\r\n"
    assert server.ask(f"result {job_id()} 0") == server.finished(
        success=int(first == "complete"), result="first"
    )


def test_a_late_worker_wins_if_nobody_was_faster(server: Server) -> None:
    """Though another one has the job by then."""
    server.add()
    server.ask("lease q 0")
    server.advance(1000)
    server.ask("lease q 0")

    assert server.complete(result="late") == "+OK\r\n"
    assert server.complete(result="second") == "-CLIENT-ERROR Duplicate result\r\n"


def test_everybody_who_waits_gets_the_result(server: Server) -> None:
    """At once."""
    server.add()
    clients = [server.client() for _ in range(3)]
    for client in clients:
        client.say(f"result {job_id()} 60000")
    server.complete(result="r")

    assert [client.take() for client in clients] == [server.finished(result="r")] * 3


def test_a_job_that_is_not_there_is_not_found(server: Server) -> None:
    """Unknown, deleted or expired."""
    assert server.complete() == "-NOT-FOUND\r\n"
    server.add()
    server.ask("lease q 0")
    server.ask(f"delete {job_id()}")
    assert server.complete() == "-NOT-FOUND\r\n"


def test_a_result_may_have_its_limit_and_not_a_byte_more(server: Server) -> None:
    """Its bytes may be any."""
    server.add()
    result = "\r\n" + "x" * (BLOCK_BYTES_MAX - 2)

    assert server.complete(result=result + "x") == "-CLIENT-ERROR Invalid payload size\r\n"
    assert server.complete(result=result) == "+OK\r\n"
    assert server.ask(f"result {job_id()} 0") == server.finished(result=result)
