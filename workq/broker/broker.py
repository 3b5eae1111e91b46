"""The broker: what each client's request leads to, turn by turn.

The ring tells it what came (`receive`, `eof`, `lost`, `stall`), then calls `turn`: time advances,
what is due fires, waiters are served, waits end, requests are executed. What one turn decided is
one commit, which `turn` returns. The ring hands it to the log, tells how far the log has come
(`appended`, `safe`), and does what `release` gives it: those replies may leave.

A turn is bounded, so that no client's work makes the others wait; the rest of it is done in the
next. Nobody is overtaken: sessions take turns in the order in which their requests came.
"""

from __future__ import annotations

from workq.broker.agenda import Agenda
from workq.broker.gate import Gate, Send
from workq.broker.names import KnownNames
from workq.broker.patience import Patience
from workq.broker.serving import Serving
from workq.broker.session import CLOSE, LINGER, Session
from workq.broker.waiting import Waiting
from workq.commands.base import (
    Command,
    Facts,
    ResultWait,
)
from workq.engine.engine import Engine
from workq.engine.job import LEASED, Job
from workq.engine.transitions import Transition
from workq.limits import (
    INPUT_BYTES_MAX,
    INPUT_BYTES_PAUSE,
    JOB_BYTES,
    RECORD_BYTES_PER_TURN_MAX,
    REQUEST_BYTES_PER_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_TURN_MAX,
    RESULT_RESERVE_DIVISOR,
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
        facts: what the ring knows of the process; the ring replaces it.
    """

    def __init__(
        self, engine: Engine, commands: tuple[Command, ...], bounds: Bounds | None = None
    ) -> None:
        self.engine = engine
        self._bounds = bounds = bounds or Bounds()
        self._patience = Patience(bounds)
        self._patient = not bounds.idle_timeout_ms
        self._draining = False
        self.commands = commands
        self.facts = Facts()
        self._table: Table[Command] = Table(commands)
        self._waiting = Waiting()
        self.names = KnownNames(engine, self._waiting)
        engine.awaited = self._waiting.lines
        self._gate = Gate()
        self._agenda = Agenda()
        self._serving = Serving(engine, self._waiting, self._agenda)
        self._asking: Session | None = None  # whose request is being executed
        self._sessions: dict[Session, None] = {}
        self._requests = 0
        self._refused = 0
        self._refused_connections = 0

    # --- what the ring tells ------------------------------------------------------------------

    def open(self) -> Session:
        """A client has connected. One too many is told so and is served nothing."""
        session = Session(self._table, self._bounds.line_bytes_max)
        refusal = b""
        if self._draining:
            refusal = replies.SHUTTING_DOWN
        elif 0 < self._bounds.connections_max <= len(self._sessions):
            refusal = replies.TOO_MANY_CONNECTIONS
        self._sessions[session] = None
        if refusal:
            self._refused_connections += 1
            session.replies.append(refusal)
            session.ending = LINGER
            session.reader.finish()
            self._agenda.speak(session)
        elif not self._patient:
            self._agenda.run_later(session)
        return session

    def receive(self, session: Session, data: bytes) -> bool:
        """Bytes have come; return whether the ring shall read on (see `reads_on`)."""
        session.reader.feed(data)
        if session.runnable or session.stalled or session.choked:
            self._agenda.run_later(session)
            return self.reads_on(session)
        session.runnable = True
        self._agenda.runnable.append(session)
        return True

    def eof(self, session: Session) -> None:
        """The client will send no more: from now on each of its waits is 0."""
        session.eof = True
        self._agenda.run_later(session)

    def lost(self, session: Session) -> None:
        """The connection is gone. What was received is still done; nobody is told."""
        assert not session.lost
        del self._sessions[session]
        self._patience.forget(session)
        session.lost = session.eof = True
        session.stalled = False
        self._agenda.run_later(session)

    def stall(self, session: Session, stalled: bool) -> None:
        """The client does not take its replies, or does again."""
        session.stalled = stalled
        if not stalled:
            self._agenda.run_later(session)

    def appended(self, position: int) -> None:
        """The last commit was handed to the log, which gave it this position."""
        self._gate.appended = position

    def safe(self, position: int) -> None:
        """Everything up to a position is as safe as the policy says."""
        self._gate.safe = position

    def reads_on(self, session: Session) -> bool:
        """Whether the ring shall read more from a client at present.

        While a request waits, reading goes on so that the client's end is seen; while one is
        incomplete, so that it can be completed. Otherwise what was read comes first.
        """
        backlog = session.runnable or session.stalled or session.choked
        if not backlog or session.waiter is not None or session.ending:
            return True
        return session.reader.pending < INPUT_BYTES_PAUSE

    # --- the turn -----------------------------------------------------------------------------

    def turn(self, now_ms: int, offset_ms: int) -> list[Transition]:
        """Do what there is to do, as far as one turn may; return the commit.

        Args:
            now_ms: the time that never steps back.
            offset_ms: what the wall clock is ahead of it.
        """
        engine = self.engine
        engine.advance(now_ms, offset_ms)
        if engine.changed or engine.woken:
            self._serving.settle()
        if not engine.behind:
            self._serving.end_waits()
        for session in self._patience.ended(now_ms):
            self._agenda.speak(session)
        self._serve_sessions()
        if engine.shifted or self._waiting.shifted:
            self.names.catch_up()
        commit = engine.commit
        if commit:
            engine.commit = []
        return commit

    def release(self) -> list[Send]:
        """What the ring shall send and close now, in order."""
        gate = self._gate
        spoken = self._agenda.spoken
        if spoken:
            for session in spoken:
                session.spoken = False
                gate.hold(session)
            spoken.clear()
        sends = gate.release()
        for session, _, _ in sends:
            if session.choked and session.unsent_bytes < UNSENT_BYTES_MAX:
                session.choked = False
                self._agenda.run_later(session)
        return sends

    def next_ms(self) -> int:
        """When the next turn is wanted at the latest; `NEVER` for not before something comes."""
        if self._agenda.runnable:
            return self.engine.now_ms
        return min(self.engine.next_ms(), self._waiting.soonest_ms, self._patience.soonest_ms)

    def _serve_sessions(self) -> None:
        sessions = self._agenda.runnable
        self._agenda.runnable = []
        requests_max = self._requests + REQUESTS_PER_TURN_MAX
        bytes_left = RECORD_BYTES_PER_TURN_MAX
        for index, session in enumerate(sessions):
            if self._requests >= requests_max or bytes_left <= 0:
                self._agenda.runnable = sessions[index:] + self._agenda.runnable
                return
            session.runnable = False
            bytes_left -= self._serve(session)

    def _serve(self, session: Session) -> int:
        """Execute a session's requests, as many as one turn may; return the bytes in them."""
        if session.waiter is not None and (session.eof or self._draining):
            self._serving.cut_wait(session.waiter)
        reader = session.reader
        start = reader.at
        done = 0
        if session.waiter is None and not session.ending and not session.stalled:
            self._asking = session
            done = self._execute(session)
            self._requests += done
        if (
            session.waiter is not None
            or session.lost
            or reader.unfinished
            or session.input_bytes
            or self._draining
            or not self._patient
        ):
            self._after(session, done > 0)
        elif (session.replies or session.ending) and not session.spoken and not session.ended:
            session.spoken = True
            self._agenda.spoken.append(session)
        return max(reader.at - start, 0)

    def _execute(self, session: Session) -> int:
        """Execute requests of a session for which nothing speaks against it; return how many."""
        engine = self.engine
        reader = session.reader
        next_request = reader.next
        said = session.replies
        said_bytes = session.unsent_bytes
        stop_at = reader.at + REQUEST_BYTES_PER_TURN_MAX
        for done in range(REQUESTS_PER_SESSION_AND_TURN_MAX):
            if said_bytes >= UNSENT_BYTES_MAX and not session.lost:
                session.choked = True
                return done
            if reader.at >= stop_at:
                self._agenda.run_later(session)
                return done
            item = session.asked or next_request()
            if item is None:
                if session.eof:
                    self._finish(session)
                return done
            command, arguments = item
            if command is None:
                self._refuse(session, arguments)
                if session.ending:
                    return done + 1
                continue
            if engine.behind and command.overall:
                session.asked = command, arguments
                self._agenda.run_later(session)
                return done
            session.asked = None
            if self._draining and not command.closing:
                said.append(replies.SHUTTING_DOWN)
                continue
            reply = command.execute(self, *arguments)
            if isinstance(reply, bytes):
                said.append(reply)
                said_bytes += len(reply)
            else:
                self._serving.wait(session, reply, self._draining)
            if engine.changed or engine.woken:
                self._serving.settle()
            if session.ending or session.waiter is not None:
                return done + 1
        self._agenda.run_later(session)
        return REQUESTS_PER_SESSION_AND_TURN_MAX

    def _after(self, session: Session, heard: bool) -> None:
        """A session's share of the turn is over, and not all of its requests are answered."""
        if session.lost:
            session.replies.clear()
            session.leases_told = 0
            for job_id, token in session.undelivered:
                self.engine.give_back(job_id, token)
            session.undelivered.clear()
            self._serving.settle()
            return
        if session.waiter is not None and session.reader.pending > INPUT_BYTES_MAX:
            self._cut_off(session, replies.TOO_MUCH_INPUT)
        elif not session.ending:
            error = self._patience.look_at(session, self.engine.now_ms, heard)
            if error:
                self._cut_off(session, error)
            elif self._draining:
                self._close_if_idle(session)
        if session.replies or (session.ending and not session.ended):
            self._agenda.speak(session)

    def _refuse(self, session: Session, reply: bytes) -> None:
        """Answer a request that could not be read."""
        self._refused += 1
        reader = session.reader
        if reply:
            session.replies.append(reply)
        if reader.ended:
            session.ending = CLOSE if reader.silent else LINGER

    def _finish(self, session: Session) -> None:
        """The last request of a client that sends no more has been answered."""
        cut_off = session.reader.finish()
        if cut_off:
            session.replies.append(cut_off)
        session.ending = CLOSE

    # --- what commands ask for ----------------------------------------------------------------

    def hand_out(self, job: Job) -> bytes:
        """Lease a ready job to the session that asks; return the reply that tells it so."""
        session = self._asking
        assert session is not None
        return self._serving.hand_out(session, job)

    def growth_refused(self, payload_bytes: int) -> bytes | None:
        """The error that a job with so large a payload gets instead of being taken in; None if
        it may be."""
        bounds = self._bounds
        engine = self.engine
        if 0 < bounds.jobs_max <= engine.size:
            return replies.OUT_OF_MEMORY
        if bounds.memory_bytes_max:
            used_bytes = engine.held_bytes + (engine.size + 1) * JOB_BYTES + payload_bytes
            if used_bytes > bounds.memory_bytes_max:
                return replies.OUT_OF_MEMORY
        return None

    def result_fits(self, result_bytes: int) -> bool:
        """Whether there is room for so large a result: more than for payloads, so that what was
        taken in can be finished."""
        memory_bytes_max = self._bounds.memory_bytes_max
        if not memory_bytes_max:
            return True
        engine = self.engine
        used_bytes = engine.held_bytes + engine.size * JOB_BYTES + result_bytes
        return used_bytes <= memory_bytes_max + memory_bytes_max // RESULT_RESERVE_DIVISOR

    def quit(self) -> None:
        """Close the asking session once its replies are sent."""
        assert self._asking is not None
        self._asking.ending = LINGER  # more may be on its way: no reset shall overtake the reply
        self._asking.reader.finish()

    def gauges(self) -> dict[str, int]:
        """The numbers of connections and requests, by name."""
        return {
            "connections": len(self._sessions),
            "waiting": self._waiting.size,
            "known-names": len(self.names),
            "requests": self._requests,
            "refused-requests": self._refused,
            "refused-connections": self._refused_connections,
            "input-bytes": self._patience.input_bytes,
        }

    # --- ends ---------------------------------------------------------------------------------

    def _cut_off(self, session: Session, error: bytes) -> None:
        """End a session whose input is too much, whatever it waits for."""
        waiter = session.waiter
        if waiter is not None:
            self._waiting.remove(waiter)
            if isinstance(waiter.wait, ResultWait) and waiter.wait.caller:
                self.engine.delete(waiter.wait.job)
                self._serving.settle()
        session.replies.append(error)
        session.ending = LINGER
        session.reader.finish()

    # --- shutting down ------------------------------------------------------------------------

    @property
    def drained(self) -> bool:
        """Whether every client is gone."""
        return not self._sessions

    def drain(self) -> None:
        """Begin to shut down: waits end, who has nothing to ask is closed, and what is served is
        what lets jobs under way come to their end. A `run` whose job a worker has waits for it."""
        self._draining = True
        for session in self._sessions:
            self._agenda.run_later(session)

    def end(self) -> None:
        """End all that is left: who still waits gets `-TIMEOUT`, and every session is closed."""
        for session in self._sessions:
            waiter = session.waiter
            if waiter is not None:
                self._serving.answer(waiter, replies.TIMEOUT)
            if not session.ending:
                session.ending = CLOSE
                session.reader.finish()
            if not session.ended:
                self._agenda.speak(session)

    def _close_if_idle(self, session: Session) -> None:
        """Close a session of which nothing is under way, and on which nobody waits."""
        if session.waiter is not None or session.reader.pending:
            return
        if any(job.state is LEASED for job in session.serving):
            return
        session.ending = CLOSE
        session.reader.finish()
