"""lease: the next job of some queues, for a while; waiting for one, first come, first served."""

import pytest

from tests.commands.harness import Server, job_id
from workq.limits import LEASE_NAMES_MAX


def test_a_lease_hands_out_the_job_with_its_ttr_and_payload(server: Server) -> None:
    """The job leaves the queue, and the attempt is counted."""
    server.add(ttr=1234)

    assert server.ask("lease q 0") == server.leased(ttr=1234)
    assert (server.state(), server.shown()["attempts"]) == ("4", "1")
    assert server.lengths("q") == "0/0"


def test_jobs_come_by_priority_then_by_arrival(server: Server) -> None:
    """High before low, negative ones last."""
    for number, priority in ((1, 0), (2, 5), (3, -5), (4, 0), (5, 5)):
        server.add(number, flags=f"-priority={priority}")

    leases = [server.ask("lease q 0") for _ in range(5)]
    assert leases == [server.leased(number) for number in (2, 5, 1, 4, 3)]


def test_a_lease_that_runs_out_puts_the_job_back_at_its_old_place(server: Server) -> None:
    """Before those that came after it."""
    server.add(1)
    server.advance(1)
    server.add(2)
    server.ask("lease q 0")
    server.advance(999)
    assert server.state() == "4"
    server.advance(1)

    assert server.state() == "3"
    assert [server.ask("lease q 0") for _ in range(2)] == [server.leased(1), server.leased(2)]
    assert server.shown()["attempts"] == "2"


def test_a_job_may_be_leased_without_limit(server: Server) -> None:
    """There is no hidden one at 255."""
    server.ask(f"add {job_id()} q 1 60000", "x")
    for _ in range(300):
        assert server.ask("lease q 0").startswith("+OK 1")
        server.advance(1)

    assert server.shown()["attempts"] == "300"


def test_the_last_attempt_that_runs_out_fails_the_job(server: Server) -> None:
    """With an empty result, which releases those who wait for one."""
    server.add(flags="-max-attempts=2")
    waiting = server.client()
    waiting.say(f"result {job_id()} 60000")
    for state in ("3", "2"):
        assert waiting.take() == ""
        server.ask("lease q 0")
        server.advance(1000)
        assert server.state() == state

    assert waiting.take() == server.finished(success=0)
    assert server.ask("lease q 0") == "-TIMEOUT\r\n"


def test_wait_0_asks_only_for_what_is_ready(server: Server) -> None:
    """And mentions the queue all the same."""
    assert server.ask("lease q 0") == "-TIMEOUT\r\n"
    assert server.lengths("q") == "0/0"


def test_a_wait_ends_when_it_should(server: Server) -> None:
    """To the millisecond; a job that comes then stays in the queue."""
    worker = server.client()
    worker.say("lease q 500")
    server.advance(499)
    assert worker.take() == ""
    server.advance(1)
    server.add()

    assert worker.take() == "-TIMEOUT\r\n"
    assert server.lengths("q") == "1/0"


def test_what_comes_in_the_last_millisecond_is_still_handed_out(server: Server) -> None:
    """Who waits is served before waits end."""
    server.add(ttr=500)
    server.ask("lease q 0")
    worker = server.client()
    worker.say("lease q 500")
    server.advance(500)

    assert worker.take() == server.leased(ttr=500)


def test_who_waits_is_served_in_order_and_a_job_goes_to_one(server: Server) -> None:
    """First come, first served."""
    workers = [server.client() for _ in range(4)]
    for worker in workers:
        worker.say("lease q 1000")
    for number in (1, 2, 3):
        server.add(number)

    told = [worker.take() for worker in workers]
    assert told == [server.leased(1), server.leased(2), server.leased(3), ""]


def test_no_wake_up_is_lost(server: Server) -> None:
    """As many jobs at once as there are who wait: each has one."""
    workers = [server.client() for _ in range(50)]
    for worker in workers:
        worker.say("lease q r 1000")
    lines = [f"add {job_id(number)} {'qr'[number % 2]} 1 9 0\r\n" for number in range(1, 51)]
    server.ask("\r\n".join(lines))

    assert all(worker.take().startswith("+OK 1") for worker in workers)


