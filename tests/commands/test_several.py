"""Several at once: jobs in one lease, results and jobs in one reply."""

import pytest

from tests.commands.harness import Server, job_id
from workq.limits import BLOCK_BYTES_MAX, LEASE_COUNT_MAX, LISTED_MAX


def entry(number: int, name: str = "q") -> str:
    """What hands out a test's n-th job, in a reply."""
    return f"{job_id(number)} {name} 1000 {len(f'job {number}')}\r\njob {number}\r\n"


def leased(*numbers: int) -> str:
    """A reply that hands out a test's jobs."""
    return f"+OK {len(numbers)}\r\n" + "".join(entry(number) for number in numbers)


def test_a_lease_takes_as_many_as_it_wants_of_those_that_are_ready(server: Server) -> None:
    """In their order; then what is left."""
    for number in range(1, 6):
        server.add(number)
    assert server.ask("lease q 0 -count=3") == leased(1, 2, 3)
    assert server.ask("lease q 5000 -count=100") == leased(4, 5)
    assert server.ask("lease q 0 -count=2") == "-TIMEOUT\r\n"


def test_it_waits_for_the_first_only(server: Server) -> None:
    """What comes a moment later is for the next."""
    waiter = server.client()
    waiter.say("lease q 5000 -count=10")
    server.add(1)
    server.add(2)
    assert waiter.take() == leased(1)
    assert server.ask("lease q 0 -count=10") == leased(2)


def test_who_waits_gets_all_that_got_ready_together(server: Server) -> None:
    """Jobs whose time comes in one instant; those of who waits behind are what is left."""
    for number in (1, 2, 3):
        server.add(number, flags="-delay=500")
    first, second = server.client(), server.client()
    first.say("lease q 5000 -count=2")
    second.say("lease q 5000 -count=2")
    server.advance(500)
    assert (first.take(), second.take()) == (leased(1, 2), leased(3))


def test_several_queues_take_turns_within_one_lease(server: Server) -> None:
    """As they would for as many requests."""
    for number, name in enumerate(("a", "a", "b", "b"), 1):
        server.add(number, name)
    reply = server.ask("lease a b 0 -count=3")
    assert reply == "+OK 3\r\n" + entry(1, "a") + entry(3, "b") + entry(2, "a")


def test_each_job_has_a_lease_of_its_own(server: Server) -> None:
    """With its own token and attempt; one is finished, the other runs out."""
    server.add(1)
    server.add(2)
    server.ask("hello 2")
    reply = server.ask("lease q 0 -count=2")
    assert reply.count(" attempt=1\r\n") == 2
    token = (1 << 40) + 2
    assert (
        server.ask(f"complete {job_id(1)} 0 -lease={token}\r\n") == "-CLIENT-ERROR Lease lost\r\n"
    )
    assert server.ask(f"complete {job_id(2)} 0 -lease={token}\r\n") == "+OK\r\n"
    server.advance(1000)
    assert server.lengths("q") == "1/0"


def test_leases_that_were_not_delivered_are_undone_all(server: Server) -> None:
    """When the connection is gone; no attempt is counted."""
    for number in (1, 2, 3):
        server.add(number)
    client = server.client()
    server.broker.receive(client.session, b"lease q 0 -count=3\r\n")
    server.broker.turn(server.now_ms, 0)
    client.close()
    server.run()
    assert server.lengths("q") == "3/0"
    assert server.shown(2)["attempts"] == "0"


