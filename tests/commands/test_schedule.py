"""schedule: a job that is due at a time of the wall clock."""

import pytest

from tests.commands.harness import Server, job_id

IN_10_S = "2030-01-01T00:00:10Z"


def schedule(server: Server, time: str, number: int = 1, flags: str = "", ttl: int = 60_000) -> str:
    """Schedule a job with an empty payload."""
    return server.ask(f"schedule {job_id(number)} q 1000 {ttl} {time} 0 {flags}\r\n")


def test_a_scheduled_job_is_shown_with_its_time(server: Server) -> None:
    """As the thirteenth key; it is in the scheduled part of its queue."""
    assert schedule(server, IN_10_S, flags="-priority=3") == "+OK\r\n"

    shown = server.shown()
    assert len(shown) == 13
    assert (shown["time"], shown["state"], shown["priority"]) == (IN_10_S, "0", "3")
    assert server.lengths("q") == "0/1"


def test_a_scheduled_job_is_leased_when_its_time_has_come_and_not_before(server: Server) -> None:
    """To the millisecond, by whoever waits."""
    schedule(server, IN_10_S)
    worker = server.client()
    worker.say("lease q 60000")
    server.advance(9_999)
    assert worker.take() == ""
    server.advance(1)

    assert worker.take().startswith(f"+OK 1\r\n{job_id()} q 1000 0\r\n")


def test_a_fraction_of_a_second_counts(server: Server) -> None:
    """To the millisecond; it is not shown."""
    schedule(server, "2030-01-01T00:00:10.250Z")
    server.advance(10_249)
    assert server.lengths("q") == "0/1"
    server.advance(1)

    assert server.lengths("q") == "1/0"
    assert server.shown()["time"] == IN_10_S


def test_a_scheduled_job_goes_by_the_wall_clock(server: Server) -> None:
    """Set forward, it makes the job due; its TTL goes by the other clock all the same."""
    schedule(server, IN_10_S)
    server.offset_ms = 10_000
    server.advance(0)

    assert server.lengths("q") == "1/0"
    server.advance(69_999)
    assert server.state() == "0"
    server.advance(1)
    assert server.state() == ""


def test_the_ttl_runs_from_the_scheduled_time(server: Server) -> None:
    """Not from the handing in."""
    schedule(server, IN_10_S)
    server.advance(69_999)
    assert server.state() == "0"
    server.advance(1)

    assert server.state() == ""


def test_a_past_time_is_due_at_once_and_its_ttl_runs_from_it(server: Server) -> None:
    """As long as any of its TTL is left."""
    assert schedule(server, "2029-12-31T23:59:10Z") == "+OK\r\n"
    assert server.lengths("q") == "1/0"
    server.advance(9_999)
    assert server.state() == "0"
    server.advance(1)

    assert server.state() == ""


@pytest.mark.parametrize(
    "time, ttl, taken",
    [
        ("2029-12-31T23:59:00Z", 60_000, True),
        ("2029-12-31T23:58:59.999Z", 60_000, False),
        ("1969-12-31T23:59:59Z", 2**64 - 1, True),
        ("1969-12-31T23:59:59Z", 60_000, False),
        ("0001-01-01T00:00:00Z", 2**63, True),
        ("9999-12-31T23:59:59Z", 1, True),
    ],
)
def test_time_and_ttl_together_must_not_be_over(
    server: Server, time: str, ttl: int, taken: bool
) -> None:
    """Their sum counts, whatever the year."""
    expected = "+OK\r\n" if taken else "-CLIENT-ERROR Invalid Time\r\n"

    assert schedule(server, time, ttl=ttl) == expected


def test_a_job_that_is_not_due_can_be_finished_failed_and_deleted(server: Server) -> None:
    """It leaves the queue at once; a failure that is not final leaves it there."""
    for number in (1, 2, 3):
        schedule(server, IN_10_S, number)
    schedule(server, IN_10_S, 4, "-max-fails=2")

    assert server.complete(1, "r") == server.fail(2, "r") == "+OK\r\n"
    assert server.ask(f"delete {job_id(3)}") == server.fail(4) == "+OK\r\n"
    assert [server.state(number) for number in (1, 2, 3, 4)] == ["1", "2", "", "0"]
    assert server.shown(4)["fails"] == "1"
    assert server.lengths("q") == "0/1"


def test_a_due_job_does_not_yield_to_younger_ones(server: Server) -> None:
    """Due time counts, then arrival; a past time is no earlier than the handing in."""
    schedule(server, "2030-01-01T00:00:01Z", 1)
    server.add(2)
    server.advance(2000)
    server.add(3)
    schedule(server, "2029-12-31T23:59:59Z", 4)
    leases = [server.ask("lease q 0") for _ in range(4)]

    assert [number for lease in leases for number in range(1, 5) if job_id(number) in lease] == [
        2,
        1,
        3,
        4,
    ]


def test_a_taken_id_is_refused_after_a_time_that_is_over(server: Server) -> None:
    """Both are errors of the state; the time is looked at first."""
    server.add()

    assert schedule(server, IN_10_S) == "-CLIENT-ERROR Duplicate job\r\n"
    assert schedule(server, "2000-01-01T00:00:00Z") == "-CLIENT-ERROR Invalid Time\r\n"
