"""A broker, its clients, its clock and its log as the ring would show them, and what must hold.

`World` does what `workq.server` does, on virtual time: it reads from a client while the broker
lets it, has a turn when something has come, hands the commit to a log that may lag, does what
`release` asks, and looks at everything after each turn.
"""

from __future__ import annotations

from typing import Final

from fuzz.forms import (
    UNASKED,
    WAITING,
    check_reply,
    finished,
    lease_entries,
    untagged,
    wait_ms,
)
from fuzz.peer import Chunk, Peer, awaited, in_line, is_over, names_of, wanted
from fuzz.reader import forgetful
from fuzz.rebuild import check_derived, soonest_of_jobs
from fuzz.watched import Law, Watched
from workq import limits
from workq.broker.broker import Broker
from workq.broker.session import STAY
from workq.commands import COMMANDS
from workq.commands.base import Facts, JobWait
from workq.engine import dump
from workq.engine.state import State
from workq.limits import Bounds
from workq.wire import replies
from workq.wire.reader import Reader

#: 2030-01-01T00:00:00Z, when every world begins, and when both of its clocks stand still.
START_MS: Final = 1_893_456_000_000
END_MS: Final = 9_000_000_000_000

#: More turns than this without time passing are a broker that never comes to rest.
TURNS_MAX: Final = 5000

#: What is still served while the server shuts down.
CLOSING: Final = {"hello", "complete", "fail", "touch", "release", "result", "delete", ""}

DAY_MS: Final = 86_400_000