@pytest.mark.parametrize("size, count", [(BLOCK_BYTES_MAX, 1), (BLOCK_BYTES_MAX // 2, 2)])
def test_a_reply_ends_with_the_job_that_brings_it_to_its_bound(
    server: Server, size: int, count: int
) -> None:
    """The others stay ready."""
    for number in range(1, 5):
        server.ask(f"add {job_id(number)} q 1000 60000", "x" * size)
    assert server.ask("lease q 0 -count=4").startswith(f"+OK {count}\r\n")
    assert server.lengths("q") == f"{4 - count}/0"


@pytest.mark.parametrize("count", ["0", str(LEASE_COUNT_MAX + 1), "x", "-1"])
def test_a_count_has_its_bounds(server: Server, count: str) -> None:
    """Beyond them nothing is leased."""
    server.add()
    assert server.ask(f"lease q 0 -count={count}") == "-CLIENT-ERROR Invalid Count\r\n"
    assert server.ask(f"lease q 0 -count={LEASE_COUNT_MAX}") == leased(1)


def test_many_jobs_cost_as_much_of_a_turn_as_many_requests(server: Server) -> None:
    """So that nobody waits for who takes a hundred at once, again and again."""
    for number in range(1, 251):
        server.add(number)
    client = server.client()
    server.broker.receive(client.session, b"lease q 0 -count=100\r\n" * 3)
    server.broker.turn(server.now_ms, 0)
    assert server.engine.counts["leased"] <= 200
    server.run()
    assert server.engine.counts["leased"] == 250


# --- results and jobs -----------------------------------------------------------------------------


def test_results_of_several_jobs_come_in_one_reply(server: Server) -> None:
    """In the order asked for; what is not finished or not there is left out."""
    for number in (1, 2, 3):
        server.add(number)
    server.complete(3, "three")
    server.fail(1, "one")
    ids = " ".join(map(job_id, (3, 2, 9, 1, 3)))
    assert server.ask(f"result {ids} 0") == (
        f"+OK 2\r\n{job_id(3)} 1 5\r\nthree\r\n{job_id(1)} 0 3\r\none\r\n"
    )
    assert server.ask(f"result {job_id(2)} {job_id(9)} 0") == "+OK 0\r\n"


def test_several_results_are_not_waited_for(server: Server) -> None:
    """A wait is refused, even where there is one to tell."""
    server.add(1)
    server.complete(1)
    refusal = "-CLIENT-ERROR Invalid wait timeout\r\n"
    assert server.ask(f"result {job_id(1)} {job_id(2)} 1") == refusal
    assert server.ask(f"result {job_id(1)} 1") == server.finished(1)


def test_several_jobs_are_shown_in_one_reply(server: Server) -> None:
    """Those that there are, each as by itself."""
    server.add(1)
    server.add(2)
    one, two = (server.ask(f"inspect job {job_id(n)}").removeprefix("+OK 1\r\n") for n in (1, 2))
    reply = server.ask(f"inspect job {job_id(2)} {job_id(9)} {job_id(1)} {job_id(2)}")
    assert reply == f"+OK 2\r\n{two}{one}"
    assert server.ask(f"inspect job {job_id(8)} {job_id(9)}") == "+OK 0\r\n"


@pytest.mark.parametrize("line", ["result {} 0", "inspect job {}"])
def test_ids_have_their_bound(server: Server, line: str) -> None:
    """A hundred, and not one more; each is looked at."""
    ids = [job_id(number) for number in range(1, LISTED_MAX + 2)]
    assert server.ask(line.format(" ".join(ids[:-1]))) == "+OK 0\r\n"
    assert server.ask(line.format(" ".join(ids))) == "-CLIENT-ERROR Invalid command args\r\n"
    assert server.ask(line.format(f"{ids[0]} x")) == "-CLIENT-ERROR Invalid ID\r\n"


def test_a_reply_of_results_ends_with_the_one_that_brings_it_to_its_bound(server: Server) -> None:
    """Ask again for the others."""
    for number in (1, 2, 3):
        server.add(number)
        server.complete(number, "x" * (BLOCK_BYTES_MAX // 2))
    assert server.ask(f"result {job_id(1)} {job_id(2)} {job_id(3)} 0").startswith("+OK 2\r\n")
    assert server.ask(f"result {job_id(3)} 0").startswith("+OK 1\r\n")


def test_lines_of_several_ids_are_not_remembered(server: Server) -> None:
    """They would crowd out those that repeat."""
    line = f"result {job_id(1)} {job_id(2)} 0"
    server.ask(line)
    assert server.broker._table.tails[b"result"] == {}
    server.ask(f"result {job_id(1)} 0")
    assert len(server.broker._table.tails[b"result"]) == 1
