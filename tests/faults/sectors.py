"""Drops sectors of 512 bytes that were written since the last sync: recovery must not care.

    python -m tests.faults.sectors --drawn 20000

A log under `interval` is written on a simulated disk. Of the sectors since its last sync, every
subset is put back to what the disk had before: all of them up to ten sectors, then a number drawn.
Recovery must always start, with a prefix that is no shorter than that sync, in the state that the
server was in at that frame. The same damage before the sync must always be refused.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.recorded import Outcomes, Recorded, disk_of
from tests.simulation.disk import SECTOR_BYTES, SimulatedDisk

#: A file and an offset in it.
Sector = tuple[str, int]

ALL_MAX = 10


class Scene:
    """A log with something synced and something not.

    Args:
        seed: of what is in it.
        synced: commits before the last sync.
        sectors: how many sectors are to be changed after it, at least.
        segment_bytes: how long a segment becomes.

    Attributes:
        record: the server that wrote it.
        changed: the sectors written since the sync.
        sealed: those with something in them that were written before it and not since, and which
            a later frame vouches for.
    """

    def __init__(self, seed: int, synced: int, sectors: int, segment_bytes: int) -> None:
        self.record = record = Recorded(SimulatedDisk(), seed, segment_bytes)
        record.commit(synced)
        record.sync()
        self.safe = record.safe
        self._before = self._contents()
        while len(changed := self._changed()) < sectors:
            record.commit()
        self.changed = changed
        self._after = self._contents()
        self.sealed = [
            (name, at)
            for name, data in self._before.items()
            for at in range(0, len(data), SECTOR_BYTES)
            if (name, at) not in changed and data[at : at + SECTOR_BYTES].strip(b"\0")
        ]

    def _contents(self) -> dict[str, bytes]:
        disk = self.record.disk
        return {name: disk.read_all(name) for name in disk.names()}

    def _changed(self) -> list[Sector]:
        return [
            (name, at)
            for name, data in self._contents().items()
            for at in range(0, len(data), SECTOR_BYTES)
            if data[at : at + SECTOR_BYTES] != self._before[name][at : at + SECTOR_BYTES]
        ]

    def without(self, lost: Sequence[Sector]) -> SimulatedDisk:
        """The disk without some sectors: each is as it was at the sync, or empty if it was the
        same then."""
        files = {name: bytearray(data) for name, data in self._after.items()}
        for name, at in lost:
            end = min(at + SECTOR_BYTES, len(files[name]))
            before = self._before[name][at:end]
            files[name][at:end] = before if files[name][at:end] != before else bytes(end - at)
        return disk_of({name: bytes(data) for name, data in files.items()})


def subsets(sectors: list[Sector], drawn: int, random: Random) -> Iterator[list[Sector]]:
    """Every subset, or if there are too many, some."""
    count = len(sectors)
    every = range(1 << count) if count <= ALL_MAX else None
    for subset in every or (random.getrandbits(count) for _ in range(drawn)):
        yield [sector for index, sector in enumerate(sectors) if subset >> index & 1]


def since(scene: Scene, drawn: int, random: Random) -> Outcomes:
    """Lose sectors written since the sync."""
    outcomes = Outcomes(scene.record.digests, scene.safe)
    for lost in subsets(scene.changed, drawn, random):
        outcomes.try_one(scene.without(lost), f"without {lost}")
    assert not outcomes.refused, f"{outcomes.refused} were refused"
    return outcomes


def before(scene: Scene, drawn: int, random: Random) -> Outcomes:
    """Lose sectors written before the sync: each alone, then some together."""
    outcomes = Outcomes(scene.record.digests, scene.safe)
    several = [lost for lost in subsets(scene.sealed, drawn, random) if lost]
    for lost in [[one] for one in scene.sealed] + several:
        outcomes.try_one(scene.without(lost), f"without {lost}")
    assert not outcomes.prefixes, f"{outcomes.prefixes} were not refused"
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="sectors", description=__doc__.split("\n\n")[0])
    parser.add_argument("--drawn", type=int, default=20_000, help="subsets of each larger log")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    random = Random(options.seed)
    for sectors, segment_bytes in ((ALL_MAX, 64 * 1024), (40, 64 * 1024), (24, 8 * 1024)):
        begun = time.monotonic()
        scene = Scene(options.seed, 12, sectors, segment_bytes)
        after = since(scene, options.drawn, random)
        early = before(scene, min(options.drawn, 1000), random)
        sys.stdout.write(
            f"{len(scene.changed)} sectors since the sync in "
            f"{len({name for name, _ in scene.changed})} segments: {after.prefixes} subsets, all "
            f"started, with {len(after.positions)} different prefixes from frame "
            f"{min(after.positions)} (synced: {scene.safe}) to {max(after.positions)}; "
            f"{len(scene.sealed)} sectors before it: {early.refused} subsets, all refused; "
            f"seed {options.seed}, {time.monotonic() - begun:.0f} s\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
