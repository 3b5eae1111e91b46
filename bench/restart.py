"""How quickly workq-server comes back from its command log, and what it weighs then.

    make -C bench
    python bench/restart.py                      a million jobs, a million transitions, snapshots
    python bench/restart.py --jobs 20000 --rounds 1 --parts waiting,history

A server is filled by the load generator, killed with SIGKILL and started anew on the same log: what
counts is the time from exec until its line `Listening on`. The parts:

* waiting: jobs that were added and wait. What they take in memory, before and after.
* history: jobs that were added, leased and completed, in so many transitions as --jobs says.
* snapshot: the waiting jobs again, once compaction has made a snapshot of them.

The report is Markdown on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from disk import MEMORY, disk, file_system, sync_latencies, told
from machine import HERE, busy, cpu_of, machine, memory_of, wait_for_quiet
from program import Program, check_tools, load, read_bytes
from report import say, table
from servers import BenchError, find_workq

PARTS = ("waiting", "history", "snapshot")

#: The targets of the issue: transitions a second, and seconds until a million jobs are back.
RATE_MIN = 250_000
SECONDS_MAX = 6.0
MILLION = 1_000_000

#: So long after a compaction the next would have begun, if there were one.
QUIET_S = 3.0

HOUR_MS = "3600000"
DAY = "1d"


class Restart:
    """The settings, and what has been found.

    Args:
        args: the command line.
        place: where the directories of the logs are made.
    """

    def __init__(self, args: argparse.Namespace, place: Path) -> None:
        self.args = args
        self.place = place
        self.rows: list[dict[str, Any]] = []

    def start(self, name: str, *options: str) -> Program:
        """A server on the directory of that name; without compaction unless the options say so."""
        directory = self.place / name
        directory.mkdir(exist_ok=True)
        return Program(
            self.args.workq, directory, self.place / f"{name}.said", self.args.server_core,
            ["--cmdlog-sync", self.args.sync, "--cmdlog-clean-int", DAY, *options],
            limit_s=60 + self.args.jobs / 10_000,
        )  # fmt: skip

    def load(self, server: Program, *options: str) -> dict[str, Any]:
        """The load generator, depth 16, jobs that stay."""
        words = ["-d", "16", "--payload", str(self.args.payload), "--ttl", HOUR_MS, *options]
        return load(server.port, self.args.load_core, *words)

    def memory(self, server: Program) -> int:
        """Resident bytes, once it has come to rest."""
        time.sleep(1)
        return memory_of(server.pid)

    def restarts(
        self, name: str, title: str, jobs: int, row: dict[str, Any], compacted: bool = False
    ) -> None:
        """Start anew a few times, killing each; one row of the report."""
        took, rates, read, memory, foreign = [], [], [], [], []
        log_bytes = 0
        found: dict[str, Any] = {}
        for number in range(self.args.rounds):
            wait_for_quiet(self.args.quiet)
            if self.args.cold:
                os.sync()
                Path("/proc/sys/vm/drop_caches").write_text("3\n")
            before, mine, start = busy(), time.process_time(), time.monotonic()
            server = self.start(name)
            others = busy() - before - cpu_of(server.pid) - (time.process_time() - mine)
            foreign.append(max(0.0, others) / (time.monotonic() - start))
            try:
                (found,) = server.lines("command log read")
                memory.append(self.memory(server))
                log_bytes = read_bytes(self.place / name)
                if server.snapshots() and not compacted:
                    raise BenchError(f"{title}: compaction has run, which was not to be")
            finally:
                server.kill()
            took.append(server.took_s)
            read.append(found["took_ms"] / 1000)
            rates.append(found["transitions"] / max(found["took_ms"] / 1000, 0.001))
            if found["jobs"] != jobs:
                raise BenchError(f"{title}: {found['jobs']} jobs are back, not {jobs}")
            result = f"{took[-1]:7.2f} s {rates[-1]:11,.0f}/s"
            say(f"{number + 1}/{self.args.rounds}  {title:28}{result}")
        row |= {
            "title": title,
            "jobs": jobs,
            "transitions": found["transitions"],
            "took_s": statistics.median(took),
            "all_took_s": took,
            "bytes": log_bytes,
            "read_s": statistics.median(read),
            "rate": statistics.median(rates),
            "memory": statistics.median(memory),
            "foreign": statistics.median(foreign),
        }
        self.rows.append(row)

    # --- the parts --------------------------------------------------------------------------------

    def waiting(self) -> None:
        """Jobs that wait."""
        server = self.start("waiting")
        try:
            empty = self.memory(server)
            added = self.load(server, "--mode", "add", "--jobs", str(self.args.jobs))
            say(f"{self.args.jobs:,} jobs added, {added['jobs_per_s']:,.0f} a second")
            row = {"empty": empty, "full": self.memory(server)}
        finally:
            server.kill()
        self.restarts("waiting", "waiting jobs", self.args.jobs, row)

    def history(self) -> None:
        """Jobs added, leased and completed, which are kept until their TTL ends."""
        jobs = self.args.jobs // 3
        server = self.start("history")
        try:
            empty = self.memory(server)
            done = self.load(server, "--mode", "cycle", "--jobs", str(jobs))
            say(f"{jobs:,} jobs through, {done['jobs_per_s']:,.0f} a second")
            row = {"empty": empty, "full": self.memory(server)}
        finally:
            server.kill()
        self.restarts("history", "added, leased, completed", jobs, row)

    def snapshot(self) -> None:
        """The directory of `waiting` again, once compaction has run there."""
        if not (self.place / "waiting").exists():
            server = self.start("waiting")
            try:
                self.load(server, "--mode", "add", "--jobs", str(self.args.jobs))
            finally:
                server.kill()
        server = self.start("waiting", "--cmdlog-clean-int", "100ms", "--cmdlog-seg-size", "1MiB")
        try:
            self._until_compacted(server)
            row: dict[str, Any] = {"empty": None, "full": self.memory(server)}
        finally:
            server.kill()
        # what was churned besides has come to its end, or is counted by the server itself
        self._settle()
        server = self.start("waiting")
        try:
            (found,) = server.lines("command log read")
        finally:
            server.kill()
        self.restarts("waiting", "waiting jobs, snapshot", found["jobs"], row, compacted=True)

    def _until_compacted(self, server: Program) -> None:
        """Make the log long enough to be compacted, and wait until it will not be again.

        It is made longer by jobs that come and go at once. Those of the last second are in the
        snapshot too; so, once they are gone, there is reason for another one if they were many.
        """
        end = time.monotonic() + self.args.patience
        quiet_since, seed, again = time.monotonic(), 1000, False
        churn = ["--mode", "cycle", "--ttl", "1000", "--queue", "churn", "--payload", "4000"]
        while True:
            server.check_alive()
            begun, done = server.lines("compacting the command log"), server.compacted()
            if not begun:
                self.load(server, *churn, "--seconds", "1", "--seed", str(seed))
                seed += 1
            elif len(begun) == len(done) and not again:
                time.sleep(2)
                self.load(server, *churn, "--jobs", "1000", "--seed", "999")
                again = True
            now = time.monotonic()
            if not begun or len(begun) > len(done):
                quiet_since = now
            elif now - quiet_since > QUIET_S:
                break
            if now > end:
                problems = "; ".join(server.problems()[-2:])
                text = f"compaction was not done in {self.args.patience:.0f} s"
                raise BenchError(f"{text}: {problems or 'the server says nothing of it'}")
            time.sleep(0.1)
        took = ", ".join(f"{line['took_ms'] / 1000:.1f} s" for line in done)
        say(f"compacted: {took}; there is {', '.join(server.snapshots())}")

    def _settle(self) -> None:
        """A last run in which the jobs that were only for a second are seen off."""
        server = self.start("waiting")
        try:
            time.sleep(2)
        finally:
            server.stop()


def mib(count: float | None) -> str:
    """Bytes as MiB."""
    return "-" if count is None else f"{count / 2**20:.0f}"


def report(rows: list[dict[str, Any]], latencies: list[float], args: argparse.Namespace) -> str:
    """All of it as Markdown."""
    box = machine()
    head = ["after kill -9", "jobs", "transitions read", "log MiB", "s until it listens"]
    head += [
        "of that reading",
        "transitions/s",
        "MiB before, after",
        "bytes per job before, after",
        "targets",
    ]
    lines = []
    for row in rows:
        base = row["empty"]
        per_job = [
            "-" if base is None else f"{(each - base) / max(row['jobs'], 1):,.0f}"
            for each in (row["full"], row["memory"])
        ]
        wrong = [f"under {RATE_MIN:,}/s"] if row["rate"] < RATE_MIN else []
        share = row["jobs"] / MILLION
        late = row["took_s"] > SECONDS_MAX * share
        if row["title"].startswith("waiting") and share >= 1 and late:
            wrong.append(f"over {SECONDS_MAX:g} s")
        times = f"{min(row['all_took_s']):.2f} to {max(row['all_took_s']):.2f}"
        lines.append(
            [
                row["title"],
                f"{row['jobs']:,}",
                f"{row['transitions']:,}",
                mib(row["bytes"]),
                f"{row['took_s']:.2f} ({times})",
                f"{row['read_s']:.2f}",
                f"{row['rate']:,.0f}",
                f"{mib(row['full'])}, {mib(row['memory'])}",
                ", ".join(per_job),
                "MISSED: " + ", ".join(wrong) if wrong else "met",
            ]
        )
    setting = (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {box['processor']}, "
        f"{box['cores']} cores, Linux {box['kernel']}, Python {box['python']}. Payload "
        f"{args.payload} bytes, medians of {args.rounds} restarts, --cmdlog-sync {args.sync}, "
        f"server on core {args.server_core}. Page cache "
        f"{'emptied' if args.cold else 'as the killed server left it'} before each start."
    )
    parts = [setting, told(disk(args.dir, [latencies])), table(head, lines, 1)]
    noisy = [row for row in rows if row["foreign"] >= 0.1]
    notes = [
        f"* disturbed: {row['title']}: others used {row['foreign']:.0%} of a core" for row in noisy
    ]
    parts += ["\n".join(notes)] if notes else []
    return "\n\n".join(parts)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the restart of workq-server.")
    add = parser.add_argument
    add("--jobs", type=int, default=MILLION, help="that wait; and transitions of the history")
    add("--payload", type=int, default=64)
    add("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    add("--rounds", type=int, default=3, help="restarts of each part (3)")
    add("--sync", default="interval", choices=("always", "interval", "os"))
    add("--cold", action="store_true", help="empty the page cache before each start (root)")
    add(
        "--patience", type=float, default=180.0, metavar="S", help="for compaction to be done (180)"
    )
    add("--workq", default=find_workq(), metavar="CMD", help="the command, with {port}")
    add("--dir", type=Path, default=HERE / "build", help="a directory on a disk (bench/build)")
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--quiet", type=float, default=20.0, metavar="S", help="wait so long for a quiet machine")
    args = parser.parse_args()
    args.parts = args.parts.split(",")
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"--parts: {part!r} is unknown")
    if not args.workq:
        parser.error("no workq-server beside this Python; name it with --workq")
    if not args.dir.is_dir() or file_system(args.dir)[0] in MEMORY:
        parser.error(f"--dir: {args.dir} is no directory on a disk")
    if args.jobs < 3 or args.rounds < 1:
        parser.error("--jobs: at least 3; --rounds: at least 1")
    return args


def main() -> int:
    """Measure and report."""
    args = parse_args()
    failures = []
    try:
        check_tools({args.server_core, args.load_core})
    except BenchError as error:
        say(f"restart.py: {error}")
        return 1
    os.sched_setaffinity(0, {args.load_core})
    latencies = sync_latencies(args.dir)
    with tempfile.TemporaryDirectory(prefix="workq-restart-", dir=args.dir) as name:
        restart = Restart(args, Path(name))
        for part in args.parts:
            try:
                getattr(restart, part)()
            except BenchError as error:
                failures.append(f"* FAILED: {part}: {error}")
                say(failures[-1])
    print(report(restart.rows, latencies, args))
    if failures:
        print("\n" + "\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
