"""Words that the tools of the log share."""

from __future__ import annotations


def amount(count: int, thing: str) -> str:
    """So many of something: `1 frame`, `2,000 frames`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
