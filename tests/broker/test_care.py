"""What is seen to of a session beside its requests."""

from tests.broker.harness import Rig
from workq.broker.care import reads_on
from workq.limits import INPUT_BYTES_PAUSE


def test_a_session_with_a_backlog_is_read_until_it_has_enough() -> None:
    """Whose request waits is read on: its end must be seen."""
    session = Rig().client().session
    session.stalled = True
    assert reads_on(session)
    session.reader.feed(b"x" * INPUT_BYTES_PAUSE)
    assert not reads_on(session)
    session.stalled = False
    assert reads_on(session)
