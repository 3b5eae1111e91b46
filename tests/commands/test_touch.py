"""touch: a lease ends later, and nothing else changes."""

import pytest

from tests.commands.harness import Server, job_id

TOKEN = (1 << 40) + 1


@pytest.fixture
def leased(server: Server) -> Server:
    """A server whose job 1, with a TTR of a second, was leased just now."""
    server.add()
    server.ask("lease q 0")
    return server


@pytest.mark.parametrize("flags, lasts_ms", [("", 1000), ("-ttr=300", 300), ("-ttr=9000", 9000)])
def test_the_time_to_run_begins_anew(leased: Server, flags: str, lasts_ms: int) -> None:
    """That of the job, or another; the next touch without one goes by the job's again."""
    leased.advance(900)
    assert leased.ask(f"touch {job_id()} {flags}") == "+OK\r\n"
    leased.advance(lasts_ms - 1)
    assert leased.state() == "4"
    assert leased.ask(f"touch {job_id()}") == "+OK\r\n"
    leased.advance(999)
    assert leased.state() == "4"
    leased.advance(1)
    assert leased.state() == "3"


def test_it_is_the_same_lease_and_counts_nothing(leased: Server) -> None:
    """Its token stays good, and the attempts are those of before."""
    before = leased.shown()
    for _ in range(3):
        leased.advance(900)
        assert leased.ask(f"touch {job_id()} -lease={TOKEN}") == "+OK\r\n"
    assert leased.shown() == before
    assert leased.ask(f"complete {job_id()} 0 -lease={TOKEN}\r\n") == "+OK\r\n"


@pytest.mark.parametrize("state", ["ready", "back", "finished", "scheduled"])
def test_a_job_that_nobody_has_cannot_be_touched(server: Server, state: str) -> None:
    """And nothing changes."""
    server.add(flags="-delay=5" if state == "scheduled" else "")
    if state == "back":
        server.ask("lease q 0")
        server.advance(1000)
    if state == "finished":
        server.complete()
    before = server.dump()
    assert server.ask(f"touch {job_id()}") == "-CLIENT-ERROR Lease lost\r\n"
    assert server.dump() == before


def test_a_stale_holder_touches_nothing(leased: Server) -> None:
    """Though another one has the job by now, whose lease goes on as it was."""
    leased.advance(1000)
    leased.ask("lease q 0")
    before = leased.dump()
    assert leased.ask(f"touch {job_id()} -lease={TOKEN}") == "-CLIENT-ERROR Lease lost\r\n"
    assert leased.dump() == before


def test_a_job_that_is_not_there_is_not_found(server: Server) -> None:
    """With a lease or without."""
    assert server.ask(f"touch {job_id()}") == "-NOT-FOUND\r\n"
    assert server.ask(f"touch {job_id()} -lease=1") == "-NOT-FOUND\r\n"


def test_a_foreground_job_can_be_touched(server: Server) -> None:
    """Its caller waits as long as a worker has it."""
    caller = server.client()
    caller.say(f"run {job_id()} q 1000 500 1\r\nx")
    server.ask("lease q 0")
    server.advance(900)
    server.ask(f"touch {job_id()}")
    server.advance(900)
    assert caller.take() == ""
    server.complete(result="late")
    assert caller.take() == server.finished(result="late")
