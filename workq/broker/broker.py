"""The broker: what each client's request leads to, turn by turn.

The ring tells it what came (`receive`, `eof`, `lost`, `stall`), then calls `turn`: time advances,
what is due fires, waiters are served, waits end, requests are executed. What one turn decided is
one commit, which `turn` returns. The ring hands it to the log, tells how far the log has come
(`appended`, `safe`), and does what `release` gives it: those replies may leave.

A turn is bounded, so that no client's work makes the others wait; the rest of it is done in the
next. Nobody is overtaken: sessions take turns in the order in which their requests came.
"""

from __future__ import annotations

from workq.broker.gate import Gate, Send
from workq.broker.names import KnownNames
from workq.broker.session import CLOSE, LINGER, Session
from workq.broker.waiting import Waiter, Waiting
from workq.commands.base import (
    Command,
    Facts,
    ResultWait,
    Wait,
    finished,
    leased,
)
from workq.engine.engine import Engine
from workq.engine.job import GONE, Job
from workq.engine.transitions import Transition
from workq.limits import (
    CASCADES_PER_TURN_MAX,
    DEADLINES_PER_TURN_MAX,
    INPUT_BYTES_MAX,
    INPUT_BYTES_PAUSE,
    RECORD_BYTES_PER_TURN_MAX,
    REQUEST_BYTES_PER_TURN_MAX,
    REQUESTS_PER_SESSION_AND_TURN_MAX,
    REQUESTS_PER_TURN_MAX,
    UNSENT_BYTES_MAX,
)
from workq.wire import replies
from workq.wire.grammar import Table


