"""Lets the real server live under a mixed load for an hour, and looks at its memory each second.

    python -m tests.faults.soak --minutes 60 --into docs/soak
    python -m tests.faults.soak --minutes 60 --restart-every 0 --into docs/soak

Each minute is a round: clients ask for this and that at a moderate rate, compaction is busy, and at
its end the server is stopped in order or killed, in turn, while they ask; or it lives on
(`--restart-every 0`, or rounds between two restarts). Then every job is looked at, and what was
deleted is judged and forgotten, so that the checker of the kill loop needs little memory. Samples
and a plot are written after each round; at the end stand the slopes (`tests.faults.memory`).
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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults import audit, memory
from tests.faults.load import Client, World
from tests.faults.memory import Sample
from tests.faults.server import PATIENCE_S, Server
from tests.faults.wire import OK

CLIENTS = 8
FINISHED_MAX = 300
SETTINGS = ("--cmdlog-seg-size", "64KiB", "--cmdlog-clean-int", "1s", "--cmdlog-sync-int", "1s")
TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass
class Plan:
    """What is to be done.

    Attributes:
        rounds: how many.
        round_s: how long clients ask in each.
        restart_every: after how many rounds the server is started anew; 0 for never.
        rate: how many requests all clients send in a second; 0 for as many as they can.
        policy: of the log.
        seed: of everything that is drawn.
        sample_s: how long between two looks.
    """

    rounds: int = 60
    round_s: float = 60.0
    restart_every: int = 1
    rate: float = 300.0
    policy: str = "interval"
    seed: int = 1
    sample_s: float = 1.0


@dataclass
class Soak:
    """One run.

    Args:
        path: an empty directory for the log.
        plan: what is to be done.
        into: where samples and plot are written; None for nowhere.

    Attributes:
        world: what the clients said and heard.
        samples: all of them.
        stops, kills: how often the server was stopped in order, and killed.
        cpu_ms: what all lives used of the processor.
        compactions: how many there were.
    """

    path: Path
    plan: Plan
    into: Path | None = None
    samples: list[Sample] = field(default_factory=list)
    stops: int = 0
    kills: int = 0
    cpu_ms: int = 0
    compactions: int = 0
    lives: int = 0

    def __post_init__(self) -> None:
        self.world = World(self.plan.seed, finished_max=FINISHED_MAX)
        self._random = Random(self.plan.seed)
        self._begun_s = time.monotonic()
        self._server: Server | None = None

    async def run(self) -> list[str]:
        """Do it all; everything that is wrong."""
        plan = self.plan
        try:
            for number in range(1, plan.rounds + 1):
                server = self._server or await self._started()
                ending = plan.restart_every > 0 and number % plan.restart_every == 0
                await self._round(server, ending)
                server = self._server or await self._started()
                await audit.look(self.world, server.port)
                self.world.settle()
                self._write()
            server = self._server or await self._started()
            await audit.drain(self.world, server.port)
            assert await server.signal(signal.SIGTERM) == 0, server.lines[-3:]
        finally:
            if self._server is not None:
                await self._server.kill()
        return self.world.history.problems()

    async def _started(self) -> Server:
        server = Server(self.path, "--cmdlog-sync", self.plan.policy, *SETTINGS)
        await server.start()
        assert server.port, f"it did not start: {server.lines}"
        self._server = server
        self.lives += 1
        return server

    async def _round(self, server: Server, ending: bool) -> None:
        """Load for a while; then the server ends under it, or the load does."""
        plan, world = self.plan, self.world
        over = asyncio.Event()
        rate = plan.rate / CLIENTS
        seeds = [self._random.getrandbits(64) for _ in range(CLIENTS)]
        clients = [
            asyncio.create_task(Client(world, server.port, seed, rate).live(over.is_set))
            for seed in seeds
        ]
        end_s = time.monotonic() + plan.round_s
        while (left_s := end_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left_s, plan.sample_s))
            assert server.process.returncode is None, f"it went away: {server.lines[-3:]}"
            self._sample(server)
        if ending:
            await self._end(server)
        over.set()
        await asyncio.wait_for(asyncio.gather(*clients), PATIENCE_S)

    async def _end(self, server: Server) -> None:
        """Stop the server in order, or kill it, in turn."""
        self.cpu_ms += self.samples[-1].cpu_ms
        self.compactions += self.samples[-1].compactions
        if self.stops <= self.kills:
            self.stops += 1
            status = await server.signal(signal.SIGTERM)
            assert status == 0, f"a clean stop ended with {status}: {server.lines[-3:]}"
        else:
            self.kills += 1
            await server.kill()
        self._server = None

    def _sample(self, server: Server) -> None:
        process = Path(f"/proc/{server.pid}")
        rss_pages = int((process / "statm").read_text().split()[1])
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        log_bytes = 0
        with os.scandir(self.path) as files:
            for file in files:
                with suppress(FileNotFoundError):  # compaction removes some
                    log_bytes += file.stat().st_size
        self.samples.append(
            Sample(
                time.monotonic() - self._begun_s,
                self.lives,
                rss_pages * PAGE_KIB,
                (int(fields[11]) + int(fields[12])) * TICK_MS,
                log_bytes // 1024,
                len(self.world.open) + len(self.world.finished),
                self.world.history.replies,
                len(server.said("command log compacted")),
            )
        )

    def _write(self) -> None:
        if self.into is not None:
            name = "lives" if self.plan.restart_every else "life"
            self.into.mkdir(parents=True, exist_ok=True)
            memory.write_csv(self.samples, self.into / f"{name}.csv")
            picture = memory.svg(self.samples, f"{self.lives} lives")
            (self.into / f"{name}.svg").write_text(picture, encoding="utf-8")

    def tell(self) -> str:
        """What was seen, in a few lines."""
        history, samples = self.world.history, self.samples
        last = samples[-1]
        cpu_ms, compactions = self.cpu_ms, self.compactions
        if self._server is not None and self.lives > self.stops + self.kills:
            cpu_ms, compactions = cpu_ms + last.cpu_ms, compactions + last.compactions
        rss = [sample.rss_kib / 1024 for sample in samples]
        jobs = history.forgotten + len(history.jobs)
        done = {verb: history.count(verb, OK) for verb in ("add", "lease", "complete")}
        used_percent = cpu_ms / 10 / last.seconds
        ended = f"{self.lives} lives, {self.stops} clean stops, {self.kills} kills"
        acknowledged = ", ".join(f"{done[verb]} {verb}" for verb in done)
        lines = (
            f"{last.seconds / 60:.1f} minutes, {ended}",
            f"{history.replies} replies, {history.unanswered} never came; {jobs} jobs",
            f"acknowledged: {acknowledged}",
            f"{compactions} compactions; the server used {used_percent:.1f} % of a core",
            f"resident memory {min(rss):.1f} to {max(rss):.1f} MiB",
            f"between lives, just before their ends: {memory.slope(memory.ends(samples))}",
            f"within the longest life, by minutes: {memory.slope(memory.minutes(samples))}",
        )
        return "\n".join(lines)


def run(plan: Plan, into: Path | None = None) -> tuple[Soak, list[str]]:
    """A soak with a log in a directory of its own; it, and everything that is wrong."""
    with tempfile.TemporaryDirectory(prefix="workq-soak-") as path:
        soak = Soak(Path(path) / "log", plan, into)
        soak.path.mkdir(mode=0o700)
        return soak, asyncio.run(soak.run())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=int, default=60, help="rounds of a minute")
    parser.add_argument("--restart-every", type=int, default=1, help="minutes; 0 for never")
    parser.add_argument("--rate", type=float, default=300, help="requests a second; 0: no limit")
    parser.add_argument("--policy", choices=("always", "interval", "os"), default="interval")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", type=Path, default=None, help="a folder for data and plot")
    options = parser.parse_args(arguments)
    plan = Plan(
        rounds=options.minutes,
        restart_every=options.restart_every,
        rate=options.rate,
        policy=options.policy,
        seed=options.seed,
    )
    soak, problems = run(plan, options.into)
    sys.stdout.write(f"{soak.tell()}\n")
    for problem in problems:
        sys.stdout.write(f"  {problem}\n")
    sys.stdout.write(f"{len(problems)} problems, seed {options.seed}, {options.policy}\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
