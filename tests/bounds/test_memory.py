"""The bounds of what is held in all, crossed over a socket: what grows the state is refused, and
all else goes on."""

import pytest

from tests.talk import (
    MIB,
    NOT_FOUND,
    OK,
    OUT_OF_MEMORY,
    TIMEOUT,
    add,
    complete,
    job_id,
    result,
    run,
    told,
)
from workq.broker import room
from workq.limits import (
    CHUNK_JOBS_MAX,
    GROUP_RUNS_MAX,
    IDLE_NAMES_MAX,
    JOB_BYTES,
    KNOWN_LINE_BYTES_MAX,
    KNOWN_LINES_MAX,
    LEASE_NAMES_MAX,
    QUEUE_BYTES,
    RESULT_RESERVE_DIVISOR,
)


def schedule(number):
    """A request that schedules a test's n-th job."""
    return f"schedule {job_id(number)} q 1000 1000 2099-01-01T00:00:00Z 1\r\nx\r\n"


def test_one_job_too_many_is_refused(inside):
    """In whatever way it comes; everything else is served, and a job that goes makes room."""
    peer = inside(jobs_max=3).peer()
    peer.ask(add(1) + add(2) + schedule(3), OK * 3)
    for request in (add(4), schedule(4), run(4)):
        peer.ask(request, OUT_OF_MEMORY)
    peer.ask(f"inspect job {job_id(4)}\r\n", NOT_FOUND)
    peer.ask("lease q 0\r\n", told(1))
    peer.ask("lease nothing 10\r\nping\r\n", TIMEOUT + OK)
    peer.ask(complete(1, "done") + f"result {job_id(1)} 0\r\n", OK + result(1, "done"))
    peer.ask(add(4), OUT_OF_MEMORY)
    peer.ask(f"delete {job_id(1)}\r\n" + add(4), OK * 2)


