"""delete: a job is gone, whatever it was doing."""

import pytest

from tests.commands.harness import Server, job_id


@pytest.mark.parametrize("state", ["ready", "scheduled", "leased", "completed", "failed"])
def test_a_job_can_be_deleted_in_every_state(server: Server, state: str) -> None:
    """Nothing is left of it: no order, no deadline, no bytes."""
    empty = server.dump()["rest"]
    if state == "scheduled":
        server.ask(f"schedule {job_id()} q 1 1 2031-01-01T00:00:00Z", "x")
    else:
        server.add()
    if state == "leased":
        server.ask("lease q 0")
    if state in ("completed", "failed"):
        server.ask(f"{'complete' if state == 'completed' else 'fail'} {job_id()}", "r")

    assert server.ask(f"delete {job_id()}") == "+OK\r\n"
    assert server.dump()["rest"] == empty
    assert server.ask(f"delete {job_id()}") == "-NOT-FOUND\r\n"
    assert server.engine.evicted == 0


def test_its_queue_stays_known(server: Server) -> None:
    """As one without jobs."""
    server.add()
    server.ask(f"delete {job_id()}")

    assert server.lengths("q") == "0/0"


def test_who_waits_for_the_result_is_told_at_once(server: Server) -> None:
    """All of them."""
    server.add()
    clients = [server.client() for _ in range(3)]
    for client in clients:
        client.say(f"result {job_id()} 60000")
    server.ask(f"delete {job_id()}")

    assert [client.take() for client in clients] == ["-NOT-FOUND\r\n"] * 3


def test_a_job_of_the_same_id_is_a_new_one(server: Server) -> None:
    """Nothing of the first one reaches it: neither its lease nor its TTL nor its counters."""
    server.add()
    server.ask("lease q 0")
    server.advance(999)
    server.ask(f"delete {job_id()}")
    server.add()
    server.advance(59_001)

    assert (server.state(), server.shown()["attempts"]) == ("0", "0")


def test_a_worker_is_told_when_it_wants_to_finish(server: Server) -> None:
    """Not before."""
    server.add()
    server.ask("lease q 0")
    server.ask(f"delete {job_id()}")

    assert server.complete() == server.fail() == "-NOT-FOUND\r\n"
