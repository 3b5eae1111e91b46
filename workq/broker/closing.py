"""Shutting down: waits end, and connections with them, but for the work that somebody waits for.

A client of which nothing is under way is closed. One that works on a foreground job is not, for
the job's caller waits; nor is one that has sent half a request, though not for long.
"""

from __future__ import annotations

from collections.abc import Collection

from workq.broker.agenda import Agenda
from workq.broker.patience import Patience
from workq.broker.serving import Serving
from workq.broker.session import CLOSE, LINGER, Session
from workq.engine.job import LEASED
from workq.wire import replies


class Closing:
    """The end of all sessions.

    Args:
        sessions: those there are.
        agenda: learns whose turn it is and who has something to send.
        serving: answers those who wait.
        patience: with those that do not finish.

    Attributes:
        begun: whether the server shuts down.
    """

    def __init__(
        self,
        sessions: Collection[Session],
        agenda: Agenda,
        serving: Serving,
        patience: Patience,
    ) -> None:
        self._sessions = sessions
        self._agenda = agenda
        self._serving = serving
        self._patience = patience
        self._busy: list[Session] = []  # who works on what somebody waits for
        self.begun = False

    def begin(self) -> None:
        """Look at every session, and again whenever something happens to it."""
        self.begun = True
        self._patience.hurry()
        for session in self._sessions:
            session.careful = True
            session.unset()  # to be timed anew
            session.at_ms = None
            self._agenda.run_later(session)

    def end(self) -> None:
        """End all that is left: who still waits gets `-TIMEOUT`, and every session is closed."""
        for session in self._sessions:
            for waiter in session.waiters:
                self._serving.answer(waiter, replies.TIMEOUT)
            if not session.ending:
                session.end(CLOSE)
                self._patience.forget(session)
            if not session.ended:
                self._agenda.speak(session)

    def close_if_idle(self, session: Session) -> None:
        """Close a session of which nothing is under way, and on which nobody waits."""
        if session.waiter is not None or session.tagged:
            return
        if session.asked is not None or session.reader.pending:
            return
        if _works(session):
            self._busy.append(session)
            return
        session.end(LINGER)

    def look_at_busy(self) -> None:
        """Look again at those who worked on a foreground job: somebody else may have ended it."""
        busy, self._busy = self._busy, []
        for session in busy:
            if _works(session):
                self._busy.append(session)
            else:
                self._agenda.run_later(session)


def _works(session: Session) -> bool:
    return any(job.state is LEASED for job in session.serving)
