"""The head of a snapshot: what it says of itself before its records, and the digest in it.

A head is a msgpack map: `format` of the records, `version` of the workq that wrote it, `digest`,
`records`, and `data`, the bytes of payloads and results in them. Keys that are not known are left
alone: what may not be left alone raises the format.

The digest is the one of `workq.engine.dump.digest`, a hash over the packed records one after the
other. The body of a part is an array of just these, so hashing it without the array's own header
gives the same, and costs no more than the bytes take to hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

import msgpack

from workq.cmdlog import segment
from workq.cmdlog.frames import Frame
from workq.cmdlog.scan import Reading
from workq.cmdlog.snapshot import Snapshot
from workq.errors import CorruptionError, DirectoryError

#: The format of the records in a snapshot that this server writes, and the highest that it reads.
FORMAT: Final = 1

#: How long the header of a msgpack array is that is not of the shortest kind.
_LONG_HEADERS: Final = {b"\xdc": 3, b"\xdd": 5}

_FIELDS: Final = {"format": int, "version": str, "digest": bytes, "records": int, "data": int}


class Head(NamedTuple):
    """What a snapshot says of itself.

    Attributes:
        version: of the workq that wrote it.
        digest: of the state that it makes.
        records: how many there are.
        data_bytes: payloads and results together.
    """

    version: str
    digest: bytes
    records: int
    data_bytes: int

    def pack(self) -> bytes:
        """Its bytes."""
        version, digest, records, data_bytes = self
        fields = {"format": FORMAT, "version": version, "digest": digest}
        return bytes(msgpack.packb(fields | {"records": records, "data": data_bytes}))


class Digest:
    """The digest of records that come in bodies."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def add(self, body: bytes) -> None:
        """Take in the records of a body."""
        self._hash.update(memoryview(body)[_LONG_HEADERS.get(body[:1], 1) :])

    def value(self) -> bytes:
        """The digest of all that was taken in."""
        return self._hash.digest()


def read_head(path: str, number: int, data: bytes) -> Head:
    """The head of a snapshot from its bytes.

    Args:
        path: of the directory.
        number: of the snapshot.
        data: the bytes.

    Raises:
        CorruptionError: it is none.
        DirectoryError: a newer server wrote it.
    """
    name = segment.snapshot_name(number)
    try:
        fields = msgpack.unpackb(data)
    except (ValueError, TypeError):
        fields = None
    if isinstance(fields, dict) and isinstance(fields.get("format"), int):
        if fields["format"] > FORMAT:
            raise DirectoryError(
                path,
                f"{name} was written by a newer workq ({fields.get('version')}, records of format "
                f"{fields['format']}; this one knows format {FORMAT}): use that",
            )
        if all(isinstance(fields.get(field), kind) for field, kind in _FIELDS.items()):
            return Head(fields["version"], fields["digest"], fields["records"], fields["data"])
    raise CorruptionError(f"{path}/{name}", segment.HEADER_BYTES, "the head makes no sense")


class Check:
    """Holds the parts of a snapshot against its head.

    Args:
        path: of the directory.
        number: of the snapshot.
    """

    def __init__(self, path: str, number: int) -> None:
        self._path = path
        self._number = number
        self._digest = Digest()
        self._records = 0

    def part(self, frame: Frame) -> None:
        """Take in a part."""
        self._digest.add(frame.body)
        self._records += frame.records

    def whole(self, snapshot: Snapshot) -> None:
        """Judge, when all parts have been taken in.

        Raises:
            CorruptionError: they are not those that the head tells of.
            DirectoryError: a newer server wrote them.
        """
        head = read_head(self._path, self._number, snapshot.head)
        if (head.digest, head.records) != (self._digest.value(), self._records):
            raise CorruptionError(
                f"{self._path}/{segment.snapshot_name(self._number)}",
                segment.HEADER_BYTES,
                "its records are not those that its head tells of: go back to a backup",
            )


def checked_parts(reading: Reading) -> Iterator[Frame]:
    """The parts of a log's snapshot, held against its head when they have ended.

    Args:
        reading: of the log.

    Raises:
        CorruptionError: they are not those that the head tells of.
        DirectoryError: a newer server wrote them.
        OSError: of the disk.
    """
    snapshot = reading.snapshot
    if snapshot is None:
        return
    read_head(reading.path, snapshot.number, snapshot.head)  # a newer one's records are not read
    check = Check(reading.path, snapshot.number)
    for frame in reading.parts():
        check.part(frame)
        yield frame
    check.whole(snapshot)
