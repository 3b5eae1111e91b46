"""Writes logs as the original server writes them, for the tests of the import."""

from pathlib import Path
from uuid import UUID

from crc32c import crc32c

HEADER = bytes.fromhex("7771777100000001")
ZERO_TIME = b"\x01" + bytes(12) + b"\xff\xff"
ID = "61a444a0-6128-41c0-8078-cc757d3bd2d8"
OTHER_ID = "61a444a0-6128-41c0-8078-000000000001"

#: When the jobs of the tests are created, in milliseconds: 2016-12-01T10:00:00Z.
CREATED_MS = 1_480_586_400_000


def instant(ms: int) -> bytes:
    """A time, from Unix milliseconds."""
    seconds, rest = divmod(ms, 1000)
    nanoseconds = rest * 1_000_000
    return b"\x01%b%b\xff\xff" % (
        (seconds + 62_135_596_800).to_bytes(8, "big"),
        nanoseconds.to_bytes(4, "big"),
    )


def unsigned(value: int) -> bytes:
    """A number in groups of seven bits."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def signed(value: int) -> bytes:
    """A number that may be negative."""
    return unsigned(2 * value if value >= 0 else -2 * value - 1)


def block(data: bytes) -> bytes:
    """Bytes with their number before them."""
    return unsigned(len(data)) + data


def record(payload: bytes, at_ms: int = CREATED_MS, *, flip: int = 0) -> bytes:
    """A record; `flip` is what its checksum is wrong by."""
    body = instant(at_ms) + block(payload)
    return body + (crc32c(body) ^ flip).to_bytes(4, "big")


def job(
    kind: int = 1,
    *,
    id: str = ID,
    name: bytes = b"ping",
    ttr: int = 1000,
    ttl: int = 60_000,
    priority: int = 0,
    max_attempts: int = 0,
    max_fails: int = 0,
    payload: bytes = b"a",
    time_ms: int | None = None,
    created_ms: int = CREATED_MS,
) -> bytes:
    """What a record says that adds (1) or schedules (2) a job."""
    return b"".join(
        [
            bytes([kind]),
            UUID(id).bytes,
            block(name),
            unsigned(ttr),
            unsigned(ttl),
            signed(priority),
            unsigned(max_attempts),
            unsigned(max_fails),
            block(payload),
            ZERO_TIME if time_ms is None else instant(time_ms),
            instant(created_ms),
        ]
    )


def act(kind: int, result: bytes = b"", *, id: str = ID) -> bytes:
    """What a record says of a job that is there; `result` is for kinds 3 and 4."""
    return bytes([kind]) + UUID(id).bytes + (block(result) if kind in (3, 4) else b"")


def directory(path: Path, **segments: bytes) -> Path:
    """Make a directory of segments, named `s1` for 000000001.log and so on."""
    path.mkdir(exist_ok=True)
    for name, data in segments.items():
        (path / f"{int(name[1:]):09d}.log").write_bytes(data)
    return path
