"""What runs have met: points, faults, crashes, and which of them came together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.simulation.plan import FAULTS, POINTS


class Reach:
    """What one run, or many, have met.

    Attributes:
        rows: how often each thing was met, by its name.
        pairs: how often a crash at a point came after a fault in the same life of a server.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self._faults: dict[str, None] = {}

    def met(self, point: str) -> None:
        """A server was at a point."""
        self.rows["at " + point] += 1

    def fault(self, kind: str) -> None:
        """Something went wrong."""
        self.rows["fault " + kind] += 1
        self._faults[kind] = None

    def crashed(self, point: str, how: str) -> None:
        """A server was killed at a point."""
        self.rows["crash " + point] += 1
        self.rows["by " + how] += 1
        for kind in self._faults:
            self.pairs[kind, point] += 1

    def count(self, what: str, times: int = 1) -> None:
        """Something else was met."""
        self.rows[what] += times

    def add(self, other: Reach) -> None:
        """Take in what another run has met."""
        self.rows.update(other.rows)
        self.pairs.update(other.pairs)

    def missing(self, expected: Iterable[str]) -> list[str]:
        """The rows that were not met."""
        return [row for row in expected if not self.rows[row]]

    def pairs_met(self) -> float:
        """The share of pairs of fault and crash point that were met."""
        return len(self.pairs) / (len(FAULTS) * len(POINTS))
