"""Three hundred worst days of the whole server, and what they must have met.

What is promised and how it is looked at is told in `docs/testing.md`.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.simulation.clients import Client
from tests.simulation.plan import FAULTS, POINTS, Fault, faults_of
from tests.simulation.reach import Reach
from tests.simulation.runs import Run, kept_seeds, run, run_many, shrunk, told
from tests.simulation.world import World

ROOT = Path(__file__).parents[2]
SEEDS = range(1, 301)

#: They are run in parts, so that none takes as long as a test may.
PART = 50
PARTS = range(len(SEEDS) // PART)

#: The share of pairs of a fault and a crash point that must be met.
PAIRS_MIN = 0.8

#: What must have happened to jobs, beside every fault, point and command.
LIVES = (
    "added", "added past", "added with a delay", "delay ends", "scheduled", "comes due", "leased",
    "leased again", "lease given back",
    "completed when leased", "completed when ready", "completed when scheduled",
    "completed when held", "failed when held", "fail counted when held", "deleted when held",
    "failed early when leased", "failed early when ready", "failed early when scheduled",
    "fail with a delay", "held back", "held back again", "hold ends", "ttl ends when held",
    "released", "touched", "touched with a ttr", "run released", "run touched",
    "token", "token of another connection", "token from before the start", "stale token",
    "stale token from before the start",
    "several leased", "several results", "several shown", "tagged request",
    "tagged request refused", "tagged request held up", "tagged wait answered",
    "several wait under tags", "too many waits", "wait ends with its connection",
    "failed when leased", "failed when ready", "failed when scheduled",
    "fail counted", "fail counted when ready", "fail counted when scheduled",
    "fail counted, the last attempt", "ttr ends", "ttr ends, the last attempt",
    "ttl ends", "ttl ends, finished", "deleted when ready", "deleted when scheduled",
    "deleted when leased", "deleted when completed", "deleted when failed",
    "run added", "run leased", "run leased again", "run completed when leased",
    "run completed when ready", "run failed when leased", "run failed when ready", "run ttr ends",
    "run deleted when leased", "run deleted when ready", "run result told",
    "run wait of the caller ends", "run lease of a caller that waits no longer ends",
    "run lease given back", "run caller cut off", "compacted", "damage refused",
)  # fmt: skip
COMMANDS = (
    "add", "schedule", "run", "lease", "complete", "fail", "touch", "release", "result", "delete",
    "inspect job", "inspect jobs", "inspect scheduled-jobs", "inspect queue", "inspect queues",
    "inspect server", "stats", "ping", "hello", "help", "quit",
)  # fmt: skip


def rows() -> list[str]:
    """All that 300 seeds must meet."""
    return [
        *(f"fault {kind}" for kind in FAULTS),
        *(f"at {point}" for point in POINTS if point != "between turns"),
        *(f"crash {point}" for point in POINTS),
        *(f"command {name}" for name in COMMANDS),
        *LIVES,
        "by power",
        "by kill",
    ]


@cache
def runs_of(part: int) -> list[Run]:
    """A sixth of the seeds; a part of its own are those that ever failed."""
    seeds = SEEDS[part * PART : (part + 1) * PART] if part >= 0 else kept_seeds()
    return list(run_many(seeds))


def all_runs() -> list[Run]:
    """The three hundred."""
    return [found for part in PARTS for found in runs_of(part)]


@pytest.mark.parametrize("part", [-1, *PARTS])
def test_three_hundred_seeds_keep_every_promise(part):
    """And so do, first of all, the seeds that ever broke one."""
    failed = [found for found in runs_of(part) if found.checker]
    assert not failed, "\n\n".join(told(found) for found in failed[:3])


def test_every_seed_is_a_worst_day():
    """Three hundred commands and two crashes at the least."""
    assert min(found.commands for found in all_runs()) >= 300
    assert min(found.crashes for found in all_runs()) >= 2


def test_three_hundred_seeds_meet_everything_that_can_happen():
    """Every command, fault, crash point and change of a job, and most pairs of fault and point."""
    reach = Reach()
    for found in all_runs():
        reach.add(found.reach)
    assert reach.missing(rows()) == []
    assert reach.pairs_met() >= PAIRS_MIN


def trace(seed: int) -> str:
    """Everything that happens in a seed."""
    world = World(seed)
    world.run()
    return "\n".join(world.effects)


def test_a_seed_is_the_same_run_in_every_process():
    """Whatever the order of hashes, which differs from process to process."""
    program = (
        "import hashlib; from tests.simulation.test_simulation import trace; "
        "print(hashlib.sha256(trace(11).encode()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, check=True,
            capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_a_failure_tells_seed_step_effects_faults_and_command(monkeypatch):
    """A server that answers `ping` wrongly, as the checkers are made to believe."""
    monkeypatch.setattr(Client, "_inspect", lambda self: b"ping\r\n")
    monkeypatch.setattr("tests.simulation.answers.OK", b"+PONG\r\n")
    failed = run(3)
    assert failed.checker == "replies"
    text = told(failed)
    assert text.startswith("seed 3: replies: ")
    assert f"at step {failed.step}, " in text
    assert "received b'" in text
    assert "make simulate SEED=3 FAULTS=-" in text
    assert shrunk(failed)[0] == []


def test_faults_can_be_left_out_without_changing_the_others():
    """A run with a fault less has the same workload, as far as the fault was not met."""
    faults = faults_of(5)
    world = World(5, faults[:1])
    assert world.faults == faults[:1]
    assert World(5).faults == faults
    assert all(isinstance(fault, Fault) for fault in faults)
