"""The bounds of a turn, crossed over sockets: whatever comes at once, no turn does more than it
may, everybody has his share, and all is answered.

Where the real bound would take long to cross it is made smaller.
"""

import pytest

from tests.talk import OK, TIMEOUT, add, complete, job_id, result, told
from workq.limits import (
    CASCADES_PER_TURN_MAX,
    DEADLINES_PER_TURN_MAX,
    NAMES_LIKE_A_REQUEST,
    REFUSAL_COST,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MIN,
    REQUESTS_PER_TURN_MAX,
)

KIB = 1024


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


def test_a_request_refused_for_its_form_counts_more(inside):
    """It is read the long way."""
    server = inside()
    (peer,) = server.peers(1)
    with server.standing_still():
        peer.send("lease q x\r\n" * 1000)
    peer.expect("-CLIENT-ERROR Invalid wait timeout\r\n" * 1000)
    assert most(server, "requests") == REQUESTS_PER_SESSION_AND_TURN_MAX // REFUSAL_COST


def test_a_client_has_so_many_bytes_of_requests_in_a_turn(inside, bounded):
    """A few large ones are as much work as many small ones."""
    bounded(REQUEST_BYTES_PER_TURN_MAX=8 * KIB)
    server = inside()
    (peer,) = server.peers(1)
    requests = [add(number, payload="x" * KIB) for number in range(40)]
    with server.standing_still():
        peer.send("".join(requests[1:]))
    peer.expect(OK * 39)
    assert most(server, "requests") == parts(8 * KIB, len(requests[1]))


def test_all_clients_have_so_many_bytes_of_records_in_a_turn(inside, bounded):
    """They make one commit, which is written at once."""
    bounded(RECORD_BYTES_PER_TURN_MAX=10 * KIB)
    server = inside()
    crowd = server.peers(30)
    with server.standing_still():
        for number, one in enumerate(crowd, 1):
            one.send(add(number, payload="x" * KIB))
    for one in crowd:
        one.expect(OK)
    assert most(server, "requests") == 10


def test_all_clients_are_answered_so_many_bytes_in_a_turn(inside, bounded):
    """Those who asked, and those who have waited."""
    bounded(REPLY_BYTES_PER_TURN_MAX=10 * KIB)
    server = inside()
    payload = "x" * KIB
    (asker, *crowd) = server.peers(31)
    asker.ask(add(1000, "other", payload), OK)
    asker.send(f"inspect job {job_id(1000)}\r\nquit\r\n")
    shown = asker.rest().removesuffix(OK)
    with server.standing_still():
        for one in crowd:
            one.send(f"inspect job {job_id(1000)}\r\n")
    for one in crowd:
        one.expect(shown)
    assert most(server, "sends") == parts(10 * KIB, len(shown))
    for one in crowd:
        one.send("lease q 80000000\r\n")
    adder = server.peer()
    with server.standing_still():
        adder.send("".join(add(number, payload=payload) for number in range(1, 31)))
    adder.expect(OK * 30)
    texts = {one.read(len(told(1, payload=payload))) for one in crowd}
    assert texts == {told(number, payload=payload) for number in range(1, 31)}
    assert most(server, "sends") <= 10 + 1


def test_so_many_hear_of_a_result_in_a_turn(inside, bounded):
    """The others do in the next ones."""
    bounded(ANSWERS_PER_TURN_MAX=20)
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