def test_payloads_beyond_the_memory_are_refused(inside):
    """A smaller one may still fit; what was taken in is leased, finished and told."""
    server = inside(memory_bytes_max=4 * MIB)
    peer = server.peer()
    large = "x" * (MIB - JOB_BYTES - -(-QUEUE_BYTES // 4))
    for number in range(1, 5):
        peer.ask(add(number, payload=large), OK)
    peer.ask(add(5, payload="x"), OUT_OF_MEMORY)
    peer.ask(add(5, payload=""), OUT_OF_MEMORY)
    peer.ask("lease q 0\r\n", told(1, payload=large))
    peer.ask(f"delete {job_id(2)}\r\n", OK)
    peer.ask(add(5, payload=large + "x"), OUT_OF_MEMORY)
    peer.ask(add(5, payload=large), OK)
    assert server.stats(peer)["held-bytes"] == 4 * len(large)


def test_many_small_jobs_count_too(start):
    """Each at a fixed cost: the memory of the process stays near to what was said."""
    server = start("--max-memory", "4MiB")
    peer = server.peer()
    before = server.stats(peer)["memory-bytes"]
    room = (4 * MIB - QUEUE_BYTES) // (JOB_BYTES + 1)
    for first in range(0, room + 1000, 500):
        peer.send("".join(add(1 + number) for number in range(first, first + 500)))
    answers = 0
    text = ""
    while answers < -(-(room + 1000) // 500) * 500:
        piece = peer.sock.recv(MIB).decode()
        text += piece
        answers += piece.count("\n")
    assert text.count(OK) == room
    assert text == OK * room + OUT_OF_MEMORY * (answers - room)
    stats = server.stats(peer)
    assert stats["jobs"] == room
    assert stats["memory-bytes"] - before < 8 * MIB


def test_results_may_exceed_the_memory_a_little(inside):
    """So that work goes on when it is full; then they are refused, and may come again."""
    peer = inside(memory_bytes_max=8 * MIB).peer()
    large = "x" * (MIB - JOB_BYTES - -(-QUEUE_BYTES // 8))
    for number in range(1, 9):
        peer.ask(add(number, payload=large), OK)
    peer.ask(add(9, payload=large), OUT_OF_MEMORY)
    reserve = 8 * MIB // RESULT_RESERVE_DIVISOR
    peer.ask(complete(1, "x" * (reserve // 2)), OK)
    peer.ask(complete(2, "x" * (reserve // 2)), OK)
    peer.ask(complete(3, "x" * 100), OUT_OF_MEMORY)
    peer.ask(f"result {job_id(3)} 0\r\n", TIMEOUT)
    peer.ask(complete(3, ""), OK)
    peer.ask(f"delete {job_id(1)}\r\n" + complete(4, "x"), OK * 2)


@pytest.mark.parametrize("request_text", [add(2), schedule(2), run(2)])
def test_a_refused_job_leaves_nothing_behind(inside, request_text):
    """No queue is known by it, and its id is free."""
    peer = inside(jobs_max=1).peer()
    peer.ask(add(1, "other"), OK)
    peer.ask(request_text, OUT_OF_MEMORY)
    peer.ask("inspect queue q\r\n", NOT_FOUND)
    peer.ask(f"delete {job_id(1)}\r\n" + add(2), OK * 2)


def test_names_that_are_waited_for_have_a_bound(inside, monkeypatch):
    """Of all who wait together; one lease too many is refused, until another wait is over."""
    monkeypatch.setattr(room, "WAITED_NAMES_MAX", 10)
    server = inside()
    first, second, third, fourth = server.peers(4)
    first.send("lease a b c d 80000000\r\n")
    second.send("lease a b c d e f 80000000\r\n")
    server.await_waiting(2)
    third.ask("lease a 80000000\r\n", OUT_OF_MEMORY)
    third.ask("lease a b c d e f g h i j k 0\r\n", TIMEOUT)
    third.ask(add(1, "e"), OK)
    second.expect(told(1, "e"))
    third.send("lease a b c d e f 80000000\r\n")
    server.await_waiting(2)
    fourth.ask("lease a 80000000\r\n", OUT_OF_MEMORY)
    fourth.ask(f"result {job_id(1)} 1\r\n", TIMEOUT)
    assert server.stats(fourth)["refused-for-memory"] == 2


def test_names_of_queues_that_are_not_used_have_a_bound(start):
    """The newest are known; those named before them are forgotten, and cost nothing."""
    peer = start().peer()
    names = [f"n{number:06}" for number in range(IDLE_NAMES_MAX + 1)]
    for first in range(0, len(names), LEASE_NAMES_MAX):
        peer.ask(f"lease {' '.join(names[first : first + LEASE_NAMES_MAX])} 0\r\n", TIMEOUT)
    peer.ask(f"inspect queue {names[0]}\r\n", NOT_FOUND)
    nothing = "2\r\nready-len 0\r\nscheduled-len 0\r\n"
    peer.ask(f"inspect queue {names[1]}\r\n", f"+OK 1\r\n{names[1]} {nothing}")
    peer.ask(f"inspect queues {IDLE_NAMES_MAX - 1} 100\r\n", f"+OK 1\r\n{names[-1]} {nothing}")


def test_more_than_is_kept_at_hand_makes_no_difference(inside):
    """So many jobs of so many priorities, and so many different lines, that no table of the
    server holds them all at once: each request still means what it says."""
    peer = inside().peer()
    priorities = [*range(2 * GROUP_RUNS_MAX), *[5000] * 2 * CHUNK_JOBS_MAX]
    ttls = range(60_000, 60_000 + len(priorities))
    assert len(priorities) < KNOWN_LINES_MAX
    for begin in range(0, KNOWN_LINES_MAX + 1, 500):
        peer.ask("".join(f"inspect queue q{begin + n}\r\n" for n in range(500)), NOT_FOUND * 500)
    long_name = "l" * (KNOWN_LINE_BYTES_MAX - len("inspect queue ") + 1)
    peer.ask(f"inspect queue {long_name}\r\n" * 2, NOT_FOUND * 2)
    asked = ""
    for number, (priority, ttl) in enumerate(zip(priorities, ttls, strict=True)):
        asked += f"add {job_id(number + 1)} q 60000 {ttl} 1 -priority={priority}\r\nx\r\n"
    peer.send(asked)
    peer.expect(OK * len(priorities))
    order = sorted(range(len(priorities)), key=lambda number: (-priorities[number], number))
    peer.send("lease q 0\r\n" * len(order))
    peer.expect("".join(told(number + 1) for number in order))
    peer.ask("inspect queue q5\r\nlease q 0\r\n", NOT_FOUND + TIMEOUT)
