"""Measurements: the kinds of load, and one run of the load generator against a server."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from machine import busy, cpu_of, memory_of, wait_for_quiet
from servers import BenchError, Server, started

MODES = ("cycle", "split", "add", "drain")

#: The payloads of the standard set where they differ.
MIXED = "1-2000"


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    mode: str
    depth: int
    preload: int = 0
    sizes: str = ""  # of payloads, each another: "1-2000"
    priorities: int = 1

    def __str__(self) -> str:
        text = f"{self.mode} d{self.depth}"
        if self.preload:
            text += f", {self.preload:,} waiting"
        if self.sizes:
            text += f", mixed sizes {self.sizes}"
        if self.priorities > 1:
            text += f", {self.priorities} priorities"
        return text

    def suits(self, server: Server) -> bool:
        """Whether it can be put on a server: a list of Redis has no priorities."""
        return self.priorities == 1 or server.protocol != "redis"

    def jobs(self, payload: int) -> list[str]:
        """The options of the load generator for what the jobs are like.

        Args:
            payload: the size of all, if they have the same.
        """
        options = ["--sizes", self.sizes] if self.sizes else ["--payload", str(payload)]
        return [*options, "--priorities", str(self.priorities)]


SETS = {
    # servers that keep their jobs in memory only
    "memory": [
        Case("cycle", 1),
        Case("cycle", 16),
        # so that no line is like the one before
        Case("cycle", 1, sizes=MIXED),
        Case("cycle", 16, sizes=MIXED),
        Case("cycle", 1, 100_000),
        Case("cycle", 16, 100_000),
        Case("split", 1),
        Case("split", 16),
        Case("add", 16),
        Case("drain", 16),
    ],
    # servers that keep a log
    "logged": [Case(mode, depth) for mode in MODES for depth in (1, 16)],
    "quick": [Case("cycle", 1), Case("cycle", 16)],
}


@dataclass(frozen=True)
class Sample:
    """What one run of the load generator found."""

    server: str
    case: str
    round: int
    server_cpu: float  # of one core
    foreign_cpu: float  # of one core: what others burned meanwhile
    load: dict[str, Any]


#: So many jobs tell how quickly a server can be filled.
PROBE_JOBS = 1000


class Bench:
    """The settings of a comparison, and the ways to measure."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def load(self, server: Server, port: int, *options: str) -> dict[str, Any]:
        """Runs the load generator once; its result."""
        args = self.args
        words = ["taskset", "-c", str(args.load_core), str(args.load)]
        words += ["--protocol", server.protocol, "--port", str(port), "-c", str(args.connections)]
        words += options
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        if run.returncode:
            why = run.stderr.strip().splitlines() or [f"status {run.returncode}"]
            raise BenchError(why[-1])
        result: dict[str, Any] = json.loads(run.stdout)
        return result

    def fill(self, server: Server, port: int, jobs: list[str]) -> None:
        """Adds what drain takes out: enough for the measurement, if it ends by time."""
        args = self.args
        words = [*jobs, "--mode", "add", "-d", "64", "--ttl", "3600000", "--jobs"]
        if not args.drain_seconds:
            self.load(server, port, *words, str(args.drain_jobs))
            return
        rate = self.load(server, port, *words, str(PROBE_JOBS))["jobs_per_s"]
        more = min(args.drain_jobs, int(rate * args.seconds * 1.5)) - PROBE_JOBS
        if more > 0:
            self.load(server, port, *words, str(more), "--seed", "1000")

    def measure_once(self, server: Server, case: Case, number: int) -> Sample:
        """One measurement with a server of its own."""
        args = self.args
        with started(server, args.server_core, args.dir, args.sync_us) as running:
            jobs = case.jobs(args.payload)
            options = [*jobs, "--mode", case.mode, "-d", str(case.depth)]
            options += ["--seed", str(number + 1)]
            if case.mode == "drain":
                self.fill(server, running.port, jobs)
                if args.drain_seconds:
                    options += ["--seconds", str(args.seconds)]
            else:
                options += ["--seconds", str(args.seconds), "--warmup", str(args.warmup)]
                options += ["--preload", str(case.preload)]
            all_before, cpu_before = busy(), cpu_of(running.pid)
            mine_before, start = os.times(), time.monotonic()
            result = self.load(server, running.port, *options)
            elapsed = time.monotonic() - start
            mine = os.times()
            own = cpu_of(running.pid) - cpu_before
            ours = own + sum(mine[:4]) - sum(mine_before[:4])
            foreign = max(0.0, busy() - all_before - ours) / elapsed
            if case.mode == "drain":  # it ends by waiting in vain, which is not part of the work
                elapsed = result["seconds"]
            return Sample(server.name, str(case), number, own / elapsed, foreign, result)

    def measure(self, server: Server, case: Case, number: int) -> Sample:
        """The least disturbed of a few measurements; mostly the first will do."""
        best: Sample | None = None
        for _ in range(1 + self.args.retries):
            wait_for_quiet(self.args.quiet)
            sample = self.measure_once(server, case, number)
            if best is None or sample.foreign_cpu < best.foreign_cpu:
                best = sample
            if best.foreign_cpu < 0.1:
                break
        assert best is not None
        return best

    def measure_memory(self, server: Server) -> dict[str, Any]:
        """Resident bytes per waiting job."""
        jobs = self.args.rss_jobs
        with started(server, self.args.server_core, self.args.dir) as running:
            time.sleep(1)
            before = memory_of(running.pid)
            options = ["--mode", "add", "-d", "16", "--jobs", str(jobs), "--ttl", "3600000"]
            options += ["--payload", str(self.args.payload)]
            result = self.load(server, running.port, *options)
            time.sleep(1)
            after = memory_of(running.pid)
        return {
            "server": server.name,
            "jobs": jobs,
            "before": before,
            "after": after,
            "per_job": (after - before) / jobs,
            "load": result,
        }
