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
from tests.simulation.violation import Violation, demand
from tests.simulation.words import (
    IDLE_TIMEOUT,
    NOT_FOUND,
    OUT_OF_MEMORY,
    REQUEST_TIMEOUT,
    SHUTTING_DOWN,
    TIMEOUT,
    TOO_MANY_WAITS,
    TOO_MUCH_INPUT,
    counted,
    lease_of,
    leases_of,
    result_of,
)

#: What is still served while the server shuts down.
CLOSING: Final = frozenset(
    ("hello", "complete", "fail", "touch", "release", "result", "delete"),
)

#: What may have to wait.
WAITING: Final = frozenset(("lease", "run", "result"))


class Oracle(Answers):
    """Knows what is right.

    Args:
        bounds: the server's settings.
        behind_bytes_max: how much may be sent behind a request that waits.
        tagged_waits_max: how many requests of a connection may wait under tags.
        all_tagged_waits_max: how many of all connections.

    Attributes:
        model: the jobs.
        peers: the connections that matter.
        known: the names of queues that `inspect` must show.
        draining: whether the server has been told to stop.
        full: whether the log has said that the disk is full.
        late_ms: how late something may be at present.
        now_us: the machine's time.
        drained_us: when the server was told to stop.
        token_before: the highest token of a lease before this start.
    """

    def __init__(
        self, bounds: Any, behind_bytes_max: int, tagged_waits_max: int, all_tagged_waits_max: int
    ) -> None:
        self.bounds = bounds
        self.behind_bytes_max = behind_bytes_max
        self.tagged_waits_max = tagged_waits_max
        self.all_tagged_waits_max = all_tagged_waits_max
        self.token_before = 0
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
        ending = [
            (peer, wait) for peer, wait in self._waits()
            if wait.until_ms <= now_ms and not wait.over
        ]  # fmt: skip
        for _, wait in ending:
            due_ms = min(due_ms, wait.until_ms)
        self._end_waits(ending)
        demand(
            now_ms - due_ms <= self.late_ms, "deadlines",
            f"something was due {now_ms - due_ms} ms ago",
        )  # fmt: skip

    def on_serve(self, session: Any) -> None:
        """A connection has its share of the turn."""
        peer = self.peers.get(session)
        if peer is None:
            return
        if peer.eof or self.draining:
            self._end_waits([(peer, wait) for wait in peer.waits() if not wait.over])
        elif not peer.stalled:
            for wait in peer.waits():
                if wait.names and wait.place < 0 and peer.waits_for(wait):
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
                self.model.give_back(job, "lease given back")
            else:
                self.model.count("undelivered lease over")
        peer.undelivered.clear()
        self._settle()

    def on_execute(self, session: Any, name: str, reply: bytes | None) -> None:
        """A request was executed; `reply` is None if it waits."""
        peer = self.peers[session]
        asked, arguments = self._next(peer, f"`{name}` was executed")
        demand(asked == name, "replies", f"{peer.name}: `{name}` was executed for `{asked}`")
        late = self.draining and name not in CLOSING
        demand(not late, "replies", f"{peer.name}: `{name}` was executed at the end")
        if peer.tag is not None:
            self.model.count("tagged request")
            many = name in WAITING and bool(self._no_room(peer))
            demand(not many, "bounds", f"{peer.name} waits for too much at once")
        self.model.count("command " + name)
        answer = getattr(self, "_" + name.replace(" ", "_").replace("-", "_"))
        answer(peer, arguments, reply)
        peer.tag = None
        self._settle()

    def on_refused(self, session: Any, error: bytes) -> None:
        """A request was refused before it was executed."""
        peer = self.peers[session]
        name, _ = self._next(peer, f"{error!r} was said")
        if error == SHUTTING_DOWN:
            reason = self.draining and name not in CLOSING
        else:
            reason = peer.tag is not None and name in WAITING and error in self._no_room(peer)
            self.model.count("too many waits")
        demand(reason, "replies", f"{peer.name} is told {error!r} for `{name}`")
        peer.expect(error, f"asks `{name}`")
        peer.tag = None

    def on_unread(self, session: Any, error: bytes) -> None:
        """What a connection has sent could not be read."""
        peer = self.peers[session]
        if error:
            name, expected = self._next(peer, f"{error!r} was said")
            demand(name == "", "replies", f"{peer.name} is told {error!r} for `{name}`")
            if peer.tag is not None:
                self.model.count("tagged request refused")
            peer.expect(expected, "is refused")
            peer.tag = None

    def on_abandon(self, session: Any) -> None:
        """A connection waits for nothing any more; there must be a reason by the turn's end."""
        peer = self.peers[session]
        peer.abandoned = True
        self._drop_waits(peer)
        self._settle()

    def _drop_waits(self, peer: Peer) -> None:
        """All that a connection waits for ends without an answer."""
        for wait in peer.waits():
            peer.wait_ends(wait)
            self.model.count("wait ends with its connection")
            if wait.caller and wait.job is not None and self._there(wait.job):
                self.model.remove(wait.job, "caller cut off")

    def _next(self, peer: Peer, what: str) -> tuple[str, Any]:
        """The request that is answered now."""
        demand(peer.items, "replies", f"{peer.name}: {what} and not asked for")
        demand(peer.wait is None, "replies", f"{peer.name}: {what} before what it waits for")
        return peer.take()

    def _no_room(self, peer: Peer) -> list[bytes]:
        """The errors that a request may get that would wait under a tag."""
        found = [TOO_MANY_WAITS] if len(peer.tagged) >= self.tagged_waits_max else []
        tagged = sum(len(one.tagged) for one in self.peers.values())
        return [*found, OUT_OF_MEMORY] if tagged >= self.all_tagged_waits_max else found

    def on_cut(self, session: Any, error: bytes) -> None:
        """A connection was ended, whatever it waits for."""
        peer = self.peers[session]
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
        self._drop_waits(peer)
        peer.end()
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
            for wait in peer.waits():
                self._answer(peer, wait, TIMEOUT, "waits at the end")
            if not peer.closing:
                peer.end()

    def on_full(self, full: bool) -> None:
        """The log has said whether there is room."""
        self.full = full

    def _rest_of(self, peer: Peer) -> None:
        """Account for what else a client was told in this turn."""
        if peer.open_said():
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
            not peer.open_said(), "replies",
            f"{peer.name} is told without having asked: {peer.next_said()!r}",
        )  # fmt: skip
        demand(
            peer.closing or not peer.abandoned, "replies",
            f"{peer.name} waits for nothing any more, without a reason",
        )  # fmt: skip

    # --- waiting ------------------------------------------------------------------------------

    def _place(self) -> int:
        self.line_places += 1
        return self.line_places

    def _waits(self) -> list[tuple[Peer, Wait]]:
        """All waits, with those who wait."""
        return [(peer, wait) for peer in self.peers.values() for wait in peer.waits()]

    def _there(self, job: Job) -> bool:
        return self.model.jobs.get(job.id) is job

    def _withdraw(self, peer: Peer) -> None:
        for wait in peer.waits():
            wait.place = -1

    def _wait(self, peer: Peer, wait: Wait) -> None:
        """A request begins to wait, if it may."""
        peer.begin(wait)
        if len(peer.tagged) > 1:
            self.model.count("several wait under tags")
        if peer.eof or self.draining or wait.until_ms <= self.model.now_ms:
            self._settle()
            if peer.waits_for(wait):
                self._end_wait(peer, wait)

    def _end_waits(self, ending: list[tuple[Peer, Wait]]) -> None:
        """Waits are over, all at one instant."""
        # A caller's job goes with the wait, and who waits for it to the same instant hears of one
        # or the other.
        going = [
            wait.job for _, wait in ending
            if wait.caller and wait.job is not None and wait.job.state != LEASED
        ]  # fmt: skip
        for peer, wait in sorted(ending, key=lambda one: one[1].caller):
            if not peer.waits_for(wait):
                continue
            if not wait.caller and wait.job in going and TIMEOUT not in peer.said_of(wait):
                continue
            self._end_wait(peer, wait)
        self._settle()

    def _end_wait(self, peer: Peer, wait: Wait) -> None:
        """A wait is over."""
        if wait.caller:
            assert wait.job is not None
            if wait.job.state == LEASED:
                wait.over = True
                return
            self.model.remove(wait.job, "wait of the caller ends")
        self._answer(peer, wait, TIMEOUT, "waits no longer")

    def _answer(self, peer: Peer, wait: Wait, reply: bytes, why: str) -> int:
        """A request that has waited is answered; return the place of the reply."""
        peer.wait_ends(wait)
        if wait.tag is not None:
            self.model.count("tagged wait answered")
        elif peer.items and peer.items[0][2] is not None:
            self.model.count("tagged request held up")
        return peer.claim(wait, reply, why)

    def _settle(self) -> None:
        """Serve everybody whose job has come or has changed, until nothing changes."""
        while self._tell() or self._serve_lines():
            pass
        self.model.over.clear()

    def _tell(self) -> bool:
        """Tell those who wait for results."""
        told = False
        finished: list[Job] = []
        for peer, wait in self._waits():
            job = wait.job
            if job is None:
                continue
            if not self._there(job):
                self._answer(peer, wait, NOT_FOUND, "waits for what is gone")
            elif job.finished():
                self._answer(peer, wait, counted([result_of(job)]), "waits for a result")
                finished += [job] if job.foreground else []
            elif wait.over and job in self.model.over:
                self._answer(peer, wait, TIMEOUT, "has waited for the end of a lease")
                self.model.remove(job, "lease of a caller that waits no longer ends")
            else:
                continue
            told = True
        for job in finished:
            if self._there(job) and not self._awaited(job):
                self.model.remove(job, "result told")
        return told

    def _awaited(self, job: Job) -> bool:
        return any(wait.job is job for _, wait in self._waits())

    def _serve_lines(self) -> bool:
        """Hand out what is ready to those who wait, first come, first served."""
        waits = [(peer, wait) for peer, wait in self._waits() if wait.place >= 0]
        if not waits:
            return False
        waits.sort(key=lambda one: one[1].place)
        first_of: dict[bytes, tuple[Peer, Wait]] = {}
        for peer, wait in reversed(waits):
            first_of.update(dict.fromkeys(wait.names, (peer, wait)))
        stuck = ""
        other: tuple[Peer, Wait, list[bytes], Job, bytes] | None = None
        for name in sorted({job.name for job in self.model.jobs.values() if job.state == "ready"}):
            if name not in first_of:
                continue
            peer, wait = first_of[name]
            job = self.model.ready(name)[0]
            told = [reply for reply in peer.said_of(wait) if leases_of(reply)[:1]]
            reply = next((one for one in told if leases_of(one)[0].id == job.id), b"")
            if not reply and len(wait.names) == 1 and told:
                reply = told[0]
            if reply:
                # It gets more than one only of those for which nobody waited before it; who did
                # may have been served before.
                names = [one for one in wait.names if first_of[one][1] is wait]
                other = (peer, wait, names, job, reply)
                if len(leases_of(reply)) <= sum(len(self.model.ready(one)) for one in names):
                    break
            else:
                stuck = f"{peer.name} waits for {name!r} and is not handed {job.id!r}"
        if other is not None:
            peer, wait, names, job, reply = other
            self._hand_out(peer, self._lent(peer, names, wait.most, reply, job), reply, wait)
            return True
        demand(not stuck, "waiting", stuck)
        return False

    def _lent(
        self, peer: Peer, names: Any, most: int, reply: bytes, first: Job | None = None
    ) -> list[Job]:
        """Lease the jobs that a reply hands out, if they are the right ones.

        Args:
            peer: who gets them.
            names: of the queues from which they may be.
            most: how many at the most.
            reply: the reply.
            first: the one that must be the first; None for any that may be.
        """
        told = leases_of(reply)
        jobs: list[Job] = []
        served = self.model.served
        while len(jobs) < most:
            ready = [self.model.ready(name) for name in names]
            heads = [head[0] for head in ready if head]
            if not heads:
                break
            at = len(jobs)
            is_next = [job for job in heads if at < len(told) and told[at].id == job.id]
            if not is_next or (first is not None and not jobs and is_next[0] is not first):
                ids = [job.id for job in heads]
                raise Violation(
                    "order", f"{peer.name} leases {most} of {names!r}, and has {at}: "
                    f"one of {ids!r} is next, {reply!r} was said",
                )  # fmt: skip
            job = is_next[0]
            if first is None or jobs:
                longest = min(heads, key=lambda head: served.get(head.name, 0))
                if served.get(job.name, 0) > served.get(longest.name, 0):
                    raise Violation(
                        "order", f"{peer.name} is handed a job of {job.name!r}, though "
                        f"{longest.name!r} was served longer ago",
                    )  # fmt: skip
            jobs.append(job)
            self.model.lease(job)
            if peer.version == 2:
                keys = told[at].attributes
                right = keys.get(b"attempt") == b"%d" % job.attempts
                token = keys.get(b"token", b"")
                if not (right and token.isdigit()):
                    raise Violation("replies", f"{peer.name} is handed a job: {told[at]}")
                job.token = int(token)
        if len(jobs) > 1:
            self.model.count("several leased")
        return jobs

    def _hand_out(self, peer: Peer, jobs: list[Job], reply: bytes, wait: Wait | None) -> None:
        told = leases_of(reply)
        texts = [one.text if peer.version == 2 else b"" for one in told]
        numbers: list[int] = []
        for job in jobs:
            self.leases += 1
            numbers.append(self.leases)
            self.holders[job.id] = self.leases
            peer.undelivered.append((job, self.leases))
            peer.leased[job] = None
            if job.foreground:
                peer.works_on.append((job, self.leases))
        expected = counted([lease_of(job, text) for job, text in zip(jobs, texts, strict=False)])
        if wait is None:
            place = peer.expect(expected, "is handed a job")
        else:
            place = self._answer(peer, wait, expected, "is handed a job")
        peer.leases[place] = tuple(numbers)

    def may_close(self, peer: Peer) -> bool:
        """Whether the documents let the server end a connection now."""
        if peer.closing or peer.eof or peer.lost:
            return True
        works = any(
            job.state == LEASED and self.holders.get(job.id) == number and self._there(job)
            for job, number in peer.works_on
        )
        return self.draining and not (peer.items or peer.waits() or works)

    # --- what leaves --------------------------------------------------------------------------

    def collect(self, position: int) -> None:
        """Note what was said in a turn that ended with a position of the log."""
        for peer in self.peers.values():
            if not peer.lost:
                for place, reply in enumerate(peer.said):
                    peer.waiting.append(Said(reply, position, peer.leases.get(place, ())))
            peer.said, peer.at, peer.abandoned = [], 0, False
            peer.claimed.clear()
            peer.leases.clear()
        over = [
            session for session, peer in self.peers.items()
            if 0 < peer.forgotten_us < self.now_us - 2_000_000
            and not (peer.waits() or peer.items or peer.undelivered)
        ]  # fmt: skip
        for session in over:
            del self.peers[session]
