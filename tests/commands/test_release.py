"""release: a lease that costs nothing."""

import pytest

from tests.commands.harness import Server, job_id

TOKEN = (1 << 40) + 1


def test_a_released_job_is_as_if_it_had_never_been_leased(server: Server) -> None:
    """At its place, its attempt not counted; so it may be leased by the last attempt it has."""
    server.add(1, flags="-max-attempts=1 -retry-delay=500")
    server.add(2)
    before = server.shown()
    for _ in range(3):
        assert server.ask("lease q 0") == server.leased()
        assert server.ask(f"release {job_id()}") == "+OK\r\n"
        assert server.shown() == before
    assert server.lengths("q") == "2/0"


def test_who_waits_gets_it_at_once(server: Server) -> None:
    """There is no delay in it."""
    server.add(flags="-retry-delay=500")
    server.ask("lease q 0")
    waiter = server.client()
    waiter.say("lease q 5000")
    server.ask(f"release {job_id()} -lease={TOKEN}")
    assert waiter.take() == server.leased()


@pytest.mark.parametrize("state", ["ready", "released", "finished", "other"])
def test_a_lease_that_is_over_cannot_be_given_back(server: Server, state: str) -> None:
    """Nothing changes, not even what another one has."""
    server.add()
    server.ask("lease q 0")
    if state in ("ready", "other"):
        server.advance(1000)
    if state == "released":
        server.ask(f"release {job_id()}")
    if state == "finished":
        server.complete()
    if state == "other":
        server.ask("lease q 0")
    before = server.dump()
    assert server.ask(f"release {job_id()} -lease={TOKEN}") == "-CLIENT-ERROR Lease lost\r\n"
    if state != "other":
        assert server.ask(f"release {job_id()}") == "-CLIENT-ERROR Lease lost\r\n"
    assert server.dump() == before


def test_a_job_that_is_not_there_is_not_found(server: Server) -> None:
    """Whatever lease is named."""
    assert server.ask(f"release {job_id()}") == "-NOT-FOUND\r\n"


def test_the_end_of_a_run_that_is_released_is_that_of_one_nobody_has(server: Server) -> None:
    """Whose wait is over is told so."""
    caller = server.client()
    caller.say(f"run {job_id()} q 1000 500 1\r\nx")
    server.ask("lease q 0")
    server.advance(600)
    assert caller.take() == ""
    server.ask(f"release {job_id()}")
    assert caller.take() == "-TIMEOUT\r\n"
