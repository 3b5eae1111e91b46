"""Where the state comes from and goes to: a command log in a directory, or nothing.

At the start the log is read, which makes the state again (`load`); then it is opened for writing
(`Storage.open`).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.disk import Disk
from workq.cmdlog.files import RealDisk
from workq.cmdlog.log import Log, NoLog, Reports
from workq.cmdlog.scan import Reading
from workq.cmdlog.settle import End, lock, settle
from workq.cmdlog.snapshot import Snapshot, remove_replaced
from workq.cmdlog.worker import ThreadWorker
from workq.engine.engine import Engine
from workq.errors import DirectoryError
from workq.limits import CLOCK_BEHIND_MS_MAX, PROGRESS_MS, SEGMENT_BYTES_MIN
from workq.recovery.replay import replay
from workq.server import logs
from workq.server.clock import Clock
from workq.server.compaction import Compaction
from workq.server.notify import Notifier
from workq.server.settings import Settings
from workq.server.writer import ALWAYS, INTERVAL, Policy

_log = logs.get_logger("workq.server")


class Storage:
    """What a server starts from, and what it writes to.

    Args:
        engine: with the state as it was read.
        policy: of the log.
        clock: the server's; by default one that starts with the wall clock.

    Attributes:
        clock: the server's, which goes on from where time had come to.
        compaction: what keeps the log from growing, once it is open, if there is one.
    """

    def __init__(
        self, engine: Engine, policy: Policy | None = None, clock: Clock | None = None
    ) -> None:
        self.engine = engine
        self.policy = policy or Policy()
        self.clock = clock or Clock()
        self._worker: ThreadWorker | None = None
        self._beside: ThreadWorker | None = None
        self.compaction: Compaction | None = None

    def open(self, reports: Reports, time_ms: int) -> Log:
        """Begin to write.

        Args:
            reports: is told how far the log has come.
            time_ms: now, by the server's clock.
        """
        return NoLog(reports)

    async def end_compaction(self) -> None:
        """End what goes on beside the log, before that is closed and its lock given back."""
        if self.compaction is not None:
            await self.compaction.end()

    def close(self) -> None:
        """End the threads, after the log was closed: nothing is under way in them."""
        for worker in (self._beside, self._worker):
            if worker is not None:
                worker.close()

    def kill(self) -> None:
        """End what goes on beside the log, and wait for nothing. What a thread is still at on the
        disk ends with the process, and can be done again."""
        if self.compaction is not None:
            self.compaction.kill()


class DirectoryStorage(Storage):
    """A command log in a directory, whose lock is held.

    Args:
        engine: with the state as it was read.
        policy: of the log.
        disk: the directory.
        end: where the log ended.
        segment_bytes: how long a segment becomes.
        clean_int_ms: how often to look whether the log can be made smaller.
        snapshot: where the log began; None for its beginning.
        clock: see `Storage`.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        disk: Disk,
        end: End,
        *,
        segment_bytes: int,
        clean_int_ms: int,
        snapshot: Snapshot | None,
        clock: Clock,
    ) -> None:
        super().__init__(engine, policy, clock)
        self._disk = disk
        self._end = end
        self._segment_bytes = segment_bytes
        self._clean_int_ms = clean_int_ms
        self._snapshot = snapshot

    def open(self, reports: Reports, time_ms: int) -> Log:
        """Begin a new epoch, which waits for the disk.

        Raises:
            DirectoryError: the disk does not let us.
        """
        loop = asyncio.get_running_loop()
        second = self.policy.name != ALWAYS
        self._worker = worker = ThreadWorker(loop.call_soon_threadsafe, second)
        try:
            log = DirectoryLog(
                self._disk,
                worker,
                reports,
                self._end,
                segment_bytes=self._segment_bytes,
                time_ms=time_ms,
                chance=os.urandom,
            )
        except OSError as error:
            raise _unusable(self._disk.path, error) from error
        self.engine.resume(log.epoch)
        self._beside = ThreadWorker(loop.call_soon_threadsafe)
        self.compaction = Compaction(
            self._disk,
            self._beside,
            log,
            self.engine,
            self._snapshot,
            segment_bytes=self._segment_bytes,
            clean_int_ms=self._clean_int_ms,
            failed=reports.failed,
        )
        return log


def load(settings: Settings, notifier: Notifier) -> Storage:
    """Make the state again from the command log that the settings name, if they name one.

    Args:
        settings: the settings.
        notifier: is told that the start goes on, if it takes long.

    Raises:
        DirectoryError: the directory cannot be used.
    """
    path = settings.cmdlog_path
    if not path:
        return Storage(Engine())
    try:
        disk = RealDisk(path, make=True)
        lock(disk)
        try:
            return _read(settings, disk, notifier)
        except BaseException:
            disk.unlock()
            raise
    except OSError as error:
        raise _unusable(path, error) from error


