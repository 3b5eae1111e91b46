"""This process as the operating system sees it: memory, descriptors, the collector."""

import errno
import gc
import os
import resource
from pathlib import Path

from workq.limits import YOUNG_OBJECTS_MAX

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """The memory of this process that is in use and not swapped out; 0 where it is not told."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as the system lets it; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def descriptors_left() -> bool:
    """Whether this process can open another file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True


def take_over_collection() -> None:
    """Turn Python's automatic collection off; `collect_young` does the part that is needed.

    A collection of everything stops the world for a second at a million jobs, and it would find
    next to nothing: jobs, leases and timers are freed by counting, and connections cut their
    cycles when they close. So nothing is collected here either.
    """
    gc.disable()
    gc.freeze()


def collect_young(changes: int) -> bool:
    """Look through what was made since the last time, if it may be much, and never again after;
    return whether that was done.

    Args:
        changes: how many there were since the last time. Each leaves an object at the most: a job,
            a lease. The collector's own count does not tell alone: what goes meanwhile is taken
            from it, and while as many jobs go as come it stays where it is.
    """
    if changes < YOUNG_OBJECTS_MAX and gc.get_count()[0] < YOUNG_OBJECTS_MAX:
        return False
    gc.collect(1)
    gc.freeze()
    return True
