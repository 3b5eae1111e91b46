"""The promises beyond one turn: what is safe, what survives, what is told too early.

Each change of the model is kept with the position of the log at which it was appended. So when a
server starts again, the position that it says it has come to tells which changes there must be, and
how far it must have come is known from what had left, from the disk, and from the time.
"""

from __future__ import annotations

from typing import Any, Final

from tests.simulation import tidy
from tests.simulation.damage import Damage
from tests.simulation.model import LEASED, Job
from tests.simulation.network import Wire
from tests.simulation.oracle import Oracle
from tests.simulation.peers import Peer
from tests.simulation.times import Times
from tests.simulation.violation import demand
from tests.simulation.watch import Watch, compare, jobs_of
from workq.cmdlog.scan import Reading
from workq.engine import dump
from workq.engine.engine import Engine
from workq.errors import LogError
from workq.limits import Bounds
from workq.recovery.replay import replay

LOG_FAILED: Final = b"-SERVER-ERROR Log failed\r\n"


class Promises:
    """Watches one world.

    Args:
        world: the world.

    Attributes:
        oracle: knows what every client must be told.
        damage: knows which bits have flipped.
        times: knows how late it may be.
        disk_failed: whether the disk has given the present server a reason to end.
        starved: whether there was not even room for the shortest segment.
        hampered: whether something has kept it from compacting.
        untidy: whether something could not be removed.
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        mine = world.settings
        self.oracle = Oracle(
            Bounds(
                connections_max=mine.connections_max, memory_bytes_max=mine.memory_bytes_max,
                jobs_max=mine.jobs_max, input_bytes_max=mine.input_bytes_max,
                request_timeout_ms=mine.request_timeout_ms, idle_timeout_ms=mine.idle_timeout_ms,
            ),
            mine.small["INPUT_BYTES_MAX"], mine.small["TAGGED_WAITS_MAX"],
            mine.small["ALL_TAGGED_WAITS_MAX"],
        )  # fmt: skip
        self._watch: Watch | None = None
        self._always = mine.sync == "always"
        self._base: dict[bytes, Job] = {}
        self._history: list[tuple[int, int, dict[bytes, Job | None]]] = []
        self._changed_at = 0  # the position of the last change of a job
        self._numbers = [(0, (0, 0))]
        self._position = 0
        self._told = 0  # the highest position that a client may have been told of
        self._required = 0  # what the next start must have
        self._required_after_power = 0
        self._at_most = 0
        self._written_at: list[tuple[int, int]] = []  # time and position, for `interval`
        self._slow_until_us = 0
        self._digest: bytes | None = None
        self.damage = Damage(world)
        self.disk_failed = self.hampered = self.starved = self.untidy = False
        self._failed_at_start = False
        self._found: dict[str, bytes] = {}
        self._to_tell: list[Peer] = []
        self._token = 0
        self.times = Times(world)
        self._failed_us = 0
        self._epoch = 0
        self._damaged = False

    # --- a server begins ----------------------------------------------------------------------

    def starting(self) -> None:
        """A server is about to start, and finds this on the disk."""
        files = self._world.disk.files
        self._found = {name: bytes(inode.now) for name, inode in files.items()}

    def started(self, ring: Any) -> None:
        """A server has read the log and opened it, and has not served yet."""
        world = self._world
        position = ring.log.position - 1
        # Starts that came no further than to say so have written behind what there was.
        begun = 0 if self.damage.done else max(ring.log.epoch - self._epoch - 1, 0)
        survived = position - begun
        self._judge_position(survived)
        jobs = self._jobs_at(survived)
        compare(jobs_of(ring.broker.engine), jobs, "survival", f"a start at position {position}")
        demand(
            ring.log.epoch > self._epoch or self._damaged, "survival",
            f"epoch {ring.log.epoch} has been before",
        )  # fmt: skip
        if self._damaged:  # what nobody vouched for is lost, epochs among it
            self._token = 0
            world.tokens.clear()
        self.oracle.token_before = self._token
        self._epoch, self._damaged = ring.log.epoch, False
        if self._digest is not None:
            same = dump.digest(ring.broker.engine) == self._digest
            demand(same, "digest", "the state after a clean stop has another digest")
            self._digest = None
        self._check_numbers(ring.broker.engine, survived)
        self._base = self._copied(jobs)
        self.times.started(time_ms for at, time_ms, _ in self._history if at <= survived)
        self._history.clear()
        self._written_at.clear()
        self._position = ring.log.position
        self._told = self._changed_at = position
        self._required = self._required_after_power = self._at_most = 0
        self.oracle.restarted(jobs)
        self.oracle.full = ring.broker.room.disk_full
        demand(world.room_is_short or not self.oracle.full, "replies", "there is room on the disk")
        newest = max(name for name in world.disk.files if name.endswith(".log"))
        short = len(world.disk.files[newest].now) < world.settings.segment_bytes
        demand(self.oracle.full or not short, "replies", "a segment is short, and nobody is told")
        demand(not self._failed_at_start, "server", "a start has passed over a failed call")
        self.disk_failed = self.hampered = self.starved = self.untidy = False
        self._to_tell = []
        tidy.kept_aside(world.disk, self._found, position)
        self._watch = Watch(ring, self._begun, self._ended, self._log_fails)
        unsafe = world.disk.unsafe_segments()
        demand(not unsafe, "survival", f"a server serves while {unsafe} are not safe")
        world.disk.reset_frames(ring.log.position)
        world.note(f"serves from position {position} with {len(jobs)} jobs")

    def _numbers_of(self, engine: Any) -> tuple[int, int]:
        """How far the numbers have come that are never used twice."""
        return engine.seq, engine.token

    def _check_numbers(self, engine: Any, position: int) -> None:
        """A start knows how far they had come."""
        known = [numbers for at, numbers in self._numbers if at <= position]
        self._numbers = [(0, known[-1])]
        found = self._numbers_of(engine)
        demand(found == known[-1], "digest", f"numbers go on from {found}, not from {known[-1]}")

    def _copied(self, jobs: dict[bytes, Job]) -> dict[bytes, Job]:
        return {job_id: job.copy() for job_id, job in jobs.items()}

    def _jobs_at(self, position: int) -> dict[bytes, Job]:
        """The jobs there must be at a position of the log."""
        jobs = dict(self._base)
        for at, _, changed in self._history:
            if at > position:
                break
            for job_id, job in changed.items():
                if job is None:
                    jobs.pop(job_id, None)
                else:
                    jobs[job_id] = job
        return self._copied(jobs)

    def _judge_position(self, position: int) -> None:
        """Whether a start has come far enough, and not too far."""
        required = self._required
        if self.damage.done:
            required = self.damage.accepted(required)
            self.times.lost()
            self._damaged = True
        demand(
            position >= required, "survival",
            f"a start ends with position {position}, and {required} was safe",
        )  # fmt: skip
        if self._at_most:
            demand(
                position <= self._at_most, "survival",
                f"a start ends with position {position}: only {self._at_most} were written",
            )  # fmt: skip

    # --- a turn -------------------------------------------------------------------------------

    def _begun(self, now_ms: int, offset_ms: int) -> None:
        """A turn begins: is the time right?"""
        self.oracle.late_ms = self.times.turn(now_ms, offset_ms, self.oracle.model.now_ms)

    def slowed(self) -> None:
        """The disk is slow for a while."""
        self._slow_until_us = self._world.now_us + 2_000_000

    def at_rest(self) -> None:
        """The server has nothing to do: everything that can be answered was, and has left."""
        disk = self._world.disk
        if self._watch is None or self._watch.ring.failed.is_set():
            return
        now_us = self._world.now_us
        if self.disk_failed and not self._world.stopping:
            since_us = max(self._failed_us, self.times.stall_end_us, self._slow_until_us)
            demand(now_us < since_us + 1_000_000, "server", "the disk has failed, and it goes on")
        limit_us = 1000 * self.oracle.bounds.request_timeout_ms
        for peer in self.oracle.peers.values():
            if peer.waits() or peer.stalled or peer.items:
                peer.busy_us = now_us
            if peer.lost or peer.stalled:
                continue
            self._look_at_silence(peer)
            if peer.asked_us >= 0 and not (peer.closing or peer.eof or peer.wait):
                since_us = max(peer.asked_us, peer.busy_us, self.times.stall_end_us)
                within_us = limit_us or 1 << 60
                if self.oracle.draining:  # then it has not long
                    since_us = max(since_us, self.oracle.drained_us)
                    within_us = min(within_us, 1_000_000)
                demand(
                    now_us - since_us < within_us + 200_000, "deadlines",
                    f"{peer.name} takes longer than it may for a request",
                )  # fmt: skip
            held_bytes = sum(len(said.reply) for said in peer.waiting)
            if held_bytes >= self._world.settings.small["UNSENT_BYTES_MAX"]:
                continue  # nothing more is begun before they have left
            demand(
                peer.wait is not None or peer.closing or not peer.items, "liveness",
                f"{peer.name} has asked, and nothing happens: {list(peer.items)[:1]!r}",
            )  # fmt: skip
            ended = peer.closing and not peer.eof and peer.wait is None
            demand(
                not (ended and peer.tagged), "liveness", f"{peer.name} waits, though it was closed",
            )  # fmt: skip
            if peer.waiting and not self._world.steps_on_the_way:
                safe = disk.safe if self._always else disk.written
                held = peer.waiting[0].position > safe or self.disk_failed
                demand(held, "liveness", f"{peer.name} is not sent what it was told")

    def _look_at_silence(self, peer: Peer) -> None:
        """Who says nothing for too long, and waits for nothing, is not kept."""
        limit_us = 1000 * self.oracle.bounds.idle_timeout_ms
        if peer.asked_us >= 0:  # it is in the middle of a request, for which there is more time
            peer.busy_us = self._world.now_us
        kept = peer.wire is not None and peer.wire.takes_more()
        if limit_us and kept and not (peer.closing or peer.eof):
            since_us = max(peer.heard_us, peer.busy_us, self.times.stall_end_us)
            demand(
                self._world.now_us - since_us < limit_us + 300_000, "deadlines",
                f"{peer.name} is silent for longer than it may",
            )  # fmt: skip

    def _ended(self) -> None:
        """A turn has ended; nothing has been sent yet."""
        watch, oracle, world = self._watch, self.oracle, self._world
        assert watch is not None
        events, watch.events = watch.events, []
        position = watch.ring.log.position
        for session, peer in oracle.peers.items():
            peer.said = session.replies if not peer.lost else []
            if peer.said:
                peer.said = list(peer.said)
        for event in events:
            if event[0] == "open":
                event[2].said = list(event[1].replies)
            elif event == ("full", True):
                demand(self.hampered, "replies", "the disk is called full, and has room")
        oracle.now_us = world.now_us
        oracle.turn(events)
        model = oracle.model
        self._look_at_leases(watch.ring.broker.engine)
        if model.changed:
            demand(
                position > self._position, "records",
                f"something has changed and is not on the log: {next(iter(model.changed))!r}",
            )  # fmt: skip
            changed = {
                job_id: model.jobs[job_id].copy()
                if job_id in model.jobs and not model.jobs[job_id].foreground else None
                for job_id in model.changed
            }  # fmt: skip
            self._history.append((position, model.now_ms, changed))
            self._changed_at = position
            self._numbers.append((position, self._numbers_of(watch.ring.broker.engine)))
            model.changed.clear()
        if position > self._position:
            self._written_at.append((world.now_us, position))
        self._position = position
        oracle.collect(self._changed_at)
        self._bounds(watch.ring)

    def _look_at_leases(self, engine: Any) -> None:
        """No token of a lease was ever given before, not even by a server whose log was lost."""
        model = self.oracle.model
        handed, model.handed = model.handed, []
        highest = self._token
        for job in handed:
            found = engine.jobs.get(job.id)
            if model.jobs.get(job.id) is not job:  # it is gone, and another has its id
                continue
            if job.state == LEASED and found is not None and found.lease is not None:
                told, job.token = job.token, found.lease.token
                demand(told in (None, job.token), "records", "a client was told another token")
                demand(job.token > self._token, "records", "the token of a lease was used before")
                highest = max(highest, job.token)
        self._token = highest

    def _log_fails(self, error: Exception) -> None:
        """The server has failed: whom it has to tell so."""
        if isinstance(error, LogError):
            self._to_tell = [
                peer for peer in self.oracle.peers.values()
                if not peer.lost and peer.wire is not None and peer.wire.takes_more()
            ]  # fmt: skip

    def _bounds(self, ring: Any) -> None:
        """What never may be too much."""
        bounds, model = self.oracle.bounds, self.oracle.model
        engine = ring.broker.engine
        demand(engine.size == len(model.jobs), "bounds", "the server has more jobs than it should")
        demand(not 0 < bounds.jobs_max < len(model.jobs), "bounds", "there are too many jobs")
        limit = bounds.memory_bytes_max
        if limit:
            used = model.used_bytes()
            demand(used <= limit + limit // 8 + 900, "bounds", "jobs take too much memory")
        if bounds.connections_max > 0:
            served = sum(not (p.lost or p.refused) for p in self.oracle.peers.values())
            demand(served <= bounds.connections_max, "bounds", "there are too many connections")

    def executed(self, name: str, reply: object) -> None:
        """A command was executed."""
        assert self._watch is not None
        self._watch.executed(name, reply)

    # --- connections --------------------------------------------------------------------------

    def opened(self, wire: Wire) -> None:
        """The server has accepted a connection."""
        assert self._watch is not None
        session = wire.session
        peer = Peer(f"client {len(self.oracle.peers) + 1}", 65_536)
        peer.wire = wire
        peer.heard_us = self._world.now_us
        first = b"".join(session.replies)
        # What is received must find the peer even before the turn in which it is seen first.
        self.oracle.peers[session] = peer
        self._watch.events.append(("open", session, peer, first))

    def received(self, wire: Wire, data: bytes) -> None:
        """The server has read something."""
        world = self._world
        world.note(f"received {data[:60]!r}{'…' if len(data) > 60 else ''}")
        peer = self.oracle.peers[wire.session]
        if not wire.session.ended:
            world.commands += peer.received(data, world.now_us)

    def handed(self, wire: Wire, data: bytes) -> None:
        """The server has handed something to a transport."""
        world = self._world
        world.note(f"sent {data[:60]!r}{'…' if len(data) > 60 else ''}")
        peer = self.oracle.peers[wire.session]
        if data == LOG_FAILED and (self.disk_failed or self.starved):
            peer.waiting.clear()
            if peer in self._to_tell:
                self._to_tell.remove(peer)
            return
        sent = peer.handed(data)
        position = max((said.position for said in sent), default=0)
        if position <= self._told:
            return
        safe = world.disk.safe if self._always else world.disk.written
        demand(
            position <= safe, "gate",
            f"{peer.name} is told of position {position} while {safe} is safe: {data!r}",
        )  # fmt: skip
        self._told = position

    def closing(self, wire: Wire) -> None:
        """The server ends a connection: may it?"""
        watch = self._watch
        peer = self.oracle.peers[wire.session]
        if peer in self._to_tell and self.oracle.may_close(peer):  # it has had its last word
            self._to_tell.remove(peer)
        if watch is None or watch.ring.failed.is_set() or self._world.hurried:
            return
        demand(self.oracle.may_close(peer), "replies", f"{peer.name} is closed without a reason")

    # --- a server ends ------------------------------------------------------------------------

    def disk_fails(self) -> None:
        """The disk has given a reason to end."""
        if self._watch is None:
            self._failed_at_start = True
        if not self.disk_failed:
            self._failed_us = self._world.now_us
        self.disk_failed = True

    def ended(self, failure: Any) -> None:
        """The server has come to an end by itself."""
        self._failed_at_start = False
        if self._watch is None:
            return
        untold = [peer.name for peer in self._to_tell if peer.wire and not peer.wire.closed]
        demand(not untold, "replies", f"{untold} are not told that the log has failed")
        ring = self._watch.ring
        if failure is None and not self._world.hurried:
            self._check_clean(ring)
        else:
            self._count_safe()
        self.times.gone(self.oracle.model.now_ms, self._wrote_until_us())
        self._watch = None

    def _wrote_until_us(self) -> int:
        """Until when the server could write: when it was gone, or the disk failed it."""
        now_us = self._world.now_us
        return int(min(now_us, self._failed_us) if self.disk_failed else now_us)

    def _check_clean(self, ring: Any) -> None:
        """A clean stop leaves everything on the disk, and says so."""
        world = self._world
        position = ring.log.position
        demand(world.disk.safe >= position, "survival", "a clean stop has left something unsafe")
        self._required = self._required_after_power = self._at_most = position
        self._digest = dump.digest(ring.broker.engine)
        if not self.hampered:
            tidy.stopped(world.disk)

    def died(self, how: str) -> None:
        """The server was killed, or the power has failed."""
        self._digest = None
        self._failed_at_start = False
        if self._watch is not None:
            self.times.gone(self.oracle.model.now_ms, self._wrote_until_us())
            self._count_safe()
        if how == "power":
            self.times.lost()
            self._required = min(self._required, self._required_after_power)
            self._at_most = 0
            self.damage.power_failed()
        self._watch = None

    def _count_safe(self) -> None:
        """A server is gone: what must be there if it was killed, and what if the power failed."""
        world = self._world
        self._required, self._required_after_power = world.disk.written, world.disk.safe
        if self._always:
            self._required_after_power = max(world.disk.safe, self._told)
        elif world.settings.sync == "interval":
            self._required_after_power = max(world.disk.safe, self._older_than_interval())

    def _older_than_interval(self) -> int:
        """What was acknowledged longer ago than the interval and a sync take."""
        world = self._world
        mine = world.settings
        end_us = self._wrote_until_us()
        before_us = end_us - mine.interval_ms * 1000 - 20 * mine.disk_us - 50_000
        if max(self.times.stall_end_us, self._slow_until_us) > before_us:
            return 0
        return max(
            (position for at_us, position in self._written_at if at_us < before_us), default=0
        )

    def flip(self, number: int) -> None:
        """A bit of the directory flips."""
        self.damage.flip(number, self._required)

    def removing(self, name: str) -> None:
        """Something is removed because a snapshot has taken its place."""
        tidy.removing(self._world.disk, name)

    def left_alone(self) -> None:
        """The server had nothing to do for some seconds."""
        world = self._world
        world.reach.count("left alone")
        if world.settings.sync != "os":
            before_us = world.now_us - 2_700_000 - world.settings.interval_ms * 1000
            tidy.vouched(
                world.disk,
                max((at for at_us, at in self._written_at if at_us < before_us), default=0),
            )
        tmp = [name for name in world.disk.files if name.endswith(".tmp")]
        demand(not tmp or self.untidy, "bounds", f"{tmp} are left over")

    def bounded(self) -> bool:
        """Whether the log takes no more than is promised."""
        jobs = self.oracle.model.jobs.values()
        return tidy.bounded(self._world.disk, jobs, self._world.settings.segment_bytes)

    # --- the end ------------------------------------------------------------------------------

    def published(self) -> None:
        """A snapshot has taken the place of segments: does the log still amount to the same?"""
        disk = self._world.disk.copy()
        reading = Reading(disk)
        engine = Engine()
        replay(reading, engine)
        expected = self._jobs_at(reading.position)
        compare(jobs_of(engine), expected, "digest", "after compaction")
        self._world.reach.count("compacted")

    def served(self) -> bool:
        """Whether any connection stands."""
        return not all(peer.lost for peer in self.oracle.peers.values())

    def all_gone(self) -> None:
        """All connections are gone: everything they asked was answered."""
        for peer in self.oracle.peers.values():
            over = all(wait.over for wait in peer.waits())
            demand(over, "liveness", f"{peer.name} still waits")

    def called_for(self, ms: int) -> list[bytes]:
        """The jobs of callers that may wait for so long, for somebody has them who may take it."""
        model = self.oracle.model
        return [
            job.id
            for job in model.jobs.values()
            if job.foreground and (job.deadline_ms or 0) > model.now_ms + ms
        ]

    def unfinished(self) -> bool:
        """Whether there is work that somebody should be handed."""
        model = self.oracle.model
        return any(
            not job.finished()
            and not (job.state == "scheduled" and (job.time_ms or 0) > model.wall_ms)
            and not (job.held_ms is not None and job.held_ms > model.now_ms)
            and not (job.deadline_ms is not None and job.deadline_ms > model.now_ms + 3000)
            for job in model.jobs.values()
        )

    def end(self) -> None:
        """Nothing is left to be done."""
        reach = self._world.reach
        for what, times in self.oracle.model.done.items():
            reach.count(what, times)
