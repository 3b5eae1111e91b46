"""What the fuzzers have found reaches the server again, without a fuzzer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import broker, log, reader, settings

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"
CHECKS: dict[str, Callable[[bytes], None]] = {
    "reader": reader.check,
    "broker": broker.check,
    "log": log.check,
    "settings": settings.check,
}
FILES = [(target, path) for target in CHECKS for path in sorted((CORPUS / target).iterdir())]

#: What a checkout of the repository and a run of all tests can bear.
FILES_MAX = 1200
BYTES_MAX = 1_000_000


@pytest.mark.parametrize("target, path", FILES, ids=lambda value: getattr(value, "name", value))
def test_what_was_found_still_holds(target: str, path: Path) -> None:
    """The file's name tells nothing: `fuzz/README.md` tells how to look into one."""
    CHECKS[target](path.read_bytes())


@pytest.mark.parametrize("target", CHECKS)
def test_there_is_a_corpus(target: str) -> None:
    """An empty folder would make the test above pass."""
    assert any((CORPUS / target).iterdir())


def test_the_corpus_is_small() -> None:
    """`make fuzz-keep` keeps no more of it than is needed."""
    assert len(FILES) <= FILES_MAX
    assert sum(path.stat().st_size for _, path in FILES) <= BYTES_MAX
