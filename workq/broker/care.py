"""What is seen to of a session beside its requests: its end, its limits, whether it is read from.

Most sessions have nothing of the kind; those that may have are `careful`, and are looked after at
the end of each share of a turn.
"""

from __future__ import annotations

from workq.broker.agenda import Agenda
from workq.broker.closing import Closing
from workq.broker.patience import Patience
from workq.broker.serving import Serving
from workq.broker.session import LINGER, STAY, Session
from workq.engine.engine import Engine
from workq.limits import INPUT_BYTES_MAX, INPUT_BYTES_PAUSE
from workq.wire import replies


def reads_on(session: Session) -> bool:
    """Whether the ring shall read more from a client at present.

    While a request waits, reading goes on so that the client's end is seen; while one is
    incomplete, so that it can be completed. Otherwise what was read comes first.
    """
    backlog = session.runnable or session.stalled or session.choked
    if not backlog or session.waiter is not None or session.ending:
        return True
    return session.reader.pending < INPUT_BYTES_PAUSE


class Care:
    """Looks after sessions.

    Args:
        engine: has the jobs.
        agenda: learns who has something to send.
        serving: has those who wait.
        patience: with sessions that take too long or send too much.
        closing: knows whether the server shuts down.

    Attributes:
        cut: how many sessions were ended for their input, by the error.
    """

    def __init__(
        self,
        engine: Engine,
        agenda: Agenda,
        serving: Serving,
        patience: Patience,
        closing: Closing,
    ) -> None:
        self._engine = engine
        self._agenda = agenda
        self._serving = serving
        self._patience = patience
        self._closing = closing
        self.cut = {replies.TOO_MUCH_INPUT: 0, replies.OUT_OF_MEMORY: 0}
        self._resumed: list[Session] = []

    def resumed(self) -> list[Session]:
        """The sessions that were not read from and shall be again."""
        resumed = self._resumed
        if resumed:
            self._resumed = []
        return resumed

    def look_after(self, session: Session, heard: bool) -> None:
        """Look after a session with which something is beside requests to be answered.

        Args:
            session: the session.
            heard: whether a request of it was complete.
        """
        if session.lost:
            self._take_back(session)
            return
        if session.waiter is not None and session.reader.pending > INPUT_BYTES_MAX:
            self.cut_off(session, replies.TOO_MUCH_INPUT)
        elif not session.ending:
            error = self._patience.look_at(session, self._engine.now_ms, heard)
            if error:
                self.cut_off(session, error)
            elif self._closing.begun:
                self._closing.close_if_idle(session)
        if session.ending:
            self._patience.forget(session)
        if session.replies or (session.ending and not session.ended):
            self._agenda.speak(session)
        if session.paused and reads_on(session):
            session.paused = False
            self._resumed.append(session)
        session.careful = (
            session.waiter is not None
            or len(session.tagged) > 0
            or session.ending != STAY
            or session.asked is not None
            or session.half_sent
            or session.input_bytes > 0
            or session.paused
            or session.stalled
            or session.choked
            or self._closing.begun
            or self._patience.times_idle
        )

    def _take_back(self, session: Session) -> None:
        """Undo what a lost session was told and has not heard."""
        session.replies.clear()
        session.leases_told = 0
        for job_id, token in session.undelivered:
            self._engine.give_back(job_id, token)
        session.undelivered.clear()
        self._serving.settle()

    def cut_off(self, session: Session, error: bytes) -> None:
        """End a session whose input is too much, whatever it waits for."""
        self._serving.abandon(session)
        self.cut[error] += 1
        session.end(LINGER, error)
        self._patience.forget(session)
        self._agenda.speak(session)
