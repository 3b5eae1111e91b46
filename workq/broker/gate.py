"""The gate: no reply leaves before what it tells of is as safe as the policy says (design 6).

Every reply carries the position of the last commit appended when it was made: of a read or a
refusal too, for it may tell of a change that a crash would take back. Replies leave in order, so
those of a session never overtake one another.
"""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from workq.broker.session import STAY, Session

#: What the ring is asked to do: hand bytes to a session's transport, then end the connection or
#: not (`STAY`, `CLOSE`, `LINGER`). The bytes may be empty when there is only an end.
Send: TypeAlias = tuple[Session, bytes, int]


class Gate:
    """Replies on their way out.

    Attributes:
        appended: the position of the last commit handed to the log.
        safe: the last position that is as safe as the policy says.
    """

    def __init__(self) -> None:
        self.appended = 0
        self.safe = 0
        self._delivering: list[Session] = []
        self._held: deque[tuple[int, Send, int]] = deque()

    def hold(self, session: Session) -> None:
        """Take over what a session has said in this turn."""
        replies = session.replies
        data = replies[0] if len(replies) == 1 else b"".join(replies)
        replies.clear()
        ending = session.ending
        if ending != STAY:
            session.ended = True
        session.unsent_bytes += len(data)
        self._held.append((self.appended, (session, data, ending), session.leases_told))
        session.leases_told = 0

    def release(self) -> list[Send]:
        """What may leave now, in order; the leases in it count as delivered unless they bounce."""
        held = self._held
        safe = self.safe
        sends: list[Send] = []
        if self._delivering:
            for session in self._delivering:  # what was released before has arrived, or bounced
                session.delivering.clear()
            self._delivering.clear()
        while held and held[0][0] <= safe:
            _, send, leases = held.popleft()
            session = send[0]
            session.unsent_bytes -= len(send[1])
            if session.lost:
                continue
            if leases:
                session.delivering += session.undelivered[:leases]
                self._delivering.append(session)
                del session.undelivered[:leases]
            sends.append(send)
        return sends
