"""The log in a directory: segments of frames, written by the loop, synced by a thread.

A small frame is hashed and written at once, on the loop, with one call of the system: for three
kilobytes 10 µs, half of it the hash and nearly all the rest the system's. A large one, and
whatever comes while one is on its way, goes through the worker in order. So do all that may wait
for the disk: syncs, the next segment, the end of an old one.

The next segment is made ahead of need, whole with its name: preallocated, its header and its name
synced. To go on in it is then no step of the disk at all, nothing about it can be lost, and
running out of space is noticed one segment early: `full` is reported, and the current segment is
what there is left. If that is used up too, shorter ones are made as long as there is room for any,
so that what there is can be finished and a compaction can make room; only then the log has failed.
So it is with the first segment of a start, which has nothing that was made ahead. A crash leaves at
worst a segment without frames, which the next start removes.

What has been synced is known in the order of the worker: the steps that end a segment, and the
syncs of the current one, each come after all writes before them, so each end of one of them makes
everything up to a position safe.

Any other error of the disk is the end. No sync is tried twice: the system has forgotten what it
could not write, and would say that all is well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from workq.cmdlog import segment
from workq.cmdlog.disk import FULL, Disk, Worker
from workq.cmdlog.frames import EPOCH, MARK, OVERHEAD_BYTES, STOP, Chain
from workq.cmdlog.log import Reports
from workq.cmdlog.scan import Sealed
from workq.cmdlog.segment import HEADER_BYTES, segment_name
from workq.cmdlog.settle import End
from workq.errors import DirectoryError
from workq.limits import FRAME_BYTES_ON_LOOP_MAX, SEGMENT_BYTES_MIN

#: A frame that was appended: kind, time_ms, records, body.
_Item: TypeAlias = tuple[int, int, int, bytes]

_ADVICE: Final = "what was synced is safe: look after the disk, then start again"
_ADVICE_FULL: Final = "what was synced is safe: make room on the disk, then start again"
_ADVICE_REMOVED: Final = (
    "what was in it is lost, though it was acknowledged, and what is in files that are still there "
    "is safe: see who removes files there, then start again"
)
_ADVICE_UNUSED: Final = (
    "nothing was in it, and what was synced is safe: see who removes files there, then start again"
)


class Removed(Exception):
    """A file of the log has no name any more: what it holds is gone when it is closed."""


class RemovedUnused(Exception):
    """The next segment has no name any more; nothing has been written to it yet."""


class DirectoryLog:
    """A command log in a directory; a `workq.cmdlog.log.Log`.

    To make one begins an epoch: a fresh segment with an epoch frame, synced before this returns.
    That waits for the disk, and is done before anything is served.

    Args:
        disk: the directory, whose lock is held.
        worker: waits for the disk.
        reports: is told how far the log has come.
        end: where the log ended (`workq.cmdlog.settle.settle`).
        segment_bytes: how long a segment becomes if there is room; one frame that is longer has
            one for itself.
        time_ms: now, in milliseconds since 1970.
        chance: gives so many bytes that nobody can guess.

    Attributes:
        position: of the last frame appended.
        epoch: of this opening, one more than ever before.
        sealed: the segments that will not change any more, in order.

    Raises:
        DirectoryError: the disk is full, even for the shortest segment.
        OSError: of the disk.
    """

    keeps = True

    def __init__(
        self,
        disk: Disk,
        worker: Worker,
        reports: Reports,
        end: End,
        *,
        segment_bytes: int,
        time_ms: int,
        chance: Callable[[int], bytes],
    ) -> None:
        self._disk = disk
        self._write = disk.write
        self._worker = worker
        self._reports = reports
        self._segment_bytes = segment_bytes
        self._mark = end.mark or chance(8)
        self.epoch = end.epoch + 1
        self._chain = Chain(self._mark, self.epoch, end.position, end.hash)
        self.sealed = list(end.sealed)
        self.position = end.position + 1
        self._synced = end.position
        self._wanted = end.position  # a sync has been asked for up to here
        self._number = end.fresh
        self._handle, self._room = self._make_first()
        self._offset = HEADER_BYTES
        self._next: int | None = None  # the handle of the next segment
        self._next_room = 0
        self._making = False
        self._full = self._room < segment_bytes
        self._away = 0  # frames that the worker has to write
        self._waiting: deque[_Item] = deque()  # frames that no segment has room for yet
        self._syncing = False
        self._failed = False
        self._closed: Callable[[], None] | None = None
        self._stopped = False
        self._letting_go = False
        self._stop_ms = 0
        self._ticked = 0  # the position at the last tick
        self._idle = False  # the last frame is one of tick's
        frame = self._chain.build(EPOCH, time_ms, 0, self._synced, b"")
        self._write(self._handle, frame, self._offset)
        disk.sync(self._handle)
        self._offset += len(frame)
        self._synced = self._wanted = self.position
        if self._full:
            reports.full(True)
        self._make_next()

    @property
    def full(self) -> bool:
        """Whether there is no room for what comes later, as reported."""
        return self._full

    def append(self, kind: int, time_ms: int, records: int, body: bytes) -> int:
        """Take a frame; see `Log.append`."""
        position = self.position = self.position + 1
        self._idle = False
        size = len(body) + OVERHEAD_BYTES
        if (
            self._offset + size > self._room
            or size > FRAME_BYTES_ON_LOOP_MAX
            or self._away
            or self._waiting
            or self._failed
        ):
            self._append_slowly(size, kind, time_ms, records, body)
        else:
            self._write_now(kind, time_ms, records, body)
        return position

    def sync(self) -> None:
        """Have everything synced; see `Log.sync`."""
        self._wanted = self.position
        self._pursue()

    def tick(self, time_ms: int) -> None:
        """Look after the log; see `Log.tick`."""
        if self._failed or self._closed:
            return
        if self._full and not self._making:
            self._make_next()
        if self._look() or self._look_ahead():
            return
        # On a full disk there is room for what has to be written, not for what only vouches.
        rests = self._synced == self.position == self._ticked
        if rests and not self._idle and not self._full:
            self.append(MARK, time_ms, 0, b"")
            self._idle = True
            self.sync()
        self._ticked = self.position

    def close(self, time_ms: int, closed: Callable[[], None]) -> None:
        """Sync all, say so, and let go; see `Log.close`."""
        self._closed = closed
        self._stop_ms = time_ms
        if self._failed:
            closed()
            return
        self.sync()
        self._go_on_closing()

    def names(self) -> list[str]:
        """The names that its segments must have, from when this is called on: those that will not
        change any more, the one that is written, and the next if it has been made."""
        numbers = [sealed.number for sealed in self.sealed] + [self._number]
        if self._next is not None:
            numbers.append(self._number + 1)
        return [segment_name(number) for number in numbers]

    def replaced(self, number: int) -> None:
        """Learn that a snapshot has replaced the segments before a number."""
        self.sealed = [sealed for sealed in self.sealed if sealed.number >= number]

    # --- writing ----------------------------------------------------------------------------

    def _write_now(self, kind: int, time_ms: int, records: int, body: bytes) -> None:
        """Write a frame on the loop."""
        frame = self._chain.build(kind, time_ms, records, self._synced, body)
        try:
            self._write(self._handle, frame, self._offset)
        except OSError as error:
            self._fail(self._number, "could not be written", error)
            return
        self._offset += len(frame)
        self._reports.written(self.position)

    def _append_slowly(self, size: int, kind: int, time_ms: int, records: int, body: bytes) -> None:
        """Take a frame that cannot just be written here and now; but perhaps in the next segment:
        it must not wait until the last one is synced."""
        if self._failed:
            return
        if self._waiting or not self._has_room(size):
            self._waiting.append((kind, time_ms, records, body))
            if self._next is None and not self._making:
                self._make_next()
        elif self._away or size > FRAME_BYTES_ON_LOOP_MAX:
            self._send_away(kind, time_ms, records, body)
        else:
            self._write_now(kind, time_ms, records, body)

    def _has_room(self, size: int) -> bool:
        """Whether there is a segment for a frame of a size: this one, or the next, begun now."""
        if self._offset + size > self._room and self._offset > HEADER_BYTES:
            if self._next is None or self._look_ahead():
                return False
            self._rotate()
        return True

    def _send_away(self, kind: int, time_ms: int, records: int, body: bytes) -> None:
        """Have the worker write a frame, at the place that is its own from now on."""
        handle, offset, safe = self._handle, self._offset, self._synced
        self._offset += len(body) + OVERHEAD_BYTES
        self._away += 1

        # The worker builds the frames now, one after the other: the chain is its own until it
        # has written the last that is away.
        def write() -> None:
            frame = self._chain.build(kind, time_ms, records, safe, body)
            self._disk.write(handle, frame, offset)

        position = self.position - len(self._waiting)
        self._worker.submit(write, partial(self._written, self._number, position))

    def _written(self, number: int, position: int, error: Exception | None) -> None:
        self._away -= 1
        if error is not None:
            self._fail(number, "could not be written", error)
        elif not self._failed:
            self._reports.written(position)

    # --- segments ---------------------------------------------------------------------------

    def _make(self, number: int, size: int) -> int:
        """Make a segment that is safe from its first frame on: its handle."""
        start = segment.header(segment.LOG, number, self._mark)
        return segment.make_file(self._disk, segment_name(number), start, size)

    def _make_what_fits(self, number: int, least: int) -> tuple[int, int]:
        """Make a segment, a shorter one where the disk is full: its handle, and how long it is.

        On a full disk it has at most half of the room there is: a snapshot needs some too.
        """
        size = self._segment_bytes
        while True:
            try:
                handle = self._make(number, size)
            except OSError as error:
                if error.errno not in FULL or size <= least:
                    raise
                size = max(size // 2, least)
                continue
            if size < self._segment_bytes:
                size = max(size // 2, least)
                self._disk.truncate(handle, size)
            return handle, size

    def _make_first(self) -> tuple[int, int]:
        """Make the first segment: its handle, and how long it is."""
        least = min(self._segment_bytes, SEGMENT_BYTES_MIN)
        try:
            return self._make_what_fits(self._number, least)
        except OSError as error:
            if error.errno not in FULL:
                raise
            path = f"{self._disk.path}/{segment_name(self._number)}"
            problem = f"{error.strerror}: it needs {least} bytes at the least; make room"
            raise DirectoryError(path, problem) from error

    def _make_next(self, last: bool = False) -> None:
        """Have the next segment made.

        Args:
            last: a shorter one will do, for the frames that wait: one that waited for frames
                would keep the log full when there is room again.
        """
        self._making = True
        least = self._segment_bytes
        if last:
            needed = HEADER_BYTES + len(self._waiting[0][3]) + OVERHEAD_BYTES
            least = min(least, max(SEGMENT_BYTES_MIN, needed))
        make = partial(self._make_what_fits, self._number + 1, least)
        made: list[tuple[int, int]] = []
        self._worker.submit(lambda: made.append(make()), partial(self._made, made, last))

    def _made(self, made: list[tuple[int, int]], last: bool, error: Exception | None) -> None:
        self._making = False
        if self._failed:
            return
        if error is None:
            self._next, self._next_room = made[0]
            self._set_full(self._next_room < self._segment_bytes)
            self._place_waiting()
        elif not isinstance(error, OSError) or error.errno not in FULL or last:
            self._fail(self._number + 1, "could not be made", error)
        else:
            self._set_full(True)
            if self._waiting:
                self._make_next(last=True)
        self._go_on_closing()

    def _set_full(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            self._reports.full(full)

    def _place_waiting(self) -> None:
        """Give those that wait their places, in order, as far as there is room."""
        waiting = self._waiting
        while waiting:
            item = waiting.popleft()
            if not self._has_room(len(item[3]) + OVERHEAD_BYTES):
                waiting.appendleft(item)
                break
            self._send_away(*item)
        self._pursue()

    def _rotate(self) -> None:
        """Go on in the next segment, and have the old one ended."""
        assert self._next is not None
        handle, size = self._handle, self._offset
        last = self.position - len(self._waiting) - 1
        sealed = Sealed(self._number, size, last)
        self._worker.submit(partial(self._seal, handle, size), partial(self._sealed, sealed))
        self._handle = self._next
        self._number += 1
        self._room = self._next_room
        self._offset = HEADER_BYTES
        self._next = None
        self._make_next()

    def _seal(self, handle: int, size: int) -> None:
        self._disk.sync(handle)
        if self._disk.links(handle) == 0:
            raise Removed
        self._disk.truncate(handle, size)
        self._disk.close(handle)

    def _sealed(self, sealed: Sealed, error: Exception | None) -> None:
        if error is not None:
            self._fail(sealed.number, "could not be synced", error)
        elif not self._failed:
            self.sealed.append(sealed)
            self._made_safe(sealed.position)

    # --- syncing ----------------------------------------------------------------------------

    def _pursue(self) -> None:
        """Begin a sync if one is wanted that would make something safe."""
        upto = self.position - len(self._waiting)
        if self._syncing or self._failed or min(upto, self._wanted) <= self._synced:
            return
        self._syncing = True
        step = partial(self._sync_file, self._handle)
        self._worker.submit(step, partial(self._sync_ended, self._number, upto))

    def _sync_file(self, handle: int) -> None:
        self._disk.sync(handle)
        if self._disk.links(handle) == 0:
            raise Removed

    def _sync_ended(self, number: int, position: int, error: Exception | None) -> None:
        self._syncing = False
        if error is not None:
            self._fail(number, "could not be synced", error)
            return
        if not self._failed:
            self._made_safe(position)
            self._pursue()

    def _made_safe(self, position: int) -> None:
        if position > self._synced:
            self._synced = position
            self._reports.synced(position)
        self._go_on_closing()

    # --- ends -------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Whether the log has failed because its file was removed."""
        try:
            if self._disk.links(self._handle) == 0:
                raise Removed
        except (OSError, Removed) as error:
            self._fail(self._number, "is lost", error)
        return self._failed

    def _look_ahead(self) -> bool:
        """Whether the log has failed because its next segment, if there is one, was removed."""
        try:
            if self._next is not None and self._disk.links(self._next) == 0:
                raise RemovedUnused
        except (OSError, RemovedUnused) as error:
            self._fail(self._number + 1, "is lost", error)
        return self._failed

    def _fail(self, number: int, what: str, error: Exception) -> None:
        if self._failed:
            return
        self._failed = True
        self._waiting.clear()
        advice = _ADVICE
        if isinstance(error, Removed):
            what = "was removed while it was in use"
            advice = _ADVICE_REMOVED
        elif isinstance(error, RemovedUnused):
            what = "was removed before it was used"
            advice = _ADVICE_UNUSED
        elif isinstance(error, OSError):
            what += f": {error.strerror} (errno {error.errno})"
            advice = _ADVICE_FULL if error.errno in FULL else advice
        else:
            what += f": {error!r}"
        path = f"{self._disk.path}/{segment_name(number)}"
        self._reports.failed(f"{path} {what}; {advice}")
        if self._closed is not None:
            self._closed()

    def _go_on_closing(self) -> None:
        """Take the next step towards the end, if it is wanted and its time has come."""
        closed = self._closed
        if closed is None or self._failed or self._making or self._synced != self.position:
            return
        if not self._stopped:
            self._stopped = True
            # A full disk has perhaps no room for it, and nothing depends on it: all is safe.
            if not self._full or self._offset + OVERHEAD_BYTES <= self._room:
                self.append(STOP, self._stop_ms, 0, b"")
                self.sync()
                return
        if not self._letting_go:
            self._letting_go = True
            self._worker.submit(self._let_go, lambda _: closed())  # all is safe, whatever it meets

    def _let_go(self) -> None:
        """Give back what is not needed, and the lock."""
        disk = self._disk
        disk.truncate(self._handle, self._offset)
        disk.close(self._handle)
        if self._next is not None:
            disk.close(self._next)
            disk.remove(segment_name(self._number + 1))
        disk.unlock()
