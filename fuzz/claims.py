"""What is known not to hold."""

from __future__ import annotations

from typing import Final

#: What is known not to hold and is not mended yet; `fuzz/README.md` tells more of each.
OPEN: Final[frozenset[str]] = frozenset(
    (
        "a client between two requests",
        "a client idle too short",
        "a request that is young",
        "an idle client that asks",
        "input that is counted and gone",
    )
)


def check_open(claim: str, holds: bool) -> None:
    """As assert, but for what is known not to hold."""
    assert holds or claim in OPEN, claim
