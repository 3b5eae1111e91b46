"""The broker: what each client's request leads to, turn by turn.

The ring tells it what came (`receive`, `eof`, `lost`, `stall`), then calls `turn`: time advances,
what is due fires, waiters are served, waits end, requests are executed. What one turn decided is
one commit, which `turn` returns. The ring hands it to the log, tells how far the log has come
(`appended`, `safe`), and does what `release` gives it: those replies may leave.

A turn is bounded, so that no client's work makes the others wait; the rest of it is done in the
next. When there is more to do than a turn may, who has asked for little comes first (`agenda`).
"""

from __future__ import annotations

from typing import Any

from workq.broker.agenda import Agenda
from workq.broker.care import Care, reads_on
from workq.broker.closing import Closing
from workq.broker.gate import Gate, Send
from workq.broker.names import KnownNames
from workq.broker.patience import Patience
from workq.broker.room import Room
from workq.broker.serving import Serving
from workq.broker.session import CLOSE, LINGER, Session
from workq.broker.waiting import Waiter, Waiting
from workq.commands.base import LATER, Command, Facts, JobWait, Reply
from workq.engine.engine import Engine
from workq.engine.job import Job
from workq.engine.transitions import Transition
from workq.limits import (
    BLOCK_BYTES_LIKE_A_REQUEST,
    NAMES_PER_TURN_MAX,
    REFUSAL_COST,
    REFUSED_LINGERING_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MIN,
    REQUESTS_PER_TURN_MAX,
    UNSENT_BYTES_MAX,
    Bounds,
)
from workq.wire import replies
from workq.wire.grammar import Table


