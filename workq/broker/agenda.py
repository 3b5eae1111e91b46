"""Which sessions have something to do: requests to be executed, replies to be sent.

While a turn has room for all, sessions are served in the order in which their requests came. When
it has not, start-time fair queueing decides (Goyal, Vin and Cheng, 1996): each session has a tag,
which rises with all that is done for it, and the lowest is served first. The virtual time is the
tag that is being served. Who has asked for little lately begins a little before it, and so comes
before all who have asked for much, however many they are; but no more than a little, so silence
cannot be saved up. Who is new begins a little behind it: else those who come one after the other,
each with a large request, would all come before who was there. It costs a heap entry for each
session and turn, and next to nothing while nobody has to wait.

Replies leave at the end of a turn. So a turn in which somebody is `ahead`, for having asked for
little, serves those who are and nobody else: else they would come first, and be answered last.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from workq.broker.session import Session
from workq.limits import (
    HURRIED_TURNS_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MIN,
)

#: How far a session that asks for little is before the others: what it may have in one turn.
HEAD_START: Final = REQUESTS_PER_SESSION_AND_TURN_MAX

#: How far it is before them to have a turn end with it: those who ask for the same differ by less.
AHEAD: Final = HEAD_START // 2

#: How far a new session is behind: what each of the others may have before.
NEW_BEHIND: Final = REQUESTS_PER_SESSION_AND_TURN_MIN


class Agenda:
    """Lists of sessions, each session at most once in one of the first two, and in the third.

    Attributes:
        fresh: those to be served in the next turn, in the order in which they came.
        late: those for which the last turns had no room: a heap of tag, number and session.
        spoken: those that have replies or an end to be released at the end of this turn.
        now: the virtual time.
    """

    def __init__(self) -> None:
        self.fresh: list[Session] = []
        self.late: list[tuple[int, int, Session]] = []
        self.spoken: list[Session] = []
        self.now = 0
        self._numbers = 0
        self._hurried = 0  # turns in a row

    @property
    def busy(self) -> bool:
        """Whether there is anybody to be served."""
        return bool(self.fresh or self.late)

    def hurry(self) -> bool:
        """Whether a turn that begins is for those alone who are ahead. Not many in a row are: each
        costs as much as some requests, and a crowd of those who ask for little is much."""
        self._hurried = self._hurried + 1 if self.ahead else 0
        if self._hurried > HURRIED_TURNS_MAX:
            self._hurried = 0
        return self._hurried > 0

    @property
    def ahead(self) -> bool:
        """Whether the next of those that were put off has asked for much less than others."""
        return bool(self.late) and self.late[0][0] + AHEAD <= self.now

    def welcome(self, session: Session) -> None:
        """A session is new."""
        session.tag = self.now + NEW_BEHIND

    def run_later(self, session: Session) -> None:
        """Serve a session in the next turn."""
        if not session.runnable:
            session.runnable = True
            self.fresh.append(session)

    def put_off(self, sessions: Iterable[Session]) -> None:
        """Let sessions wait for their turn, in the order of their tags."""
        for session in sessions:
            session.tag = tag = max(session.tag, self.now - HEAD_START)
            self._numbers += 1
            heappush(self.late, (tag, self._numbers, session))

    def next(self) -> Session:
        """The session whose turn it is, of those that were put off."""
        tag, _, session = heappop(self.late)
        self.now = max(self.now, tag)
        return session

    def forgive(self, cost: int) -> None:
        """Nobody waits. What was done for all together, each session having been charged its part,
        was taken from nobody: the virtual time passes them all."""
        self.now += cost

    def speak(self, session: Session) -> None:
        """Release what a session has to say at the end of this turn."""
        if not session.spoken:
            session.spoken = True
            self.spoken.append(session)
