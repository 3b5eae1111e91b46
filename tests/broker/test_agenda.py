"""Claims about whose turn it is."""

import pytest

from tests.broker.harness import Rig
from workq.broker.agenda import AHEAD, HEAD_START, Agenda
from workq.limits import HURRIED_TURNS_MAX


def sessions(count):
    """So many sessions."""
    return [client.session for client in Rig().clients(count)]


def served(agenda, turns, cost):
    """Serve so many of those who were put off, each for a cost, all of whom want more."""
    order = []
    for _ in range(turns):
        session = agenda.next()
        session.runnable = False
        session.tag += cost
        agenda.put_off([session])
        order.append(session)
    return order


def test_a_session_stands_in_each_list_once():
    """However often it has something to do."""
    agenda = Agenda()
    (session,) = sessions(1)
    for _ in range(2):
        agenda.run_later(session)
        agenda.speak(session)
    assert agenda.fresh == [session]
    assert agenda.spoken == [session]


def test_sessions_stand_in_the_order_in_which_their_turn_came():
    """While a turn has room for all."""
    agenda = Agenda()
    some = sessions(3)
    for session in (*some, some[0]):
        agenda.run_later(session)
    assert agenda.fresh == some


def test_those_who_want_more_than_there_is_take_turns():
    """Each has as much as the others."""
    agenda = Agenda()
    some = sessions(3)
    agenda.put_off(some)
    assert served(agenda, 9, cost=16) == some * 3


def test_who_asks_for_little_comes_before_all_who_ask_for_much():
    """However many there are, and each time."""
    agenda = Agenda()
    little, *many = sessions(51)
    agenda.put_off(many)
    served(agenda, 500, cost=16)  # until some time has passed, nobody has had more than others
    for _ in range(20):
        served(agenda, 33, cost=16)
        agenda.put_off([little])
        assert agenda.next() is little
        little.tag += 1


def test_a_turn_with_somebody_who_asks_for_little_is_for_those_alone():
    """Until they have asked for as much as the others; those who ask for the same are not ahead."""
    agenda = Agenda()
    little, *many = sessions(51)
    agenda.put_off(many)
    for _ in range(500):
        assert not agenda.ahead
        served(agenda, 1, cost=16)
    agenda.put_off([little])
    had = 0
    while agenda.ahead:
        assert served(agenda, 1, cost=1) == [little]
        had += 1
    assert had == HEAD_START - AHEAD + 1


def test_turns_for_those_who_ask_for_little_come_in_no_long_row():
    """However many there are of them: the others have each fifth turn."""
    agenda = Agenda()
    little, *many = sessions(51)
    agenda.put_off(many)
    served(agenda, 500, cost=16)
    agenda.put_off([little])
    row = [True] * HURRIED_TURNS_MAX + [False]
    assert [agenda.hurry() for _ in range(15)] == row * 3
    agenda.next()
    assert not agenda.hurry()


def test_what_costs_much_is_paid_for_by_who_asks():
    """Who asks for ten times as much each time has a tenth of the turns."""
    agenda = Agenda()
    cheap, dear = sessions(2)
    agenda.put_off([dear, cheap])
    turns = {cheap: 0, dear: 0}
    for _ in range(1100):
        session = agenda.next()
        turns[session] += 1
        session.tag += 10 if session is dear else 1
        agenda.put_off([session])
    assert turns[cheap] == pytest.approx(10 * turns[dear], rel=0.05)


def test_silence_is_not_saved_up():
    """Who was silent while others had a thousand turns is before them for a little only."""
    agenda = Agenda()
    silent, *others = sessions(3)
    agenda.put_off(others)
    served(agenda, 1000, cost=16)
    agenda.put_off([silent])
    first = served(agenda, 200, cost=16)
    assert first[: HEAD_START // 16] == [silent] * (HEAD_START // 16)
    assert 60 < first.count(silent) < 75


def test_who_is_there_comes_before_those_who_come_and_go():
    """One after the other, each with a request that takes a turn, and then another comes."""
    agenda = Agenda()
    little, *new = sessions(501)
    for session in new:
        agenda.welcome(session)
        agenda.put_off([little, session])
        assert agenda.next() is little
        little.tag += 1
        assert agenda.next() is session


def test_what_was_had_while_nobody_waited_was_taken_from_nobody():
    """It is no debt afterwards."""
    agenda = Agenda()
    busy, other = sessions(2)
    for _ in range(1000):
        busy.tag += 64
        agenda.forgive(64)
    agenda.put_off([other, busy])
    assert set(served(agenda, 12, cost=16)) == {busy, other}
