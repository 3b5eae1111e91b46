"""Compaction beside the serving: when it is due, the process that does it, what becomes of it.

The work is done by a process of its own (`workq.recovery.compactor`). It is started and waited for
in a thread, and there its snapshot is published: verified, synced, named; then what it replaces is
removed. That thread is not the log's: to verify a gigabyte takes seconds, and under `always` every
reply would wait behind it.

Say that a snapshot takes L. With the old one, as much again in sealed segments, and the new one, a
log takes three times L at its worst, and two segments: the one that is written and the one made
ahead. That is the promise. So each second it is looked whether the next segment to be sealed would
break it; what is written while the compaction goes on must fit too, so that counts as twice what it
was last time. L is estimated.

Every `cmdlog-clean-int` it is looked whether a compaction is worth it although the promise is kept:
when the sealed segments exceed L, or less than that by what the old snapshot has too much because
jobs have gone. Either way two segments at least must be sealed: one says little. A thousand more
than their bytes would fill are too many.

Whatever goes wrong on the way leaves the log as it was: it is told, and tried again later. Only
when the disk fails the lock holder's own steps, that is the end of the server, as with any other
step of the log.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from workq import __version__
from workq.cmdlog import segment
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.disk import FULL, Disk, Worker
from workq.cmdlog.snapshot import Snapshot, publish
from workq.engine.state import State
from workq.errors import CompactionError, CorruptionError, DirectoryError
from workq.limits import (
    COMPACTION_LONG_MS,
    COMPACTION_LOOK_MS,
    COMPACTION_RETRY_MS_MAX,
    COMPLAINT_BYTES_MAX,
    SHORT_SEGMENTS_MAX,
    SNAPSHOT_BYTES_MIN,
    SNAPSHOT_RECORD_BYTES,
)
from workq.recovery import compactor
from workq.recovery.head import Check, read_head
from workq.server import logs
from workq.server.presence import Presence

_log = logs.get_logger("workq.server")

#: Of a snapshot of fewer records it is not measured what a record takes: the rest weighs too much.
_MEASURED_RECORDS_MIN: Final = 100


class SealedDamage(CompactionError):
    """The command log cannot be compacted: something that was safe is damaged."""


class Run(Protocol):
    """One run of the compactor.

    Attributes:
        pid: the number of its process, 0 before it is started.
    """

    @property
    def pid(self) -> int: ...

    def run(self) -> None:
        """Write the snapshot; waits for it. Raises CompactionError, or SealedDamage."""
        ...

    def end(self) -> None:
        """Have `run` end soon, whether it has begun or not; from another thread."""
        ...


class Child:
    """A process that writes a snapshot; a `Run`.

    Args:
        path: of the directory of the log.
        number: of the first segment that is not to be in the snapshot.
        position: of the last frame that is to be in it.
        version: of this server.
    """

    def __init__(
        self,
        path: str,
        number: int,
        position: int,
        version: str = __version__,
    ) -> None:
        self._command = [
            sys.executable, "-P", "-m", compactor.__name__,
            version, path, str(number), str(position),
        ]  # fmt: skip
        self._ending = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The number of the process, 0 before it is started."""
        return self._process.pid if self._process else 0

    def run(self) -> None:
        """Start the process and wait for its end.

        Raises:
            SealedDamage: what it has read is damaged.
            CompactionError: it has written nothing that could be used.
        """
        try:
            # It has no descriptor of ours but the end of a pipe, and the same code: what was
            # found on this process's path, not what lies about in the current directory.
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        except OSError as error:
            raise CompactionError(f"no process could be started: {error}") from error
        with process:
            self._process = process
            if self._ending:
                process.kill()
            assert process.stderr is not None
            complaint = process.stderr.read(COMPLAINT_BYTES_MAX)
            process.stderr.close()
            status = process.wait()
        if status == compactor.DAMAGED:
            raise SealedDamage(_reason(status, complaint))
        if status != compactor.DONE:
            raise CompactionError(_reason(status, complaint))

    def end(self) -> None:
        """Kill the process; one that is not started yet ends at once when it is."""
        self._ending = True
        if self._process is not None:
            self._process.kill()


def _reason(status: int, complaint: bytes) -> str:
    """Why a process has failed."""
    if status < 0:
        return f"the process was ended by {signal.Signals(-status).name}"
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"the process ended with status {status}"


