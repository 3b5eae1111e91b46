"""The bounds of connections, crossed over sockets: how many, how slow, how silent, how much input
and how much that is not taken; and nobody else is any worse for it."""

import time

import pytest

from tests.bounds.inside import Inside
from tests.bounds.program import until
from tests.talk import MIB, OK, OUT_OF_MEMORY, TIMEOUT, add, complete, job_id, result, told
from workq.broker import broker
from workq.limits import (
    INPUT_BYTES_MAX,
    INPUT_BYTES_PAUSE,
    LATE_MS,
    LINGER_BYTES_MAX,
    REFUSED_LINGERING_MAX,
    UNSENT_BYTES_MAX,
)
from workq.server import connection, untaken

#: What the event loop reads from a connection at once.
READ_BYTES = 256 * 1024

TOO_MANY = "-SERVER-ERROR Too many connections\r\n"
TOO_MUCH = "-CLIENT-ERROR Too much input\r\n"
REQUEST_TIMEOUT = "-CLIENT-ERROR Request timeout\r\n"
IDLE_TIMEOUT = "-CLIENT-ERROR Idle timeout\r\n"


def waiting(server, peer, count):
    """Until so many requests wait."""
    until(lambda: server.stats(peer)["waiting"] == count, f"{count} wait")


# --- how many -------------------------------------------------------------------------------------


def test_one_connection_too_many_is_told_so_and_closed(inside):
    """Those that stand go on; when one goes, there is room for one."""
    server = inside(connections_max=3)
    first, second, third = server.peers(3)
    for _ in range(3):
        assert server.peer().rest() == TOO_MANY
    for one in (first, second, third):
        one.ask("ping\r\n", OK)
    third.close()
    until(lambda: server.stats(first)["connections"] == 2)
    server.peer().ask("ping\r\n", OK)
    assert server.stats(first)["refused-connections"] == 3


def test_who_is_refused_is_served_nothing(inside):
    """Not even what it sends before it reads."""
    server = inside(connections_max=1)
    peer = server.peers(1)[0]
    other = server.peer()
    other.send(add(1) * 20)
    assert other.rest() == TOO_MANY
    assert server.stats(peer)["jobs"] == 0


def test_a_crowd_too_many_that_does_not_go_is_gone_soon(inside):
    """They neither read nor close, and are closed all the same."""
    server = inside(connections_max=2)
    peer = server.peers(1)[0]
    crowd = [server.peer() for _ in range(3 * REFUSED_LINGERING_MAX)]
    refused = len(crowd) - 1
    until(lambda: server.stats(peer)["refused-connections"] == refused)
    until(lambda: server.call(lambda: len(server.ring.connections)) <= 2 + REFUSED_LINGERING_MAX)
    assert [one.rest() for one in crowd[1:]] == [TOO_MANY] * refused
    until(lambda: server.call(lambda: len(server.ring.connections)) == 2)


# --- how slow -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty():
    """A server that bears with a half-sent request for 300 ms."""
    one = Inside(request_timeout_ms=300)
    yield one
    one.end()


@pytest.mark.parametrize(
    "half",
    ["p", "ping\r\npi", add(1)[:-1], add(1)[:-3], f"add {job_id()} q 1 1 9000000\r\nx"],
    ids=["line", "pipeline", "last byte", "block", "refused block"],
)
def test_a_half_sent_request_ends_its_connection(hasty, half):
    """One byte now and then does not help; what was complete is answered."""
    peer, other = hasty.peer(), hasty.peer()
    start = time.monotonic()
    peer.send(half)
    answer = peer.rest()
    assert answer.endswith(REQUEST_TIMEOUT)
    assert 0.29 < time.monotonic() - start < 5
    assert answer.startswith(OK) == half.startswith("ping")
    other.ask("ping\r\n", OK)