def _read(settings: Settings, disk: Disk, notifier: Notifier) -> DirectoryStorage:
    """Make the state again from a directory that is locked, and make that ready to go on in."""
    reading = Reading(disk)
    engine = Engine()
    progress = _Progress(disk.path, reading, notifier)
    count = replay(reading, engine, progress.step)
    progress.end()
    clock = _clock(disk.path, engine, settings.accept_clock)
    _tell_tail(disk.path, reading)
    end = settle(disk, reading)
    if reading.snapshot is not None:
        remove_replaced(disk, reading.snapshot.number)  # a crash may have left some of it
    _log.info(
        "command log read",
        path=disk.path,
        jobs=engine.size,
        transitions=count,
        took_ms=progress.took_ms,
    )
    policy = _policy(settings)
    _log.info(
        "command log",
        sync=policy.name,
        lost_if_the_machine_goes_down=policy.window,
        lost_if_the_server_is_killed="nothing that was acknowledged",
    )
    return DirectoryStorage(
        engine,
        policy,
        disk,
        end,
        segment_bytes=_segment_bytes(settings),
        clean_int_ms=settings.cmdlog_clean_int_ms,
        snapshot=reading.snapshot,
        clock=clock,
    )


def _policy(settings: Settings) -> Policy:
    """The policy; the interval is no affair of the others."""
    name = settings.cmdlog_sync
    return Policy(name, settings.cmdlog_sync_int_ms if name == INTERVAL else 0)


def _segment_bytes(settings: Settings) -> int:
    """How long a segment becomes: no shorter than makes sense."""
    wanted = settings.cmdlog_seg_size_bytes
    if wanted >= SEGMENT_BYTES_MIN:
        return wanted
    _log.warning("cmdlog-seg-size is too small: raised", bytes=wanted, to=SEGMENT_BYTES_MIN)
    return SEGMENT_BYTES_MIN


def _clock(path: str, engine: Engine, accepted: bool) -> Clock:
    """The clock that goes on from the time of the last frame, with what has passed by the wall
    clock since.

    Deadlines are points in this time, which never steps. It may be far from what the wall clock
    shows, if that was wrong when the log was begun; taking the wall clock's instead would end
    leases and lives early, or prolong them.

    Raises:
        DirectoryError: by the wall clock the log ends in the future.
    """
    behind_ms = engine.now_ms + engine.offset_ms - time.time_ns() // 1_000_000
    if behind_ms > CLOCK_BEHIND_MS_MAX and not accepted:
        raise DirectoryError(
            path,
            f"its last entry is {behind_ms // 60_000} minutes ahead of this machine's clock: set "
            "the clock right, or start with --accept-clock to go on from the later time",
        )
    return Clock(engine.offset_ms, engine.now_ms)


def _tell_tail(path: str, reading: Reading) -> None:
    tail = reading.tail
    if tail is not None:
        _log.warning(
            "the command log ends in what was never synced: cut, and kept beside it as .cut",
            path=path,
            segment=tail.place.number,
            offset=tail.place.offset,
            frames=tail.frames,
        )


def _unusable(path: str, error: OSError) -> DirectoryError:
    return DirectoryError(error.filename or path, error.strerror or str(error))


class Bytes(Protocol):
    """What is being read."""

    bytes_done: int
    bytes_in_all: int


class _Progress:
    """Shows how far reading has come, if it takes long: a bar on a terminal, lines elsewhere.

    Args:
        path: of the directory.
        reading: of it.
        notifier: is told that the start goes on.
    """

    def __init__(
        self,
        path: str,
        reading: Bytes,
        notifier: Notifier,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = path
        self._reading = reading
        self._notifier = notifier
        self._clock = clock
        self._begun_ns = clock()
        self._next_ns = self._begun_ns + PROGRESS_MS * 1_000_000
        self._bar = sys.stderr.isatty()
        self._shown = False

    @property
    def took_ms(self) -> int:
        """How long it has taken so far."""
        return (self._clock() - self._begun_ns) // 1_000_000

    def step(self) -> None:
        """A frame has been read."""
        if self._clock() < self._next_ns:
            return
        self._next_ns += PROGRESS_MS * 1_000_000
        done, in_all = self._reading.bytes_done, max(self._reading.bytes_in_all, 1)
        percent = min(100 * done // in_all, 100)
        self._notifier.extend_timeout(10 * PROGRESS_MS)
        if self._bar:
            bar = "#" * (percent // 4)
            sys.stderr.write(f"\rreading the command log [{bar:<25}] {percent:3} %")
            sys.stderr.flush()
            self._shown = True
        else:
            _log.info("reading the command log", path=self._path, percent=percent)

    def end(self) -> None:
        """All has been read."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
