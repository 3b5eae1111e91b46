"""The bounds of a turn, crossed over sockets: whatever comes at once, no turn does more than it
may, everybody has his share, and all is answered.

Where the real bound would take long to cross it is made smaller.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.talk import OK, TIMEOUT, add, complete, job_id, result, told
from workq.broker.agenda import Agenda
from workq.limits import (
    ANSWER_COST,
    BLOCK_BYTES_LIKE_A_REQUEST,
    CASCADES_PER_TURN_MAX,
    CHUNK_BYTES_LARGE,
    DEADLINES_PER_TURN_MAX,
    HEAD_BURIES_MAX,
    HURRIED_TURNS_MAX,
    KNOWN_LINE_BYTES_MAX,
    LARGE_CHUNKS_PER_TURN_MAX,
    NAMES_LIKE_A_REQUEST,
    REFUSAL_COST,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MIN,
    REQUESTS_PER_TURN_MAX,
)
from workq.server.connection import Connection
from workq.server.ring import Ring
from workq.wire.reader import EFFORT_BYTES


def most(server, what):
    """The most that any turn has done since the server stood still."""
    return max(getattr(turn, what) for turn in server.turns)


def parts(whole, size):
    """How many parts of a size are needed for as much."""
    return -(-whole // size)


@pytest.fixture
def bounded(monkeypatch):
    """Makes a bound of the broker smaller, wherever it is looked at."""

    def make(**bounds):
        for name, value in bounds.items():
            for module in ("broker.broker", "broker.serving", "engine.engine"):
                monkeypatch.setattr(f"workq.{module}.{name}", value, raising=False)

    return make


def test_a_client_has_so_many_requests_in_a_turn(inside):
    """However many it sends at once; who asks one thing is not kept waiting for the rest."""
    server = inside()
    greedy, other = server.peers(2)
    before = server.stats(other)["requests"]
    with server.standing_still():
        greedy.send("ping\r\n" * 1000)
        other.send("stats\r\n")
    seen = server.told_stats(other)["requests"] - before
    assert seen <= REQUESTS_PER_SESSION_AND_TURN_MAX + 1
    greedy.expect(OK * 1000)
    assert most(server, "requests") <= REQUESTS_PER_SESSION_AND_TURN_MAX + 1
    with server.standing_still():
        greedy.send("ping\r\n" * 1000)
    greedy.expect(OK * 1000)
    assert most(server, "requests") == REQUESTS_PER_SESSION_AND_TURN_MAX


def test_many_clients_have_so_many_requests_in_a_turn(inside):
    """Together, and each of them its share."""
    server = inside()
    crowd = server.peers(40)
    with server.standing_still():
        for one in crowd:
            one.send("ping\r\n" * 100)
    for one in crowd:
        one.expect(OK * 100)
    share = REQUESTS_PER_SESSION_AND_TURN_MIN
    assert most(server, "requests") == parts(REQUESTS_PER_TURN_MAX, share) * share


def test_those_who_ask_for_much_have_each_fifth_turn_at_least(inside, monkeypatch):
    """However many there are who ask for little, and come first for it."""
    server = inside()
    greedy, modest = server.peers(20), server.peers(60)
    with server.standing_still():
        for one in greedy:
            one.send("ping\r\n" * 200)
    for one in greedy:
        one.expect(OK * 200)
    hurried = []
    hurry = Agenda.hurry

    def noted(agenda):
        hurried.append(hurry(agenda))
        return hurried[-1]

    monkeypatch.setattr(Agenda, "hurry", noted)
    with server.standing_still():
        for one in greedy:
            one.send("ping\r\n" * 200)
        for one in modest:
            one.send("ping\r\n" * 20)
    for one in modest:
        one.expect(OK * 20)
    for one in greedy:
        one.expect(OK * 200)
    rows = "".join("x" if one else " " for one in hurried).split()
    assert max(map(len, rows)) == HURRIED_TURNS_MAX
    assert len(rows) > 1


def test_a_request_refused_for_its_form_counts_more(inside):
    """It is read the long way."""
    server = inside()
    (peer,) = server.peers(1)
    with server.standing_still():
        peer.send("lease q x\r\n" * 1000)
    peer.expect("-CLIENT-ERROR Invalid wait timeout\r\n" * 1000)
    assert most(server, "requests") == REQUESTS_PER_SESSION_AND_TURN_MAX // REFUSAL_COST


def test_a_large_block_is_as_much_work_as_many_requests(inside):
    """Whether a client sends it or is told it."""
    server = inside()
    (asker, *crowd) = server.peers(31)
    large = "x" * 10 * BLOCK_BYTES_LIKE_A_REQUEST
    asker.ask(add(1000, payload=large), OK)
    with server.standing_still():
        for number, one in enumerate(crowd, 1):
            one.send(add(number, payload=large))
    for one in crowd:
        one.expect(OK)
    assert most(server, "requests") == parts(REQUESTS_PER_TURN_MAX, 1 + 10)
    asker.ask(complete(1000, large), OK)
    asker.ask(f"result {job_id(1000)} 0\r\n", result(1000, large))
    with server.standing_still():
        for one in crowd:
            one.send(f"result {job_id(1000)} 0\r\n")
    for one in crowd:
        one.expect(result(1000, large))
    assert most(server, "requests") == parts(REQUESTS_PER_TURN_MAX, 1 + 10)


def test_so_many_large_chunks_are_read_in_a_turn(inside, monkeypatch):
    """One of each connection, and of those that have rested only some are read from again."""
    rested, read_again = [], []
    rest, read_on = Ring.rest, Connection.read_on

    def noted_rest(ring, connection):
        rested.append((len(server.turns), connection))
        rest(ring, connection)

    def noted_read_on(connection):
        read_again.append(len(server.turns))
        read_on(connection)

    monkeypatch.setattr(Ring, "rest", noted_rest)
    monkeypatch.setattr(Connection, "read_on", noted_read_on)
    server = inside()
    crowd = server.peers(10)
    large = "x" * 6 * CHUNK_BYTES_LARGE
    with ThreadPoolExecutor(len(crowd)) as senders:
        with server.standing_still():
            for number, one in enumerate(crowd):
                numbers = range(1 + 5 * number, 6 + 5 * number)
                text = "".join(add(each, payload=large) for each in numbers)
                senders.submit(one.send, text)
            time.sleep(0.05)  # in which the system takes in what it may
        for one in crowd:
            one.expect(OK * 5)
    assert max(Counter(read_again).values()) == LARGE_CHUNKS_PER_TURN_MAX
    assert max(Counter(rested).values()) == 1


def test_so_many_hear_of_a_result_in_a_turn(inside, bounded):
    """The others do in the next ones."""
    bounded(ANSWERS_PER_TURN_MAX=20 * (1 + ANSWER_COST))
    server = inside()
    (worker, *crowd) = server.peers(51)
    worker.ask(add(1), OK)
    for one in crowd:
        one.send(f"result {job_id(1)} 80000000\r\n")
    server.await_waiting(50)
    with server.standing_still():
        worker.send(complete(1, "r"))
    worker.expect(OK)
    for one in crowd:
        one.expect(result(1, "r"))
    assert most(server, "sends") == 20 + 1


def test_so_many_names_are_taken_in_in_a_turn(inside, bounded):
    """Who looks at all of them waits for that, and is told right."""
    bounded(NAMES_PER_TURN_MAX=10)
    server = inside()
    (asker, *crowd) = server.peers(21)
    names = [f"n{number:03}" for number in range(100)]
    with server.standing_still():
        for number, one in enumerate(crowd):
            one.send(f"lease {' '.join(names[5 * number : 5 * number + 5])} 0\r\n")
        asker.send("inspect queues 0 100\r\n")
    asker.expect("+OK 100\r\n")
    for name in names:
        asker.expect(f"{name} 2\r\nready-len 0\r\nscheduled-len 0\r\n")
    for one in crowd:
        one.expect(TIMEOUT)
    assert [turn.pending_names for turn in server.turns][:10] == [*range(90, 0, -10), 0]


def test_a_wait_for_many_queues_is_as_much_work_as_many_requests(inside):
    """Of many that end at once a turn ends only some."""
    server = inside()
    crowd = server.peers(40)
    names = 10 * NAMES_LIKE_A_REQUEST
    for one in crowd:
        one.send(f"lease {' '.join(f'n{number}' for number in range(names))} 80000000\r\n")
    server.await_waiting(40)
    with server.standing_still():
        for one in crowd:
            one.shut()
    for one in crowd:
        assert one.rest() == TIMEOUT
    assert most(server, "sends") == parts(REQUESTS_PER_TURN_MAX, 1 + 10)


def test_a_lease_of_many_queues_is_as_much_work_as_many_requests_each_time(inside):
    """Though its line is short enough to be remembered, and is the same again and again."""
    server = inside()
    (peer,) = server.peers(1)
    names = 20 * NAMES_LIKE_A_REQUEST
    line = f"lease {' '.join(f'{number:x}' for number in range(names))} 0\r\n"
    assert len(line) <= KNOWN_LINE_BYTES_MAX
    with server.standing_still():
        peer.send(line * 100)
    peer.expect(TIMEOUT * 100)
    effort = 20 + len(line) // EFFORT_BYTES
    assert most(server, "requests") == parts(REQUESTS_PER_SESSION_AND_TURN_MAX, 1 + effort)


def test_a_queue_full_of_jobs_that_are_over_does_not_keep_others(inside, bounded):
    """Who leases from it is put off; who leases from another has that one's, over heads or not."""
    bounded(DEADLINES_PER_TURN_MAX=2 * HEAD_BURIES_MAX)
    server = inside()
    (producer, asker, other) = server.peers(3)
    over = 20 * HEAD_BURIES_MAX
    jobs = [add(number, "full") for number in range(over)] + [add(over, "b")]
    producer.ask("".join(jobs), OK * len(jobs))
    producer.ask(add(over + 1, "b").replace(" 600000 ", " 900000 "), OK)
    with server.standing_still():
        server.pass_time(600_000)
        asker.send("lease full 0\r\n")
        other.send("lease b 0\r\n")
    other.expect(told(over + 1, "b"))
    asker.expect(TIMEOUT)
    assert server.turns[0].sends == 1
    assert most(server, "evicted") <= 3 * HEAD_BURIES_MAX + 1


@pytest.mark.parametrize("moves", [CASCADES_PER_TURN_MAX, 7])
def test_so_many_jobs_reach_their_end_in_a_turn(inside, bounded, moves):
    """Though all of them do in the same millisecond; what has ended is gone for everybody."""
    bounded(CASCADES_PER_TURN_MAX=moves)
    server = inside()
    (peer,) = server.peers(1)
    count = 2 * DEADLINES_PER_TURN_MAX + 1
    with server.standing_still():
        peer.send("".join(add(number) for number in range(1, count + 1)))
    peer.expect(OK * count)
    with server.standing_still():
        server.pass_time(600_000)
        peer.send(f"inspect job {job_id(count)}\r\ninspect server\r\n")
    peer.expect("-NOT-FOUND\r\n+OK 1\r\n")
    assert "server 3" in peer.line()
    peer.line()
    assert peer.line() == f"evicted-jobs {count}"
    assert sum(turn.evicted for turn in server.turns) == count
    assert most(server, "evicted") <= DEADLINES_PER_TURN_MAX + 1  # the one that was asked for
