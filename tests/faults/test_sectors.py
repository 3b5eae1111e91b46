"""Lost sectors, a short form; `python -m tests.faults.sectors` has the long one."""

from __future__ import annotations

from random import Random

import pytest

from tests.faults import sectors

SEGMENT_BYTES = 64 * 1024


def test_every_subset_of_ten_sectors_written_since_the_sync_may_be_lost():
    """It always starts, in a state that there was, with no less than what was synced."""
    scene = sectors.Scene(1, 12, sectors.ALL_MAX, SEGMENT_BYTES)
    assert len(scene.changed) == sectors.ALL_MAX
    outcomes = sectors.since(scene, 0, Random(1))
    assert outcomes.prefixes == 1 << sectors.ALL_MAX
    assert {scene.safe, scene.record.log.position} <= outcomes.positions.keys()


@pytest.mark.parametrize("seed", range(4))
def test_any_sectors_of_two_segments_written_since_the_sync_may_be_lost(seed):
    """Drawn ones of many, over the end of a segment."""
    scene = sectors.Scene(seed, 12, 24, 8 * 1024)
    assert len({name for name, _ in scene.changed}) == 2
    assert sectors.since(scene, 150, Random(seed)).prefixes == 150


@pytest.mark.parametrize("segment_bytes", [8 * 1024, SEGMENT_BYTES])
def test_sectors_that_were_synced_may_not_be_lost(segment_bytes):
    """The frames behind them tell."""
    scene = sectors.Scene(2, 20, 12, segment_bytes)
    assert len(scene.sealed) > 4
    assert sectors.before(scene, 100, Random(2)).refused >= 100