def test_a_request_a_byte_at_a_time_must_be_there_in_time(hasty):
    """The time is counted from its first byte."""
    peer = hasty.peer()
    start = time.monotonic()
    try:
        for letter in add(1, payload="x" * 1000):
            peer.send(letter)
            time.sleep(0.01)
    except ConnectionError:
        pass
    assert 0.29 < time.monotonic() - start < 5
    hasty.peer().ask(f"inspect job {job_id()}\r\n", "-NOT-FOUND\r\n")


def test_a_slow_pipeline_is_no_half_sent_request(hasty):
    """Each request has its own time, and a wait none."""
    peer = hasty.peer()
    peer.send("pi")
    for _ in range(8):
        time.sleep(0.05)
        peer.ask("ng\r\npi", OK)
    peer.send("ng\r\nlease nothing 400\r\npi")
    peer.expect(OK + TIMEOUT)
    peer.ask("ng\r\n", OK)


def test_who_could_not_be_heard_in_time_is_not_late(inside):
    """The server itself stood still: it looks first at what has come meanwhile."""
    server = inside(request_timeout_ms=60_000)
    peer, other = server.peers(2)
    for one in (peer, other):
        one.send("pi")
    until(lambda: server.call(server.ring.broker.gauges)["input-bytes"] == 4)
    with server.standing_still():
        peer.send("ng\r\n")
        server.pass_time(60_000 + 2 * LATE_MS)
    peer.expect(OK)
    assert other.rest() == REQUEST_TIMEOUT


# --- how silent -----------------------------------------------------------------------------------


def test_silence_is_allowed_unless_a_setting_says_else(inside):
    """With one, who waits or talks stays; the others are told why."""
    server = inside(idle_timeout_ms=300)
    silent, waiter, talker = server.peers(3)
    began = time.monotonic()
    waiter.send("lease q 500\r\n")
    time.sleep(0.2)
    talker.ask("ping\r\n", OK)
    assert silent.rest() == IDLE_TIMEOUT
    assert time.monotonic() - began < 5
    talker.ask("ping\r\n", OK)
    waiter.expect(TIMEOUT)
    waiter.ask("ping\r\n", OK)


# --- how much input -------------------------------------------------------------------------------


def test_half_received_blocks_together_have_a_bound(inside):
    """Who crosses it is told and closed; the others complete theirs, and a new one can come."""
    server = inside(input_bytes_max=2 * MIB)
    first, second, third = server.peers(3)
    large = "x" * MIB
    first.send(add(1, payload=large)[:-1000])
    until(lambda: server.stats(third)["input-bytes"] > MIB - 1000)
    second.send(add(2, payload=large)[:-500])
    until(lambda: server.stats(third)["input-bytes"] > 2 * MIB - 2000)
    third.send(add(3, payload=large)[:-1])
    assert third.rest() == OUT_OF_MEMORY
    first.ask(add(1, payload=large)[-1000:], OK)
    second.ask(add(2, payload=large)[-500:], OK)
    fourth = server.peer()
    fourth.ask(add(3, payload=large), OK)
    assert server.stats(fourth)["jobs"] == 3


