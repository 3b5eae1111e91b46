"""The disk that logs are written to: its file system, and how long it takes to sync."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

#: File systems that are memory: nothing that is measured there says anything of a disk.
MEMORY = ("tmpfs", "ramfs", "devtmpfs")

_BLOCK = 4096
_BLOCKS = 256


def file_system(path: Path) -> tuple[str, str]:
    """The type of the file system that a directory is on, and what it is mounted from."""
    found, length = ("unknown", "unknown"), 0
    place = path.resolve()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = before.split()[4].encode().decode("unicode_escape")
        if place.is_relative_to(mount) and len(mount) >= length:
            kind, source = after.split()[:2]
            found, length = (kind, source), len(mount)
    return found


def sync_latencies(directory: Path, count: int = 100) -> list[float]:
    """Seconds that fdatasync takes, each after a write of 4 KiB to a file whose space is there."""
    found = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix="workq-sync-") as file:
        number = file.fileno()
        os.posix_fallocate(number, 0, _BLOCK * _BLOCKS)
        os.fsync(number)
        for i in range(count):
            os.pwrite(number, os.urandom(_BLOCK), i % _BLOCKS * _BLOCK)
            start = time.perf_counter()
            os.fdatasync(number)
            found.append(time.perf_counter() - start)
    return found


def disk(directory: Path, rounds: list[list[float]], slower_us: int = 0) -> dict[str, object]:
    """What a report tells of the disk.

    Args:
        directory: where the logs were.
        rounds: the latencies of each round.
        slower_us: how much longer each sync of a server was made to take.
    """
    kind, source = file_system(directory)
    all_of_them = sorted(each for one in rounds for each in one)
    return {
        "directory": str(directory),
        "kind": kind,
        "source": source,
        "syncs": len(all_of_them),
        "median_us": statistics.median(all_of_them) * 1e6 if all_of_them else None,
        "p99_us": all_of_them[int(len(all_of_them) * 0.99)] * 1e6 if all_of_them else None,
        "slower_us": slower_us,
        "medians_us": [statistics.median(one) * 1e6 for one in rounds],
    }


def told(found: dict[str, object]) -> str:
    """The same as a sentence."""
    text = f"Logs in {found['directory']}, on {found['kind']} ({found['source']})"
    if found["median_us"] is None:
        return f"{text}."
    medians = found["medians_us"]
    assert isinstance(medians, list)
    each = ", ".join(f"{one:,.0f}" for one in medians)
    slower = ""
    if found["slower_us"]:
        slower = f" **Each sync of a server was made to take {found['slower_us']:,} µs more.**"
    return (
        f"{text}: fdatasync after a write of 4 KiB takes {found['median_us']:,.0f} µs, "
        f"p99 {found['p99_us']:,.0f} µs ({found['syncs']} of them; medians before each round: "
        f"{each}).{slower}"
    )
