"""Flips every bit of a small log in turn: recovery comes to a prefix or refuses, never to
anything else.

    python -m tests.faults.flips

The log has a snapshot, sealed segments, a clean stop, a second start, something synced and
something not. The state that recovery comes to must be one that there was, bit for bit, and no
older than what was synced and vouched for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.recorded import Outcomes, Recorded, disk_of
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog import snapshot
from workq.recovery.compact import compact

#: So much of the zeros behind the last frame of a file is flipped as well.
ZEROS = 16


class Scene:
    """A small log of every kind.

    Args:
        seed: of what is in it.
        commits: how many there are in each of its five pieces.
        segment_bytes: how long a segment becomes.
        compacted: whether there is a snapshot.

    Attributes:
        files: its files.
        digests: of the state at each position.
        least: the position up to which later frames vouch for it.
        position: the last one.
    """

    def __init__(self, seed: int, commits: int, segment_bytes: int, compacted: bool) -> None:
        disk = SimulatedDisk()
        first = Recorded(disk, seed, segment_bytes, (0, 9))
        first.commit(2 * commits)
        first.close()
        second = Recorded(disk, seed + 1, segment_bytes, (0, 9), first.digests)
        if compacted:
            last = second.log.sealed[-1]
            compact(disk, last.number + 1, last.position)
            snapshot.publish(disk, last.number + 1)
            second.log.replaced(last.number + 1)
        second.commit(commits)
        second.sync()
        self.least = second.safe
        second.commit(commits)
        self.position = second.log.position
        self.digests = second.digests
        self.files = {name: disk.read_all(name) for name in disk.names()}

    def places(self) -> list[tuple[str, int]]:
        """Every bit: a file, and the number of the bit in it."""
        found: list[tuple[str, int]] = []
        for name, data in self.files.items():
            used = min(len(data), len(data.rstrip(b"\0")) + ZEROS)
            found += [(name, bit) for bit in range(8 * used)]
        return found

    def flipped(self, name: str, bit: int) -> SimulatedDisk:
        """The disk with one bit flipped."""
        data = bytearray(self.files[name])
        data[bit // 8] ^= 1 << bit % 8
        return disk_of(self.files | {name: bytes(data)})


def flip(scene: Scene, step: int = 1) -> Outcomes:
    """Flip every bit, or every so many."""
    outcomes = Outcomes(scene.digests, scene.least)
    for name, bit in scene.places()[::step]:
        outcomes.try_one(scene.flipped(name, bit), f"bit {bit} of {name} flipped")
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="flips", description=__doc__.split("\n\n")[0])
    parser.add_argument("--commits", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    for compacted in (False, True):
        begun = time.monotonic()
        scene = Scene(options.seed, options.commits, 1024, compacted)
        outcomes = flip(scene)
        sys.stdout.write(
            f"{', '.join(scene.files)}: {len(scene.places())} bits, {outcomes.refused} refused, "
            f"{outcomes.prefixes} prefixes, from frame {min(outcomes.positions)} (vouched for: "
            f"{scene.least}) to {max(outcomes.positions)} of {scene.position}; seed "
            f"{options.seed}, {time.monotonic() - begun:.0f} s\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