def test_more_than_so_much_behind_a_wait_is_refused(server):
    """The request that waits ends with it; no job is lost to it."""
    peer, other = server.peers(2)
    peer.send("lease behind 80000000\r\n")
    waiting(server, other, 1)
    peer.send("ping\r\n" * (INPUT_BYTES_MAX // 6 + 1000))
    assert peer.rest() == TOO_MUCH
    waiting(server, other, 0)
    other.ask(add(1, "behind") + "lease behind 0\r\n", OK + told(1, "behind"))
    other.ask(f"delete {job_id()}\r\n", OK)


def test_more_than_so_much_is_not_read_ahead(server):
    """Of a client whose requests cannot start, for it takes no replies."""
    slow, other = server.peer(receive_bytes=4096), server.peer()
    other.ask(add(1, "ahead", "x" * MIB), OK)
    before = server.stats(other)["input-bytes"]
    slow.send(f"inspect job {job_id()}\r\n" * 50)
    slow.send_what_goes("ping\r\n" * MIB)
    kept = server.stats(other)["input-bytes"] - before
    assert INPUT_BYTES_PAUSE <= kept <= INPUT_BYTES_PAUSE + READ_BYTES
    slow.reset()
    until(lambda: server.stats(other)["input-bytes"] == before)
    other.ask(f"delete {job_id()}\r\n", OK)


def test_so_much_behind_a_wait_is_kept_and_answered(server):
    """As long as it is within the bound."""
    peer = server.peer()
    count = INPUT_BYTES_MAX // 6 - 10
    peer.send("lease nothing 300\r\n" + "ping\r\n" * count)
    assert peer.read(len(TIMEOUT) + len(OK) * count) == TIMEOUT + OK * count


def test_a_flood_of_requests_is_answered_whole_and_in_order(server):
    """However many are pipelined; others have their turn meanwhile."""
    peer, other = server.peers(2)
    before = server.stats(other)["requests"]
    block = "".join(f"inspect queue no-{i}\r\nping\r\n" for i in range(1000))
    sent = 0
    while (more := peer.send_what_goes(block)) == len(block) and sent < 4 * MIB:
        sent += more
    sent += more
    start = time.monotonic()
    other.ask("ping\r\n", OK)
    assert time.monotonic() - start < 5
    whole = (block * (sent // len(block) + 1))[:sent]
    peer.shut()
    answers = peer.rest()
    expected = whole.count("\n")
    assert answers.count("\n") - expected in (0, 1)  # the last may be cut off
    lines = answers.split("\r\n")
    assert lines[:expected] == (["-NOT-FOUND", "+OK"] * expected)[:expected]
    assert server.stats(other)["requests"] - before >= expected


# --- how much that is not taken -------------------------------------------------------------------


def test_a_slow_reader_is_paused_and_not_buffered_without_end(server):
    """Its requests stay where they are until it reads; then all are answered."""
    slow, other = server.peer(receive_bytes=4096), server.peer()
    payload = "x" * (UNSENT_BYTES_MAX // 4)
    other.ask(add(1, "slow", payload), OK)
    before = server.stats(other)
    line = f"inspect job {job_id()}\r\n"
    count = 200  # fifty megabytes
    slow.send(line * count)
    until(lambda: server.stats(other)["requests"] > before["requests"] + 4)
    for _ in range(50):
        other.ask("ping\r\n", OK)
    now = server.stats(other)
    assert now["memory-bytes"] - before["memory-bytes"] < 16 * MIB
    assert now["requests"] - before["requests"] < 100 + 52
    slow.shut()
    assert slow.rest().count(f"payload {payload}\r\n") == count
    other.ask(f"delete {job_id()}\r\n", OK)


def test_a_slow_reader_is_handed_no_job_it_cannot_take(server):
    """Its lease does not start: another one gets the job, at its first attempt."""
    slow, other = server.peer(receive_bytes=4096), server.peer()
    payload = "x" * MIB
    other.ask(add(1, "full", payload), OK)
    line = f"inspect job {job_id()}\r\n"
    slow.send(line * 30 + "lease jobs 0\r\n")
    before = server.stats(other)["requests"]
    until(lambda: server.stats(other)["requests"] > before + 1)
    other.ask(add(2, "jobs") + "lease jobs 0\r\n", OK + told(2, "jobs"))
    other.ask(complete(2), OK)
    slow.shut()
    assert slow.rest().endswith(TIMEOUT)
    other.ask(f"delete {job_id()}\r\ndelete {job_id(2)}\r\n", OK * 2)


def test_a_waiter_that_cannot_take_a_job_costs_nobody_his(server):
    """It stopped reading with much on its way, waits, and dies; its job is leased by the next."""
    slow, other = server.peer(receive_bytes=4096), server.peer()
    connections = server.stats(other)["connections"]
    payload = "x" * MIB
    other.ask(add(1, "big", payload), OK)
    slow.send(f"inspect job {job_id()}\r\n" * 3 + "lease late 80000000\r\n")
    for _ in range(20):
        other.ask("ping\r\n", OK)
    other.ask(add(2, "late"), OK)
    slow.reset()
    until(lambda: server.stats(other)["connections"] < connections)
    other.send("lease late 0\r\n")
    assert other.read(len(told(2, "late"))) == told(2, "late")
    other.ask(complete(2) + f"result {job_id(2)} 0\r\n", OK + result(2))
    other.ask(f"delete {job_id()}\r\ndelete {job_id(2)}\r\n", OK * 2)


def test_what_all_clients_do_not_take_has_a_bound(inside, monkeypatch):
    """Beyond it who has not caught up for longest is cut off; the last one loses nothing."""
    monkeypatch.setattr(untaken, "UNTAKEN_BYTES_MAX", 2 * MIB)
    server = inside()
    (other,) = server.peers(1)
    other.ask(add(1, payload="x" * MIB), OK)
    crowd = [server.peer(receive_bytes=4096) for _ in range(12)]
    kept = server.ring.untaken
    for number, one in enumerate(crowd, 1):
        one.send(f"inspect job {job_id()}\r\n" * 20)
        until(lambda: server.call(lambda: len(kept.connections) + kept.cut) == number)  # noqa: B023
    assert server.call(lambda: kept.kept_bytes) <= 2 * MIB
    assert 0 < server.call(lambda: kept.cut) < len(crowd)
    with pytest.raises((ConnectionError, AssertionError)):
        crowd[0].read(20 * MIB)
    crowd[-1].shut()
    assert crowd[-1].rest().count("x" * MIB) == 20
    other.ask("ping\r\n", OK)


# --- how it ends ----------------------------------------------------------------------------------


def ended(peer, text="x" * 1000):
    """Whether the server has closed for good, which sending finds out."""
    try:
        peer.send(text)
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("bound", ["LINGER_MS", "LINGER_BYTES_MAX"])
def test_who_goes_on_after_an_error_is_closed_all_the_same(inside, monkeypatch, bound):
    """When it has had the time to read the error, or has sent as much as is thrown away."""
    monkeypatch.setattr(connection, "LINGER_MS", 50 if bound == "LINGER_MS" else 60_000)
    server = inside()
    peer, other = server.peers(2)
    peer.send(f"what\r\nadd {job_id()} q 1 1 x\r\n")
    assert peer.rest().endswith("-CLIENT-ERROR Invalid payload size\r\n")
    if bound == "LINGER_MS":
        until(lambda: ended(peer))
    else:
        peer.send("x" * (LINGER_BYTES_MAX - MIB))
        assert server.call(lambda: len(server.ring.connections)) == 2
        until(lambda: ended(peer, "x" * MIB))
    until(lambda: server.call(lambda: len(server.ring.connections)) == 1)
    other.ask("ping\r\n", OK)


def test_who_takes_nothing_of_its_last_replies_is_cut(inside, monkeypatch):
    """A connection that has ended does not stand for ever."""
    monkeypatch.setattr(connection, "END_STALLED_MS", 50)
    monkeypatch.setattr(connection, "LINGER_MS", 50)
    monkeypatch.setattr(broker, "UNSENT_BYTES_MAX", 100 * MIB)  # all is answered at once
    monkeypatch.setattr(broker, "BLOCK_BYTES_LIKE_A_REQUEST", 100 * MIB)
    server = inside()
    slow, other = server.peer(receive_bytes=4096), server.peer()
    other.ask(add(1, payload="x" * MIB), OK)
    slow.send(f"inspect job {job_id()}\r\n" * 12 + "quit\r\n")
    until(lambda: server.call(lambda: len(server.ring.untaken.connections)) == 1)
    until(lambda: server.stats(other)["connections"] == 1)
    with pytest.raises((ConnectionError, AssertionError)):
        slow.read(12 * MIB)
