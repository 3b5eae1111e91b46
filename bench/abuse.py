"""What bad clients do to a good one: a table of figures.

    make -C bench build/abuse
    python bench/abuse.py                        every scenario
    python bench/abuse.py --only idle,flood      some of them
    python bench/abuse.py --list                 what there is

Each scenario has a server of its own on one core; the good client and the abusers share the other.
The good client (`abuse good`: paced, every reply checked) is measured alone and then under abuse.
The report is Markdown on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from abuse_clock import step_clock
from abuse_play import ABUSE, AbuseError, Play
from abuse_scenarios import SCENARIOS
from machine import first, machine
from report import say, table
from servers import find_workq


def report(rows: list[dict[str, Any]], steps: list[str], args: argparse.Namespace) -> str:
    """All of it as Markdown."""
    box = machine()
    head = ["scenario", "p50 alone µs", "p99 alone µs", "p50 µs", "p99 µs", "max µs", "p99 ratio"]
    head += ["server MiB before, under, after", "server CPU", "abusers' CPU", "errors"]
    head += ["long turns", "verdict"]
    lines = []
    for row in rows:
        alone, under = row["alone"], row["under"]
        lines.append(
            [
                row["title"],
                f"{alone['p50_us']:,}",
                f"{alone['p99_us']:,}",
                f"{under['p50_us']:,}",
                f"{under['p99_us']:,}",
                f"{under['max_us']:,}",
                f"{row['ratio']:.2f}",
                f"{row['before']:.0f}, {row['memory']:.0f}, {row['after']:.0f}",
                f"{row['server_share']:.0%}",
                f"{row['share']:.0%}",
                f"{under['errors']}",
                row["stats"]["long-turns"],
                "; ".join(row["wrong"]) or "good",
            ]
        )
    setting = (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {box['processor']}, "
        f"{box['cores']} cores, Linux {box['kernel']}, Python {box['python']}, load average "
        f"{box['load_average']:.1f}. The good client: {args.connections} connections, "
        f"{args.rate:g} cycles (add, lease, complete) a second each, {args.seconds:g} s. "
        f"Server on core {args.server_core}, good client and abusers on core {args.load_core}, "
        f"abusers held to {args.cpu:.0%} of it. Server at nice {args.nice}, good client "
        + ("before all others (SCHED_FIFO)." if first() else "at the usual priority.")
    )
    parts = [setting]
    if lines:
        parts.append(table(head, lines, 1))
    noisy = [row for row in rows if row["foreign"] > 0.1]
    if noisy:
        parts.append(
            "Disturbed while the good client was alone: "
            + ", ".join(f"{row['title'].split(':')[0]} ({row['foreign']:.0%})" for row in noisy)
        )
    if steps:
        parts.append("\n".join(steps))
    return "\n\n".join(parts)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what bad clients do to a good one.")
    add = parser.add_argument
    add("--only", help="some scenarios, with commas; `clock` is one")
    add("--list", action="store_true", help="tell the names of the scenarios")
    add("--seconds", type=float, default=5.0, help="of each measurement (5)")
    add("--connections", type=int, default=20, help="of the good client (20)")
    add("--rate", type=float, default=10.0, help="cycles a second of each of them (10)")
    add("--cpu", type=float, default=0.4, help="of the load core that abusers may use (0.4)")
    add("--nice", type=int, default=-15 if os.geteuid() == 0 else 0,
        help="of the server, against what else runs here (root: -15)")  # fmt: skip
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--workq", default=(find_workq() or "").split(" ")[0], help="the program workq-server")
    add("--json", type=Path, help="write everything to this file")
    return parser.parse_args()


def main() -> int:
    """Play and report."""
    args = parse_args()
    if args.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:20}{scenario.title}")
        print(f"{'clock':20}the wall clock stepped with every kind of deadline pending")
        return 0
    if not ABUSE.exists() or not shutil.which("taskset"):
        say("abuse.py: make -C bench build/abuse; taskset is of package util-linux")
        return 1
    if not args.workq:
        say("abuse.py: no workq-server beside this Python; name it with --workq")
        return 1
    chosen = args.only.split(",") if args.only else [*SCENARIOS, "clock"]
    rows, steps, failed = [], [], False
    for name in chosen:
        try:
            if name == "clock":
                steps, good = step_clock(args.workq, say)
                failed |= not good
                continue
            row = Play(args).play(SCENARIOS[name])
            rows.append(row)
            failed |= bool(row["wrong"])
            say(f"{name:20}p99 {row['alone']['p99_us']:7} {row['under']['p99_us']:7}  "
                f"{'; '.join(row['wrong']) or 'good'}")  # fmt: skip
        except (AbuseError, OSError, AssertionError) as error:
            say(f"{name}: {error!r}")
            steps.append(f"* FAILED: {name}: {error!r}")
            failed = True
    print(report(rows, steps, args))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
