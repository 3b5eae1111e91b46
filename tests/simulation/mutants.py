"""Deliberate defects: each a patch, applied to a copy of the package, and found from a seed.

A file `mutants/<name>.patch` begins with lines of its own, `what: …`, `checker: …`, `seed: …`,
`took: …` (seeds until it was found); the patch follows. The copy lies in a folder that stands
before the repository on the path of a process of its own: nothing that is shipped has a switch for
it, and nothing of it is left.

`python -m tests.simulation.mutants [--search] [--seeds N] [name …]` repeats each from its seed, or
searches anew.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = Path(__file__).parent / "mutants"

#: How many seeds a search may take.
SEARCHED_MAX: Final = 2000


class Mutant(NamedTuple):
    """A defect.

    Attributes:
        name: of its file.
        what: what is wrong with it.
        checker: who finds it; several, with spaces between, if it is met in several ways.
        seed: from which it is found; 0 if none is recorded.
        took: how many seeds were run until then, when that was searched for.
        control: whether the whole harness would be worthless if it were not found.
    """

    name: str
    what: str
    checker: str
    seed: int
    took: int
    control: bool


class Found(NamedTuple):
    """What became of a mutant: the seed, the checker that found it, and what it said."""

    seed: int
    checker: str
    problem: str


def mutants() -> list[Mutant]:
    """All of them, in the order of their names."""
    found: list[Mutant] = []
    for path in sorted(FOLDER.glob("*.patch")):
        head = path.read_text(encoding="utf-8").partition("\n--- ")[0]
        fields = dict(re.findall(r"^([a-z]+): (.*)$", head, re.MULTILINE))
        found.append(
            Mutant(
                path.stem,
                fields["what"],
                fields["checker"],
                int(fields.get("seed", 0)),
                int(fields.get("took", 0)),
                path.stem.startswith("control-"),
            )
        )
    return found


@contextmanager
def defective(name: str) -> Iterator[Path]:
    """A folder with a copy of the package that has a defect.

    Raises:
        subprocess.CalledProcessError: the patch does not fit any more.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        # With what is compiled of it: its files keep their times, but for the one with the defect.
        shutil.copytree(ROOT / "workq", copy / "workq")
        (copy / "tests").mkdir()
        for part in ("fuzz", "tests/simulation"):
            (copy / part).symlink_to(ROOT / part)
        subprocess.run(
            ["patch", "--batch", "--silent", "-p1", "-i", str(FOLDER / f"{name}.patch")],
            cwd=copy, check=True, capture_output=True,
        )  # fmt: skip
        yield copy


def hunt(name: str, first: int, count: int, checker: str) -> Found | None:
    """Run seeds over a defect until its checker finds something, each in their order."""
    with defective(name) as copy:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.simulation.hunt",
             str(first), str(count), *checker.split()],
            cwd=copy, env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    match = re.search(r"^found (\d+) (\S+) (.*)", done.stdout, re.MULTILINE)
    if match is None:
        if "searched" not in done.stdout:
            raise RuntimeError(f"{name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return None
    return Found(int(match[1]), match[2], match[3])


def record(mutant: Mutant, seed: int, took: int) -> None:
    """Write down from which seed a defect is found."""
    path = FOLDER / f"{mutant.name}.patch"
    text = re.sub(r"^(seed|took): .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    head, sign, patch = text.partition("\n--- ")
    path.write_text(f"{head.rstrip()}\nseed: {seed}\ntook: {took}\n{sign}{patch}", encoding="utf-8")


def _hunted(wanted: list[Mutant], searched: int) -> Iterator[tuple[Mutant, Found | None]]:
    """Two at a time: from the first so many seeds, or for none from those recorded."""

    def one(mutant: Mutant) -> Found | None:
        first, count = (1, searched) if searched else (mutant.seed, 1)
        return hunt(mutant.name, first, count, mutant.checker)

    with ThreadPoolExecutor(2) as pool:
        yield from zip(wanted, pool.map(one, wanted), strict=True)


def main() -> int:
    """Repeat or search; 1 if a defect was not found."""
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("--search", action="store_true", help="search anew, and record")
    parser.add_argument("--seeds", type=int, default=SEARCHED_MAX)
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args()
    left = 0
    wanted = [one for one in mutants() if not chosen.names or one.name in chosen.names]
    for mutant, found in _hunted(wanted, chosen.seeds if chosen.search else 0):
        if found is None:
            left += 1
            sys.stdout.write(f"{mutant.name}: NOT FOUND\n")
        else:
            if chosen.search:
                record(mutant, found.seed, found.seed)
            sys.stdout.write(
                f"{mutant.name}: {found.checker}, seed {found.seed}: {found.problem[:120]}\n"
            )
        sys.stdout.flush()
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
