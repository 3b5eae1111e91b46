"""Writes the golden logs into a new directory: `python -m tests.recovery.golden.make DIR`.

They are written by the same code as a server's, from transitions that stand here word for word, at
times that stand here too, so that the same version of the format gives the same bytes. See the
README beside this file for when that is allowed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.recovery.golden.looking import look
from tests.simulation.worker import StepWorker
from workq.cmdlog import snapshot
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.files import RealDisk
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.scan import Reading
from workq.cmdlog.settle import lock, settle
from workq.engine import transitions as t
from workq.engine.job import Options
from workq.engine.transitions import Transition
from workq.recovery.compact import compact
from workq.recovery.records import bodies
from workq.recovery.repair import SKIP, plan, repair

NOW_MS = 1_700_000_000_000
SEGMENT_BYTES = 1024
PLAIN = Options(1000, 60_000)
FULL = Options(ttr_ms=5000, ttl_ms=86_400_000, priority=-7, max_attempts=3, max_fails=2)


class Silent:
    """Takes a log's reports and does nothing with them."""

    def written(self, position: int) -> None:
        """So far written."""

    def synced(self, position: int) -> None:
        """So far synced."""

    def full(self, full: bool) -> None:
        """No room, or room again."""

    def failed(self, reason: str) -> None:
        """The end."""
        raise AssertionError(reason)


class Writer:
    """A log that is open for writing, as a server has it."""

    def __init__(self, path: Path) -> None:
        self.disk = RealDisk(str(path), make=True)
        lock(self.disk)
        reading = Reading(self.disk)
        for _ in reading.frames():
            pass
        self._worker = StepWorker()
        self.now_ms = max(NOW_MS, reading.time_ms + 1000)
        self.log = DirectoryLog(
            self.disk,
            self._worker,
            Silent(),
            settle(self.disk, reading),
            segment_bytes=SEGMENT_BYTES,
            time_ms=self.now_ms,
            chance=lambda size: Random(2026).randbytes(size),
        )
        self._worker.run()

    def commit(self, *commit: Transition, synced: bool = True) -> None:
        """What one turn decided, 100 ms after the one before."""
        self.now_ms += 100
        for records, body in bodies(commit):
            self.log.append(COMMIT, self.now_ms, records, body)
        if synced:
            self.log.sync()
            self._worker.run()

    def idle(self) -> None:
        """Let the server have nothing to do, so that the log vouches for all there is."""
        for _ in range(3):
            self.now_ms += 1000
            self.log.tick(self.now_ms)
            self._worker.run()

    def stop(self) -> None:
        """Stop in order."""
        self.log.close(self.now_ms, lambda: None)
        self._worker.run()

    def kill(self) -> None:
        """End without a word."""
        self.disk.unlock()


def job(number: int) -> bytes:
    """The id of a job."""
    return b"61a444a0-6128-41c0-8078-%012d" % number


def added(seq: int, name: bytes, payload: bytes, options: Options = PLAIN) -> Transition:
    """A job that is handed in."""
    created_ms = NOW_MS + seq
    expires_ms = created_ms + options.ttl_ms
    return (
        t.ADDED, seq, job(seq), name, created_ms, created_ms, expires_ms, options, None, payload,
    )  # fmt: skip


def scheduled(seq: int, name: bytes, due_ms: int) -> Transition:
    """A job that is scheduled; its TTL ends so late that it never does."""
    return t.ADDED, seq, job(seq), name, NOW_MS + seq, due_ms, None, FULL, due_ms, b""


def restored(seq: int, name: bytes, *rest: object) -> Transition:
    """A job as it stood; `rest` are the fields that one handed in does not have."""
    return (t.RESTORED, *added(seq, name, b"from elsewhere", FULL)[1:], *rest)


