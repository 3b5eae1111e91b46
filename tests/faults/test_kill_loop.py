"""Kill -9 under load, a short form; `python -m tests.faults.kill_loop` has the long one."""

from __future__ import annotations

import pytest

from tests.faults import kill_loop
from tests.faults.wire import OK

ROUNDS = 2


@pytest.mark.parametrize("policy", kill_loop.POLICIES)
def test_a_kill_loses_nothing_that_was_acknowledged(policy):
    """Nor is anything handed out twice, or done twice; whatever the policy."""
    loop, problems = kill_loop.run(policy, seed=7, rounds=ROUNDS)
    assert problems == [], f"seed 7: {loop.figures.tell(loop.world, policy)}"
    assert loop.figures.kills + loop.figures.stops == ROUNDS
    assert loop.world.history.count("complete", OK) > 20


def test_the_kill_loop_finds_a_server_that_keeps_nothing():
    """Without a log everything is lost at every kill."""
    _, problems = kill_loop.run("os", seed=7, rounds=1, keep=False)
    assert any("lost" in problem for problem in problems)
