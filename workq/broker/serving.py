"""Serving those who wait: handing out jobs, telling results, ending waits.

A job goes to exactly one waiter, first come, first served; the end of a job is told to everybody
who waits for it. Whatever changes the engine is followed by `settle`, so that no job is ready
while somebody waits for it.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from workq.broker.agenda import Agenda
from workq.broker.session import Session
from workq.broker.waiting import Waiter, Waiting
from workq.commands.base import (
    JobWait,
    ResultWait,
    Wait,
    finished,
    lease_entry,
    leased,
)
from workq.engine.engine import Engine
from workq.engine.job import GONE, LEASED, Job
from workq.engine.queue import Queue
from workq.limits import (
    ANSWER_COST,
    ANSWERS_PER_TURN_MAX,
    BLOCK_BYTES_LIKE_A_REQUEST,
    CASCADES_PER_TURN_MAX,
    LISTED_BYTES_MAX,
)
from workq.wire import replies


class Serving:
    """The waiters of all sessions and what becomes of them.

    Args:
        engine: has the jobs.
        waiting: has the waiters.
        agenda: learns whose turn it is and who has something to send.
    """

    def __init__(self, engine: Engine, waiting: Waiting, agenda: Agenda) -> None:
        self._engine = engine
        self._waiting = waiting
        self._agenda = agenda
        self._telling: deque[Waiter] = deque()
        self._left = 0

    def wait(self, session: Session, wait: Wait, hasty: bool, tag: int | None = None) -> None:
        """Let the request of a session wait; one that may not wait is answered at once.

        Args:
            session: whose request it is.
            wait: what for.
            hasty: whether no request may wait.
            tag: of the request.
        """
        now_ms = self._engine.now_ms
        waiter = Waiter(session, wait, now_ms + wait.wait_ms, tag)
        self._waiting.add(waiter, now_ms)
        if hasty or session.eof or not wait.wait_ms:
            self.settle()
            # What a turn has no room for it may still get: then it ends in the next one.
            if waiter.waits and (hasty or session.eof or not self._engine.late):
                self._end_wait(waiter)

    @property
    def telling(self) -> bool:
        """Whether results are to be told that a turn had no room for."""
        return bool(self._telling)

    def begin_turn(self) -> None:
        """Go on telling what the turn before had no room for; serve whom time has given a job."""
        self._left = ANSWERS_PER_TURN_MAX
        self._tell_on()
        if self._engine.changed or self._engine.woken:
            self.settle()

    def settle(self) -> None:
        """Serve those whose job has changed or come, until nothing changes any more.

        While the engine is late, nobody is handed a job: one that should be before the head of its
        queue may be unfired. When a turn has handed out as much as it may, the engine counts as
        late too, so that nobody overtakes who waits.
        """
        engine = self._engine
        while engine.changed or (engine.woken and not engine.late):
            changed, engine.changed = engine.changed, []
            for job in changed:
                self._tell(job)
            if engine.late:
                continue
            woken, engine.woken = engine.woken, []
            for queue in woken:
                queue.woken = False
                self._serve_line(queue)

    def _tell(self, job: Job) -> None:
        """See to it that those who wait for a job's result hear what became of it."""
        watchers = job.watchers
        if watchers is None:
            return
        if job.state is GONE or job.finished:
            job.watchers = None
            reply = replies.NOT_FOUND if job.state is GONE else finished(job)
            for waiter in watchers:
                waiter.unset()
                waiter.told = reply
            self._telling.extend(watchers)
            self._tell_on()
            if job.foreground and job.state is not GONE:
                self._engine.delete(job)
        else:  # its lease has ended; whose wait was over before has waited for that
            for waiter in list(watchers):
                if waiter.over:
                    self._end_wait(waiter)

    def _tell_on(self) -> None:
        """Tell results, in the order in which they came, as many as one turn may."""
        while self._telling and self._left > 0:
            waiter = self._telling.popleft()
            if waiter.waits:
                self.answer(waiter, waiter.told)

    def _serve_line(self, queue: Queue[Job]) -> None:
        """Hand out what is ready in a queue to those who wait for it."""
        ready = queue.ready
        while ready.size and (first := self._waiting.first(queue.name)) is not None:
            if self._left <= 0:
                self._engine.behind = self._engine.late = True  # so nobody overtakes
                self._engine.wake(queue)  # the next turn goes on
                return
            if self._engine.behind and not self._engine.knows_heads((queue.name,)):
                return  # the next turn begins with it
            job = ready.first()
            if job is None:
                continue
            waiter, wait = first
            if len(wait.names) > 1 and wait.jobs_max > 1:  # who came before it has the others
                wait = wait._replace(names=self._waiting.led(waiter, wait))
            self.answer(waiter, self.hand_out(waiter.session, job, wait))

    def withdraw(self, session: Session) -> None:
        """A client cannot take a job any more, or not now: hand it none."""
        if session.waiter is not None:
            self._waiting.leave(session.waiter)
        for waiter in session.tagged:
            self._waiting.leave(waiter)
            session.withdrawn = True

    def rejoin(self, waiter: Waiter, wait: JobWait) -> None:
        """A client that waits for a job can take one again: let it stand in line anew."""
        self._waiting.join(waiter, wait)
        for name in wait.names:
            queue = self._engine.queues.get(name)
            if queue is not None and queue.ready.size:
                self._engine.wake(queue)
        self.settle()

    def hand_out(self, session: Session, job: Job, wait: JobWait) -> bytes:
        """Lease a ready job to a session, and more if it wants more; return the reply that tells it
        so."""
        self._lend(session, job)
        if wait.jobs_max == 1 and session.version == 1:
            return leased(job)
        entries = [lease_entry(job, session.version)]
        size = len(entries[0])
        for more in islice(self._engine.in_turn(wait.names), wait.jobs_max - 1):
            if size >= LISTED_BYTES_MAX:
                break
            self._lend(session, more)
            self._left -= 1
            entries.append(lease_entry(more, session.version))
            size += len(entries[-1])
        return replies.counted(entries)

    def _lend(self, session: Session, job: Job) -> None:
        token = self._engine.lease(job)
        session.undelivered.append((job.id, token))
        session.leases_told += 1
        if job.foreground:
            session.serving = [one for one in session.serving if one.state is LEASED]
            session.serving.append(job)

    def answer(self, waiter: Waiter, reply: bytes) -> None:
        """Answer a request that has waited; what is behind it can go on."""
        self._left -= waiter.cost + ANSWER_COST + len(reply) // BLOCK_BYTES_LIKE_A_REQUEST
        self._waiting.remove(waiter)
        session = waiter.session
        if waiter.tag is not None:
            reply = replies.tagged(waiter.tag, reply)
        session.replies.append(reply)
        self._agenda.speak(session)
        if waiter.plain and session.reader.empty and not (session.runnable or session.stalled):
            session.careful = False
        else:
            self._agenda.run_later(session)

    def end_waits(self) -> None:
        """End the waits whose time is over, as many as one turn may."""
        engine = self._engine
        if engine.late or engine.unclear:
            return  # who waits may have a job yet
        now_ms = engine.now_ms
        self._waiting.cascade(now_ms, CASCADES_PER_TURN_MAX)
        while self._left > 0:
            waiter = self._waiting.ended(now_ms)
            if waiter is None:
                break
            wait = waiter.wait
            if engine.behind and isinstance(wait, ResultWait) and not wait.job.foreground:
                if engine.find(wait.job.id) is None:  # its TTL has ended, and that comes first
                    waiter.told = replies.NOT_FOUND
            self._end_wait(waiter)
        if engine.changed:
            self.settle()

    def _end_wait(self, waiter: Waiter) -> None:
        """End a wait: at its time, or because its client sends no more."""
        wait = waiter.wait
        if waiter.told:
            self.answer(waiter, waiter.told)
            return
        if isinstance(wait, ResultWait) and wait.caller:
            job = wait.job
            if job.lease is not None:
                waiter.over = True  # its worker may still finish it in this lease
                waiter.unset()
                return
            self.answer(waiter, replies.TIMEOUT)
            self._engine.delete(job)
            return
        self.answer(waiter, replies.TIMEOUT)

    def abandon(self, session: Session) -> None:
        """Let a session wait for nothing any more, without an answer."""
        waiters = session.waiters
        for waiter in waiters:
            self._waiting.remove(waiter)
            if isinstance(waiter.wait, ResultWait) and waiter.wait.caller:
                if waiter.wait.job.state is not GONE:
                    self._engine.delete(waiter.wait.job)
        if waiters:
            self.settle()

    def see_to_tagged(self, session: Session, ends: bool) -> int:
        """End the waits under tags of a client that sends no more; let those of one that takes jobs
        again stand in line. Return what that costs, in usual requests."""
        cost = 0
        for waiter in session.waiters:
            if waiter.tag is None or not waiter.waits:
                continue
            cost += waiter.cost
            if ends:
                self.cut_wait(waiter)
            elif isinstance(waiter.wait, JobWait) and not waiter.in_line:
                self.rejoin(waiter, waiter.wait)
        session.withdrawn = False
        return cost

    def cut_wait(self, waiter: Waiter) -> None:
        """End a wait because its client sends no more: what has become of its job comes first."""
        if isinstance(waiter.wait, ResultWait):
            self._engine.find(waiter.wait.job.id)
            self.settle()
        if waiter.waits:
            self._end_wait(waiter)
            self.settle()
