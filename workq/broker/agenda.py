"""Which sessions have something to do: requests to be executed, replies to be sent."""

from __future__ import annotations

from workq.broker.session import Session


class Agenda:
    """Two lists of sessions, each session at most once in each.

    Attributes:
        runnable: those to be served in the next turn, in the order in which their turn came.
        spoken: those that have replies or an end to be released at the end of this turn.
    """

    def __init__(self) -> None:
        self.runnable: list[Session] = []
        self.spoken: list[Session] = []

    def run_later(self, session: Session) -> None:
        """Serve a session in the next turn."""
        if not session.runnable:
            session.runnable = True
            self.runnable.append(session)

    def speak(self, session: Session) -> None:
        """Release what a session has to say at the end of this turn."""
        if not session.spoken:
            session.spoken = True
            self.spoken.append(session)
