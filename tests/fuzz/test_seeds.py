"""Fuzzing can begin: every target has seeds, and every transcript becomes one."""

import pytest

from fuzz import seeds


@pytest.mark.parametrize("target", ["reader", "broker", "log", "settings"])
def test_every_target_has_seeds_and_words(target, tmp_path):
    """As `make fuzz` makes them."""
    seeds.write(target, tmp_path)
    assert len(list((tmp_path / "seeds").iterdir())) > 10
    assert (tmp_path / "words.dict").stat().st_size > 100


def test_what_a_player_learns_from_replies_is_filled_in():
    """The tokens of leases are those that a new server gives."""
    said = [step for case in seeds.cases() for step in seeds._filled(case)]
    assert any(f"-lease={seeds.FIRST_TOKEN}" in step for step in said)
