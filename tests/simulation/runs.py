"""Running seeds: one, or many in two processes, and what to print when one of them fails.

A failure is made smaller by leaving faults out, as many as can be, as long as the same checker
still finds something; the command that repeats it names those that are left.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.simulation.plan import Fault, faults_of
from tests.simulation.reach import Reach
from tests.simulation.violation import Violation
from tests.simulation.world import World

#: Seeds that ever failed, one a line, with what they found behind a `#`.
SEEDS_FILE: Final = Path(__file__).parent / "seeds.txt"

EFFECTS_SHOWN: Final = 25


class Run(NamedTuple):
    """What became of a seed.

    Attributes:
        seed: the seed.
        checker: who found something; empty for nobody.
        problem: what.
        step: of the world, at which it was found or all was over.
        time_ms: of the world, then.
        effects: what happened last.
        commands, crashes: how many there were.
        reach: what was met.
    """

    seed: int
    checker: str
    problem: str
    step: int
    time_ms: int
    effects: list[str]
    commands: int
    crashes: int
    reach: Reach


def run(seed: int, faults: Sequence[Fault] | None = None) -> Run:
    """Run one seed.

    Args:
        seed: the seed.
        faults: what goes wrong; by default all that the seed says.
    """
    world = World(seed, faults)
    checker = problem = ""
    try:
        world.run()
    except Violation as violation:
        checker, problem = violation.checker, violation.problem
    except Exception as error:  # of the server or of the world: neither may raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        checker = "server"
        problem = f"{error!r} at {Path(place.filename).name}:{place.lineno}"
    crashes = world.reach.rows["by power"] + world.reach.rows["by kill"]
    return Run(
        seed, checker, problem, world.steps, world.now_us // 1000, world.effects[-EFFECTS_SHOWN:],
        world.commands, crashes, world.reach,
    )  # fmt: skip


def shrunk(failed: Run, tries_max: int = 60) -> tuple[list[int], Run]:
    """Leave out faults as long as the same checker finds something.

    Returns:
        The numbers of the faults that are left, and what became of the run with them.
    """
    faults = faults_of(failed.seed)
    kept = list(range(len(faults)))
    best = failed
    tries = 0
    smaller = True
    while smaller and tries < tries_max:
        smaller = False
        for number in list(kept):
            rest = [one for one in kept if one != number]
            again = run(failed.seed, [faults[one] for one in rest])
            tries += 1
            if again.checker == failed.checker:
                kept, best, smaller = rest, again, True
    return kept, best


def told(failed: Run) -> str:
    """A failure, for people: what, where, after what, and how to repeat it."""
    faults = faults_of(failed.seed)
    kept, best = shrunk(failed)
    left = ",".join(map(str, kept)) or "-"
    lines = [
        f"seed {failed.seed}: {failed.checker}: {failed.problem}",
        f"at step {failed.step}, {failed.time_ms} ms; the last effects:",
        *failed.effects,
        f"with these of its {len(faults)} faults, at step {best.step}: {best.problem}",
        *(f"  {number}: {faults[number]}" for number in kept),
        f"repeat it with: make simulate SEED={failed.seed}",
        f"or smaller:     make simulate SEED={failed.seed} FAULTS={left}",
    ]
    return "\n".join(lines)


def _first(seed: int) -> Run:
    found = run(seed)
    gc.collect()
    return found


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_many(seeds: Iterable[int], processes: int = 2) -> Iterator[Run]:
    """Run seeds, in so many processes; in the order of the seeds."""
    with multiprocessing.get_context("fork").Pool(processes, _begin) as pool:
        yield from pool.imap(_first, seeds, chunksize=4)


def kept_seeds() -> list[int]:
    """The seeds that ever failed."""
    lines = SEEDS_FILE.read_text(encoding="utf-8").splitlines()
    return [int(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
