"""Compares workq with beanstalkd and Redis on this machine: speed, latency, memory.

    make -C bench
    python bench/run.py                          the standard set, three rounds
    python bench/run.py --set logged             with command logs, on a disk
    python bench/run.py --rss                    bytes of memory per waiting job
    python bench/run.py --modes cycle --depths 1,4,64 --servers workq,beanstalkd
    python bench/run.py --modes cycle,split --sizes 1-2000 --priorities 10
    python bench/run.py --variant "logged=workq-server --listen 127.0.0.1:{port} …{dir}…"

Every measurement gets a server of its own, started on a free port and pinned to one core, with the
load generator pinned to another. Rounds are interleaved: a slow minute of the machine falls on all
servers alike. The report is Markdown on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from disk import MEMORY, disk, file_system, sync_latencies
from machine import HERE, machine, wait_for_quiet
from measure import MODES, SETS, Bench, Case, Sample
from report import BASE, BASES, report, say, summarise
from servers import LOGGED, SERVERS, SLOW_DISK, BenchError, Server, choose_servers, versions

#: Rounds and seconds of a set that are not 3 and 3: eight servers are many.
STANDARD = {"logged": (3, 1.5)}


def names(text: str) -> list[str]:
    """A list with commas."""
    return [part for part in text.split(",") if part]


def numbers(text: str) -> list[int]:
    """A list of numbers with commas."""
    return [int(part) for part in names(text)]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare workq with beanstalkd and Redis.")
    add = parser.add_argument
    add("--set", choices=sorted(SETS), default="memory", help="a named set of cases (memory)")
    add("--modes", type=names, help=f"instead of a set: some of {','.join(MODES)}")
    add("--depths", type=numbers, help="with --modes (1,16); else those of the set")
    add("--preloads", type=numbers, default=[0], help="with --modes: jobs that wait (0)")
    add("--sizes", default="", metavar="A-B", help="with --modes: payloads of A to B bytes")
    add("--priorities", type=int, default=1, help="with --modes: so many of them; not for redis")
    add("--servers", type=names, help=f"some of {','.join(SERVERS)}; "
        f"of the set logged: {','.join(LOGGED)}")  # fmt: skip
    add("--workq", metavar="CMD", help="the command of workq-server, with {port}")
    add("--variant", metavar="NAME=CMD", action="append", default=[],
        help="one more server of the workq protocol, with {port} and perhaps {dir}")  # fmt: skip
    add("--rounds", type=int, help="(3)")
    add("--seconds", type=float, help="of each measurement (3; logged: 1.5)")
    add("--warmup", type=float, default=0.5, help="before each, not counted (0.5)")
    add("--connections", type=int, default=50)
    add("--payload", type=int, default=64)
    add("--drain-jobs", type=int, default=200_000,
        help="how many jobs drain begins with; logged: at most, it ends in time")  # fmt: skip
    add("--dir", type=Path, help="where the servers' directories are made; in the set logged a "
        "disk (logged: bench/build, else that for temporary files)")  # fmt: skip
    add("--sync-us", type=int, default=0, metavar="US",
        help="have each sync of each server take so much longer, as on a slower disk")  # fmt: skip
    add("--rss", action="store_true", help="memory per waiting job, instead of speed")
    add("--rss-jobs", type=int, default=1_000_000)
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--quiet", type=float, default=20.0, metavar="S",
        help="wait up to S seconds for a quiet machine before each measurement")  # fmt: skip
    add("--retries", type=int, default=1, help="of a measurement others disturbed")
    add("--load", type=Path, default=HERE / "build" / "load", help="the load generator")
    add("--json", type=Path, help="write every measurement to this file")
    args = parser.parse_args(argv)
    logged = args.drain_seconds = args.set == "logged"
    known = list(LOGGED if logged else SERVERS)
    args.servers = known if args.servers is None else args.servers
    for name in args.servers:
        if name not in known:
            parser.error(f"--servers: {name!r} is unknown")
    rounds, seconds = STANDARD.get(args.set, (3, 3.0))
    args.rounds = rounds if args.rounds is None else args.rounds
    args.seconds = seconds if args.seconds is None else args.seconds
    if logged and args.dir is None:
        args.dir = HERE / "build"
    if args.dir is not None and not args.dir.is_dir():
        parser.error(f"--dir: there is no directory {args.dir}")
    if logged and file_system(args.dir)[0] in MEMORY:
        parser.error(f"--dir: {args.dir} is memory and no disk")
    for name in args.modes or []:
        if name not in MODES:
            parser.error(f"--modes: {name!r} is unknown")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    if args.sync_us and not SLOW_DISK.exists():
        parser.error("--sync-us: build/slowdisk.so is not built: make -C bench")
    return args


def choose_cases(args: argparse.Namespace) -> list[Case]:
    """What to measure."""
    if not args.modes:
        return [case for case in SETS[args.set] if case.depth in (args.depths or [case.depth])]
    return [
        Case(mode, depth, preload, args.sizes, args.priorities)
        for preload in args.preloads
        for mode in args.modes
        for depth in args.depths or [1, 16]
        if mode != "drain" or not preload
    ]


def check_tools(args: argparse.Namespace) -> None:
    """What has to be there before anything can be measured."""
    if not args.load.exists():
        raise BenchError("the load generator is not built: make -C bench")
    if not shutil.which("taskset"):
        raise BenchError("taskset is not installed (package util-linux)")
    cores = os.sched_getaffinity(0)
    if not {args.server_core, args.load_core} <= cores:
        raise BenchError(f"of the cores asked for only {sorted(cores)} are there")


def measure_speed_of_all(
    bench: Bench,
    servers: list[Server],
    samples: list[Sample],
    syncs: list[list[float]],
    failures: list[str],
) -> None:
    """All rounds, cases and servers; what was found is added to the lists as it comes."""
    rounds = bench.args.rounds
    for number in range(rounds):
        if bench.args.set == "logged":
            wait_for_quiet(bench.args.quiet)
            syncs.append(sync_latencies(bench.args.dir))
        for case in choose_cases(bench.args):
            turn = number % len(servers) if servers else 0
            for server in servers[turn:] + servers[:turn]:
                if not case.suits(server):
                    continue
                try:
                    sample = bench.measure(server, case, number)
                except BenchError as error:
                    failures.append(f"round {number + 1}, {case}: {error}")
                    say(failures[-1])
                    continue
                samples.append(sample)
                rate = f"{sample.load['jobs_per_s']:12,.0f} jobs/s"
                say(f"{number + 1}/{rounds}  {case!s:32}{server.name:14}{rate}")


def measure_memory_of_all(
    bench: Bench, servers: list[Server], memory: list[dict[str, Any]], failures: list[str]
) -> None:
    """The memory figure of every server."""
    for server in servers:
        try:
            memory.append(bench.measure_memory(server))
        except BenchError as error:
            failures.append(f"memory: {error}")
            say(failures[-1])
            continue
        say(f"{server.name:14}{memory[-1]['per_job']:8.0f} bytes per job")


def main() -> int:
    """Measures and reports."""
    args = parse_args()
    try:
        check_tools(args)
        servers, missing = choose_servers(args)
    except BenchError as error:
        say(f"run.py: {error}")
        return 1
    for name, why in missing.items():
        say(f"not measured: {name}: {why}")
    samples: list[Sample] = []
    memory: list[dict[str, Any]] = []
    syncs: list[list[float]] = []
    failures: list[str] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.rss:
            measure_memory_of_all(Bench(args), servers, memory, failures)
        else:
            measure_speed_of_all(Bench(args), servers, samples, syncs, failures)
    except KeyboardInterrupt:
        failures.append("interrupted: the report holds what was done by then")
    order = {server.name: i for i, server in enumerate(servers)}
    cases = {str(case): i for i, case in enumerate(choose_cases(args))}
    samples.sort(key=lambda sample: (cases[sample.case], order[sample.server], sample.round))
    found = {
        "when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(servers),
        "settings": {
            key: value
            for key, value in vars(args).items()
            if key not in ("json", "load", "workq", "variant", "dir")
        },
        "disk": disk(args.dir, syncs, args.sync_us) if args.set == "logged" else None,
        "missing": missing,
        "failures": failures,
        "summary": summarise(samples, BASES.get(args.set, BASE)),
        "memory": memory,
        "samples": [asdict(sample) for sample in samples],
    }
    print(report(found))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if failures or not servers else 0


if __name__ == "__main__":
    sys.exit(main())
