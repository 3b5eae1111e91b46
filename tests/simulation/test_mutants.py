"""The checkers are checked: each deliberate defect is found from its seed, by its checker."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.simulation.mutants import SEARCHED_MAX, Found, hunt, mutants

MUTANTS = mutants()


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Future[Found | None]]]:
    """What becomes of each, two at a time; a test waits for its own."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            mutant.name: pool.submit(hunt, mutant.name, mutant.seed, 1, mutant.checker)
            for mutant in MUTANTS
        }


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_defect_is_found_by_its_checker_from_its_seed(mutant, found):
    """If not, the checkers have become blind for it: `make mutants ARGS=<name>` searches anew."""
    assert found[mutant.name].result() is not None


def test_there_are_twenty_defects_and_three_controls():
    """Each found within the seeds that a search may take."""
    assert sum(not mutant.control for mutant in MUTANTS) >= 20
    assert sum(mutant.control for mutant in MUTANTS) == 3
    assert all(0 < mutant.took <= SEARCHED_MAX for mutant in MUTANTS)
