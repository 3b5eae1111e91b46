"""What every client must be told, turn by turn, from the documents and what the server was told.

The server may choose the order in which it serves connections, and which of several queues a
waiting lease gets its job from; `watch.py` notes these choices as events. Everything else has one
right answer, and `Oracle` works it out from `Model`: for each turn it goes through the events again
and demands that exactly the expected replies were said, in their order.
"""

from __future__ import annotations

from typing import Any, Final

from tests.simulation.answers import Answers
from tests.simulation.model import LEASED, Job, Model
from tests.simulation.peers import Peer, Said, Wait
from tests.simulation.violation import demand
from tests.simulation.words import (
    IDLE_TIMEOUT,
    NOT_FOUND,
    REQUEST_TIMEOUT,
    SHUTTING_DOWN,
    TIMEOUT,
    TOO_MUCH_INPUT,
    lease_of,
    leased_id,
    result_of,
)

#: What is still served while the server shuts down.
CLOSING: Final = frozenset(("complete", "fail", "result", "delete", ""))


class Oracle(Answers):
    """Knows what is right.

    Args:
        bounds: the server's settings.
        behind_bytes_max: how much may be sent behind a request that waits.

    Attributes:
        model: the jobs.
        peers: the connections that matter.
        known: the names of queues that `inspect` must show.
        draining: whether the server has been told to stop.
        full: whether the log has said that the disk is full.
        late_ms: how late something may be at present.
        now_us: the machine's time.
        drained_us: when the server was told to stop.
    """

    def __init__(self, bounds: Any, behind_bytes_max: int) -> None:
        self.bounds = bounds
        self.behind_bytes_max = behind_bytes_max
        self.model = Model()
        self.peers: dict[Any, Peer] = {}
        self.known: set[bytes] = set()
        self.draining = self.full = False
        self.late_ms = self.now_us = self.drained_us = 0
        self.line_places = 0
        self.leases = 0
        self.holders: dict[bytes, int] = {}

    def restarted(self, jobs: dict[bytes, Job]) -> None:
        """A server has started with these jobs, and knows nobody."""
        model = self.model
        model.jobs = jobs
        model.evicted = 0
        model.changed.clear()
        model.over.clear()
        model.served.clear()
        model.rounds = 0
        model.leased_now = False
        self.peers.clear()
        self.known = {job.name for job in jobs.values()}
        self.draining = self.full = False

    # --- a turn, once more --------------------------------------------------------------------

    def turn(self, events: list[tuple[Any, ...]]) -> None:
        """Go through what happened up to the end of a turn."""
        for kind, *arguments in events:
            getattr(self, "on_" + kind)(*arguments)
        for peer in self.peers.values():
            if not peer.lost:
                self._rest_of(peer)

    def on_turn(self, now_ms: int, offset_ms: int) -> None:
        """Time has come."""
        model = self.model
        model.rounds += model.leased_now
        model.leased_now = False
        due_ms = model.advance(now_ms, offset_ms)
        self._settle()
        waits = [(peer, peer.wait) for peer in self.peers.values() if peer.wait is not None]
        ending = [(peer, wait) for peer, wait in waits if wait.until_ms <= now_ms and not wait.over]
        for _, wait in ending:
            due_ms = min(due_ms, wait.until_ms)
        # A caller's job goes with the wait, and who waits for it to the same instant hears of one
        # or the other.
        going = [
            wait.job for _, wait in ending
            if wait.caller and wait.job is not None and wait.job.state != LEASED
        ]  # fmt: skip
        for peer, wait in sorted(ending, key=lambda one: one[1].caller):
            if peer.wait is wait and not wait.caller and wait.job in going:
                if peer.next_said() == NOT_FOUND:
                    continue
            if peer.wait is wait:
                self._end_wait(peer, wait)
        self._settle()
        demand(
            now_ms - due_ms <= self.late_ms, "deadlines",
            f"something was due {now_ms - due_ms} ms ago",
        )  # fmt: skip

    def on_serve(self, session: Any) -> None:
        """A connection has its share of the turn."""
        peer = self.peers.get(session)
        wait = None if peer is None else peer.wait
        if peer is None or wait is None:
            return
        if peer.eof or self.draining:
            if not wait.over:
                self._end_wait(peer, wait)
                self._settle()
        elif wait.names and wait.place < 0 and not peer.stalled:
            wait.place = self._place()
            self._settle()

    def on_served(self, session: Any) -> None:
        """Its share is over: what a lost one was handed goes back."""
        peer = self.peers.get(session)
        if peer is None or not peer.lost:
            return
        peer.forgotten_us = max(self.now_us, 1)
        for job, number in peer.undelivered:
            if job.state == LEASED and self.holders.get(job.id) == number and self._there(job):
                self.model.give_back(job)
        peer.undelivered.clear()
        self._settle()

    def on_execute(self, session: Any, name: str, reply: bytes | None) -> None:
        """A request was executed; `reply` is None if it waits."""
        peer = self.peers[session]
        self._refusals(peer)
        demand(peer.items, "replies", f"{peer.name}: `{name}` was executed and not asked for")
        asked, arguments = peer.take()
        demand(asked == name, "replies", f"{peer.name}: `{name}` was executed for `{asked}`")
        self.model.count("command " + name)
        answer = getattr(self, "_" + name.replace(" ", "_").replace("-", "_"))
        answer(peer, arguments, reply)
        self._settle()

    def on_cut(self, session: Any, error: bytes) -> None:
        """A connection was ended, whatever it waits for."""
        peer = self.peers[session]
        self._refusals(peer, error)
        if error == TOO_MUCH_INPUT:
            waits = peer.wait is not None
            demand(
                waits and peer.pending_bytes() > self.behind_bytes_max, "bounds",
                f"{peer.name} is cut off, and has sent {peer.pending_bytes()} bytes",
            )  # fmt: skip
        else:
            pending = sum(one.pending_bytes() for one in self.peers.values())
            limit = self.bounds.input_bytes_max
            demand(pending > limit, "bounds", f"{peer.name} is cut off with {pending} of {limit}")
        wait, peer.wait = peer.wait, None
        peer.end()
        if wait is not None and wait.caller and wait.job is not None and self._there(wait.job):
            self.model.remove(wait.job, "caller cut off")
            self._settle()
        peer.expect(error, "is cut off")

    def on_open(self, session: Any, peer: Peer, first: bytes) -> None:
        """A client has connected; `first` is what one too many is told."""
        self.peers[session] = peer
        if first:
            peer.refused = True
            limit = self.bounds.connections_max
            others = sum(not (one.lost or one.refused) for one in self.peers.values())
            demand(
                self.draining if first == SHUTTING_DOWN else 0 < limit <= others,
                "bounds", f"{peer.name} was turned away: {first!r}",
            )  # fmt: skip
            peer.end()
            peer.expect(first, "is turned away")

    def on_eof(self, session: Any) -> None:
        """A client sends no more."""
        peer = self.peers[session]
        peer.eof = True
        self._withdraw(peer)

    def on_lost(self, session: Any) -> None:
        """A connection is gone."""
        peer = self.peers[session]
        peer.lost = peer.eof = True
        peer.stalled = False
        peer.waiting.clear()
        self._withdraw(peer)

    def on_stall(self, session: Any, stalled: bool) -> None:
        """A client takes its replies no longer, or again."""
        peer = self.peers[session]
        peer.stalled = stalled
        if stalled:
            self._withdraw(peer)

    def on_drain(self) -> None:
        """The server was told to stop."""
        self.draining = True
        self.drained_us = self.now_us

    def on_end(self) -> None:
        """The time to stop is over: who waits is told so; what the lost have asked is done."""
        for peer in self.peers.values():
            if peer.lost:
                continue
            if peer.wait is not None:
                peer.wait = None
                peer.expect(TIMEOUT, "waits at the end")
            if not peer.closing:
                peer.end()

    def on_full(self, full: bool) -> None:
        """The log has said whether there is room."""
        self.full = full

    def _rest_of(self, peer: Peer) -> None:
        """Account for what else a client was told in this turn."""
        self._refusals(peer)
        if peer.at < len(peer.said):
            last = peer.next_said()
            if peer.eof and not peer.closing and last == peer.cut_off:
                peer.expect(last, "was cut off in a block")
            elif last in (REQUEST_TIMEOUT, IDLE_TIMEOUT):
                limited = self.bounds.request_timeout_ms if last == REQUEST_TIMEOUT else (
                    self.bounds.idle_timeout_ms
                )  # fmt: skip
                if self.draining and last == REQUEST_TIMEOUT:  # then it has not long
                    limited = min(limited or 1000, 1000)
                demand(limited, "replies", f"{peer.name} has no such limit: {last!r}")
                since_us = peer.heard_us if last == IDLE_TIMEOUT else peer.began_us
                demand(
                    self.now_us - since_us >= 1000 * (limited - 1), "deadlines",
                    f"{peer.name} is told {last!r} too early",
                )  # fmt: skip
                peer.expect(last, "is too slow")
            peer.end()
        demand(
            peer.at == len(peer.said), "replies",
            f"{peer.name} is told without having asked: {peer.next_said()!r}",
        )  # fmt: skip

    def _refusals(self, peer: Peer, cut: bytes = b"") -> None:
        """Take the requests that are refused without being executed, before it is cut off."""
        if peer.next_said() in (REQUEST_TIMEOUT, IDLE_TIMEOUT):
            return  # they came too late
        while peer.items and (peer.lost or peer.at < len(peer.said)):
            name, arguments = peer.items[0]
            if cut and peer.next_said() == cut:
                return
            if name == "":
                peer.expect(arguments, "is refused")
            elif self.draining and name not in CLOSING:
                peer.expect(SHUTTING_DOWN, f"asks `{name}` too late")
            else:
                return
            peer.take()

    # --- waiting ------------------------------------------------------------------------------

    def _place(self) -> int:
        self.line_places += 1
        return self.line_places

    def _there(self, job: Job) -> bool:
        return self.model.jobs.get(job.id) is job

    def _withdraw(self, peer: Peer) -> None:
        if peer.wait is not None:
            peer.wait.place = -1

    def _wait(self, peer: Peer, wait: Wait) -> None:
        """A request begins to wait, if it may."""
        peer.wait = wait
        if peer.eof or self.draining or wait.until_ms <= self.model.now_ms:
            self._settle()
            if peer.wait is wait:
                self._end_wait(peer, wait)

    def _end_wait(self, peer: Peer, wait: Wait) -> None:
        """A wait is over."""
        if wait.caller:
            assert wait.job is not None
            if wait.job.state == LEASED:
                wait.over = True
                return
            self.model.remove(wait.job, "wait of the caller ends")
        self._answer(peer, TIMEOUT, "waits no longer")

    def _answer(self, peer: Peer, reply: bytes, why: str) -> None:
        peer.wait = None
        peer.expect(reply, why)

    def _settle(self) -> None:
        """Serve everybody whose job has come or has changed, until nothing changes."""
        while self._tell() or self._serve_lines():
            pass
        self.model.over.clear()

    def _tell(self) -> bool:
        """Tell those who wait for results."""
        told = False
        finished: list[Job] = []
        for peer in self.peers.values():
            wait = peer.wait
            if wait is None or wait.job is None:
                continue
            job = wait.job
            if not self._there(job):
                self._answer(peer, NOT_FOUND, "waits for what is gone")
            elif job.finished():
                self._answer(peer, result_of(job), "waits for a result")
                finished += [job] if job.foreground else []
            elif wait.over and job in self.model.over:
                self._answer(peer, TIMEOUT, "has waited for the end of a lease")
                self.model.remove(job, "lease of a caller that waits no longer ends")
            else:
                continue
            told = True
        for job in finished:
            if self._there(job) and not self._awaited(job):
                self.model.remove(job, "result told")
        return told

    def _awaited(self, job: Job) -> bool:
        return any(p.wait is not None and p.wait.job is job for p in self.peers.values())

    def _serve_lines(self) -> bool:
        """Hand out what is ready to those who wait, first come, first served."""
        waits = [peer for peer in self.peers.values() if peer.wait and peer.wait.place >= 0]
        if not waits:
            return False
        waits.sort(key=lambda peer: peer.wait.place if peer.wait else 0)
        served = False
        stuck = ""
        names = {job.name: None for job in self.model.jobs.values() if job.state == "ready"}
        for name in sorted(names):
            first = next((p for p in waits if p.wait and name in p.wait.names), None)
            if first is None or first.wait is None:
                continue
            job = self.model.ready(name)[0]
            told = leased_id(first.next_said())
            if told == job.id or len(first.wait.names) == 1:
                first.wait = None
                self._hand_out(first, job)
                served = True
            else:
                stuck = f"{first.name} waits for {name!r} and is not handed {job.id!r}"
        demand(served or not stuck, "waiting", stuck)
        return served

    def _hand_out(self, peer: Peer, job: Job) -> None:
        self.leases += 1
        self.model.lease(job)
        self.holders[job.id] = self.leases
        peer.undelivered.append((job, self.leases))
        if job.foreground:
            peer.works_on.append((job, self.leases))
        peer.leases[peer.at] = self.leases
        peer.expect(lease_of(job), "is handed a job")

    def may_close(self, peer: Peer) -> bool:
        """Whether the documents let the server end a connection now."""
        if peer.closing or peer.eof or peer.lost:
            return True
        works = any(
            job.state == LEASED and self.holders.get(job.id) == number and self._there(job)
            for job, number in peer.works_on
        )
        return self.draining and not (peer.items or peer.wait or works)

    # --- what leaves --------------------------------------------------------------------------

    def collect(self, position: int) -> None:
        """Note what was said in a turn that ended with a position of the log."""
        for peer in self.peers.values():
            if not peer.lost:
                for place, reply in enumerate(peer.said):
                    peer.waiting.append(Said(reply, position, peer.leases.get(place, 0)))
            peer.said, peer.at = [], 0
            peer.leases.clear()
        over = [
            session for session, peer in self.peers.items()
            if 0 < peer.forgotten_us < self.now_us - 2_000_000
            and not (peer.wait or peer.items or peer.undelivered)
        ]  # fmt: skip
        for session in over:
            del self.peers[session]
