"""Segments and snapshots as files: their names, and the header that each begins with.

`000000001.log` is a segment, `000000007.snap` a snapshot that stands for all segments before the
seventh. Both begin with 64 bytes:

    0  magic     8 bytes   `workqlog` or `workqsnp`
    8  version   u32       of the format
    12           4 bytes   zero
    16 number    u64       as in the name
    24 mark      8 bytes   with which all frames of this log begin
    32           16 bytes  zero
    48 hash      16 bytes  blake2b-128 of all before

A file gets such a name only after its header has been synced under another (`.tmp`). So a bad
header is never what a crash left behind: it is damage. The layout of the header stays in every
later version, so that an older server can tell that a newer one was here.
"""

from __future__ import annotations

import re
from contextlib import suppress
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from workq.cmdlog.disk import Disk
from workq.errors import CorruptionError, DirectoryError

#: The version of the format that this server writes, and the only one that it reads.
VERSION: Final = 1

LOG: Final = b"workqlog"
SNAPSHOT: Final = b"workqsnp"

_HEADER: Final = Struct("<8sI4xQ8s16x")
_HASH_BYTES: Final = 16
HEADER_BYTES: Final = _HEADER.size + _HASH_BYTES

#: The files that make a log; those that were not finished; and those with what was cut, finished or
#: not. A number has nine digits, more only where they do not suffice: no number has two names.
#: Nothing of another name is ours, to be counted or removed. What is not verified may have a
#: digit less: whatever number it has, there are numbers behind it.
_NAME: Final = re.compile(r"([0-9]{9}|[1-9][0-9]{9,14})\.(log|snap)")
_UNFINISHED: Final = re.compile(r"([0-9]{9}|[1-9][0-9]{9,13})\.(?:log|snap|[0-9]{1,20}\.cut)\.tmp")
_CUT: Final = re.compile(r"([0-9]{9}|[1-9][0-9]{9,13})\.[0-9]{1,20}\.cut")

#: Beyond this no server comes: a thousand segments each second for ten thousand years.
_NUMBER_MAX: Final = 900_000_000_000_000

#: What the original server, written in Go, leaves in its directory.
_ORIGINAL_NAMES: Final = frozenset(("append.lock", "read.lock"))
_ORIGINAL_MAGIC: Final = b"wqwq"


class Listing(NamedTuple):
    """What a directory holds, each list by number.

    Attributes:
        segments: the numbers of its segments.
        snapshots: those of its snapshots.
        fresh: the first number that no file has, nor had if it was kept aside.
        unfinished: names of files of ours that were not finished, and mean nothing.
    """

    segments: list[int]
    snapshots: list[int]
    fresh: int
    unfinished: list[str]


def segment_name(number: int) -> str:
    """What a segment is called."""
    return f"{number:09d}.log"


def snapshot_name(number: int) -> str:
    """What the snapshot is called that stands for all segments before a number."""
    return f"{number:09d}.snap"


def cut_name(number: int, position: int) -> str:
    """What the part of a segment from a position on is called when it was never synced."""
    return f"{number:09d}.{position}.cut"


def unfinished_name(name: str) -> str:
    """What a file is called until it is whole."""
    return f"{name}.tmp"


def list_files(disk: Disk) -> Listing:
    """Look through a directory.

    Raises:
        DirectoryError: it is one of the original server, or has a number that is none.
    """
    names = disk.names()
    if not _ORIGINAL_NAMES.isdisjoint(names):
        raise original(disk)
    segments: list[int] = []
    snapshots: list[int] = []
    unfinished: list[str] = []
    highest = 0
    for name in names:
        if match := _NAME.fullmatch(name):
            if int(match[1]) > _NUMBER_MAX:
                problem = "no server has come to this number: move the file away"
                raise DirectoryError(f"{disk.path}/{name}", problem)
            (segments if match[2] == "log" else snapshots).append(int(match[1]))
        elif match := _UNFINISHED.fullmatch(name):
            unfinished.append(name)
        else:
            match = _CUT.fullmatch(name)
        if match:
            highest = max(highest, int(match[1]))
    return Listing(sorted(segments), sorted(snapshots), highest + 1, unfinished)


def header(magic: bytes, number: int, mark: bytes) -> bytes:
    """What a file begins with.

    Args:
        magic: `LOG` or `SNAPSHOT`.
        number: as in its name.
        mark: of the log, 8 bytes.
    """
    start = _HEADER.pack(magic, VERSION, number, mark)
    return start + blake2b(start, digest_size=_HASH_BYTES).digest()


def read_header(disk: Disk, name: str, data: bytes, magic: bytes, number: int) -> bytes:
    """The mark in the header of a file.

    Args:
        disk: where the file is.
        name: of the file.
        data: at least the first `HEADER_BYTES` of it, if it has so many.
        magic: what it should begin with.
        number: what it should say.

    Raises:
        CorruptionError: the header is damaged, or that of another file.
        DirectoryError: a newer server wrote it, or the original one.
    """
    if data.startswith(_ORIGINAL_MAGIC):
        raise original(disk)
    start, own = data[: _HEADER.size], data[_HEADER.size : HEADER_BYTES]
    if blake2b(start, digest_size=_HASH_BYTES).digest() != own:
        raise CorruptionError(f"{disk.path}/{name}", 0, "the header of the file is damaged")
    found_magic, version, found_number, mark = _HEADER.unpack(start)
    if version > VERSION:
        raise newer(disk.path, name, f"format {version}; this one knows format {VERSION}")
    if version != VERSION or found_magic != magic or found_number != number:
        raise CorruptionError(f"{disk.path}/{name}", 0, "the header is that of another file")
    return bytes(mark)


def newer(path: str, name: str, what: str) -> DirectoryError:
    """The refusal of what this version cannot know, in a file of a directory."""
    return DirectoryError(path, f"{name} was written by a newer workq ({what}): use that")


def original(disk: Disk) -> DirectoryError:
    """The refusal of the original server's directory."""
    return DirectoryError(
        disk.path,
        "is a command log of the original Workq server: read it in with `workq cmdlog import`",
    )


def make_file(disk: Disk, name: str, start: bytes, size: int) -> int:
    """Make a file that has its name only when its first bytes are safe: a handle for writing.

    Every step but the last leaves nothing but a `.tmp` behind that nobody looks at.

    Args:
        disk: where.
        name: what it is called in the end.
        start: its first bytes.
        size: what it will take, preallocated, in bytes.

    Raises:
        OSError: of the disk; what was begun is removed.
    """
    unfinished = unfinished_name(name)
    handle = disk.create(unfinished)
    try:
        disk.preallocate(handle, size)
        disk.write(handle, start, 0)
        disk.sync(handle)
        disk.rename(unfinished, name)
        disk.sync_names()
    except OSError:
        # Whatever this meets, the first error is the one that tells.
        with suppress(OSError):
            disk.close(handle)
            disk.remove(unfinished)
        raise
    return handle
