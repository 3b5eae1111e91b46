"""Which replies may leave: none before what it tells of is safe, and all in order."""

from hypothesis import given
from hypothesis import strategies as st

from tests.broker.harness import Rig, add, complete, job_id, result, run, told
from workq.broker.gate import Gate
from workq.broker.session import CLOSE, LINGER, STAY, Session
from workq.commands import COMMANDS
from workq.limits import RELEASED_BYTES_PER_TURN_MAX
from workq.wire.grammar import Table

OK = "+OK\r\n"


def hold(gate, session):
    """Let a session speak; what it says may not leave yet."""
    assert gate.release([session]) == []


def speaking(*replies, ending=STAY):
    """A session that has said something in this turn."""
    session = Session(Table(COMMANDS))
    session.replies.extend(replies)
    session.ending = ending
    return session


# --- the gate by itself ---------------------------------------------------------------------


def test_a_reply_leaves_once_the_last_commit_is_safe():
    """The last one that was appended when it was made."""
    gate = Gate()
    gate.appended = 3
    session = speaking(b"a", b"b")
    hold(gate, session)
    gate.safe = 2
    assert gate.release() == []
    gate.safe = 3
    assert gate.release() == [(session, b"ab", STAY)]
    assert gate.release() == []


def test_a_reply_needs_no_later_commit():
    """What was appended after it does not hold it up."""
    gate = Gate()
    gate.appended = 1
    first, second = speaking(b"a"), speaking(b"b")
    hold(gate, first)
    gate.appended = 2
    hold(gate, second)
    gate.safe = 1
    assert gate.release() == [(first, b"a", STAY)]
    gate.safe = 7
    assert gate.release() == [(second, b"b", STAY)]


def test_of_what_has_waited_no_more_leaves_than_one_turn_may_send():
    """The rest follows in its order, and what is said meanwhile comes behind it."""
    gate = Gate()
    gate.appended = 1
    half = b"x" * (RELEASED_BYTES_PER_TURN_MAX // 2)
    large = [speaking(half) for _ in range(3)]
    small, later = speaking(b"a"), speaking(b"b")
    for session in (*large, small):
        hold(gate, session)
    due = [gate.due]
    gate.came(1)
    due.append(gate.due)
    assert gate.release([later]) == [(session, half, STAY) for session in large[:2]]
    due.append(gate.due)
    assert gate.release() == [(large[2], half, STAY), (small, b"a", STAY), (later, b"b", STAY)]
    due.append(gate.due)
    assert due == [False, True, True, False]


def test_an_end_without_words_waits_its_turn():
    """A connection is not closed before what was said on it earlier has left."""
    gate = Gate()
    gate.appended = 1
    session = speaking(b"a")
    hold(gate, session)
    session.ending = CLOSE
    hold(gate, session)
    assert session.ended
    assert gate.release() == []
    gate.safe = 1
    # The first tells of no end, though by now there is one.
    assert gate.release() == [(session, b"a", STAY), (session, b"", CLOSE)]


def test_held_bytes_are_counted_until_they_leave():
    """Also those that leave for nobody."""
    gate = Gate()
    gate.appended = 1
    session, gone = speaking(b"abc"), speaking(b"abc")
    hold(gate, session)
    hold(gate, gone)
    assert (session.unsent_bytes, gone.unsent_bytes) == (3, 3)
    gone.lost = True
    gate.safe = 1
    assert [send[0] for send in gate.release()] == [session]
    assert (session.unsent_bytes, gone.unsent_bytes) == (0, 0)


def test_the_leases_in_a_reply_count_as_delivered_when_it_leaves():
    """Those of later replies do not."""
    gate = Gate()
    gate.appended = 1
    session = speaking(b"a", b"b")
    session.undelivered = [(b"1", 1), (b"2", 2), (b"3", 3)]
    session.leases_told = 2
    hold(gate, session)
    assert session.leases_told == 0
    session.replies.append(b"c")
    session.leases_told = 1
    gate.appended = 2
    hold(gate, session)
    gate.safe = 1
    gate.release()
    assert session.undelivered == [(b"3", 3)]
    gate.safe = 2
    gate.release()
    assert session.undelivered == []


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=40))
def test_sessions_never_overtake_themselves(steps):
    """However the log lags: each session gets all it was told, in order, none of it early."""
    gate = Gate()
    sessions = [Session(Table(COMMANDS)) for _ in range(4)]
    said: list[list[bytes]] = [[] for _ in sessions]
    heard: list[list[bytes]] = [[] for _ in sessions]
    needs: dict[bytes, int] = {}
    for number, (index, commits, syncs) in enumerate(steps):
        gate.appended += commits
        reply = b"%d" % number
        needs[reply] = gate.appended
        sessions[index].replies.append(reply)
        said[index].append(reply)
        if syncs:
            gate.safe = gate.appended - 1
        for session, data, _ in gate.release([sessions[index]]):
            heard[sessions.index(session)].append(data)
            assert needs[data] <= gate.safe
    gate.safe = gate.appended
    for session, data, _ in gate.release():
        heard[sessions.index(session)].append(data)
    assert heard == said


