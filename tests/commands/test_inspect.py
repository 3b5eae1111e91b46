"""inspect: jobs, queues and the server as they are."""

import pytest

from tests.commands.harness import Server, job_id
from workq.limits import CURSOR_OFFSET_MAX, IDLE_NAMES_MAX, LISTED_MAX


def listed(reply: str) -> list[int]:
    """The numbers of the jobs in a reply of `inspect jobs`."""
    head, *lines = reply.split("\r\n")
    heads = [line for line in lines if line.startswith(job_id(0)[:20])]
    assert head == f"+OK {len(heads)}"
    return [int(line[24:36], 16) for line in heads]


def schedule(server: Server, number: int, second: int, priority: int = 0) -> None:
    """Schedule a test's n-th job in the first minute."""
    time = f"2030-01-01T00:00:{second:02}Z"
    line = f"schedule {job_id(number)} q 1000 60000 {time} 0 -priority={priority}\r\n"
    assert server.ask(line) == "+OK\r\n"


def test_a_jobs_keys_come_in_their_order(server: Server) -> None:
    """The payload as it is, line ends included."""
    server.ask(f"add {job_id()} q 1000 60000", "a\r\nb")

    assert server.ask(f"inspect job {job_id()}") == (
        f"+OK 1\r\n{job_id()} 12\r\nname q\r\nttr 1000\r\nttl 60000\r\npayload-size 4\r\n"
        "payload a\r\nb\r\nmax-attempts 0\r\nattempts 0\r\nmax-fails 0\r\nfails 0\r\n"
        "priority 0\r\nstate 0\r\ncreated 2030-01-01T00:00:00Z\r\n"
    )


def test_state_numbers_tell_the_life_of_a_job(server: Server) -> None:
    """New, leased, pending, leased, completed; another one failed."""
    states = []
    server.add()
    states.append(server.state())
    for _ in range(2):
        server.ask("lease q 0")
        states.append(server.state())
        server.advance(1000)
        states.append(server.state())
    server.complete()
    states.append(server.state())
    server.add(2)
    server.fail(2)

    assert [*states, server.state(2)] == ["0", "4", "3", "4", "3", "1", "2"]


def test_a_job_whose_lease_was_undone_is_as_new(server: Server) -> None:
    """Its attempt was taken back."""
    server.add()
    worker = server.client()
    server.broker.receive(worker.session, b"lease q 0\r\n")
    server.hang_up(worker)
    server.run()

    assert (server.state(), server.shown()["attempts"]) == ("0", "0")


def test_created_is_when_the_job_was_accepted(server: Server) -> None:
    """In whole seconds, cut off."""
    server.advance(61_999)
    server.add()

    assert server.shown()["created"] == "2030-01-01T00:01:01Z"


@pytest.mark.parametrize(
    "offset, limit, numbers",
    [
        (0, 1, [3]),
        (0, 3, [3, 1, 2]),
        (1, 2, [1, 2]),
        (3, 100, [5, 4]),
        (5, 1, []),
        (CURSOR_OFFSET_MAX, LISTED_MAX, []),
    ],
)
def test_ready_jobs_are_listed_in_pages_and_in_order(
    server: Server, offset: int, limit: int, numbers: list[int]
) -> None:
    """As they will be leased, across priorities."""
    for number, priority in ((1, 0), (2, 0), (3, 7), (4, -7), (5, 0)):
        server.add(number, flags=f"-priority={priority}")

    assert listed(server.ask(f"inspect jobs q {offset} {limit}")) == numbers
    leases = [server.ask("lease q 0") for _ in range(5)]
    assert leases == [server.leased(number) for number in (3, 1, 2, 5, 4)]


def test_pages_of_a_long_queue_fit_together(server: Server) -> None:
    """Every job once, though they are kept in chunks."""
    for number in range(1, 1301):
        server.add(number, flags=f"-priority={number % 2}")
    pages = [listed(server.ask(f"inspect jobs q {at} 100")) for at in range(0, 1400, 100)]
    odd, even = range(1, 1301, 2), range(2, 1301, 2)

    assert [number for page in pages for number in page] == [*odd, *even]


def test_leased_and_finished_jobs_are_in_no_queue(server: Server) -> None:
    """Neither listed nor counted."""
    for number in (1, 2, 3):
        server.add(number)
    server.ask("lease q 0")
    server.complete(2)

    assert listed(server.ask("inspect jobs q 0 9")) == [3]
    assert server.lengths("q") == "1/0"


def test_scheduled_jobs_are_listed_by_priority_then_by_time(server: Server) -> None:
    """They are no ready jobs until they are due."""
    for number, second, priority in ((1, 30, 0), (2, 50, 5), (3, 10, 0)):
        schedule(server, number, second, priority)

    assert listed(server.ask("inspect scheduled-jobs q 0 9")) == [2, 3, 1]
    assert listed(server.ask("inspect scheduled-jobs q 1 1")) == [3]
    assert server.ask("inspect jobs q 0 9") == "+OK 0\r\n"
    assert server.lengths("q") == "0/3"
    server.advance(30_000)
    assert listed(server.ask("inspect jobs q 0 9")) == [3, 1]
    assert server.lengths("q") == "2/1"


@pytest.mark.parametrize("verb", ["queue q", "jobs q 0 9", "scheduled-jobs q 0 9"])
def test_a_queue_is_known_from_its_first_mention(server: Server, verb: str) -> None:
    """By a lease without success too, and by somebody who waits."""
    assert server.ask(f"inspect {verb}") == "-NOT-FOUND\r\n"
    server.client().say("lease q 1000")
    assert server.ask(f"inspect {verb}").startswith("+OK")
    server.advance(1000)

    assert server.ask(f"inspect {verb}").startswith("+OK")


def test_queues_are_listed_by_the_bytes_of_their_names(server: Server) -> None:
    """In pages; each is known once, by whatever it was mentioned."""
    server.add(1, "b")
    server.ask("lease a B b . 0")
    server.ask("lease a _ 0")
    names = [".", "B", "_", "a", "b"]

    def shown(offset: int, limit: int) -> list[str]:
        lines = server.ask(f"inspect queues {offset} {limit}").split("\r\n")
        assert lines[0] == f"+OK {len(lines[1:-1]) // 3}"
        return [line.removesuffix(" 2") for line in lines[1:-1:3]]

    assert shown(0, 100) == names
    assert shown(1, 2) == names[1:3]
    assert shown(5, 1) == shown(CURSOR_OFFSET_MAX, LISTED_MAX) == []


def test_names_that_are_merely_mentioned_are_forgotten_in_time(server: Server) -> None:
    """The oldest first; one with a job or somebody waiting never."""
    server.ask("lease oldest 0")
    server.add(1, "with-job")
    server.client().say("lease with-waiter 86400000")
    for start in range(0, IDLE_NAMES_MAX, 250):
        server.ask(f"lease {' '.join(f'n{start + number}' for number in range(250))} 0")

    assert server.lengths("with-job") == "1/0"
    assert server.lengths("with-waiter") == server.lengths("n0") == "0/0"
    assert server.ask("inspect queue oldest") == "-NOT-FOUND\r\n"


def test_the_server_tells_its_clients_and_evicted_jobs(server: Server) -> None:
    """And when it began to listen; three keys."""
    others = [server.client() for _ in range(3)]
    others[0].close()
    server.add()
    server.advance(60_000)

    assert server.ask("inspect server").splitlines() == [
        "+OK 1",
        "server 3",
        "active-clients 3",
        "evicted-jobs 1",
        "started 2030-01-01T00:00:00Z",
    ]
