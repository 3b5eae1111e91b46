"""fail: a failure is counted, and the last one a job may have is final."""

import pytest

from tests.commands.harness import Server, job_id
from workq.limits import BLOCK_BYTES_MAX


@pytest.mark.parametrize("flags", ["", "-max-fails=0", "-max-fails=1"])
def test_the_first_failure_is_final_unless_more_are_allowed(server: Server, flags: str) -> None:
    """Its result is kept."""
    server.add(flags=flags)
    server.ask("lease q 0")

    assert server.fail(result="oops") == "+OK\r\n"
    assert (server.state(), server.shown()["fails"]) == ("2", "1")
    assert server.ask(f"result {job_id()} 0") == server.finished(success=0, result="oops")


def test_max_fails_retries_until_the_last_one(server: Server) -> None:
    """Each retry at once and at the old place; only the last result is kept."""
    server.add(1, flags="-max-fails=3")
    server.add(2)
    waiting = server.client()
    waiting.say(f"result {job_id()} 60000")
    for fails in (1, 2):
        assert server.ask("lease q 0") == server.leased(1)
        assert server.fail(1, f"{fails}") == "+OK\r\n"
        assert (server.state(1), server.shown(1)["fails"]) == ("3", str(fails))
        assert waiting.take() == ""
    server.ask("lease q 0")
    server.fail(1, "last")

    assert (server.state(1), server.shown(1)["attempts"]) == ("2", "3")
    assert waiting.take() == server.finished(1, 0, "last")


def test_a_failure_that_is_not_final_serves_who_waits(server: Server) -> None:
    """The job is ready again."""
    server.add(flags="-max-fails=2")
    server.ask("lease q 0")
    worker = server.client()
    worker.say("lease q 1000")
    server.fail()

    assert worker.take() == server.leased()


def test_a_failure_without_a_lease_is_counted_where_the_job_is(server: Server) -> None:
    """It keeps its place; the state shows that it is not new any more."""
    server.add(1, flags="-max-fails=2")
    server.add(2)
    server.fail(1)

    assert (server.state(1), server.shown(1)["fails"]) == ("3", "1")
    assert server.lengths("q") == "2/0"
    assert server.ask("lease q 0") == server.leased(1)
    server.advance(1000)
    server.fail(1, "last")
    assert server.state(1) == "2"


def test_attempts_that_are_used_up_make_a_failure_final(server: Server) -> None:
    """Though max-fails would allow more; its result is kept."""
    server.add(flags="-max-attempts=1 -max-fails=5")
    server.ask("lease q 0")
    server.fail(result="why")

    assert server.ask(f"result {job_id()} 0") == server.finished(success=0, result="why")


def test_a_lease_that_runs_out_is_no_failure(server: Server) -> None:
    """It is not counted as one."""
    server.add(flags="-max-fails=2")
    for _ in range(3):
        server.ask("lease q 0")
        server.advance(1000)

    assert (server.state(), server.shown()["fails"]) == ("3", "0")


def test_a_job_that_is_not_there_is_not_found(server: Server) -> None:
    """As for complete."""
    assert server.fail() == "-NOT-FOUND\r\n"


def test_a_size_that_is_wrong_has_an_error_of_its_own(server: Server) -> None:
    """`Invalid result size`, where the other commands say payload."""
    server.add()
    for text in ("fail ID x", "fail ID -1", "fail ID 2\r\nx", f"fail ID {BLOCK_BYTES_MAX + 1}"):
        said = server.client().ask(text.replace("ID", job_id()))
        assert said == "-CLIENT-ERROR Invalid result size\r\n"

    assert server.state() == "0"