# --- the gate in the broker -----------------------------------------------------------------


def test_the_answer_to_a_change_is_held_until_the_change_is_safe():
    """And nothing wakes the broker meanwhile."""
    rig = Rig(safe=False)
    client = rig.client()
    assert client.ask(add(1)) == ""
    assert rig.broker.next_ms() > rig.now_ms
    rig.sync()
    assert client.take() == OK


def test_answers_to_questions_and_refusals_are_held_too():
    """They may tell of a change that a crash would take back."""
    rig = Rig(safe=False)
    client, reader, refused, bad = rig.clients(4)
    client.say(add(1))
    assert reader.ask("inspect queue q\r\n") == ""
    assert refused.ask(add(1)) == ""
    assert bad.ask("nonsense\r\n") == ""
    rig.sync()
    assert reader.take() == "+OK 1\r\nq 2\r\nready-len 1\r\nscheduled-len 0\r\n"
    assert refused.take() == "-CLIENT-ERROR Duplicate job\r\n"
    assert bad.take() == "-CLIENT-ERROR Unknown command\r\n"


def test_an_answer_made_before_a_change_does_not_wait_for_it():
    """One turn's question is told although the next turn's change is not safe."""
    rig = Rig(safe=False)
    client, other = rig.clients(2)
    client.say("ping\r\n")
    other.say(add(1))
    assert (client.take(), other.take()) == (OK, "")


def test_a_job_is_handed_out_when_it_is_safe_that_it_was():
    """A waiter hears of it only then, and can hear of the result only later."""
    rig = Rig(safe=False)
    worker, client, asker = rig.clients(3)
    worker.say("lease q 1000\r\n")
    asker.say("ping\r\n")
    client.say(add(1))
    asker.say(f"result {job_id(1)} 1000\r\n")
    assert worker.take() == ""
    rig.sync(1)
    assert worker.take() == told(1)
    worker.say(complete(1))
    assert asker.take() == OK
    rig.sync(2)
    assert (asker.take(), worker.take()) == (result(1), OK)


def test_a_lagging_log_holds_up_no_request():
    """Only its answer: requests of later turns are executed and committed."""
    rig = Rig(safe=False)
    client = rig.client()
    for number in range(1, 6):
        client.say(add(number))
    assert len(rig.commits) == 5
    rig.sync(2)
    assert client.take() == OK * 2
    rig.sync(5)
    assert client.take() == OK * 3


def test_foreground_jobs_wait_for_nothing_but_their_neighbours():
    """What they do is on no log, so with a safe log they are answered at once."""
    rig = Rig(safe=False)
    caller, worker = rig.clients(2)
    caller.say(run(1))
    assert worker.ask("lease q 0\r\n") == told(1)
    assert worker.ask(complete(1)) == OK
    assert caller.take() == result(1)


def test_a_connection_ends_after_its_replies_are_safe():
    """After `quit`, after an error and after the client's end alike."""
    rig = Rig(safe=False)
    quitter, broken, shut = rig.clients(3)
    rig.client().say(add(1))
    quitter.say("ping\r\nquit\r\n")
    broken.say("add 1\r\n")
    shut.say("ping\r\n")
    shut.shut()
    rig.settle()
    assert [client.ending for client in (quitter, broken, shut)] == [STAY] * 3
    rig.sync()
    assert [client.ending for client in (quitter, broken, shut)] == [LINGER, LINGER, CLOSE]
    assert quitter.take() == OK * 2
    assert broken.take() == "-CLIENT-ERROR Invalid command args\r\n"
    assert shut.take() == OK
