"""What compaction does to latencies: load at half of the capacity, with it and without it.

    make -C bench
    python bench/compaction.py                   about four minutes
    python bench/compaction.py --seconds 3 --rounds 1 --waiting 2000

First the capacity is measured: cycle at full speed, segments of the usual length. Then the load is
paced at half of it (`load --rate`: a job that cannot begin in time counts from when it was due) on
servers by turns: one whose segments are so long that it never compacts, and one with small segments
that looks every 100 ms whether it should. Jobs wait in another queue meanwhile, so that a snapshot
has something in it. How often compaction ran, and for what share of the time, is told by the
server's log lines and seen in its directory; if it did not run, that is a failure.

The report is Markdown on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from disk import MEMORY, disk, file_system, sync_latencies, told
from machine import HERE, busy, cpu_of, machine, wait_for_quiet
from program import Program, check_tools, load
from report import say, table
from servers import BenchError, find_workq

#: What p99.9 may become while compaction runs, as a multiple; and the load, of the capacity.
RATIO_MAX = 2.0
SHARE = 0.5

QUANTILES = ("p50_us", "p99_us", "p999_us", "max_us")
NEVER, ALWAYS = "without", "with"

#: So long a segment that there are never two full ones, and nothing is compacted.
LONG = "256MiB"


class Watch:
    """Looks for snapshots in a directory, while others work there.

    Args:
        directory: of a command log.
    """

    def __init__(self, directory: Path) -> None:
        self.seen: set[str] = set()
        self._directory = directory
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.seen.update(path.name for path in self._directory.glob("*.snap"))


def overlap(server: Program, begun: float, ended: float) -> tuple[int, float]:
    """How many compactions came to their end in a span of time, and what share of it they took."""
    count, seconds = 0, 0.0
    done = server.compacted()
    for line in done:
        end = dt.datetime.fromisoformat(line["time"]).timestamp()
        start = end - line["took_ms"] / 1000
        count += begun < end <= ended
        seconds += max(0.0, min(end, ended) - max(start, begun))
    begun_lines = server.lines("compacting the command log")
    if len(begun_lines) > len(done):
        start = dt.datetime.fromisoformat(begun_lines[-1]["time"]).timestamp()
        seconds += max(0.0, ended - max(start, begun))  # it is under way still
    return count, seconds / (ended - begun)


class Comparison:
    """The settings, and what has been found.

    Args:
        args: the command line.
        place: where the directories of the logs are made.
    """

    def __init__(self, args: argparse.Namespace, place: Path) -> None:
        self.args = args
        self.place = place
        self.samples: dict[str, list[dict[str, Any]]] = {NEVER: [], ALWAYS: []}

    def start(self, name: str, *options: str) -> Program:
        """A server with a directory of its own."""
        args = self.args
        directory = self.place / name
        directory.mkdir()
        server = Program(
            args.workq, directory, self.place / f"{name}.said", args.server_core,
            ["--cmdlog-sync", args.sync, *options],
        )  # fmt: skip
        if args.waiting:
            words = ["--mode", "add", "-d", "64", "--ttl", "3600000", "--queue", "waiting"]
            words += ["--payload", str(args.payload), "--seed", "1000"]
            load(server.port, args.load_core, *words, "--jobs", str(args.waiting))
        return server

    def cycle(self, server: Program, *options: str) -> dict[str, Any]:
        """The load that is measured."""
        args = self.args
        words = ["--mode", "cycle", "-d", str(args.depth), "-c", str(args.connections)]
        words += ["--payload", str(args.payload), "--ttl", str(args.ttl)]
        words += ["--seconds", str(args.seconds), "--warmup", str(args.warmup)]
        return load(server.port, args.load_core, *words, *options)

    def capacity(self) -> float:
        """Jobs a second at full speed: the median of the rounds."""
        found = []
        for number in range(self.args.rounds):
            wait_for_quiet(self.args.quiet)
            server = self.start(f"capacity-{number}", "--cmdlog-seg-size", LONG)
            try:
                found.append(float(self.cycle(server)["jobs_per_s"]))
            finally:
                server.stop()
            say(f"{number + 1}/{self.args.rounds}  capacity   {found[-1]:10,.0f} jobs/s")
        return statistics.median(found)

    def measure(self, kind: str, number: int, rate: int) -> None:
        """One measurement at that rate."""
        args = self.args
        wait_for_quiet(args.quiet)
        options = ["--cmdlog-clean-int", args.clean_int, "--cmdlog-seg-size", args.seg_size]
        if kind == NEVER:
            options = ["--cmdlog-clean-int", "1d", "--cmdlog-seg-size", LONG]
        server = self.start(f"{kind}-{number}", *options)
        try:
            used, own, mine = busy(), cpu_with_children(server.pid), os.times()
            with Watch(server.directory) as watch:
                begun = time.time()
                found = self.cycle(server, "--rate", str(rate))
                ended = time.time()
            now = os.times()
            ours = cpu_with_children(server.pid) - own + sum(now[:4]) - sum(mine[:4])
            found["foreign"] = max(0.0, busy() - used - ours) / (ended - begun)
            found["compactions"], found["share"] = overlap(server, begun + args.warmup, ended)
            found["snapshots"] = len(watch.seen)
            found["problems"] = server.problems()
            server.check_alive()
        finally:
            server.stop()
        self.samples[kind].append(found)
        say(
            f"{number + 1}/{args.rounds}  {kind:8}   {found['jobs_per_s']:10,.0f} jobs/s  "
            f"p99 {found['p99_us']:8,.0f}  p99.9 {found['p999_us']:8,.0f} µs  "
            f"{found['compactions']} compactions, {found['share']:.0%} of the time"
        )


def cpu_with_children(pid: int) -> float:
    """Seconds of CPU of a process and its children, those that have ended too: compactors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return cpu_of(pid) + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def median(samples: list[dict[str, Any]], key: str) -> float:
    """Of the rounds."""
    return float(statistics.median(sample[key] for sample in samples))


