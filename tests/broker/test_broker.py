"""Turns: pipelining, what one turn may do, deadlines that come by the thousand, repeatability."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.broker.harness import Rig, add, complete, job_id, result, run, told
from workq.engine import transitions
from workq.engine.calendar import NEVER
from workq.limits import (
    ANSWER_COST,
    ANSWERS_PER_TURN_MAX,
    BLOCK_BYTES_LIKE_A_REQUEST,
    DEADLINES_PER_TURN_MAX,
    REFUSAL_COST,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MIN,
    REQUESTS_PER_TURN_MAX,
)

OK = "+OK\r\n"
KIB = 1024
MIB = 1024 * 1024

CONVERSATION = (
    "ping\r\n"
    "inspect queue q\n"
    + add(1)
    + add(1)
    + "lease q 0\r\nnonsense\r\nlease q 0\n"
    + complete(1, "line\r\nline")
    + f"result {job_id(1)} 5000\r\ndelete {job_id(1)}\r\nresult {job_id(1)} 5000\r\n"
)
ANSWERS = (
    OK
    + "-NOT-FOUND\r\n"
    + OK
    + "-CLIENT-ERROR Duplicate job\r\n"
    + told(1)
    + "-CLIENT-ERROR Unknown command\r\n-TIMEOUT\r\n"
    + OK
    + result(1, "line\r\nline")
    + OK
    + "-NOT-FOUND\r\n"
)


def jobs_added(commit):
    """The jobs that a commit added, by their number."""
    return [int(entry[2][-12:], 16) for entry in commit if entry[0] == transitions.ADDED]


# --- pipelining -----------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_requests():
    """Of good and bad ones alike, in one turn."""
    rig = Rig()
    client = rig.client()
    client.put(CONVERSATION)
    rig.turn()
    assert client.take() == ANSWERS


@given(st.lists(st.integers(1, len(CONVERSATION) - 1), max_size=8).map(sorted))
def test_requests_may_come_in_any_pieces(cuts):
    """With turns in between, at every place."""
    rig = Rig()
    client = rig.client()
    for start, stop in zip([0, *cuts], [*cuts, len(CONVERSATION)], strict=True):
        client.say(CONVERSATION[start:stop])
    assert client.take() == ANSWERS


def test_a_session_has_one_send_in_a_turn():
    """However many replies there are in it."""
    rig = Rig()
    client = rig.client()
    client.put("ping\r\n" * 10)
    rig.broker.turn(rig.now_ms, 0)
    assert [data for _, data, _ in rig.broker.release()] == [b"+OK\r\n" * 10]


def test_a_request_that_waits_holds_up_those_behind_it():
    """And they go on, in order, once it is answered."""
    rig = Rig()
    worker, other = rig.clients(2)
    assert worker.ask("lease q 1000\r\nping\r\nlease q 2000\r\nping\r\n") == ""
    other.say(add(1))
    assert worker.take() == told(1) + OK
    rig.advance(1999)
    assert worker.take() == ""
    rig.advance(1)
    assert worker.take() == "-TIMEOUT\r\n" + OK


def test_what_one_turn_decided_is_one_commit():
    """Of all sessions together; a turn that decided nothing has none."""
    rig = Rig()
    first, second = rig.clients(2)
    first.put(add(1) + add(2))
    second.put(add(3) + "lease q 0\r\n")
    assert [entry[0] for entry in rig.turn()] == [1, 1, 1, transitions.LEASED]
    assert rig.turn() == []


def test_what_is_done_in_the_foreground_is_in_no_commit():
    """Nor does a refusal or a question make one."""
    rig = Rig()
    caller, worker = rig.clients(2)
    caller.put(run(1) + "ping\r\n")
    worker.put("lease q 0\r\ninspect queue q\r\nnonsense\r\n" + complete(1))
    assert rig.turn() == []
    rig.turn()
    assert worker.take().startswith(told(1))
    assert caller.take() == result(1) + OK


def test_a_quiet_broker_wants_no_turn():
    """Without requests and deadlines there is no next one."""
    rig = Rig()
    rig.client().say("ping\r\n")
    assert rig.broker.next_ms() == NEVER


def test_the_next_turn_is_wanted_when_the_first_wait_ends():
    """Or the first deadline comes; not before, and not after."""
    rig = Rig()
    rig.client().say("lease q 700\r\n")
    assert rig.broker.next_ms() == rig.now_ms + 700
    rig.client().say(add(1, "other", options="1000 300"))
    assert rig.broker.next_ms() == rig.now_ms + 300


class Watched(bytes):
    """Input that notes how much of it is copied at once."""

    copied = 0

    def __getitem__(self, index):
        """A byte or, what is noted, a piece."""
        piece = super().__getitem__(index)
        if isinstance(piece, bytes):
            Watched.copied = max(Watched.copied, len(piece))
        return piece


@pytest.mark.parametrize("line", ["ping\r\n", "stats\r\n", "nonsense\r\nping\r\n"])
def test_a_request_is_read_without_touching_what_lies_behind_it(line):
    """Otherwise a long pipeline costs the square of its length."""
    rig = Rig()
    client = rig.client()
    Watched.copied = 0
    rig.broker.receive(client.session, Watched((line * 1000).encode()))
    rig.turn()
    assert 0 < Watched.copied < 100


# --- a turn is bounded ----------------------------------------------------------------------


def test_one_session_has_64_requests_in_a_turn():
    """The rest follows in later turns, which are wanted at once."""
    rig = Rig()
    client = rig.client()
    client.put("ping\r\n" * 150)
    counts: list[int] = []
    while not counts or rig.broker.next_ms() <= rig.now_ms:
        rig.turn()
        counts.append(client.take().count(OK))
    most = REQUESTS_PER_SESSION_AND_TURN_MAX
    assert counts == [most, most, 150 - 2 * most]


def test_refused_requests_count_for_more():
    """A flood of nonsense has less of a turn than one of sense: it is read the long way."""
    rig = Rig()
    client = rig.client()
    client.put("ping 1\r\n" * 100)
    rig.turn()
    assert client.take().count("\r\n") == REQUESTS_PER_SESSION_AND_TURN_MAX // REFUSAL_COST


def test_large_blocks_count_as_many_requests():
    """The request that goes beyond is the last one."""
    rig = Rig()
    client = rig.client()
    client.put("".join(add(number, payload="x" * 100 * KIB) for number in range(1, 6)))
    taken = [len(rig.turn()) for _ in range(2)]
    each = 1 + 100 * KIB // BLOCK_BYTES_LIKE_A_REQUEST
    assert taken == [-(-REQUESTS_PER_SESSION_AND_TURN_MAX // each), 2]


def test_large_replies_count_as_many_requests():
    """Those of one session leave room for others in the same turn."""
    rig = Rig()
    client, other = rig.clients(2)
    for number in range(1, 31):
        client.say(add(number) + complete(number, "x" * 100 * KIB))
    client.take()
    client.put("".join(f"result {job_id(number)} 0\r\n" for number in range(1, 31)))
    other.put("ping\r\n")
    rig.turn()
    assert other.take() == OK
    each = 1 + 100 * KIB // BLOCK_BYTES_LIKE_A_REQUEST
    share = REQUESTS_PER_TURN_MAX // 2
    assert client.take().count("+OK") == -(-share // each)


def test_what_all_sessions_do_in_a_turn_is_bounded():
    """The rest of them have theirs in the next."""
    rig = Rig()
    first = REQUESTS_PER_TURN_MAX // 10
    clients = rig.clients(first + 10)
    for client in clients:
        client.put("ping\r\n" * 10)
    rig.turn()
    assert [client.take().count(OK) for client in clients] == [10] * first + [0] * 10
    rig.turn()
    assert [client.take().count(OK) for client in clients] == [0] * first + [10] * 10
    assert rig.broker.next_ms() == NEVER


def test_what_all_sessions_have_in_blocks_in_a_turn_is_bounded():
    """What one commit writes at once."""
    rig = Rig()
    for number in range(1, 4):
        rig.client().put(add(number, payload="x" * MIB))
    assert [jobs_added(rig.turn()) for _ in range(3)] == [[1], [2], [3]]


def test_sessions_take_turns_when_a_turn_is_full():
    """Each of many that flood has its share in each round."""
    rig = Rig()
    share = REQUESTS_PER_SESSION_AND_TURN_MIN
    clients = rig.clients(30)
    clients[-1].ask(add(999_999))  # from now on the line is known, and each costs the same
    for index, client in enumerate(clients):
        client.put("".join(add(1000 * index + number) for number in range(100)))
    order = []
    while rig.broker.next_ms() <= rig.now_ms:
        order += jobs_added(rig.turn())
    rounds = [
        [1000 * index + number for number in range(begin, min(begin + share, 100))]
        for begin in range(0, 100, share)
        for index in range(30)
    ]
    assert order == [number for one in rounds for number in one]


def test_who_asks_for_little_waits_for_no_flood():
    """Whoever comes now and then is served in the next turn, though a hundred keep sending."""
    rig = Rig()
    client, *flooders = rig.clients(101)
    for flooder in flooders:
        flooder.put("ping\r\n" * 10_000)
    for _ in range(100):
        rig.turn()
    for _ in range(50):
        for _ in range(3):
            rig.turn()
        client.put("ping\r\n")
        rig.turn()
        assert client.take() == OK


def test_who_asks_for_little_has_a_turn_of_its_own():
    """For its reply leaves at the end of the turn. The next is of those who ask for much."""
    rig = Rig()
    client, *flooders = rig.clients(21)
    for flooder in flooders:
        flooder.put("ping\r\n" * 10_000)
    for _ in range(100):
        rig.turn()
    for _ in range(20):
        client.put("ping\r\n")
        before = rig.gauge("requests")
        rig.turn()
        assert client.take() == OK
        assert rig.gauge("requests") == before + 1
        rig.turn()
        assert rig.gauge("requests") >= before + REQUESTS_PER_TURN_MAX


def test_a_flood_holds_up_nobody():
    """Who asks one thing is answered in the turn, whatever another keeps sending."""
    rig = Rig()
    flooder, client = rig.clients(2)
    for _ in range(20):
        flooder.put("ping\r\n" * 500)
        client.put("ping\r\n")
        rig.turn()
        assert client.take() == OK
        assert flooder.take().count(OK) >= REQUESTS_PER_TURN_MAX // 2


def test_many_floods_starve_nobody():
    """Each of a hundred flooding sessions has its share within a bounded number of turns."""
    rig = Rig()
    clients = rig.clients(100)
    for client in clients:
        client.put("ping\r\n" * 640)
    share = REQUESTS_PER_SESSION_AND_TURN_MIN
    for _ in range(-(-100 * share // REQUESTS_PER_TURN_MAX)):
        rig.turn()
    counts = [client.take().count(OK) for client in clients]
    assert min(counts) == share
    assert max(counts) <= 2 * share


@pytest.mark.parametrize("kind", ["ttl", "ttr", "time"])
def test_a_turn_fires_so_many_deadlines(kind):
    """Of those that come in one millisecond; the rest follows in turns wanted at once."""
    rig = Rig()
    client = rig.client()
    count = 2 * DEADLINES_PER_TURN_MAX + 100
    for number in range(1, count + 1):
        if kind == "time":
            client.put(f"schedule {job_id(number)} q 1000 1000 2030-01-01T00:00:01Z 0\r\n\r\n")
        else:
            client.put(add(number, options="1000 2000" if kind == "ttr" else "2000 1000"))
            if kind == "ttr":
                client.put("lease q 0\r\n")
    rig.settle()
    rig.now_ms += 1000
    fired = []
    while rig.broker.next_ms() <= rig.now_ms:
        fired.append(len(rig.turn()))
    assert fired == [DEADLINES_PER_TURN_MAX, DEADLINES_PER_TURN_MAX, 100]


def test_a_turn_ends_so_many_waits():
    """The others end in the next turns, in the order in which they began."""
    rig = Rig()
    first = ANSWERS_PER_TURN_MAX // (1 + ANSWER_COST)
    clients = rig.clients(first + 200)
    for client in clients:
        client.put("lease q 1000\r\n")
    rig.settle()
    rig.now_ms += 1000
    rig.turn()
    ended = [client.take() == "-TIMEOUT\r\n" for client in clients]
    assert ended == [True] * first + [False] * 200
    rig.settle()
    assert all(client.take() == "-TIMEOUT\r\n" for client in clients[first:])
    assert rig.gauge("waiting") == 0


# --- repeatability --------------------------------------------------------------------------


def played(seed):
    """All that comes of a whole run: what was sent to whom in which turn, and every commit."""
    chance = random.Random(seed)
    rig = Rig(safe=False)
    clients = rig.clients(8)
    heard = []
    for _ in range(800):
        index = chance.randrange(8)
        client = clients[index]
        if client.session.lost:
            client = clients[index] = rig.client()
        number, name = chance.randrange(1, 30), chance.choice("abc")
        act = chance.randrange(14)
        if act < 9:
            client.put(
                [
                    add(number, name, options=f"{chance.randrange(1, 50)} 200"),
                    run(number, name, wait_ms=chance.randrange(50)),
                    f"lease a {name} {chance.randrange(50)}\r\n",
                    complete(number),
                    f"result {job_id(number)} {chance.randrange(50)}\r\n",
                    f"delete {job_id(number)}\r\n",
                    "inspect queues 0 10\r\n",
                    "stats\r\n",
                    "nonsense\r\n" + add(number, name)[: chance.randrange(60)],
                ][act]
            )
        elif act == 9 and not client.session.eof:
            client.shut()
        elif act == 10 and chance.random() < 0.3:
            client.lose()
        elif act == 11:
            rig.now_ms += chance.randrange(20)
        elif act == 12:
            rig.sync()
        else:
            rig.turn()
        heard.append([one.take() for one in clients])
    return heard, rig.commits


def test_a_run_from_one_seed_is_exactly_repeatable():
    """The same bytes to the same clients in the same turns, and the same commits."""
    first = played(7)
    assert first == played(7)
    assert sum(len(texts) for turn in first[0] for texts in turn) > 5_000
    assert first != played(8)


def test_a_run_does_not_depend_on_how_python_hashes():
    """Another process, with other hashes of bytes, comes to the same."""
    root = Path(__file__).parents[2]
    code = "from tests.broker.test_broker import played; print(played(3))"
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert first == second
    assert len(first) > 10_000