class Broker:
    """All sessions before one engine. It is the `Desk` of the commands.

    Args:
        engine: the engine.
        commands: the commands there are, in the order of their documentation.
        bounds: what an operator can turn.

    Attributes:
        bounds: as above.
        version: of the protocol that the session speaks whose request is being executed.
        facts: what the ring knows of the process; the ring replaces it.
    """

    def __init__(
        self, engine: Engine, commands: tuple[Command, ...], bounds: Bounds | None = None
    ) -> None:
        self.engine = engine
        self.bounds = bounds = bounds or Bounds()
        self._patience = Patience(bounds)
        self.commands = commands
        self.facts = Facts()
        self._table: Table[Command] = Table(commands)
        self._waiting = Waiting()
        self.names = KnownNames(engine, self._waiting)
        engine.awaited = self._waiting.lines
        self.room = Room(bounds, engine, self._waiting)
        self._gate = Gate()
        self._agenda = Agenda()
        self._serving = Serving(engine, self._waiting, self._agenda)
        self._asking: Session | None = None  # whose request is being executed
        self.version = 1
        self._sessions: dict[Session, None] = {}
        self._closing = Closing(self._sessions.keys(), self._agenda, self._serving, self._patience)
        self._care = Care(engine, self._agenda, self._serving, self._patience, self._closing)
        self._requests = 0
        self._refused = 0
        self._refused_connections = 0
        self._refused_open = 0
        self._share = REQUESTS_PER_SESSION_AND_TURN_MAX

    # --- what the ring tells ------------------------------------------------------------------

    def open(self) -> Session:
        """A client has connected. One too many is told so and is served nothing."""
        session = Session(self._table, self.bounds.line_bytes_max)
        self._agenda.welcome(session)
        if self._closing.begun:
            self._turn_away(session, replies.SHUTTING_DOWN)
        elif 0 < self.bounds.connections_max <= len(self._sessions):
            self._turn_away(session, replies.TOO_MANY_CONNECTIONS)
        else:
            self._sessions[session] = None
            if self._patience.times_idle:
                session.careful = True
                self._agenda.run_later(session)
        return session

    def _turn_away(self, session: Session, refusal: bytes) -> None:
        """Serve nothing to a client; of a flood of them, do not even wait for it to read that."""
        self._refused_connections += 1
        self._refused_open += 1
        session.refused = True
        session.end(LINGER if self._refused_open <= REFUSED_LINGERING_MAX else CLOSE, refusal)
        self._agenda.speak(session)

    def receive(self, session: Session, data: bytes) -> bool:
        """Bytes have come; return whether the ring shall read on (see `reads_on`)."""
        session.reader.feed(data)
        if session.runnable or session.stalled or session.choked:
            self._agenda.run_later(session)
            if error := self._patience.count(session):
                self._care.cut_off(session, error)
            session.paused = not reads_on(session)
            session.careful = True
            return not session.paused
        session.runnable = True
        self._agenda.fresh.append(session)
        return True

    def eof(self, session: Session) -> None:
        """The client will send no more: from now on each of its waits is 0."""
        session.eof = session.careful = True
        self._serving.withdraw(session)
        self._agenda.run_later(session)

    def lost(self, session: Session) -> None:
        """The connection is gone. What was received is still done; nobody is told."""
        assert not session.lost
        if session.refused:
            self._refused_open -= 1
        else:
            del self._sessions[session]
        self._patience.forget(session)
        self._serving.withdraw(session)
        session.lost = session.eof = session.careful = True
        session.stalled = False
        self._agenda.run_later(session)

    def stall(self, session: Session, stalled: bool) -> None:
        """The client does not take its replies, or does again."""
        session.stalled = stalled
        session.careful = True
        if stalled:
            self._serving.withdraw(session)
        else:
            self._agenda.run_later(session)

    def appended(self, position: int, size_bytes: int = 0) -> None:
        """A commit, or a piece of it, was handed to the log, which gave it this position."""
        self._gate.went(position, size_bytes)

    def safe(self, position: int) -> None:
        """Everything up to a position is as safe as the policy says."""
        self._gate.came(position)

    def reads_on(self, session: Session) -> bool:
        """Whether the ring shall read more from a client at present."""
        return reads_on(session)

    # --- the turn -----------------------------------------------------------------------------

    def turn(self, now_ms: int, offset_ms: int) -> list[Transition]:
        """Do what there is to do, as far as one turn may; return the commit.

        Args:
            now_ms: the time that never steps back.
            offset_ms: what the wall clock is ahead of it.
        """
        engine = self.engine
        engine.advance(now_ms, offset_ms)
        if not self._gate.full:
            self._serving.begin_turn()
            self._serving.end_waits()
            self._serve_sessions()
            for session in self._patience.ended(now_ms):  # whom what has come did not help
                self._serving.abandon(session)
                self._agenda.speak(session)
            if self._closing.begun:
                self._closing.look_at_busy()
            if self.names.pending:
                self.names.catch_up(NAMES_PER_TURN_MAX)
        else:
            self._bury_lost()
        commit = engine.commit
        if commit:
            engine.commit = []
        return commit

    def release(self) -> list[Send]:
        """What the ring shall send and close now, in order."""
        spoken = self._agenda.spoken
        sends = self._gate.release(spoken)
        spoken.clear()
        for session, _, _ in sends:
            if session.choked and session.unsent_bytes < UNSENT_BYTES_MAX:
                session.choked = False
                self._agenda.run_later(session)
        return sends

    def bounced(self, session: Session) -> None:
        """What `release` gave for a session could not be handed to its transport, which is about
        to be lost: the leases in it will be undone."""
        session.undelivered[:0] = session.delivering
        session.delivering.clear()

    def resumed(self) -> list[Session]:
        """The sessions that were not read from and shall be again."""
        return self._care.resumed()

    @property
    def busy(self) -> bool:
        """Whether sessions have something to do in the next turn."""
        return self._agenda.busy

    def next_ms(self) -> int:
        """When the next turn is wanted at the latest; `NEVER` for not before something comes."""
        if self._gate.due:
            return self.engine.now_ms
        if self._gate.full:
            return self.engine.next_ms()  # all else waits for the log
        if self._agenda.busy or self.names.pending or self._serving.telling:
            return self.engine.now_ms
        return min(self.engine.next_ms(), self._waiting.soonest_ms, self._patience.soonest_ms)

    def _serve_sessions(self) -> None:
        agenda = self._agenda
        fresh = agenda.fresh
        agenda.fresh = []
        left = REQUESTS_PER_TURN_MAX
        # Among many none gets much at once, or who has one request waits for all of theirs.
        self._share = max(
            REQUESTS_PER_SESSION_AND_TURN_MIN,
            min(REQUESTS_PER_SESSION_AND_TURN_MAX, left // (len(fresh) + len(agenda.late) or 1)),
        )
        if agenda.late:
            agenda.put_off(fresh)
            hurried = agenda.hurry()
            while left > 0 and agenda.late and (not hurried or agenda.ahead):
                session = agenda.next()
                cost = self._serve(session) or 1
                session.tag += cost
                left -= cost
            return
        for index, session in enumerate(fresh):
            if left <= 0:
                agenda.put_off(fresh[index:])
                return
            cost = self._serve(session) or 1
            session.tag += cost
            left -= cost
        agenda.forgive(REQUESTS_PER_TURN_MAX - left)

    def _bury_lost(self) -> None:
        """While the log does not come on, let go of clients that are gone: nothing they asked was
        acknowledged, and those who come back again and again must not fill memory."""
        agenda = self._agenda
        sessions, agenda.fresh = agenda.fresh, []
        while agenda.late:
            sessions.append(agenda.next())
        agenda.put_off(session for session in sessions if not session.lost)
        for session in sessions:
            if session.lost:
                session.reader.finish()
                self._serve(session)

    def _serve(self, session: Session) -> int:
        """Execute a session's requests, as many as one turn may; return how many they count."""
        session.runnable = False
        cost = 0
        may = True
        careful = session.careful
        if careful:
            waiter = session.waiter
            if waiter is not None:
                waiter.plain = False
                cost = self._serve_waiter(session, waiter)
            if session.tagged:
                cost += self._serve_tagged(session)
            may = session.waiter is None and not session.ending and not session.stalled
        before = self._requests
        if may:
            self._asking = session
            self.version = session.version
            cost += self._execute(session)
        if session.careful or session.reader.unfinished:
            waiter = session.waiter
            if careful or waiter is None or session.tagged or not session.reader.empty:
                self._care.look_after(session, heard=self._requests > before)
                return cost
            waiter.plain = True
        if session.replies and not session.spoken:
            session.spoken = True
            self._agenda.spoken.append(session)
        return cost

    def _serve_waiter(self, session: Session, waiter: Waiter) -> int:
        """End the wait of a client that is gone; let one that takes jobs again stand in line.
        Return what that costs, in usual requests."""
        cost = waiter.cost
        if session.eof or self._closing.begun:
            self._serving.cut_wait(waiter)
        elif isinstance(waiter.wait, JobWait) and not waiter.in_line and not session.stalled:
            self._serving.rejoin(waiter, waiter.wait)
        return cost

    def _serve_tagged(self, session: Session) -> int:
        """The same for what it waits for under tags."""
        ends = session.eof or self._closing.begun
        if ends or (session.withdrawn and not session.stalled):
            return self._serving.see_to_tagged(session, ends)
        return 0

    def _execute(self, session: Session) -> int:
        """Execute requests of a session, until it has had its share; return what they cost."""
        engine = self.engine
        reader = session.reader
        next_request = reader.next
        said = session.replies
        said_bytes = session.unsent_bytes
        draining = self._closing.begun
        requests, left = 0, self._share
        asked, session.asked = session.asked, None
        item: tuple[Command | None, Any] | None = asked and asked[:2]
        tag = asked and asked[2]
        odd = draining or tag is not None  # else it is executed without further ado
        while True:
            if said_bytes >= UNSENT_BYTES_MAX and not session.lost:
                session.choked = session.careful = True
                session.asked = asked if item else None
                break
            if left <= 0:
                self._agenda.run_later(session)
                break
            if item is None:
                item = next_request()
                if item is None:
                    _part(session)
                    break
                if reader.effort:
                    left -= reader.effort
                    reader.effort = 0
                    if reader.tag is not None:
                        tag, reader.tag = reader.tag, None
                        odd = True
            command, arguments = item
            item = None
            requests += 1
            if command is None:
                left -= REFUSAL_COST
                self._refuse(session, arguments, tag)
                if session.ending:
                    break
                tag, odd = None, draining
                continue
            left -= command.cost or command.weigh(arguments)
            if (engine.behind or command.naming) and self._is_early(command, arguments):
                reply: Reply = LATER
            elif odd:
                odd = draining
                reply, tag = self._reply(session, command, arguments, tag)
            else:
                reply = command.execute(self, arguments)
            if isinstance(reply, bytes):
                said.append(reply)
                size = len(reply)
                said_bytes += size
                if size >= BLOCK_BYTES_LIKE_A_REQUEST:
                    left -= size // BLOCK_BYTES_LIKE_A_REQUEST
            elif reply is LATER:
                requests -= 1
                left -= self._put_off(session, (command, arguments, tag))
                break
            else:
                self._serving.wait(session, reply, draining, tag)
                tag = None
            if engine.changed or engine.woken:
                self._serving.settle()
            if (reader.empty and not session.eof) or session.ending or session.waiter is not None:
                break  # when all is read, `next` would say so too, and later
        self._requests += requests
        return self._share - left

    def _is_early(self, command: Command, arguments: Any) -> bool:
        """Whether what a command looks at of queues is not yet what it should be; it is made so as
        far as this turn may."""
        if self.engine.behind and command.knows and not command.knows(self.engine, arguments):
            return True
        return command.naming and self.names.pending > NAMES_PER_TURN_MAX

    def _put_off(self, session: Session, asked: tuple[Command, Any, int | None]) -> int:
        """Keep a request for a later turn, when more of the deadlines that have come are fired;
        return what it has cost to look at it."""
        session.asked = asked
        session.careful = True
        self._agenda.run_later(session)
        return session.asked_effort

    def _reply(
        self, session: Session, command: Command, arguments: Any, tag: int | None
    ) -> tuple[Reply, int | None]:
        """The reply to a request that has a tag, or comes while the server shuts down; with the tag
        if it has to wait for it."""
        reply = self._refusal(session, command, tag) or command.execute(self, arguments)
        if tag is not None and isinstance(reply, bytes):
            return replies.tagged(tag, reply), None
        return reply, tag

    def _refusal(self, session: Session, command: Command, tag: int | None) -> bytes | None:
        """The error of a request that is not for now; None if it may be executed."""
        if self._closing.begun and not command.closing:
            return replies.SHUTTING_DOWN
        if tag is not None and command.waits:
            return self.room.refuses_tagged_wait(len(session.tagged))
        return None

    def _refuse(self, session: Session, reply: bytes, tag: int | None) -> None:
        """Answer a request that could not be read."""
        self._refused += 1
        reader = session.reader
        if reply:
            session.replies.append(reply if tag is None else replies.tagged(tag, reply))
        if reader.ended:
            self._serving.abandon(session)
            session.ending = CLOSE if reader.silent else LINGER
            session.careful = True

    # --- what commands ask for ----------------------------------------------------------------

    def hand_out(self, job: Job, wait: JobWait) -> bytes:
        """Lease a ready job to the session that asks, and more if it wants more; return the reply
        that tells it so."""
        session = self._asking
        assert session is not None
        return self._serving.hand_out(session, job, wait)

    def greet(self, name: bytes) -> None:
        """Let the asking session, which calls itself so, speak version 2 from now on."""
        session = self._asking
        assert session is not None
        self.version = session.version = 2
        session.reader.tagging = True
        session.name = name

    def quit(self) -> None:
        """Close the asking session once its replies are sent."""
        assert self._asking is not None
        self._serving.abandon(self._asking)
        self._asking.end(LINGER)  # more may be on its way: no reset shall overtake the reply

    def gauges(self) -> dict[str, int]:
        """The numbers of connections and requests, by name."""
        return {
            "connections": len(self._sessions),
            "waiting": self._waiting.size,
            "known-names": len(self.names),
            "requests": self._requests,
            "refused-requests": self._refused,
            "refused-connections": self._refused_connections,
            "refused-for-memory": self.room.refused,
            "request-timeouts": self._patience.request_timeouts,
            "idle-timeouts": self._patience.idle_timeouts,
            "cut-for-input": self._care.cut[replies.TOO_MUCH_INPUT],
            "cut-for-memory": self._care.cut[replies.OUT_OF_MEMORY],
            "input-bytes": self._patience.input_bytes,
            "unsent-bytes": self._gate.held_bytes,
        }

    # --- shutting down ------------------------------------------------------------------------

    @property
    def drained(self) -> bool:
        """Whether every client is gone."""
        return not self._sessions

    def drain(self) -> None:
        """Begin to shut down: waits end, who has nothing to ask is closed, and what is served is
        what lets jobs under way come to their end. A `run` whose job a worker has waits for it."""
        self._closing.begin()

    def end(self) -> None:
        """End all that is left: who still waits gets `-TIMEOUT`, and every session is closed."""
        self._closing.end()


def _part(session: Session) -> None:
    """End a session if it sends no more and all is answered; what is cut off in its block gets an
    error."""
    if not session.eof or session.tagged:
        return
    reader = session.reader
    error = reader.finish()
    tag = reader.tag
    session.end(CLOSE, error if not error or tag is None else replies.tagged(tag, error))