def verdict(samples: dict[str, list[dict[str, Any]]], rate: int) -> list[str]:
    """What is wrong, if anything is."""
    wrong = []
    if any(sample["compactions"] == 0 for sample in samples[ALWAYS]):
        wrong.append("NO COMPACTION RAN in at least one round: the figures say nothing of it")
    if any(sample["snapshots"] or sample["share"] for sample in samples[NEVER]):
        wrong.append("compaction ran where it should not have")
    for kind, each in samples.items():
        if median(each, "jobs_per_s") < 0.97 * rate:
            wrong.append(f"{kind} it, the server did not keep up with the rate")
        problems = [line for sample in each for line in sample["problems"]]
        wrong += [f"{kind} it, the server said: {line}" for line in problems[:3]]
    for key, name in (("p99_us", "p99"), ("p999_us", "p99.9")):
        ratio = median(samples[ALWAYS], key) / median(samples[NEVER], key)
        if ratio > RATIO_MAX:
            wrong.append(f"MISSED: {name} is {ratio:.2f} times what it is without compaction")
    return wrong


def report(
    comparison: Comparison, capacity: float, rate: int, latencies: list[float], wrong: list[str]
) -> str:
    """All of it as Markdown."""
    args, box, samples = comparison.args, machine(), comparison.samples
    setting = (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {box['processor']}, "
        f"{box['cores']} cores, Linux {box['kernel']}, Python {box['python']}. Cycle at depth "
        f"{args.depth}, {args.connections} connections, payload {args.payload} bytes, TTL "
        f"{args.ttl} ms, {args.waiting:,} jobs waiting besides, "
        f"{args.rounds} x {args.seconds:g} s, "
        f"--cmdlog-sync {args.sync}, --cmdlog-seg-size {args.seg_size}, --cmdlog-clean-int "
        f"{args.clean_int}. Server and compactor on core {args.server_core}, load on core "
        f"{args.load_core}. Capacity {capacity:,.0f} jobs/s, load {rate:,} jobs/s."
    )
    head = ["compaction", "jobs/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs"]
    head += ["p99.9 slowest round", "compactions per round", "of the time", "snapshots seen"]
    lines = []
    for kind, each in samples.items():
        counts = sorted(sample["compactions"] for sample in each)
        lines.append(
            [
                kind,
                f"{median(each, 'jobs_per_s'):,.0f}",
                *(f"{median(each, key):,.0f}" for key in QUANTILES),
                f"{max(sample['p999_us'] for sample in each):,.0f}",
                f"{counts[0]} to {counts[-1]}",
                f"{median(each, 'share'):.0%}",
                f"{sum(sample['snapshots'] for sample in each)}",
            ]
        )
    ratios = [
        f"{median(samples[ALWAYS], key) / median(samples[NEVER], key):.2f}" for key in QUANTILES
    ]
    lines.append(["with / without", "", *ratios, "", "", "", ""])
    notes = [f"* {text}" for text in wrong]
    for kind, each in samples.items():
        if median(each, "foreign") >= 0.1:
            share = f"{median(each, 'foreign'):.0%} of a core"
            notes.append(f"* disturbed: {kind} compaction: others used {share}")
    parts = [setting, told(disk(args.dir, [latencies])), table(head, lines, 1)]
    return "\n\n".join([*parts, "\n".join(notes)] if notes else parts)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what compaction does to latencies.")
    add = parser.add_argument
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=20.0, help="of each measurement (20)")
    add("--warmup", type=float, default=2.0, help="before each, not counted (2)")
    add("--depth", type=int, default=1, help="commands in flight per connection (1)")
    add("--connections", type=int, default=50)
    add("--payload", type=int, default=64)
    add("--ttl", type=int, default=1000, metavar="MS", help="of the jobs that are measured (1000)")
    add("--waiting", type=int, default=10_000, help="jobs in each snapshot (10000)")
    add("--seg-size", default="1MiB", help="small, so that there are many (1MiB)")
    add("--clean-int", default="100ms", help="how often the server looks (100ms)")
    add("--sync", default="interval", choices=("always", "interval", "os"))
    add("--rate", type=int, help="jobs a second, instead of half of the capacity")
    add("--workq", default=find_workq(), metavar="CMD", help="the command, with {port}")
    add("--dir", type=Path, default=HERE / "build", help="a directory on a disk (bench/build)")
    add(
        "--server-core", default="0", metavar="LIST", help="of server and compactor, as for taskset"
    )
    add("--load-core", type=int, default=1)
    add("--quiet", type=float, default=20.0, metavar="S", help="wait so long for a quiet machine")
    args = parser.parse_args()
    if not args.workq:
        parser.error("no workq-server beside this Python; name it with --workq")
    if not args.dir.is_dir() or file_system(args.dir)[0] in MEMORY:
        parser.error(f"--dir: {args.dir} is no directory on a disk")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


def main() -> int:
    """Measure and report."""
    args = parse_args()
    try:
        check_tools({*map(int, args.server_core.split(",")), args.load_core})
        os.sched_setaffinity(0, {args.load_core})
        latencies = sync_latencies(args.dir)
        with tempfile.TemporaryDirectory(prefix="workq-compaction-", dir=args.dir) as name:
            comparison = Comparison(args, Path(name))
            capacity = comparison.capacity()
            rate = args.rate or max(1, int(capacity * SHARE))
            for number in range(args.rounds):
                kinds = (NEVER, ALWAYS) if number % 2 == 0 else (ALWAYS, NEVER)
                for kind in kinds:
                    comparison.measure(kind, number, rate)
    except BenchError as error:
        say(f"compaction.py: {error}")
        return 1
    wrong = verdict(comparison.samples, rate)
    print(report(comparison, capacity, rate, latencies, wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
