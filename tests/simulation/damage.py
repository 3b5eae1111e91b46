"""Bits that flip: which a start must notice, and which it cannot.

`docs/cmdlog.md` says that damage is noticed where a later frame vouches for what was damaged, and
that whatever nobody vouches for looks like an end that was never synced. `Damage` turns a bit of
the directory, works out from the heads of the frames which of the two it is, and holds the next
start against that. When a start has refused, the files come back as from a backup.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.disk import Inode
from tests.simulation.faulty import HEADER_BYTES, Head, heads
from tests.simulation.violation import Violation, demand
from workq.cmdlog.scan import Reading


class Damage:
    """What was damaged in one world.

    Args:
        world: the world.

    Attributes:
        done: whether something is, that no start has judged yet.
    """

    def __init__(self, world: Any) -> None:
        self._world = world
        self._flipped: tuple[int, bool, bool] | None = None
        self._before: dict[str, bytes] = {}
        self._may_refuse = self._torn = False

    @property
    def done(self) -> bool:
        """See above."""
        return self._flipped is not None

    def power_failed(self) -> None:
        """What vouched for the rest may be gone now."""
        if self._flipped is not None:
            self._flipped = (0, False, False)
            self._may_refuse = True

    def accepted(self, required: int) -> int:
        """A start has taken the log for a whole one: how far it must have come."""
        assert self._flipped is not None
        before, must_refuse, _ = self._flipped
        demand(not must_refuse, "damage", "a damaged log was taken for a whole one")
        self._flipped = None
        return before

    def flip(self, number: int, required: int) -> None:
        """Turn one bit of the directory, and work out what the next start must make of it.

        Args:
            number: chooses the file.
            required: the position that the next start must come to.
        """
        world = self._world
        disk = world.disk
        if self._flipped is not None:
            return
        intact = disk.copy()
        try:
            reading = Reading(intact)
            for _ in reading.frames():
                pass
        except Exception:
            return  # it is damaged already
        names = [name for name in disk.names() if name.endswith((".log", ".snap"))]
        if not names:
            return
        name = names[number % len(names)]
        data = disk.files[name].now
        used = len(data.rstrip(b"\0"))
        if not used:
            return
        self._before = {one: bytes(disk.files[one].now) for one in disk.names()}
        byte = world.random.randrange(min(used + 16, len(data)))
        bit = 1 << world.random.randrange(8)
        data[byte] ^= bit
        if byte < len(disk.files[name].safe):
            disk.files[name].safe[byte] ^= bit
        world.note(f"a bit of {name} flips at byte {byte}")
        self._torn = reading.tail is not None
        self._flipped = self._expected(name, byte, reading, required)

    def _expected(
        self, name: str, byte: int, reading: Any, required: int
    ) -> tuple[int, bool, bool]:
        """What comes of it: the position before, whether to refuse, whether that is sure."""
        before = self._before
        newest = f"{reading.snapshot.number:09d}.snap" if reading.snapshot else ""
        numbers = {f"{number:09d}.log" for number in reading.numbers}
        self._may_refuse = True
        if name == newest:
            return 0, True, False
        if name not in numbers:
            self._may_refuse = False
            return required, False, True
        if byte < HEADER_BYTES:
            return 0, True, False
        good: list[tuple[str, int, Head]] = []
        last = reading.position
        for one in sorted(numbers):
            start = HEADER_BYTES
            for head in heads(before[one], HEADER_BYTES, reading.mark):
                if head.position <= last and (
                    not good or head.position == good[-1][2].position + 1
                ):
                    good.append((one, start, head))
                start = head.end
        for place, start, head in good:
            if place == name and start <= byte < head.end:
                vouched = any(
                    later.safe >= head.position for _, _, later in good
                    if later.position > head.position
                )  # fmt: skip
                return head.position - 1, vouched, True
        return min(required, last), False, False

    def refused(self, failure: BaseException) -> None:
        """A start has refused a log as damaged: rightly? Then a backup is put in its place."""
        if self._flipped is None or not self._may_refuse:
            raise Violation("damage", f"a log that nobody damaged is refused: {failure}")
        _, must_refuse, sure = self._flipped
        demand(
            must_refuse or not sure or self._torn,
            "damage",
            f"a torn end is refused as damage: {failure}",
        )
        self._flipped = None
        disk = self._world.disk
        for name, data in self._before.items():
            if name in disk.files:
                disk.put(name, Inode.of(data))
        disk.changes, disk.safe_files = [], dict(disk.files)
        self._world.reach.count("damage refused")
