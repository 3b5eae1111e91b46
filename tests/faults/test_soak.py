"""A long life under load, in a short form; `python -m tests.faults.soak` has the long one."""

from __future__ import annotations

from tests.faults import memory, soak
from tests.faults.soak import Plan


def test_a_server_that_is_started_anew_again_and_again_keeps_its_word(tmp_path):
    """Stopped and killed under load, with its memory looked at meanwhile."""
    done, problems = soak.run(Plan(rounds=2, round_s=0.8, rate=600, sample_s=0.2), tmp_path)
    assert problems == [], done.tell()
    assert (done.stops, done.kills, done.lives) == (1, 1, 3)
    assert done.world.history.forgotten > 0
    assert memory.read_csv(tmp_path / "lives.csv")[-1][1:] == done.samples[-1][1:]
    assert (tmp_path / "lives.svg").read_text(encoding="utf-8").startswith("<svg")
    assert all(sample.rss_kib > 10_000 for sample in done.samples)


def test_a_server_may_live_on_from_round_to_round(tmp_path):
    """Its clients come and go, and what is settled is forgotten."""
    done, problems = soak.run(Plan(rounds=2, round_s=0.4, rate=600, sample_s=0.2, restart_every=0))
    assert problems == [], done.tell()
    assert (done.stops, done.kills, done.lives) == (0, 0, 1)