def make_transitions(path: Path) -> None:
    """Every type of transition, in several segments, over two starts; a clean stop."""
    log = Writer(path)
    log.commit(
        added(1, b"ping", b"payload"), added(2, b"ping", bytes(range(256))),
        added(3, b"images.resize", b"", FULL), added(4, b"ping", b"to be deleted"),
    )  # fmt: skip
    log.commit(scheduled(5, b"later", NOW_MS + 500), scheduled(6, b"later", NOW_MS + 9_000_000))
    log.commit((t.LEASED, job(1), (1 << 40) + 1, NOW_MS + 1000), (t.COMPLETED, job(1), b"done"))
    log.commit((t.LEASED, job(3), (1 << 40) + 2, NOW_MS + 5000), (t.RETURNED, job(3), t.TIMED_OUT))
    log.commit((t.LEASED, job(3), (1 << 40) + 3, NOW_MS + 6000), (t.RETURNED, job(3), t.FAILURE))
    log.commit((t.LEASED, job(3), (1 << 40) + 4, NOW_MS + 7000), (t.RETURNED, job(3), t.GIVEN_BACK))
    log.commit((t.LEASED, job(3), (1 << 40) + 5, NOW_MS + 8000))
    log.idle()
    log.stop()
    log = Writer(path)
    log.commit((t.DUE, job(5)), (t.RETURNED, job(2), t.FAILURE))
    log.commit((t.FAILED, job(2), t.FAILURE, b"why \xff"))
    log.commit((t.DELETED, job(4)), added(7, b"short", b"x"))
    log.commit((t.EXPIRED, job(7)))
    log.commit(
        (t.COUNTERS, 20, (2 << 40) + 9),
        (t.RESTORED, *scheduled(21, b"old", NOW_MS + 99_000)[1:], 0, 0, 0, 0, None, None, None),
        restored(22, b"old", 1, 2, 0, 2, None, None, None),
        restored(23, b"old", 2, 2, 1, 0, (2 << 40) + 8, NOW_MS + 77_000, None),
        restored(24, b"old", 3, 1, 0, 0, None, None, b"well"),
        restored(25, b"old", 4, 3, 0, 3, None, None, b""),
    )  # fmt: skip
    log.stop()


def make_snapshot(path: Path) -> None:
    """A snapshot that compaction made of the older segments, and segments that go on from it."""
    log = Writer(path)
    for seq in range(1, 13):
        log.commit(added(seq, b"q%d" % (seq % 3), b"payload %d" % seq * 9, (PLAIN, FULL)[seq % 2]))
    for seq in range(1, 5):
        log.commit((t.LEASED, job(seq), (1 << 40) + seq, NOW_MS + 9000))
    log.commit((t.COMPLETED, job(1), b"result"), (t.FAILED, job(2), t.TIMED_OUT, b""))
    log.commit(scheduled(13, b"later", NOW_MS + 90_000), (t.DELETED, job(5)))
    number = log.log.sealed[-1].number + 1
    compact(log.disk, number, log.log.sealed[-1].position)
    snapshot.publish(log.disk, number)
    log.log.replaced(number)
    log.commit((t.LEASED, job(6), (1 << 40) + 5, NOW_MS + 9000), (t.COMPLETED, job(3), b"late"))
    log.commit(added(14, b"q1", b"after the snapshot"))
    log.stop()


def make_torn(path: Path) -> None:
    """The power went: of four frames that were not synced the second has not reached the disk."""
    log = Writer(path)
    for seq in range(1, 4):
        log.commit(added(seq, b"ping", b"safe"))
    for seq in range(4, 8):
        log.commit(added(seq, b"ping", b"not safe"), synced=False)
    log.kill()
    _lose(path, position=6)