class Broker:
    """All sessions before one engine. It is the `Desk` of the commands.

    Args:
        engine: the engine.
        commands: the commands there are, in the order of their documentation.

    Attributes:
        facts: what the ring knows of the process; the ring replaces it.
    """

    def __init__(self, engine: Engine, commands: tuple[Command, ...]) -> None:
        self.engine = engine
        self.commands = commands
        self.facts = Facts()
        self._table: Table[Command] = Table(commands)
        self._waiting = Waiting()
        self.names = KnownNames(engine, self._waiting)
        engine.awaited = self._waiting.lines
        self._gate = Gate()
        self._runnable: list[Session] = []
        self._spoken: list[Session] = []
        self._asking: Session | None = None  # whose request is being executed
        self._sessions = 0
        self._requests = 0
        self._refused = 0

    # --- what the ring tells ------------------------------------------------------------------

    def open(self) -> Session:
        """A client has connected."""
        self._sessions += 1
        return Session(self._table)

    def receive(self, session: Session, data: bytes) -> bool:
        """Bytes have come; return whether the ring shall read on (see `reads_on`)."""
        session.reader.feed(data)
        if session.runnable or session.stalled or session.choked:
            self._run_later(session)
            return self.reads_on(session)
        session.runnable = True
        self._runnable.append(session)
        return True

    def eof(self, session: Session) -> None:
        """The client will send no more: from now on each of its waits is 0."""
        session.eof = True
        self._run_later(session)

    def lost(self, session: Session) -> None:
        """The connection is gone. What was received is still done; nobody is told."""
        assert not session.lost
        self._sessions -= 1
        session.lost = session.eof = True
        session.stalled = False
        self._run_later(session)

    def stall(self, session: Session, stalled: bool) -> None:
        """The client does not take its replies, or does again."""
        session.stalled = stalled
        if not stalled:
            self._run_later(session)

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
            self._settle()
        if not engine.behind:
            self._end_waits()
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
        spoken = self._spoken
        if spoken:
            for session in spoken:
                session.spoken = False
                gate.hold(session)
            spoken.clear()
        sends = gate.release()
        for session, _, _ in sends:
            if session.choked and session.unsent_bytes < UNSENT_BYTES_MAX:
                session.choked = False
                self._run_later(session)
        return sends

    def next_ms(self) -> int:
        """When the next turn is wanted at the latest; `NEVER` for not before something comes."""
        if self._runnable:
            return self.engine.now_ms
        return min(self.engine.next_ms(), self._waiting.soonest_ms)

    def _serve_sessions(self) -> None:
        sessions = self._runnable
        self._runnable = []
        requests_max = self._requests + REQUESTS_PER_TURN_MAX
        bytes_left = RECORD_BYTES_PER_TURN_MAX
        for index, session in enumerate(sessions):
            if self._requests >= requests_max or bytes_left <= 0:
                self._runnable = sessions[index:] + self._runnable
                return
            session.runnable = False
            bytes_left -= self._serve(session)

    def _serve(self, session: Session) -> int:
        """Execute a session's requests, as many as one turn may; return the bytes in them."""
        if session.eof and session.waiter is not None:
            self._cut_wait(session.waiter)
        reader = session.reader
        start = reader.at
        if session.waiter is None and not session.ending and not session.stalled:
            self._asking = session
            self._requests += self._execute(session)
        if session.lost or session.waiter is not None:
            self._after(session)
        elif (session.replies or session.ending) and not session.spoken and not session.ended:
            session.spoken = True
            self._spoken.append(session)
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
                self._run_later(session)
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
                self._run_later(session)
                return done
            session.asked = None
            reply = command.execute(self, *arguments)
            if isinstance(reply, bytes):
                said.append(reply)
                said_bytes += len(reply)
            else:
                self._wait(session, reply)
            if engine.changed or engine.woken:
                self._settle()
            if session.ending or session.waiter is not None:
                return done + 1
        self._run_later(session)
        return REQUESTS_PER_SESSION_AND_TURN_MAX

    def _after(self, session: Session) -> None:
        """A session's share of the turn is over."""
        if session.lost:
            session.replies.clear()
            session.leases_told = 0
            for job_id, token in session.undelivered:
                self.engine.give_back(job_id, token)
            session.undelivered.clear()
            self._settle()
            return
        if session.waiter is not None and session.reader.pending > INPUT_BYTES_MAX:
            self._give_up_wait(session)
        if session.replies or (session.ending and not session.ended):
            self._speak(session)

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
        return self._hand_out(session, job)

    def quit(self) -> None:
        """Close the asking session once its replies are sent."""
        assert self._asking is not None
        self._asking.ending = CLOSE
        self._asking.reader.finish()

    def gauges(self) -> dict[str, int]:
        """The numbers of connections and requests, by name."""
        return {
            "connections": self._sessions,
            "waiting": self._waiting.size,
            "known-names": len(self.names),
            "requests": self._requests,
            "refused-requests": self._refused,
        }

    # --- waiting ------------------------------------------------------------------------------

    def _wait(self, session: Session, wait: Wait) -> None:
        """Let the request of a session wait; one that may not wait is answered at once."""
        now_ms = self.engine.now_ms
        waiter = Waiter(session, wait, now_ms + wait.wait_ms)
        self._waiting.add(waiter, now_ms)
        if session.eof or not wait.wait_ms:
            self._settle()
            if session.waiter is waiter:
                self._end_wait(waiter)

    def _settle(self) -> None:
        """Serve those whose job has changed or come, until nothing changes any more.

        While the engine is behind, nobody is handed a job: the head of a queue may be overdue
        itself, and one that should be before it may be unfired.
        """
        engine = self.engine
        while engine.changed or (engine.woken and not engine.behind):
            changed, engine.changed = engine.changed, []
            for job in changed:
                self._tell(job)
            if engine.behind:
                continue
            woken, engine.woken = engine.woken, []
            for queue in woken:
                queue.woken = False
                self._serve_line(queue.name)

    def _tell(self, job: Job) -> None:
        """Tell those who wait for a job's result what became of it."""
        if job.watchers is None:
            return
        watchers: list[Waiter] = list(job.watchers)
        if job.state is GONE:
            for waiter in watchers:
                self._answer(waiter, replies.NOT_FOUND)
        elif job.finished:
            reply = finished(job)
            for waiter in watchers:
                self._answer(waiter, reply)
            if job.foreground:
                self.engine.delete(job)
        else:  # its lease has ended; whose wait was over before has waited for that
            for waiter in watchers:
                if waiter.over:
                    self._end_wait(waiter)

    def _serve_line(self, name: bytes) -> None:
        """Hand out what is ready in a queue to those who wait for it."""
        while (first := self._waiting.first(name)) is not None:
            job = self.engine.head(name)
            if job is None:
                return
            waiter = first[0]
            self._answer(waiter, self._hand_out(waiter.session, job))

    def _hand_out(self, session: Session, job: Job) -> bytes:
        token = self.engine.lease(job)
        session.undelivered.append((job.id, token))
        session.leases_told += 1
        return leased(job)

    def _answer(self, waiter: Waiter, reply: bytes) -> None:
        """Answer a request that has waited; what is behind it can go on."""
        self._waiting.remove(waiter)
        session = waiter.session
        session.replies.append(reply)
        self._speak(session)
        self._run_later(session)

    def _end_waits(self) -> None:
        """End the waits whose time is over, as many as one turn may."""
        now_ms = self.engine.now_ms
        for _ in range(DEADLINES_PER_TURN_MAX):
            waiter = self._waiting.ended(now_ms, CASCADES_PER_TURN_MAX)
            if waiter is None:
                break
            self._end_wait(waiter)
        if self.engine.changed:
            self._settle()

    def _end_wait(self, waiter: Waiter) -> None:
        """End a wait: at its time, or because its client sends no more."""
        wait = waiter.wait
        if isinstance(wait, ResultWait) and wait.caller:
            job = wait.job
            if job.lease is not None:
                waiter.over = True  # its worker may still finish it in this lease
                waiter.unset()
                return
            self._answer(waiter, replies.TIMEOUT)
            self.engine.delete(job)
            return
        self._answer(waiter, replies.TIMEOUT)

    def _cut_wait(self, waiter: Waiter) -> None:
        """End a wait because its client sends no more: what has become of its job comes first."""
        if isinstance(waiter.wait, ResultWait):
            self.engine.find(waiter.wait.job.id)
            self._settle()
        if waiter.session.waiter is waiter:
            self._end_wait(waiter)
            self._settle()

    def _give_up_wait(self, session: Session) -> None:
        """A client has sent more than is kept behind a request that waits: end it."""
        waiter = session.waiter
        assert waiter is not None
        self._waiting.remove(waiter)
        wait = waiter.wait
        if isinstance(wait, ResultWait) and wait.caller:
            self.engine.delete(wait.job)
            self._settle()
        session.replies.append(replies.TOO_MUCH_INPUT)
        session.ending = LINGER
        session.reader.finish()

    # --- lists --------------------------------------------------------------------------------

    def _run_later(self, session: Session) -> None:
        if not session.runnable:
            session.runnable = True
            self._runnable.append(session)

    def _speak(self, session: Session) -> None:
        if not session.spoken:
            session.spoken = True
            self._spoken.append(session)
