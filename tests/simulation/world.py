"""One seed from beginning to end: a server, its clients, what goes wrong, and what must hold.

`World` has the clients talk and the faults come, kills servers and starts them again, and hands
everything the checkers need to `Promises`. When the faults are over it sees to it that all comes
right again: waits end, work drains, the server stops when it is told to and starts as it was.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from random import Random
from typing import Any, Final, NoReturn

from tests.simulation import healing
from tests.simulation import machine as machines
from tests.simulation.clients import Client
from tests.simulation.loop import Killed
from tests.simulation.network import Wire
from tests.simulation.plan import FAULTS_MS, Fault, faults_of, settings_of
from tests.simulation.points import point_of
from tests.simulation.promises import Promises
from tests.simulation.reach import Reach
from tests.simulation.violation import Violation, demand
from tests.simulation.watch import watched_commands
from workq.commands import COMMANDS
from workq.errors import CorruptionError, LogError, WorkqError
from workq.server import service
from workq.server.notify import Notifier
from workq.server.ring import Ring
from workq.server.settings import Settings

COMMANDS_MIN: Final = 320

#: Which calls of the disk fail, by the fault.
FAILING: Final = {
    "sync fails": ("sync",),
    "write fails": ("write",),
    "create fails": ("create", "preallocate"),
    "names fail": ("rename", "remove", "truncate", "sync_names"),
    "compactor dies": ("create", "write", "sync"),
}


class World(machines.Machine):
    """The world of one seed.

    Args:
        seed: the seed.
        faults: what goes wrong; by default what the seed says.

    Attributes:
        commands: how many the server was sent, and has read whole.
        tokens: the last ones that clients were told, with the ids of their jobs.
        ids: how many different jobs there may be.
        winding_down: whether the clients come to their end.
        final: whether the next stop is to last.
        ended: how the last server has ended: `stopped`, `failed`, `kill` or `power`.
        effects: what happened last, for who looks at a failure.
    """

    def __init__(self, seed: int, faults: Sequence[Fault] | None = None) -> None:
        self.seed = seed
        self.settings = settings_of(seed)
        super().__init__(Random(f"{seed} machine"), self.settings.disk_us)
        self.faults = faults_of(seed) if faults is None else list(faults)
        self.commands = 0
        self.tokens: list[tuple[bytes, int]] = []
        self.ids = Random(f"{seed} ids").choice((8, 16, 40))
        self.winding_down = False
        self.effects: list[str] = []
        self.steps = 0
        self.reach = Reach()
        self.promises = Promises(self)
        self.clients = [
            Client(number, Random(f"{seed} client {number}"), self)
            for number in range(self.settings.clients)
        ]
        self.wires: list[Wire] = []
        self._network = Random(f"{seed} network")
        self._armed: list[Fault] = []  # crashes that wait for their point
        self._failing: list[str] = []  # calls of the disk that fail next
        self._flips: list[int] = []
        self._task: Any = None
        self.ring: Any = None
        self.opening = False
        self.stopping = self.hurried = False
        self.final = False  # the next stop is to last
        self.ended = ""  # how the last server ended
        self.disk.hook = self._before_call
        self.disk.ran_full = self._ran_full
        self._space = self.disk.space

    # --- the whole of it --------------------------------------------------------------------

    def run(self) -> None:
        """Let it happen. Raises `Violation`."""
        commands = watched_commands(COMMANDS, self._executed)
        with machines.installed(self, self._make_ring, commands, self.settings.small):
            self.start()
            for client in self.clients:
                self.later(client.number * 700, client.act)
            for fault in self.faults:
                self.at(fault.at_ms * 1000, lambda fault=fault: self._happen(fault))  # type: ignore[misc]
            while self.now_us < FAULTS_MS * 1000 or self.commands < COMMANDS_MIN or self._armed:
                self.take_step()
                demand(self.now_us < 30_000_000, "world", f"no end: {self.commands} {self._armed}")
            healing.come_right(self)
            self.promises.end()

    def note(self, effect: str) -> None:
        """Remember what has happened."""
        self.effects.append(f"{self.now_us / 1000:10.3f} ms  {effect}")
        if len(self.effects) > 2000:
            del self.effects[:1000]

    def take_step(self) -> None:
        """Let the next thing happen, and see what has come of it."""
        self.steps += 1
        try:
            self.step()
        except Killed:
            self._die()
        if self.loop is not None:
            if self.ring is not None and not self.loop.ready and self.quiet_us() > 3000:
                self.promises.at_rest()
            if self.loop.broken:
                raise Violation("server", f"a callback has raised {self.loop.broken[0]!r}")
            if self._task is not None and self._task.done():
                self._server_ended()

    # --- the server -------------------------------------------------------------------------

    def start(self) -> None:
        """Start a server."""
        if self.loop is not None or self.final:
            return
        self._flip_bits()
        if self.room_is_short and self.random.random() < 0.3:  # others have been faster
            self.disk.space = self.disk.used() + self.random.choice((0, 3000, 5000, 9000))
        self.note("a server starts")
        self.promises.starting()
        loop = self.boot()
        self.stopping = self.hurried = False
        self._task = loop.create_task(self._serve())

    async def _serve(self) -> Any:
        """What `workq-server` does with its settings; what has ended it, if anything has."""
        settings, notifier = self._server_settings(), Notifier({})
        storage = service.prepare(settings, notifier)
        assert storage is not None
        addresses: list[Any] = [Address()]
        return await service.serve(settings, addresses, notifier, storage)

    def _server_settings(self) -> Settings:
        mine = self.settings
        return Settings(
            listen=(), insecure=False, max_connections=mine.connections_max,
            max_memory_bytes=mine.memory_bytes_max, max_jobs=mine.jobs_max,
            max_line_bytes=65_536, max_half_received_bytes=mine.input_bytes_max,
            request_timeout_ms=mine.request_timeout_ms, idle_timeout_ms=mine.idle_timeout_ms,
            shutdown_timeout_ms=mine.shutdown_timeout_ms, cmdlog_path="/simulated",
            cmdlog_sync=mine.sync, cmdlog_sync_int_ms=mine.interval_ms,
            cmdlog_seg_size_bytes=mine.segment_bytes, cmdlog_clean_int_ms=mine.clean_int_ms,
            accept_clock=False, log="human", log_level="error", config="", check_config=False,
            version=False, help=False, sources={},
        )  # fmt: skip

    def _make_ring(self, *arguments: Any) -> Any:
        self.opening = True
        try:
            ring = Ring(*arguments)
        finally:
            self.opening = False
        self.ring = ring
        self.promises.started(ring)
        return ring

    def _executed(self, name: str, reply: object) -> None:
        self.promises.executed(name, reply)

    def _server_ended(self) -> None:
        """The server has come to an end by itself."""
        task, self._task = self._task, None
        error = task.exception()
        failure = error if error is not None else task.result()
        self.note(f"the server has ended: {failure!r}")
        self.promises.ended(failure)
        self.ended = "failed" if failure is not None else "stopped"
        if failure is not None:
            self._judge_end(failure)
        disk = self.disk.killed()
        self._replace_disk(disk, self.ended, same=True)
        self.die()
        self.ring = None
        self._lose_wires()
        if failure is not None and self.random.random() < 0.5:
            self._cut_power()
        self.later(self.random.choice((1000, 30_000, 300_000)), self.start)

    def _judge_end(self, failure: BaseException) -> None:
        """Whether there was a reason to end."""
        if isinstance(failure, CorruptionError):
            self.promises.damage.refused(failure)
            return
        reason = self.promises.disk_failed or self.promises.starved
        expected = isinstance(failure, LogError | WorkqError) and reason
        if not expected:
            raise Violation("server", f"the server has ended for no reason: {failure!r}")

    def _die(self) -> None:
        """The process is killed, or the machine loses power."""
        fault = self._armed.pop(0)
        self.note(f"dies: {fault.how} at {fault.what}")
        self.reach.crashed(fault.what, fault.how)
        self._task = None
        self.promises.died(fault.how)
        power = fault.how == "power"
        disk = self.disk.crash(self.random) if power else self.disk.killed()
        self._replace_disk(disk, fault.how, same=not power)
        self.die()
        self.ring = None
        self.ended = fault.how
        self._lose_wires()
        self.later(self.random.choice((1000, 30_000, 300_000)), self.start)

    def _cut_power(self) -> None:
        """And then the power fails, too."""
        self.note("the power fails")
        self.promises.died("power")
        self._replace_disk(self.disk.crash(self.random), "power", same=False)

    def _replace_disk(self, disk: Any, how: str, same: bool) -> None:
        before = self.disk
        disk.space = before.space
        disk.lied = before.lied
        disk.hook = self._before_call
        disk.ran_full = self._ran_full
        if same:
            disk.successor_of(before)
        self.disk = disk

    def _lose_wires(self) -> None:
        for wire in self.wires:
            if not wire.lost:
                wire.lost = True
            wire.seen_end = True
        self.wires.clear()

    # --- clients ----------------------------------------------------------------------------

    def connect(self, client: Any) -> Wire | None:
        """Connect to the server, if one listens."""
        loop = self.loop
        if loop is None or loop.listening is None:
            return None
        wire = Wire(self, self._network, self.promises, self.settings.net_us)
        self.wires.append(wire)
        factory = loop.listening

        def accepted() -> None:
            if not wire.closed:
                wire.connect(factory)
                self.promises.opened(wire)
                wire.resume_reading()

        self.soon(accepted)
        return wire

    # --- faults -----------------------------------------------------------------------------

    def _happen(self, fault: Fault) -> None:
        """Let something go wrong."""
        kind, number = fault.kind, fault.what
        self.note(f"fault: {kind} {number} {fault.how}")
        if kind == "crash":
            self._arm(fault)
            return
        if kind == "stop":
            self.stop()
            if number:
                self.later(number * 1000, self._stop_at_once)
            return
        self.reach.fault(kind)
        if kind in FAILING:
            self._failing.append(kind)
            self.later(500_000, self._failing.clear)
        elif kind == "disk full":
            self.disk.space = self.disk.used() + 10 * number
            self.later(number * 1500, self._make_room)
        elif kind == "disk slow":
            self.slow = 50
            self.promises.slowed()
            self.later(number * 400, self._speed_up)
        elif kind == "wall clock steps":
            step_ms = (number % 400 - 200) * (1 if number % 3 else 3000)
            self.stepped_us += step_ms * 1000
            self.promises.times.stepped()
            if abs(self.stepped_us) > 1_500_000_000:
                self.stepped_us = 0
        elif kind == "stall":
            self.stall(number * 300)
        elif kind == "bit flips":
            self._flips.append(number)
        else:
            self._network_fault(kind, number)

    def _network_fault(self, kind: str, number: int) -> None:
        wires = [wire for wire in self.wires if not wire.closed and wire.protocol is not None]
        some = self._network.sample(wires, min(len(wires), 1 + number % 3))
        if kind == "flood":
            for _ in range(12):
                wire = self.connect(None)
                if wire is not None:  # it ends, or nobody else is ever let in
                    self.later(2_000_000, wire.reset)
        if kind == "deaf clients":
            for client in self.clients[: 1 + number % 3]:
                client.be_deaf(number)
        for wire in some:
            if kind == "resets":
                wire.reset()
            elif kind == "half-open":
                wire.vanish()
                self.later(2_000_000, wire.reset)
            elif kind == "half-closes":
                wire.half_close()

    def forgive_all(self) -> None:
        """No fault lasts any longer."""
        self._make_room()
        self._failing.clear()
        self._flips.clear()
        self.slow = 1

    def stall(self, for_us: int) -> None:
        """Do not let the server run for a while."""
        self.stalled_until_us = self.now_us + for_us
        self.promises.times.stalled(for_us)

    def _make_room(self) -> None:
        self.disk.space = self._space

    def published(self) -> None:
        """A snapshot was published."""
        self.promises.published()

    def compaction_failed(self, error: Exception) -> None:
        """A compaction has failed: there must be a reason."""
        if not self.promises.hampered:
            raise Violation("digest", f"a compaction fails for no reason: {error}")

    def _speed_up(self) -> None:
        self.slow = 1

    @property
    def serving(self) -> bool:
        """Whether a server listens."""
        return self.loop is not None and self.loop.listening is not None

    @property
    def room_is_short(self) -> bool:
        """Whether the disk may be full."""
        return self.disk.space < self._space

    def stop(self) -> None:
        """Tell the server to stop."""
        if self.ring is not None and self.loop is not None and self.loop.signals:
            self.hurried = self.stopping  # who is told twice does not end in order
            self.stopping = True
            self.loop.call_soon(self.loop.signals[signal.SIGTERM])

    def _stop_at_once(self) -> None:
        if self.stopping:
            self.stop()

    def crash_now(self, how: str, flip: bool) -> None:
        """Kill the server as it is, and perhaps turn a bit before the next starts."""
        if flip:
            self._flips.append(self.random.randrange(1, 1000))
        self._armed.append(Fault(self.now_us // 1000, "crash", "between turns", how))
        self.disk.dead = True
        self._die()

    def _arm(self, fault: Fault) -> None:
        """A crash is to happen at its point, or soon."""
        self._armed.append(fault)
        self.later(900_000, lambda: self._kill_late(fault))
        if fault.what.startswith("shutdown"):
            self.stop()
        if fault.what.startswith("start") and self.loop is not None:
            # It has to be down for that: the one before comes now.
            self._armed.insert(0, Fault(fault.at_ms, "crash", "between turns", fault.how))
        if self._armed[0].what == "between turns":
            self._kill_now()

    def _kill(self) -> NoReturn:
        self.disk.dead = True  # on its way out the process does nothing more to it
        raise Killed

    def _kill_now(self) -> None:
        if self.loop is not None and self._armed:
            self._kill()

    def _kill_late(self, fault: Fault) -> None:
        """Its point was not met: it happens anywhere."""
        if fault in self._armed and self.loop is not None:
            self._armed.remove(fault)
            self._armed.insert(0, fault._replace(what="between turns"))
            self._kill()
        if fault in self._armed:
            self.later(100_000, lambda: self._kill_late(fault))

    def _before_call(self, call: str, name: str) -> None:
        """The server is about to call the disk."""
        demand(self.disk.locked, "server", f"{call} of {name} by who has not locked the directory")
        if call == "remove" and self.step_name == "step":
            self.promises.removing(name)
        point = point_of(self, call, name)
        if point:
            self.reach.met(point)
            if self._armed and self._armed[0].what == point and self.random.random() < 0.5:
                self._kill()
        if self._failing and call in FAILING[self._failing[0]]:
            kind = self._failing[0]
            if kind == "compactor dies" and not self.in_child:
                return
            self._failing.pop(0)
            self.note(f"{call} of {name} fails")
            tidies = call == "remove" and self.step_name == "step" and name.endswith(".tmp")
            if not self.in_child and not tidies:  # with those the server lives on
                self.promises.disk_fails()
            self.promises.untidy |= tidies
            self.promises.hampered = True
            raise OSError(5, "Input/output error", name)

    def _ran_full(self, call: str, free_bytes: int) -> None:
        """There was no room. The end of a server is that only if there is none for the shortest
        segment, nor for what does not fit into one."""
        self.promises.hampered = True
        if not self.in_child and (call == "write" or free_bytes < 4200 + self.disk.longest):
            self.promises.starved = True

    def _flip_bits(self) -> None:
        if self._flips and self.ended in ("power", "kill", "stopped", "failed"):
            self.promises.flip(self._flips.pop(0))


class Address:
    """Where the server believes that it listens."""

    def __str__(self) -> str:
        return "the simulated network"
