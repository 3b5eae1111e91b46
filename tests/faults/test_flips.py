"""Flipped bits, a short form; `python -m tests.faults.flips` has the long one."""

from __future__ import annotations

import pytest

from tests.faults import flips
from tests.faults.recorded import Outcomes


@pytest.mark.parametrize("compacted", [False, True])
def test_a_flipped_bit_gives_a_prefix_or_a_refusal(compacted):
    """And never something else: every thirteenth of a log with a snapshot and without."""
    scene = flips.Scene(1, 2, 1024, compacted)
    assert any(name.endswith(".snap") for name in scene.files) == compacted
    outcomes = flips.flip(scene, 13)
    assert outcomes.refused > 100
    assert outcomes.prefixes > 20


def test_a_flipped_bit_in_what_was_not_synced_never_refuses():
    """All of them, of the last frames: a prefix that ends before the flipped one."""
    scene = flips.Scene(3, 2, 4096, compacted=False)
    name = max(name for name, data in scene.files.items() if len(data.rstrip(b"\0")) > 64)
    last = [place for place in scene.places() if place[0] == name][-8 * (flips.ZEROS + 100) :]
    for place in last:
        outcomes = Outcomes(scene.digests, scene.least)
        outcomes.try_one(scene.flipped(*place), str(place))
        assert not outcomes.refused