def test_a_lease_over_several_names_takes_turns(server: Server) -> None:
    """None of the queues starves, in whatever order they are named."""
    for number, name in enumerate("aaabbbccc", 1):
        server.add(number, name)
    names = [server.ask(f"lease {order} 0").split(" ")[2] for order in ("a b c", "c b a", "b a c")]
    names += [server.ask("lease a b c 0").split(" ")[2] for _ in range(6)]

    assert [sorted(names[start : start + 3]) for start in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_a_queue_that_is_never_empty_starves_no_other(server: Server) -> None:
    """A job that comes later has its turn at the next lease or the one after."""
    for number in range(1, 10):
        server.add(number, "busy")
    server.ask("lease busy quiet 0")
    server.add(10, "quiet")

    told = [server.ask("lease busy quiet 0").split(" ")[2] for _ in range(2)]
    assert sorted(told) == ["busy", "quiet"]


def test_who_waits_for_several_names_takes_one_job_only(server: Server) -> None:
    """And stands in no line afterwards."""
    worker = server.client()
    worker.say("lease a b a 1000")
    server.ask(f"add {job_id(1)} b 1 9 0\r\n\r\nadd {job_id(2)} a 1 9 0\r\n")

    assert worker.take() == f"+OK 1\r\n{job_id(1)} b 1 0\r\n\r\n"
    assert server.lengths("a") == "1/0"


def test_as_many_names_as_the_limit_says(server: Server) -> None:
    """All of them are looked at, and known afterwards."""
    names = [f"n{number}" for number in range(LEASE_NAMES_MAX)]
    server.add(1, names[-1])

    assert server.ask(f"lease {' '.join(names)} 0") == server.leased(name=names[-1])
    assert server.lengths(names[0]) == "0/0"
    assert server.ask(f"lease {' '.join(names)} one-more 0") == (
        "-CLIENT-ERROR Invalid command args\r\n"
    )


@pytest.mark.parametrize("how", ["shut", "close"])
def test_who_is_gone_is_leased_nothing(server: Server, how: str) -> None:
    """A half-closed client is told, and the connection closes."""
    worker = server.client()
    worker.say("lease q 60000")
    getattr(worker, how)()
    server.add()

    assert worker.take() == ("-TIMEOUT\r\n" if how == "shut" else "")
    assert worker.closed
    assert server.lengths("q") == "1/0"


def test_a_half_closed_client_still_gets_what_is_ready(server: Server) -> None:
    """Each of its waits is 0, and a job that is there needs none."""
    server.add()
    worker = server.client()
    server.broker.receive(worker.session, b"lease q 60000\r\nlease q 60000\r\nping\r\n")
    worker.shut()

    assert worker.take() == server.leased() + "-TIMEOUT\r\n+OK\r\n"
    assert worker.closed


def test_a_lease_that_could_not_be_delivered_is_undone(server: Server) -> None:
    """The attempt is not counted, and the next worker has the job."""
    server.add()
    worker, next_worker = server.client(), server.client()
    server.broker.receive(worker.session, b"lease q 1000\r\n")
    server.hang_up(worker)
    next_worker.say("lease q 1000")

    assert next_worker.take() == server.leased()
    assert server.shown()["attempts"] == "1"


def test_a_lease_outlives_the_connection_of_its_worker(server: Server) -> None:
    """Once it was delivered."""
    server.add()
    worker = server.client()
    worker.say("lease q 1000")
    worker.close()

    assert server.state() == "4"


def test_what_was_received_is_done_though_its_client_is_lost(server: Server) -> None:
    """However much the replies would have been that nobody takes any more."""
    server.add(1)
    server.complete(1, "x" * 700_000)
    client = server.client()
    results = f"result {job_id(1)} 0\r\n" * 3
    server.broker.receive(client.session, f"{results}delete {job_id(1)}\r\n".encode())
    server.hang_up(client)
    server.run()

    assert server.state() == ""
