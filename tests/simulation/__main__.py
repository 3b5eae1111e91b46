"""`python -m tests.simulation`: run seeds until they are through, or the time is over.

`make simulate` calls it: SEED is the first seed, SEEDS how many, HOURS how long at the most, FAULTS
those of one seed that are to happen (numbers, as a failure prints them; `-` for none).
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time

from tests.simulation.plan import faults_of
from tests.simulation.reach import Reach
from tests.simulation.runs import kept_seeds, run, run_many, told


def main() -> int:
    """Run what was asked for; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="make simulate", description="run simulated worst days")
    parser.add_argument("--seed", type=int, default=0, help="the first one; 0: those kept, then 1")
    parser.add_argument("--seeds", type=int, default=0, help="how many")
    parser.add_argument("--hours", type=float, default=0.0, help="how long at the most")
    parser.add_argument("--faults", default="", help="which of one seed's faults happen")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--reach", action="store_true", help="show what was met")
    chosen = parser.parse_args()
    say = sys.stdout.write
    if chosen.seed and not chosen.seeds and not chosen.hours:
        return _one(chosen.seed, chosen.faults)
    first = chosen.seed or 1
    count = chosen.seeds or (1 << 40 if chosen.hours else 300)
    kept = [] if chosen.seed else kept_seeds()
    end_s = time.monotonic() + (chosen.hours or 1e6) * 3600
    begun_s = time.monotonic()
    reach = Reach()
    commands = crashes = through = 0
    failed: list[int] = []
    seeds = itertools.chain(kept, range(first, first + count))
    bounded = itertools.takewhile(lambda _: time.monotonic() < end_s, seeds)
    for found in run_many(bounded, chosen.processes):
        through += 1
        commands += found.commands
        crashes += found.crashes
        reach.add(found.reach)
        if found.checker:
            failed.append(found.seed)
            say(f"seed {found.seed}: {found.checker}: {found.problem[:300]}\n")
            sys.stdout.flush()
        if through % 1000 == 0:
            say(f"{through} seeds, {through / (time.monotonic() - begun_s):.1f} a second\n")
            sys.stdout.flush()
    took_s = time.monotonic() - begun_s
    say(
        f"{through} seeds in {took_s:.0f} s ({through / took_s:.1f} a second): "
        f"{commands} commands, {crashes} crashes, {len(failed)} failed, "
        f"{reach.pairs_met():.0%} of the pairs met\n"
    )
    if chosen.reach:
        for row, times in sorted(reach.rows.items()):
            say(f"{times:9d}  {row}\n")
    if failed:
        say(told(run(failed[0])) + "\n")
    return 1 if failed else 0


def _one(seed: int, wanted: str) -> int:
    """Run one seed and tell all about it."""
    faults = faults_of(seed)
    if wanted:
        numbers = [int(number) for number in wanted.split(",") if number != "-"]
        faults = [faults[number] for number in numbers]
    found = run(seed, faults)
    if found.checker and not wanted:
        sys.stdout.write(told(found) + "\n")
    elif found.checker:
        lines = [*found.effects, f"{found.checker}: {found.problem}"]
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        sys.stdout.write(
            f"seed {seed}: {found.commands} commands, {found.crashes} crashes, "
            f"{found.step} steps, {found.time_ms} ms: nothing found\n"
        )
    return 1 if found.checker else 0


if __name__ == "__main__":
    sys.exit(main())