class World:
    """All of it.

    Args:
        bounds: what an operator can turn.

    Attributes:
        draining: whether the server is shutting down.
        now_ms, offset_ms: the two times.
        lagging: whether the log becomes safe only when it is told to.
        peers: every client that is still of interest.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.engine = Watched()
        self.bounds = bounds
        self.broker = Broker(self.engine, COMMANDS, bounds)
        self.draining = False
        self.broker.facts = Facts("1.2.3", START_MS, 12345, 4096)
        self.now_ms = START_MS
        self.offset_ms = 0
        self.lagging = False
        self.peers: list[Peer] = []
        self.end_ms = END_MS  # no time after this is shown; the end of a program goes beyond
        self._sizes: list[int] = []  # of the commits, in bytes
        self._position = 0
        self._safe = 0
        self._law = Law()
        self._replica = State()
        self._turns = 0
        self._delivered: set[int] = set()
        self._tokens = 0  # leases looked at so far
        self.turn()

    # --- what clients, clock and log do -----------------------------------------------------------

    def open(self) -> Peer:
        """A client connects."""
        peer = Peer(self.broker.open(), Reader(forgetful(), self.bounds.line_bytes_max))
        self.peers.append(peer)
        return peer

    def send(self, peer: Peer, data: bytes) -> None:
        """A client sends, unless it has said that it will not."""
        if data and not peer.shut:
            peer.sent.append(data)
            self._read(peer)

    def shut(self, peer: Peer) -> None:
        """A client half-closes."""
        peer.shut = True
        self._read(peer)

    def lose(self, peer: Peer) -> None:
        """A connection is gone."""
        if not peer.session.lost:
            self.broker.lost(peer.session)
            peer.sent.clear()

    def stall(self, peer: Peer, stalled: bool) -> None:
        """A client takes its replies no longer, or again."""
        if not peer.session.lost:
            self.broker.stall(peer.session, stalled)

    def hang_up(self) -> None:
        """Close the connections that the broker has ended; not those that still have to write."""
        for peer in self.peers:
            if peer.ending != STAY and not peer.session.stalled:
                self.lose(peer)

    def catch_up(self, positions: int) -> None:
        """The log comes nearer to being safe; all of it with 0, and then it lags no longer."""
        self.lagging = positions > 0
        if self.lagging:
            self._safe = min(self._safe + positions - 1, self._position)
            self.broker.safe(self._safe)

    def pass_time(self, ms: int) -> None:
        """Let time pass, without a turn."""
        wall_ms = min(self.now_ms + self.offset_ms + ms, self.end_ms)
        self.now_ms = min(self.now_ms + ms, self.end_ms)
        self.offset_ms = wall_ms - self.now_ms

    def step_wall(self, ms: int) -> None:
        """Somebody sets the wall clock."""
        wall_ms = min(max(self.now_ms + self.offset_ms + ms, 0), self.end_ms)
        self.offset_ms = wall_ms - self.now_ms

    def drain(self) -> None:
        """Begin to shut down."""
        self.draining = True
        self.broker.drain()

    def end(self) -> None:
        """End what is left of a shutdown: after it, every client has its last words."""
        self.drain()
        self.broker.end()
        self.catch_up(0)
        self.turn()
        assert all(peer.session.ended or peer.session.lost for peer in self.peers)
        for peer in self.peers:
            self.lose(peer)
        self.turn()
        assert self.broker.drained

    def _read(self, peer: Peer) -> None:
        """Read from a client what the broker lets the ring read."""
        session = peer.session
        while peer.sent and not peer.paused:
            piece = peer.sent.popleft()
            if peer.ending != STAY or session.lost:
                continue  # the ring lingers, and throws away what it reads
            if not session.runnable:
                bound = self._pending_max() + peer.piece_max
                assert session.reader.pending <= bound, "input without a bound"
            peer.piece_max = max(peer.piece_max, len(piece))
            if session.ending == STAY:
                peer.note_received(piece, self.now_ms)
            peer.paused = not self.broker.receive(session, piece)
        if peer.shut and not peer.sent and not peer.paused and not peer.heard_shut:
            peer.heard_shut = True
            if peer.ending == STAY and not session.lost:
                peer.note_end(self.now_ms)
                self.broker.eof(session)

    def _pending_max(self) -> int:
        """The input that a session may hold when the ring reads on: what has come behind a request
        that waits stays when the wait is over."""
        request = self.bounds.line_bytes_max + limits.BLOCK_BYTES_MAX + 2
        return max(limits.INPUT_BYTES_PAUSE, limits.INPUT_BYTES_MAX, request)

    # --- turns ------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Have turns until none is wanted at this instant."""
        for _ in range(TURNS_MAX):
            self.turn()
            for peer in self._resumed():
                peer.paused = False
                self._read(peer)
            if self.broker.next_ms() > self.now_ms:
                self._check_rest()
                return
        raise AssertionError("the broker does not come to rest")

    def _resumed(self) -> list[Peer]:
        """The clients that are not read from and shall be again."""
        if resumed := getattr(self.broker, "resumed", None):
            return [session.peer for session in resumed() if not session.lost]
        return [peer for peer in self.peers if peer.paused and self.broker.reads_on(peer.session)]

    def walk(self, ms: int, turns_max: int) -> None:
        """Let time pass, with a turn whenever one is wanted, but for too many."""
        until_ms = self.now_ms + ms
        for _ in range(turns_max):
            next_ms = self.broker.next_ms()
            if next_ms > min(until_ms, self.end_ms):
                break
            self.pass_time(max(next_ms - self.now_ms, 0))
            self.rest()
        self.pass_time(until_ms - self.now_ms)
        self.rest()

    def turn(self) -> bool:
        """One turn as the ring has it; return whether anything came of it."""
        broker = self.broker
        commit = broker.turn(self.now_ms, self.offset_ms)
        self._law.judge(commit, self.now_ms, self.now_ms + self.offset_ms)
        self._replica.now_ms = self.now_ms
        for transition in commit:
            self._replica.apply(transition)
        if commit:
            self._position += 1
            size = sum(len(value) for made in commit for value in made if isinstance(value, bytes))
            broker.appended(self._position, size)
            self._sizes.append(size)
        if not self.lagging:
            self._safe = self._position
            broker.safe(self._safe)
        for peer in self.peers:
            self._hear(peer)
            peer.seen_bytes = len(peer.received)
        self._check_turn()
        sends = broker.release()
        for session, data, ending in sends:
            self._take(session.peer, data, ending)
        for peer in self.peers:
            if not peer.session.lost and peer.chunks:
                assert peer.chunks[0].position > self._safe, "a reply is held without need"
        self._check_held()
        return bool(commit or sends)

    def _hear(self, peer: Peer) -> None:
        """Look at what a session has said in this turn."""
        session = peer.session
        said = session.replies
        if not session.spoken:
            assert not said, "something was said and nobody is told"
            return
        if session.lost:
            return
        for number, reply in enumerate(said, 1):
            last = number == len(said) and session.ending != STAY
            if last and reply in UNASKED and not session.ended:
                self._check_unasked(peer, reply)
            else:
                self._check_reply(peer, reply)
        leases = session.undelivered[len(session.undelivered) - session.leases_told :]
        tokens = [token for _, token in leases]
        told = [entry for reply in said for entry in lease_entries(untagged(reply)[1])]
        both = slice(peer.version - 1, session.version)  # it may have said hello in this turn
        assert len(told) == len(tokens)
        for reply, token in zip(told, tokens, strict=True):
            assert reply in self.engine.leases[token][both]
        peer.version = session.version
        assert not peer.told & set(tokens)
        peer.told |= set(tokens)
        chunk = Chunk(self._position, b"".join(said), session.ending, tokens)
        if not session.ended:
            peer.chunks.append(chunk)
        else:
            assert not said, "something is said after the end"

    def _check_reply(self, peer: Peer, said: bytes) -> None:
        """Hold a reply of a session against the request it answers: the next one without a tag, or
        one with the same tag."""
        tag, reply = untagged(said)
        if tag is None:
            place = peer.next
            assert place is not None, "more replies than requests"
            self._check_answer(peer, place, reply)
            peer.answered_ms = self.now_ms
        else:
            place = self._place_of(peer, tag, reply)
        del peer.open[place]

    def _place_of(self, peer: Peer, tag: int, reply: bytes) -> int:
        """The place of a request with a tag that a reply fits: there may be several of one tag."""
        places = [place for place in peer.open if peer.tags[place] == tag]
        assert places, "a reply with a tag that nobody asked for"
        for place in places:
            try:
                self._check_answer(peer, place, reply)
            except AssertionError:
                if place == places[-1]:
                    raise
            else:
                return place
        raise AssertionError

    def _check_answer(self, peer: Peer, place: int, reply: bytes) -> None:
        name, arguments = peer.asked[place]
        if reply == replies.SHUTTING_DOWN:
            assert self.draining
            assert name not in CLOSING
        elif reply == replies.TOO_MANY_WAITS:
            assert name in WAITING
            assert peer.tags[place] is not None
        else:
            check_reply(name, arguments, reply)
        if name in WAITING:
            for result in finished(reply):
                assert result in self.engine.results or result in self._law.results
            if reply == replies.TIMEOUT and not peer.heard_shut and not self.draining:
                asked_ms = peer.asked_ms[place]
                if peer.tags[place] is None:
                    asked_ms = max(asked_ms, peer.answered_ms)
                assert self.now_ms >= asked_ms + wait_ms(name, arguments), "a wait ended early"

    def _check_unasked(self, peer: Peer, reply: bytes) -> None:
        """Whether there is a reason for the last words to a client."""
        bounds = self.bounds
        if reply == replies.TOO_MANY_CONNECTIONS:
            assert len(peer.open) == len(peer.asked), "one too many is told so before anything else"
            assert len(self.peers) > bounds.connections_max > 0, "there is room for this client"
        elif reply == replies.SHUTTING_DOWN:
            assert self.draining, "nobody shuts the server down"
        elif reply == replies.REQUEST_TIMEOUT:
            limit_ms = bounds.request_timeout_ms
            if self.draining:
                limit_ms = min(limit_ms or limits.CLOSING_REQUEST_MS, limits.CLOSING_REQUEST_MS)
            assert limit_ms, "there is no such limit"
            assert not peer.between_requests(bounds), "a client between two requests"
            came_ms = peer.asked_ms[: peer.looked_at[0]]  # what has come since may be too late
            open_one = peer.next
            assert open_one is None or open_one >= len(came_ms), "a request that came in time"
            silent_ms = self.now_ms - max(came_ms[-1:], default=0)
            assert silent_ms >= limit_ms, "a request that is young"
        elif reply == replies.IDLE_TIMEOUT:
            assert bounds.idle_timeout_ms, "there is no such limit"
            assert not peer.open, "an idle client that asks"
            silent_ms = self.now_ms - max(peer.asked_ms[-1:], default=0)
            assert silent_ms >= bounds.idle_timeout_ms, "a client idle too short"

    def _take(self, peer: Peer, data: bytes, ending: int) -> None:
        """Look at what leaves, and do what the ring does with it."""
        assert not peer.session.lost, "something is sent to nobody"
        assert peer.ending == STAY, "something is sent after the end"
        chunk = peer.chunks.popleft()
        assert (data, ending) == (chunk.data, chunk.ending)
        assert chunk.position <= self._safe, "a reply leaves before it is safe"
        peer.delivered |= set(chunk.tokens)
        self._delivered |= set(chunk.tokens)
        peer.ending = ending

    def _held_up(self) -> bool:
        """Whether so much waits for the log that nothing is done that makes more."""
        held_bytes = self.broker.gauges()["unsent-bytes"]
        ahead_bytes = sum(self._sizes[self._safe :])
        return held_bytes >= limits.HELD_BYTES_MAX or ahead_bytes >= limits.AHEAD_BYTES_MAX

    # --- what must hold ---------------------------------------------------------------------------

    def _check_held(self) -> None:
        """What waits for the log is counted, and what does not wait is not."""
        unsent_bytes = self.broker.gauges()["unsent-bytes"]
        held_bytes = sum(
            len(chunk.data) for peer in self.peers if not peer.session.lost for chunk in peer.chunks
        )
        assert unsent_bytes >= held_bytes, "replies are held that are not counted"
        assert self._safe < self._position or not unsent_bytes, "replies are counted and gone"

    def _check_turn(self) -> None:
        """What holds after each turn, before its replies leave."""
        engine = self.engine
        if not engine.behind and not self._held_up():
            for peer in self.peers:
                for name in awaited(peer.session):
                    assert engine.head(name) is None, "somebody waits for a job that is ready"
        held = {token for peer in self.peers for _, token in peer.session.undelivered}
        new = list(engine.leases)[self._tokens :]
        self._tokens += len(new)
        assert held | engine.given_back >= set(new), "a lease was told to nobody"
        self._check_turns_taken(new)
        told = [peer.told for peer in self.peers if peer.told]
        assert len(set().union(*told)) == sum(map(len, told)), "a lease was told to two"
        for peer in self.peers:
            assert not peer.delivered & engine.given_back, "a lease that arrived was undone"

    def _check_turns_taken(self, tokens: list[int]) -> None:
        """First come, first served; a job of a name does not go past those who waited for it."""
        self._turns += 1
        before = {id(peer): peer.waiting for peer in self.peers}
        for peer in self.peers:
            peer.waiting = {
                waiter: peer.waiting.get(waiter, self._turns)
                for waiter in peer.session.waiters
                if in_line(waiter)
            }
        for peer in self.peers:
            for token in peer.told.intersection(tokens):
                name = self.engine.leases[token][0].split(b" ", 2)[1]
                waited = before[id(peer)].items()
                mine = [turn for one, turn in waited if name in wanted(one)]
                since = min(mine, default=self._turns)
                for other in self.peers:
                    for waiter, turn in other.waiting.items():
                        overtaken = turn < since and name in names_of(waiter)
                        assert not overtaken, "somebody is overtaken"

    def _check_rest(self) -> None:
        """What holds when nothing is left to do at this instant."""
        engine = self.engine
        assert not engine.behind
        if self._held_up():
            return
        soonest_ms = soonest_of_jobs(engine, self.offset_ms)
        for peer in self.peers:
            for waiter in peer.session.waiters:
                if not waiter.over and waiter.at_ms is not None:
                    soonest_ms = min(soonest_ms, waiter.at_ms)
            self._check_peer_at_rest(peer)
        assert self.now_ms < self.broker.next_ms() <= soonest_ms, "something is overdue"
        standing = {job.lease.token for job in engine.jobs.values() if job.lease is not None}
        held = {token for peer in self.peers for _, token in peer.session.undelivered}
        assert standing <= self._delivered | held, "a lease that nobody got stands"
        self._check_state()
        assert not self.turn(), "rest is no rest"
        assert self.broker.next_ms() > self.now_ms
        self.peers = [peer for peer in self.peers if not is_over(peer)]
        for peer in self.peers:
            peer.looked_at = len(peer.asked), len(peer.received)

    def _check_peer_at_rest(self, peer: Peer) -> None:
        """Everything that was asked is answered, or there is a reason."""
        session = peer.session
        if session.lost:
            assert session.ending != STAY or session.waiters, "requests are left undone"
            assert not session.undelivered, "a lease that nobody got is kept"
            return
        held_up = session.stalled or session.ending != STAY
        assert session.asked is None or held_up, "a request is put off for ever"
        if self.draining and session.ending == STAY:
            served = any(job.lease is not None for job in session.serving)
            busy = session.stalled or session.choked or bool(session.waiters) or served
            busy = busy or session.reader.pending > 0
            assert busy, "a client is kept that has nothing to do here"
        if session.ending == STAY and session.waiter is None:
            behind = session.stalled or (session.choked and peer.chunks)
            done = len(peer.open) == len(session.tagged)
            assert behind or done, "a request has no reply"
        assert not (peer.paused and self.broker.reads_on(session)), "a client is read no more"
        if session.waiter is not None:
            assert peer.next is not None
            assert peer.asked[peer.next][0] in WAITING
        assert len(session.tagged) <= limits.TAGGED_WAITS_MAX
        for waiter in session.waiters:
            if isinstance(waiter.wait, JobWait):
                assert session.stalled or in_line(waiter), "a waiter is in no line"
            if peer.heard_shut:
                assert waiter.over, "the wait of a client that is gone"

    def _check_state(self) -> None:
        """The derived state follows from the durable one, and that from the commits."""
        engine = self.engine
        check_derived(engine)
        assert dump.durable(self._replica) == dump.durable(engine)
        assert not 0 < self.bounds.jobs_max < engine.size
        if self.bounds.memory_bytes_max:
            used_bytes = engine.held_bytes + engine.size * limits.JOB_BYTES
            assert used_bytes <= self.bounds.memory_bytes_max * 9 // 8
        gauges = self.broker.gauges()
        waiting = sum(len(peer.session.waiters) for peer in self.peers)
        assert gauges["waiting"] == waiting
        served = [peer for peer in self.peers if not getattr(peer.session, "refused", False)]
        assert gauges["connections"] == sum(not peer.session.lost for peer in served)
        held_bytes = sum(
            peer.session.reader.pending
            for peer in self.peers
            if not peer.session.ending and not peer.session.lost
        )
        assert gauges["input-bytes"] == held_bytes, "input is counted that is gone, or is not"
        assert held_bytes <= self.bounds.input_bytes_max or not self.bounds.input_bytes_max
        known = {name for peer in self.peers for name in awaited(peer.session)}
        known |= {queue.name for queue in engine.queues.values()}
        listed = self.broker.names.listed(0, 10_000)
        assert listed == sorted(set(listed))
        assert known <= set(listed)
        assert len(listed) == gauges["known-names"]

    def check_end(self) -> None:
        """What holds once all clients are gone and everything they waited for is over."""
        self._check_rest()
        assert not self.peers
        assert not any(job.foreground for job in self.engine.jobs.values())
        gauges = self.broker.gauges()
        assert (gauges["waiting"], gauges["connections"]) == (0, 0)
        assert not self.engine.woken
        assert not self.engine.changed
        assert not self.engine.commit
        assert dump.digest(self._replica) == dump.digest(self.engine)
        check_derived(self._replica, foreground=False)
