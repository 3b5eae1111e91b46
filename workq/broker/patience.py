"""How long the server bears with a client: half-sent requests, silence, and input kept for later.

A session is a timer. It is set while a request has come in part, from its first byte on, and
while an idle limit holds; a request that is complete, or waits, unsets it.
"""

from __future__ import annotations

from workq.broker.session import LINGER, Session
from workq.engine.calendar import Calendar
from workq.limits import (
    CASCADES_PER_TURN_MAX,
    CLOSING_REQUEST_MS,
    DEADLINES_PER_TURN_MAX,
    LATE_MS,
    Bounds,
)
from workq.wire import replies


class Patience:
    """The limits of all sessions in time and in input.

    Args:
        bounds: what they are.

    Attributes:
        times_idle: whether there is a limit to silence.
        input_bytes: what is kept of the input of all sessions for later.
        request_timeouts, idle_timeouts: sessions that have taken too long so far.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._ends: Calendar[Session] = Calendar()
        self._request_ms = bounds.request_timeout_ms
        self.times_idle = bounds.idle_timeout_ms > 0
        self.input_bytes = 0
        self.request_timeouts = 0
        self.idle_timeouts = 0

    @property
    def soonest_ms(self) -> int:
        """No patience ends before it."""
        return self._ends.soonest_ms

    def hurry(self) -> None:
        """The server shuts down: half a request has not long to come whole."""
        self._request_ms = min(self._request_ms or CLOSING_REQUEST_MS, CLOSING_REQUEST_MS)

    def look_at(self, session: Session, now_ms: int, heard: bool) -> bytes:
        """Take in how a session stands after its share of a turn.

        Args:
            session: the session.
            now_ms: the time.
            heard: whether a request of it was complete.

        Returns:
            The error that ends it because its input does not fit; empty for none.
        """
        if error := self.count(session):
            return error
        backlog = session.runnable or session.stalled or session.choked
        half_sent = session.reader.unfinished and not backlog
        limit_ms = self._request_ms if half_sent else self._bounds.idle_timeout_ms
        if session.waiter is not None or (backlog and (session.reader.pending or session.asked)):
            limit_ms = 0  # it has asked, and it is for the server to answer
        if session.tagged and not half_sent:
            limit_ms = 0
        if heard or not limit_ms or half_sent != session.half_sent or session.at_ms is None:
            session.unset()
            session.half_sent = half_sent
            session.at_ms = now_ms + limit_ms if limit_ms else None
            if limit_ms:
                self._ends.set(session, now_ms)
        return b""

    def count(self, session: Session) -> bytes:
        """Count the input that is kept of a session; return what `look_at` does."""
        pending = session.reader.pending + session.asked_bytes
        grown = pending - session.input_bytes
        self.input_bytes += grown
        session.input_bytes = pending
        if grown > 0 and 0 < self._bounds.input_bytes_max < self.input_bytes:
            return replies.OUT_OF_MEMORY
        return b""

    def forget(self, session: Session) -> None:
        """A session has ended: it is not timed, and what it had sent has been let go."""
        session.unset()
        self.input_bytes -= session.input_bytes
        session.input_bytes = 0

    def ended(self, now_ms: int) -> list[Session]:
        """End the sessions that have taken too long, as many as one turn may; return them. To be
        called when what has come was looked at, as far as a turn may."""
        sessions: list[Session] = []
        if self._ends.soonest_ms > now_ms:
            return sessions
        self._ends.cascade(now_ms, CASCADES_PER_TURN_MAX)
        for _ in range(DEADLINES_PER_TURN_MAX):
            session = self._ends.first(now_ms)
            if session is None:
                break
            session.unset()
            late_ms = now_ms - (session.at_ms or 0)
            session.at_ms = None
            # If nobody was read from for so long, that comes first; and what has come is looked at.
            if late_ms > LATE_MS or session.runnable:
                session.at_ms = now_ms + 1
                self._ends.set(session, now_ms)
                continue
            if session.half_sent:
                self.request_timeouts += 1
                session.end(LINGER, replies.REQUEST_TIMEOUT)
            else:
                self.idle_timeouts += 1
                session.end(LINGER, replies.IDLE_TIMEOUT)
            self.forget(session)
            sessions.append(session)
        return sessions