class Compaction:
    """Sees to it that the log of a running server does not outgrow what it keeps.

    Args:
        disk: the directory, whose lock is held.
        worker: a thread for nothing else.
        log: in the directory.
        state: what the log makes.
        snapshot: where the log began when it was read; None for its beginning.
        segment_bytes: how long a segment becomes.
        clean_int_ms: how often to look.
        failed: told when the disk has failed, and why.
        start: makes a run, from the number of the first segment that is not to be compacted, the
            position of the last frame that is; a `Child` by default.
    """

    def __init__(
        self,
        disk: Disk,
        worker: Worker,
        log: DirectoryLog,
        state: State,
        snapshot: Snapshot | None,
        *,
        segment_bytes: int,
        clean_int_ms: int,
        failed: Callable[[str], None],
        start: Callable[[int, int], Run] | None = None,
    ) -> None:
        self._disk = disk
        self._worker = worker
        self._log = log
        self._state = state
        self._segment_bytes = segment_bytes
        self._clean_int_ms = clean_int_ms
        self._failed = failed
        self._start: Callable[[int, int], Run] = start or partial(Child, disk.path)
        self._presence = Presence(disk)
        self._snapshot_number = 0  # 0 for none
        self._snapshot_bytes = 0
        self._growth_bytes = 0  # sealed while the last one went on
        self._record_bytes: float = SNAPSHOT_RECORD_BYTES
        if snapshot is not None:
            self._measure(snapshot)
        self._run: Run | None = None
        self._looking = False  # for files
        self._begun_ms = self._told_ms = 0  # when that was begun, and told of last
        self._idle = asyncio.Event()
        self._idle.set()
        self._ending = False
        self._failures = 0
        self._was_full = log.full
        self._next_ms = 0  # no look at the interval's behest before this, nor any after a failure
        self._loop = asyncio.get_running_loop()
        self._timer = self._look_later()

    @property
    def run(self) -> Run | None:
        """What is under way."""
        return self._run

    @property
    def disk_bytes(self) -> int:
        """What snapshot and sealed segments take."""
        return self._snapshot_bytes + self._sealed_bytes

    @property
    def _sealed_bytes(self) -> int:
        return sum(sealed.size for sealed in self._log.sealed)

    @property
    def live_bytes(self) -> int:
        """What a snapshot would take now, as far as can be told."""
        state = self._state
        return SNAPSHOT_BYTES_MIN + state.held_bytes + int(state.size * self._record_bytes)

    def is_due(self, pressing: bool = False) -> bool:
        """Whether it is worth it; if `pressing`, only whether the promise is at stake."""
        if len(self._log.sealed) < 2:
            return False
        if len(self._log.sealed) - self._sealed_bytes // self._segment_bytes > SHORT_SEGMENTS_MAX:
            return True
        live = self.live_bytes
        # Twice, for the next one may meet a busier machine. With more than a half it would never
        # rest when little is kept and much is written.
        ahead = min(2 * self._growth_bytes, live // 2)
        # With the new snapshot it is three times. The segment being written will be sealed next.
        if self.disk_bytes + self._segment_bytes + ahead > 2 * live:
            return True
        surplus = max(self._snapshot_bytes - live, 0)
        return not pressing and self._sealed_bytes + surplus + ahead > live

    async def end(self) -> None:
        """End what is under way, and wait until nothing is: the lock is given back then."""
        self.kill()
        await self._idle.wait()

    def kill(self) -> None:
        """End what is under way, and begin nothing new."""
        self._ending = True
        self._timer.cancel()
        if self._run is not None:
            self._run.end()

    def _look_later(self) -> asyncio.TimerHandle:
        delay_ms = min(COMPACTION_LOOK_MS, self._clean_int_ms)
        return self._loop.call_later(delay_ms / 1000, self._look)

    def _look(self) -> None:
        """Begin if it is due; else see that all files are there."""
        self._timer = self._look_later()
        now_ms = time.monotonic_ns() // 1_000_000
        if self._run is not None:
            self._tell_if_long(self._run, now_ms)
        elif self._is_time(now_ms):
            self._begin(now_ms)
        elif not self._looking:
            self._look_for_files()

    def _is_time(self, now_ms: int) -> bool:
        """Whether to begin now."""
        was_full, self._was_full = self._was_full, self._log.full
        if self._failures and was_full and not self._was_full:
            self._failures = self._next_ms = 0  # it has room again, as the log has
        regular = now_ms >= self._next_ms
        if regular:
            self._next_ms = now_ms + self._clean_int_ms
        return (regular or not self._failures) and self.is_due(pressing=not regular)

    def _tell_if_long(self, run: Run, now_ms: int) -> None:
        """Tell of a run that takes suspiciously long."""
        if now_ms - self._told_ms >= COMPACTION_LONG_MS:
            self._told_ms = now_ms
            _log.warning(
                "compacting the command log takes long, and it grows meanwhile",
                process=run.pid,
                minutes=(now_ms - self._begun_ms) // 60_000,
                hint="if the process stands still, end it: it is begun again",
            )

    def _look_for_files(self) -> None:
        """See that no file of the log has been removed by others."""
        names = self._log.names()
        if self._snapshot_number:
            names.append(segment.snapshot_name(self._snapshot_number))
        missing: list[str] = []

        def ended(error: Exception | None) -> None:
            self._looking = False
            if error is None and missing[0] and not self._ending:
                self._failed(
                    f"{self._disk.path}/{missing[0]} was removed or renamed while it was in use, "
                    "and a start without it would lose what was acknowledged: see who does that, "
                    "put it back or mend the log with `workq cmdlog repair`, then start again"
                )

        self._looking = True
        self._worker.submit(lambda: missing.append(self._presence.missing(names)), ended)

    def _begin(self, now_ms: int) -> None:
        last = self._log.sealed[-1]
        number = last.number + 1
        before = self.disk_bytes
        _log.info("compacting the command log", bytes=before, segments=len(self._log.sealed))
        self._run = run = self._start(number, last.position)
        self._begun_ms = self._told_ms = now_ms
        self._idle.clear()
        published: list[Snapshot] = []

        def step() -> None:
            try:
                run.run()
                published.append(_published(self._disk, number, last.position))
            except CompactionError:
                _remove_unfinished(self._disk, number)
                raise

        def ended(error: Exception | None) -> None:
            self._run = None
            self._idle.set()
            if error is not None:
                self._give_up(error, number)
            else:
                self._finish(published[0], before)

        self._worker.submit(step, ended)

    def _finish(self, snapshot: Snapshot, before: int) -> None:
        """Learn that a snapshot has replaced what it stands for."""
        self._failures = 0
        self._log.replaced(snapshot.number)
        self._growth_bytes = self._sealed_bytes
        self._measure(snapshot)
        _log.info(
            "command log compacted",
            bytes_before=before,
            bytes_after=snapshot.size,
            records=snapshot.records,
            took_ms=time.monotonic_ns() // 1_000_000 - self._begun_ms,
        )

    def _give_up(self, error: Exception, number: int) -> None:
        """Try again later, unless the disk has failed."""
        if isinstance(error, OSError):
            path = error.filename or f"{self._disk.path}/{segment.snapshot_name(number)}"
            self._failed(
                f"{path}: a snapshot could not be published: {error.strerror} (errno "
                f"{error.errno}); what was synced is safe: look after the disk, then start again"
            )
        elif not self._ending:
            self._failures += 1
            # The bound stands in the exponent too: nobody wants to see 2 to the millionth.
            delay_ms = self._clean_int_ms << min(self._failures, 24)
            delay_ms = min(delay_ms, COMPACTION_RETRY_MS_MAX)
            self._next_ms = time.monotonic_ns() // 1_000_000 + delay_ms
            if isinstance(error, SealedDamage):
                _log.error(
                    "the command log is damaged: run workq cmdlog check now",
                    reason=str(error),
                    hint="the server lives on, but would not start again from this log",
                    again_in_ms=delay_ms,
                )
            else:
                reason = str(error) if isinstance(error, CompactionError) else repr(error)
                _log.warning(
                    "compaction of the command log failed", reason=reason, again_in_ms=delay_ms
                )

    def _measure(self, snapshot: Snapshot) -> None:
        """Learn from a snapshot how much one takes."""
        head = read_head(self._disk.path, snapshot.number, snapshot.head)
        self._snapshot_number, self._snapshot_bytes = snapshot.number, snapshot.size
        if snapshot.records >= _MEASURED_RECORDS_MIN:
            self._record_bytes = (snapshot.size - head.data_bytes) / snapshot.records


def _published(disk: Disk, number: int, position: int) -> Snapshot:
    """Publish a snapshot, if its records are those that its head tells of.

    Its process may have had a bad byte in memory between the digest and the records; what it
    replaces is the only other copy.

    Raises:
        CompactionError: it is not whole, not the one that was asked for, or not there, or there is
            no room to name it.
        OSError: the disk has failed.
    """
    check = Check(disk.path, number)

    def whole(snapshot: Snapshot) -> None:
        check.whole(snapshot)
        if snapshot.position != position:
            problem = f"it stands for frame {snapshot.position} and not for {position}"
            raise CompactionError(f"{disk.path}/{segment.snapshot_name(number)}: {problem}")

    try:
        return publish(disk, number, check.part, whole)
    except (CorruptionError, DirectoryError, FileNotFoundError) as error:
        raise CompactionError(str(error)) from error
    except OSError as error:
        if error.errno in FULL:
            raise CompactionError(str(error)) from error
        raise


def _remove_unfinished(disk: Disk, number: int) -> None:
    """Remove what a run may have left behind; if that fails, the next start does it."""
    with suppress(OSError):
        disk.remove(segment.unfinished_name(segment.snapshot_name(number)))
