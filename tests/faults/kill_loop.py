"""Kills the server with SIGKILL, again and again, under load; then an independent checker looks
for what was acknowledged and is not so.

    python -m tests.faults.kill_loop --rounds 60 --policy all --seed 1

Several clients pipeline everything there is: priorities, schedules, short and long leases, touched
or released, failures that count, retries after a delay, results, deletions, the same job added
twice. Segments are small and compaction is busy.
Some rounds end in a clean stop, and some starts are killed as well. After each start every job is
looked at, and at the end every queue is emptied in its order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults import audit
from tests.faults.load import Client, World
from tests.faults.server import PATIENCE_S, Server
from tests.faults.wire import DUPLICATE_JOB, OK

POLICIES = ("always", "interval", "os")
CLIENTS = 8
BUSY = ("--cmdlog-seg-size", "16KiB", "--cmdlog-clean-int", "100ms", "--cmdlog-sync-int", "50ms")
BUSY_BYTES = (0, 10, 100, 400, 5_000, 70_000)


@dataclass
class Figures:
    """What a kill loop has seen."""

    rounds: int = 0
    kills: int = 0
    killed_starts: int = 0
    stops: int = 0
    snapshots: int = 0
    seconds: float = 0.0

    def tell(self, world: World, policy: str) -> str:
        """All of it in a line."""
        history = world.history
        return (
            f"{policy}: {self.rounds} rounds, {self.kills} kills under load, "
            f"{self.killed_starts} while starting, {self.stops} clean stops; "
            f"{history.replies} replies, {history.unanswered} never came; "
            f"{len(history.jobs)} jobs, {history.count('add', OK)} adds and "
            f"{history.count('complete', OK)} completions acknowledged, "
            f"{history.count('lease', OK)} leases, {history.count('fail', OK)} failures, "
            f"{history.count('add', DUPLICATE_JOB)} duplicates refused; "
            f"compaction seen after {self.snapshots} rounds; {self.seconds:.0f} s"
        )


class Loop:
    """One kill loop.

    Args:
        path: an empty directory for the log; empty for a server that keeps nothing.
        policy: of the log.
        seed: of everything that is drawn.
        rounds: how often.

    Attributes:
        world: what the clients said and heard.
        figures: what happened.
    """

    def __init__(self, path: Path | str, policy: str, seed: int, rounds: int) -> None:
        self.path = path
        self.world = World(seed, BUSY_BYTES)
        self.figures = Figures()
        self._settings = ("--cmdlog-sync", policy, *BUSY) if path else ()
        self._random = Random(seed)
        self._rounds = rounds
        self._server: Server | None = None

    async def run(self) -> list[str]:
        """Do it all; everything that is wrong."""
        begun = time.monotonic()
        try:
            for _ in range(self._rounds):
                await self._round()
            server = await self._started()
            await audit.drain(self.world, server.port)
        finally:
            if self._server is not None:
                await self._server.kill()
        self.figures.seconds = time.monotonic() - begun
        return self.world.history.problems()

    async def _started(self) -> Server:
        self._server = server = Server(self.path, *self._settings)
        await server.start()
        assert server.port, f"it did not start: {server.lines}"
        return server

    async def _round(self) -> None:
        random, figures, world = self._random, self.figures, self.world
        figures.rounds += 1
        if random.random() < 0.3:
            await self._kill_a_start()
        server = await self._started()
        await audit.look(world, server.port)
        enough = asyncio.Event()
        goal = world.history.replies + random.randint(50, 4_000)
        world.on_reply = lambda: enough.set() if world.history.replies >= goal else None
        seeds = [random.getrandbits(64) for _ in range(CLIENTS)]
        clients = [asyncio.create_task(Client(world, server.port, one).live()) for one in seeds]
        first = asyncio.create_task(enough.wait())
        await asyncio.wait(
            [first, *clients], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        assert enough.is_set(), f"the server or a client went away: {server.lines[-3:]}, {clients}"
        if random.random() < 0.15:
            figures.stops += 1
            status = await server.signal(signal.SIGTERM)
            assert status == 0, f"a clean stop ended with {status}: {server.lines}"
        else:
            figures.kills += 1
            await server.kill()
        world.on_reply = lambda: None
        await asyncio.wait_for(asyncio.gather(*clients), PATIENCE_S)
        if self.path:
            figures.snapshots += any(name.endswith(".snap") for name in os.listdir(self.path))  # noqa: PTH208

    async def _kill_a_start(self) -> None:
        """Kill one as soon as it has said a word, or a drawn moment later."""
        self._server = server = Server(self.path, *self._settings)
        await server.begin()
        await asyncio.wait([server.reading], timeout=self._random.uniform(0.05, 0.35))
        await server.kill()
        self.figures.killed_starts += 1


def run(policy: str, seed: int, rounds: int, keep: bool = True) -> tuple[Loop, list[str]]:
    """A kill loop in a directory of its own; it, and everything that is wrong.

    Args:
        policy: of the log.
        seed: of everything that is drawn.
        rounds: how often.
        keep: whether the server has a log at all.
    """
    with tempfile.TemporaryDirectory(prefix="workq-kill-") as path:
        loop = Loop(Path(path) / "log" if keep else "", policy, seed, rounds)
        return loop, asyncio.run(loop.run())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="kill_loop", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="of each policy")
    parser.add_argument("--policy", choices=(*POLICIES, "all"), default="all")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    failed = False
    for policy in POLICIES if options.policy == "all" else (options.policy,):
        loop, problems = run(policy, options.seed, options.rounds)
        sys.stdout.write(f"{loop.figures.tell(loop.world, policy)}\n")
        for problem in problems:
            sys.stdout.write(f"  {problem}\n")
        sys.stdout.write(f"  {len(problems)} problems, seed {options.seed}\n")
        failed = failed or bool(problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
