"""Taking over the jobs of the original server: its log becomes one of ours.

The new log is one segment: an epoch frame, how far the numbers have come, each job as it stands at
the moment of the import, and a clean stop. It gets its name when it is whole and safe, so an
import that is interrupted leaves nothing that a server would start from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from workq.cmdlog import segment
from workq.cmdlog.disk import Disk
from workq.cmdlog.frames import COMMIT, EPOCH, NO_HASH, STOP, Chain
from workq.cmdlog.settle import lock
from workq.engine import transitions
from workq.engine.engine import TOKEN_EPOCH_SHIFT
from workq.engine.job import READY, SCHEDULED, STATES, Options
from workq.engine.transitions import Transition
from workq.errors import DirectoryError
from workq.recovery.golog import GoJob, GoLog, read_go_log
from workq.recovery.records import pieces

_NUMBER: Final = 1
_EPOCH: Final = 1


def take_over(directory: Path, disk: Disk, now_ms: int, chance: Callable[[int], bytes]) -> GoLog:
    """Make a new log of one of the original server.

    Args:
        directory: of the original; nothing in it is changed.
        disk: the new directory, which must be empty.
        now_ms: the moment of the import, in milliseconds since 1970: TTLs and leases that have
            ended by then have ended.
        chance: gives so many bytes that nobody can guess.

    Returns:
        What was read.

    Raises:
        GoLogError: the original's log cannot be read.
        MissingExtra: the package for its checksums is missing.
        DirectoryError: the new directory is in use, or not empty.
        OSError: of the disk.
    """
    lock(disk)
    try:
        # What is unfinished means nothing: an import that was interrupted may have left it.
        if others := [name for name in disk.names() if not name.endswith(".tmp")]:
            problem = f"is not empty ({others[0]} is there): an import begins a log, so name a new"
            raise DirectoryError(disk.path, f"{problem} directory")
        log = read_go_log(directory, now_ms)
        _write(disk, log.jobs, now_ms, chance(8))
    finally:
        disk.unlock()
    return log


def _write(disk: Disk, jobs: list[GoJob], now_ms: int, mark: bytes) -> None:
    """Write the segment, and name it when it is whole."""
    name = segment.segment_name(_NUMBER)
    unfinished = segment.unfinished_name(name)
    chain = Chain(mark, _EPOCH, 0, NO_HASH)
    handle = disk.create(unfinished)
    try:
        offset = 0
        for data in _pieces(chain, jobs, now_ms, mark):
            disk.write(handle, data, offset)
            offset += len(data)
        disk.sync(handle)
    finally:
        disk.close(handle)
    disk.rename(unfinished, name)
    disk.sync_names()


def _pieces(chain: Chain, jobs: list[GoJob], now_ms: int, mark: bytes) -> Iterator[bytes]:
    """The bytes of the segment."""
    yield segment.header(segment.LOG, _NUMBER, mark)
    yield chain.build(EPOCH, now_ms, 0, 0, b"")
    for count, body in pieces(as_records(jobs)):
        yield chain.build(COMMIT, now_ms, count, 0, body)
    yield chain.build(STOP, now_ms, 0, chain.position, b"")


def as_records(jobs: list[GoJob]) -> Iterator[Transition]:
    """The transitions that make jobs of the original as they stand, in the order of arrival."""
    first_token = _EPOCH << TOKEN_EPOCH_SHIFT
    yield transitions.COUNTERS, len(jobs), first_token + len(jobs)
    for seq, job in enumerate(jobs, 1):
        state = job.state
        if state == SCHEDULED and job.due_ms == job.created_ms:
            state = READY  # its creation is yet to come, by the time of the import
        yield (
            transitions.RESTORED,
            seq,
            job.id,
            job.name,
            job.created_ms,
            job.due_ms,
            job.expires_ms,
            Options(job.ttr_ms, job.ttl_ms, job.priority, job.max_attempts, job.max_fails),
            job.time_ms,
            job.payload,
            STATES.index(state),
            job.attempts,
            job.fails,
            job.timeouts,
            None if job.deadline_ms is None else first_token + seq,
            job.deadline_ms,
            job.result,
        )
