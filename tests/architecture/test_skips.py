"""A test skips for what the machine lacks only, in one way, and never under CI."""

from pathlib import Path

import pytest

from tests.conftest import lack

TESTS = Path(__file__).parents[1]
PLACE = TESTS / "conftest.py"


@pytest.mark.parametrize("ci, outcome", [("", "Skipped"), ("true", "Failed")])
def test_what_is_lacking_skips_a_test_but_fails_it_under_ci(ci, outcome, monkeypatch):
    """There it says what to do about it."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match="no such thing") as caught:
        lack("no such thing", "get one")
    assert type(caught.value).__name__ == outcome
    assert ("get one" in str(caught.value)) == bool(ci)


@pytest.mark.parametrize("name", ["skip(", "skipif(", "importorskip("])
def test_nothing_skips_in_another_way(name):
    """Or CI would be green though half of the tests were left out."""
    own = (PLACE, Path(__file__))
    others = [path for path in TESTS.rglob("*.py") if path not in own]
    assert [str(path) for path in others if f"pytest.{name}" in path.read_text("utf-8")] == []
    assert [str(path) for path in others if f"mark.{name}" in path.read_text("utf-8")] == []