def make_repaired(path: Path) -> None:
    """A frame that was safe was damaged, and the log repaired; then a server went on with it."""
    log = Writer(path)
    for seq in range(1, 6):
        log.commit(added(seq, b"ping", b"payload"))
    log.commit((t.LEASED, job(2), (1 << 40) + 1, NOW_MS + 9000), (t.DELETED, job(3)))
    log.stop()
    _lose(path, position=4)
    disk = RealDisk(str(path))
    lock(disk)
    kept = path / repair(disk, plan(disk, SKIP), SKIP, NOW_MS + 60_000)
    disk.unlock()
    for file in sorted(kept.iterdir()):
        file.unlink()
    kept.rmdir()
    log = Writer(path)
    log.commit((t.COMPLETED, job(2), b"done"))
    log.stop()


def _lose(path: Path, position: int) -> None:
    """Damage a frame in its middle."""
    disk = RealDisk(str(path))
    reading = Reading(disk)
    place = next(reading.at for frame in reading.frames() if frame.position == position)
    file = path / f"{place.number:09d}.log"
    data = bytearray(file.read_bytes())
    data[place.offset + 70] ^= 0xFF
    file.write_bytes(data)


def make_clock(path: Path) -> None:
    """The wall clock was set by an hour, and back by half of one."""
    log = Writer(path)
    log.commit((t.CLOCK, 3_600_000), added(1, b"ping", b"payload"))
    log.commit((t.CLOCK, 1_800_000))
    log.stop()


def make_holds(path: Path) -> None:
    """Jobs that are delayed and held back, leases that were prolonged, and how a retry waits; the
    same in a snapshot, and what happened to them after it."""
    retrying = Options(1000, 60_000, 0, 0, 9, 500, 2, 3000)
    log = Writer(path)
    log.commit(
        *(delayed(seq, b"later", 60_000 * seq) for seq in (1, 2, 3)),
        *(added(seq, b"retry", b"payload", retrying) for seq in (4, 5, 6, 7)),
        added(8, b"retry", b"only a delay", Options(1000, 60_000, 0, 0, 9, 700)),
    )
    log.commit((t.DUE, job(1)), *((t.LEASED, job(4), (1 << 40) + 1, NOW_MS + 2000),))
    log.commit((t.RETURNED, job(4), t.FAILURE, NOW_MS + 1700))
    log.commit((t.LEASED, job(5), (1 << 40) + 2, NOW_MS + 2000))
    log.commit((t.TOUCHED, job(5), NOW_MS + 9000))
    log.commit((t.LEASED, job(6), (1 << 40) + 3, NOW_MS + 2000))
    log.commit((t.RETURNED, job(6), t.TIMED_OUT, NOW_MS + 2500), (t.DUE, job(4)))
    for seq in range(9, 13):
        log.commit(added(seq, b"filler", b"filler" * 40))
    number = log.log.sealed[-1].number + 1
    compact(log.disk, number, log.log.sealed[-1].position)
    snapshot.publish(log.disk, number)
    log.log.replaced(number)
    log.commit((t.LEASED, job(7), (1 << 40) + 4, NOW_MS + 9000), (t.DUE, job(6)))
    log.commit((t.RETURNED, job(7), t.FAILURE, NOW_MS + 99_000), (t.COMPLETED, job(2), b"early"))
    log.commit(delayed(13, b"later", 5_000), delayed(14, b"later", 5_000), (t.DELETED, job(14)))
    log.commit((t.RETURNED, job(7), t.FAILURE), (t.TOUCHED, job(5), NOW_MS + 8000))
    log.stop()


def delayed(seq: int, name: bytes, delay_ms: int) -> Transition:
    """A job that is handed in with a delay."""
    _, *rest = added(seq, name, b"later")
    rest[4] += delay_ms
    return (t.DELAYED, *rest)


MAKERS = {
    "clock": make_clock,
    "transitions": make_transitions,
    "snapshot": make_snapshot,
    "torn": make_torn,
    "repaired": make_repaired,
    "holds": make_holds,
}


def main(arguments: Sequence[str]) -> None:
    """Write them all."""
    (target,) = arguments
    for name, make in MAKERS.items():
        place = Path(target) / name
        make(place / "log")
        text = json.dumps(look(place / "log"), indent=1, sort_keys=True)
        (place / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
