"""The gate: no reply leaves before what it tells of is as safe as the policy says (design 6).

Every reply carries the position of the last commit appended when it was made: of a read or a
refusal too, for it may tell of a change that a crash would take back. Replies leave in order, so
those of a session never overtake one another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias

from workq.broker.session import STAY, Session
from workq.limits import AHEAD_BYTES_MAX, HELD_BYTES_MAX, RELEASED_BYTES_PER_TURN_MAX

#: What the ring is asked to do: hand bytes to a session's transport, then end the connection or
#: not (`STAY`, `CLOSE`, `LINGER`). The bytes may be empty when there is only an end.
Send: TypeAlias = tuple[Session, bytes, int]


class Gate:
    """Replies on their way out.

    Attributes:
        appended: the position of the last commit handed to the log.
        safe: the last position that is as safe as the policy says.
        held_bytes: of the replies that wait for the log, of all sessions.
    """

    def __init__(self) -> None:
        self.appended = 0
        self.safe = 0
        self.held_bytes = 0
        self._ahead: deque[tuple[int, int]] = deque()
        self._ahead_bytes = 0
        self._delivering: list[Session] = []
        self._held: deque[tuple[int, Send, int]] = deque()

    @property
    def full(self) -> bool:
        """Whether so much waits for the log that nothing may be done that makes it more."""
        return self.held_bytes >= HELD_BYTES_MAX or self._ahead_bytes >= AHEAD_BYTES_MAX

    @property
    def due(self) -> bool:
        """Whether more may leave than the last turn had room for."""
        return bool(self._held) and self._held[0][0] <= self.safe

    def went(self, position: int, size: int) -> None:
        """A frame of so many bytes was handed to the log."""
        self.appended = position
        if position > self.safe:
            self._ahead.append((position, size))
            self._ahead_bytes += size

    def came(self, position: int) -> None:
        """Everything up to a position has become as safe as the policy says."""
        self.safe = position
        ahead = self._ahead
        while ahead and ahead[0][0] <= position:
            self._ahead_bytes -= ahead.popleft()[1]

    def release(self, spoken: Iterable[Session] = ()) -> list[Send]:
        """What may leave now, in order; the leases in it count as delivered unless they bounce.
        Of what has waited for the log no more than one turn may send.

        Args:
            spoken: the sessions that have said something since the last time, or have ended.
        """
        held = self._held
        safe = self.safe
        sends: list[Send] = []
        if self._delivering:
            for session in self._delivering:  # what was released before has arrived, or bounced
                session.delivering.clear()
            self._delivering.clear()
        left = RELEASED_BYTES_PER_TURN_MAX
        while held and held[0][0] <= safe and left > 0:
            _, send, leases = held.popleft()
            session = send[0]
            size = len(send[1])
            session.unsent_bytes -= size
            self.held_bytes -= size
            if session.lost:
                continue
            left -= size
            if leases:
                self._deliver(session, leases)
            sends.append(send)
        passes = not held and self.appended <= safe
        for session in spoken:
            session.spoken = False
            replies = session.replies
            data = replies[0] if len(replies) == 1 else b"".join(replies)
            replies.clear()
            ending = session.ending
            if ending != STAY:
                session.ended = True
            leases = session.leases_told
            session.leases_told = 0
            if not passes:
                session.unsent_bytes += len(data)
                self.held_bytes += len(data)
                held.append((self.appended, (session, data, ending), leases))
            elif not session.lost:
                if leases:
                    self._deliver(session, leases)
                sends.append((session, data, ending))
        return sends

    def _deliver(self, session: Session, leases: int) -> None:
        """The first so many leases of a session that are not delivered are being so."""
        session.delivering += session.undelivered[:leases]
        self._delivering.append(session)
        del session.undelivered[:leases]
