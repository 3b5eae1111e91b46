"""Delays and retries as clients see them; `tests/engine/test_holds.py` has the rules."""

import pytest

from tests.commands.harness import Server, job_id

RETRYING = "-max-fails=9 -retry-delay=1000 -backoff=2 -retry-max=3000"


def hello(server: Server) -> None:
    """Let the server's own connection speak version 2."""
    assert server.ask("hello 2").startswith("+OK 1\r\n")


def test_a_delayed_job_waits_for_its_time(server: Server) -> None:
    """Among the scheduled ones; who waits is served when it is due."""
    assert server.add(flags="-delay=2000") == "+OK\r\n"
    assert server.lengths("q") == "0/1"
    assert server.state() == "0"
    assert "time" not in server.shown()
    waiter = server.client()
    waiter.say("lease q 60000")
    server.advance(1999)
    assert waiter.take() == ""
    server.advance(1)
    assert waiter.take() == server.leased()


@pytest.mark.parametrize("delay", ["60000", "60001", "31536000001", "-1", "x"])
def test_a_delay_that_leaves_no_time_is_refused(server: Server, delay: str) -> None:
    """So is what is no delay."""
    assert server.add(flags=f"-delay={delay}") == "-CLIENT-ERROR Invalid Delay\r\n"
    assert server.add(flags="-delay=59999") == "+OK\r\n"


def test_a_retry_is_never_early_and_never_lost(server: Server) -> None:
    """Each failure and each lost lease lets the next wait be longer, up to the greatest."""
    server.add(flags=RETRYING, ttr=100)
    for number, delay_ms in enumerate((1000, 2000, 3000, 3000)):
        assert server.ask("lease q 0") == server.leased(ttr=100)
        if number % 2:
            server.advance(100)
        else:
            assert server.fail() == "+OK\r\n"
        assert (server.state(), server.lengths("q")) == ("3", "0/1")
        server.advance(delay_ms - 1)
        assert server.ask("lease q 0") == "-TIMEOUT\r\n"
        server.advance(1)
    assert server.lengths("q") == "1/0"
    assert server.shown()["fails"] == "2"


def test_a_failure_may_name_its_delay(server: Server) -> None:
    """Instead of that of the job; a job that was not leased is not held back."""
    server.add(flags=RETRYING)
    server.ask("lease q 0")
    assert server.ask(f"fail {job_id()} 0 -delay=50\r\n") == "+OK\r\n"
    server.advance(50)
    assert server.ask(f"fail {job_id()} 0 -delay=50\r\n") == "+OK\r\n"
    assert server.ask("lease q 0") == server.leased()


@pytest.mark.parametrize("leased", [True, False])
def test_a_failure_may_be_final(server: Server, leased: bool) -> None:
    """Though more are allowed; 0 says what saying nothing says."""
    server.add(flags=RETRYING)
    if leased:
        server.ask("lease q 0")
    assert server.ask(f"fail {job_id()} 0 -final=0\r\n") == "+OK\r\n"
    assert server.ask(f"fail {job_id()} 3 -final=1 -delay=5\r\nwhy") == "+OK\r\n"
    assert server.ask(f"result {job_id()} 0") == server.finished(success=0, result="why")


def test_a_held_job_is_there_for_all_that_needs_no_lease(server: Server) -> None:
    """It is listed with those that wait for their time, and may be finished."""
    server.add(flags=RETRYING)
    server.ask("lease q 0")
    server.fail()
    assert server.ask("inspect jobs q 0 9") == "+OK 0\r\n"
    assert server.ask("inspect scheduled-jobs q 0 9").startswith(f"+OK 1\r\n{job_id()} 12\r\n")
    assert server.complete() == "+OK\r\n"
    assert server.lengths("q") == "0/0"


def test_version_2_shows_how_a_job_is_retried(server: Server) -> None:
    """By keys at the end; version 1 is shown what it ever was."""
    server.add(flags=RETRYING)
    server.ask("lease q 0")
    server.fail()
    before = server.shown()
    hello(server)
    shown = server.shown()
    assert list(shown)[: len(before)] == list(before)
    assert {key: shown[key] for key in shown if key not in before} == {
        "timeouts": "0", "retry-delay": "1000", "backoff": "2", "retry-max": "3000",
        "held-until": "2030-01-01T00:00:01Z",
    }  # fmt: skip


def test_a_schedule_may_be_retried_too(server: Server) -> None:
    """By the same flags."""
    line = f"schedule {job_id()} q 1000 60000 2030-01-01T00:00:05Z"
    assert server.ask(f"{line} 5 {RETRYING}\r\njob 1") == "+OK\r\n"
    server.advance(5000)
    server.ask("lease q 0")
    server.fail()
    assert server.lengths("q") == "0/1"
    server.advance(1000)
    assert server.lengths("q") == "1/0"


def test_a_job_that_is_held_back_is_ready_in_stats_and_scheduled_in_its_queue(
    server: Server,
) -> None:
    """`stats` tells states, `inspect queue` what a lease would find."""
    server.add(flags=RETRYING)
    server.ask("lease q 0")
    server.fail()
    assert server.lengths("q") == "0/1"
    numbers = dict(line.split() for line in server.ask("stats").splitlines()[2:])
    assert (numbers["jobs-ready"], numbers["jobs-scheduled"]) == ("1", "0")


def test_a_failure_of_a_delayed_job_is_seen_when_its_time_comes(server: Server) -> None:
    """It stays where it is, and new, until then."""
    server.add(flags="-delay=2000 -max-fails=9")
    server.fail()
    assert server.state() == "0"
    server.advance(2000)
    assert server.state() == "3"
