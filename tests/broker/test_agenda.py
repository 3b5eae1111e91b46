"""Claims about the two lists of sessions."""

from tests.broker.harness import Rig
from workq.broker.agenda import Agenda


def test_a_session_stands_in_each_list_once():
    """However often it has something to do."""
    agenda = Agenda()
    session = Rig().client().session
    for _ in range(2):
        agenda.run_later(session)
        agenda.speak(session)
    assert agenda.runnable == [session]
    assert agenda.spoken == [session]


def test_sessions_stand_in_the_order_in_which_their_turn_came():
    """Nobody is overtaken."""
    agenda = Agenda()
    sessions = [client.session for client in Rig().clients(3)]
    for session in (*sessions, sessions[0]):
        agenda.run_later(session)
    assert agenda.runnable == sessions
