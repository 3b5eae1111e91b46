"""Small logs to begin with: what a real server's log has written on a disk that is simulated.

Each has several segments of a few frames. What is known of it is the digest of the state at each
position: whatever damage is done, that of the last frame that is read must be among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from fuzz.reference_log import HEADER_BYTES, anywhere
from tests.cmdlog.making import Opened, opened
from tests.engine.making import NOW_MS
from tests.recovery.making import Commits, lived
from tests.simulation.disk import SimulatedDisk
from workq.cmdlog import snapshot
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT, Frame
from workq.cmdlog.scan import Reading
from workq.engine import dump
from workq.engine.state import State
from workq.recovery.compact import compact
from workq.recovery.records import bodies
from workq.recovery.replay import replay

SEGMENT_BYTES: Final = 900

#: A file in pieces: its header, its frames, and what is behind them.
Pieces = list[bytes]


class History(NamedTuple):
    """A log.

    Attributes:
        files: in pieces, by name.
        digests: of the state at each position.
    """

    files: dict[str, Pieces]
    digests: dict[int, bytes]


def _append(log: Opened, commits: Commits) -> None:
    """Append commits, some of which are synced."""
    for number, (commit, time_ms) in enumerate(commits):
        for records, body in bodies(commit):
            log.log.append(COMMIT, time_ms, records, body)
        if number % 3 == 0:
            log.log.sync()
            log.worker.run()


def _written() -> SimulatedDisk:
    """Two starts with a clean stop between, an idle moment, and an end that nobody has synced."""
    commits = lived(1, 13)
    log = opened(SimulatedDisk(), SEGMENT_BYTES)
    _append(log, commits[:5])
    log.log.close(NOW_MS, lambda: None)
    log.worker.run()
    log = opened(log.disk.killed(), SEGMENT_BYTES)
    _append(log, commits[5:8])
    log.log.sync()
    log.worker.run()
    for tick in (1, 2):
        log.log.tick(NOW_MS + tick)
        log.worker.run()
    _append(log, commits[8:10])
    for commit, time_ms in commits[10:]:
        for records, body in bodies(commit):
            log.log.append(COMMIT, time_ms, records, body)
    log.worker.run()
    return log.disk.copy()


def _snapshot(disk: SimulatedDisk, sealed: int) -> int:
    """Write a snapshot of some segments, unpublished; its number."""
    reading = Reading(disk)
    list(reading.frames())
    last = reading.sealed[sealed - 1]
    compact(disk, last.number + 1, last.position)
    return last.number + 1


def _published() -> SimulatedDisk:
    """The first segments were replaced by a snapshot."""
    disk = _written()
    snapshot.publish(disk, _snapshot(disk, 3))
    return disk


def _crashed() -> SimulatedDisk:
    """A crash came before what a snapshot replaces was removed, and another one in the next."""
    disk = _written()
    snapshot.publish(disk, _snapshot(disk, 2))
    number = _snapshot(disk, 2)
    name = f"{number:09d}.snap"
    disk.rename(f"{name}.tmp", name)
    _snapshot(disk, 1)
    return disk


def _begun() -> SimulatedDisk:
    """Nothing has happened yet."""
    log = opened(SimulatedDisk(), SEGMENT_BYTES)
    log.worker.run()
    return log.disk


class Noting(Reading):
    """A reading that keeps what it has read.

    Attributes:
        found, parts_found: the frames of the segments, and the parts of the snapshot, as far as
            they were read.
    """

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.found: list[Frame] = []
        self.parts_found: list[Frame] = []

    def parts(self) -> Iterator[Frame]:
        """As of any reading."""
        for frame in super().parts():
            self.parts_found.append(frame)
            yield frame

    def frames(self) -> Iterator[Frame]:
        """As of any reading."""
        for frame in super().frames():
            self.found.append(frame)
            yield frame


def _digests(disk: SimulatedDisk) -> dict[int, bytes]:
    """The digests of the state at each position of a log without a snapshot."""
    state = State()
    reading = Noting(disk)
    digests = {0: dump.digest(state)}

    def note() -> None:
        digests[reading.found[-1].position] = dump.digest(state)

    replay(reading, state, note)
    return digests


def _pieces(data: bytes) -> Pieces:
    """A file's header, frames and the rest."""
    mark = data[24:32]
    pieces = [data[:HEADER_BYTES]]
    at = HEADER_BYTES
    for frame in anywhere(data, mark, at):
        pieces.append(data[at : frame.end])
        at = frame.end
    return [*pieces, data[at:]]


def _history(disk: SimulatedDisk, digests: dict[int, bytes]) -> History:
    return History({name: _pieces(disk.read_all(name)) for name in disk.names()}, digests)


_DIGESTS: Final = _digests(_written())

#: What data may begin with. The order is part of the corpus: append only.
HISTORIES: Final = (
    _history(_written(), _DIGESTS),
    _history(_published(), _DIGESTS),
    _history(_crashed(), _DIGESTS),
    _history(_begun(), _digests(_begun())),
    History({}, {0: _DIGESTS[0]}),
)
