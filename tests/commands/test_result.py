"""result: asked for as often as one likes, and waited for without hanging."""

import pytest

from tests.commands.harness import Server, job_id


@pytest.mark.parametrize("wait", [0, 1000, 86_400_000])
def test_a_result_that_is_there_is_told_at_once_and_again(server: Server, wait: int) -> None:
    """Whatever the wait."""
    server.add()
    server.complete(result="r")

    assert [server.ask(f"result {job_id()} {wait}") for _ in range(3)] == [
        server.finished(result="r")
    ] * 3


def test_without_a_result_the_answer_is_timeout_when_the_wait_ends(server: Server) -> None:
    """At once with wait 0; the job is not touched."""
    server.add()
    before = server.dump()
    assert server.ask(f"result {job_id()} 0") == "-TIMEOUT\r\n"
    client = server.client()
    client.say(f"result {job_id()} 500")
    server.advance(499)
    assert client.take() == ""
    server.advance(1)

    assert client.take() == "-TIMEOUT\r\n"
    assert server.dump() == before


@pytest.mark.parametrize("wait", [0, 1000])
def test_an_unknown_job_is_not_found_at_once(server: Server, wait: int) -> None:
    """Nobody waits for what may never be."""
    assert server.ask(f"result {job_id()} {wait}") == "-NOT-FOUND\r\n"


@pytest.mark.parametrize(
    "end, said",
    [
        ("complete ID 1\r\nr", "+OK 1\r\nID 1 1\r\nr\r\n"),
        ("fail ID 1\r\nr", "+OK 1\r\nID 0 1\r\nr\r\n"),
        ("delete ID", "-NOT-FOUND\r\n"),
        ("ping", "-NOT-FOUND\r\n"),
    ],
    ids=["complete", "fail", "delete", "expiry"],
)
def test_every_end_of_a_job_releases_who_waits(server: Server, end: str, said: str) -> None:
    """Whoever they are and however long they would have waited."""
    server.add()
    clients = [server.client() for _ in range(3)]
    for wait, client in enumerate(clients):
        client.say(f"result {job_id()} {86_400_000 - wait}")
    server.ask(end.replace("ID", job_id()))
    server.advance(60_000)

    assert [client.take() for client in clients] == [said.replace("ID", job_id())] * 3


def test_a_wait_outlasts_leases_that_run_out(server: Server) -> None:
    """They are no end of the job."""
    server.add()
    client = server.client()
    client.say(f"result {job_id()} 60000")
    for _ in range(3):
        server.ask("lease q 0")
        server.advance(1000)
    assert client.take() == ""
    server.complete(result="r")

    assert client.take() == server.finished(result="r")


def test_a_scheduled_job_can_be_waited_for(server: Server) -> None:
    """Before it is due."""
    server.ask(f"schedule {job_id()} q 1 1000 2030-01-01T01:00:00Z", "x")
    client = server.client()
    client.say(f"result {job_id()} 10000")
    server.complete(result="r")

    assert client.take() == server.finished(result="r")


def test_a_half_closed_client_waits_no_longer(server: Server) -> None:
    """It is told so, and what it sent behind is answered."""
    server.add()
    client = server.client()
    client.send(f"result {job_id()} 60000\r\nping\r\n".encode())
    client.shut()

    assert client.take() == "-TIMEOUT\r\n+OK\r\n"
    assert client.closed


def test_a_closed_client_is_forgotten(server: Server) -> None:
    """The result finds nobody, and nothing waits."""
    server.add()
    client = server.client()
    client.say(f"result {job_id()} 60000")
    client.close()

    assert server.complete() == "+OK\r\n"
    assert "\r\nwaiting 0\r\n" in server.ask("stats")
