"""Calls of the system that fail, a short form; `python -m tests.faults.errors` has the long one."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults import errors
from tests.faults.errors import AGAIN, COMPACTING, FAILED, LARGE, REFUSED, SMALL, STARTING, Fault

FAULTS = {
    Fault(STARTING, "fdatasync", 2): REFUSED,
    Fault(STARTING, "renameat", 1): REFUSED,
    Fault(AGAIN, "pwrite64", 2): REFUSED,
    Fault(AGAIN, "ftruncate", 1): REFUSED,
    Fault(SMALL, "pwrite64", 3): FAILED,
    Fault(LARGE, "pwrite64", 1): FAILED,
    Fault(SMALL, "fdatasync", 1): FAILED,
    Fault(SMALL, "fdatasync", 2): FAILED,
    Fault(LARGE, "fdatasync", 6): FAILED,
    Fault(LARGE, "fsync", 1): FAILED,
    Fault(LARGE, "fallocate", 1): FAILED,
    Fault(LARGE, "ftruncate", 2): FAILED,
    Fault(LARGE, "renameat", 1): FAILED,
    Fault(LARGE, "openat", 1): FAILED,
    Fault(COMPACTING, "unlinkat", 2): FAILED,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault)))
def test_an_error_of_the_disk_is_the_end_and_nothing_acknowledged_is_lost(tracer, fault):
    """With the right exit code and one line that tells; the next start has everything."""
    assert asyncio.run(errors.run(tracer, fault)) == FAULTS[fault]
