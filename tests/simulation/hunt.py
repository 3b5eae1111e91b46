"""Runs in the copy of a package with a defect: seeds, until one of the named checkers finds it."""

from __future__ import annotations

import gc
import sys

from tests.simulation.runs import run


def main() -> None:
    """The first seed, how many, and the checkers; says `found` or `searched`."""
    first, count, *checkers = sys.argv[1:]
    others: dict[str, int] = {}
    for seed in range(int(first), int(first) + int(count)):
        found = run(seed)
        if found.checker in checkers:
            problem = " ".join(found.problem.split())
            sys.stdout.write(f"found {seed} {found.checker} {problem}\n")
            return
        if found.checker:
            others[found.checker] = others.get(found.checker, 0) + 1
            sys.stdout.write(f"other {seed} {found.checker} {found.problem[:200]}\n")
        if seed % 20 == 0:
            gc.collect()
    sys.stdout.write(f"searched {count} seeds; other checkers: {others}\n")


if __name__ == "__main__":
    main()
