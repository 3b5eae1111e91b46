"""Records of a command log from data: mostly such as a server writes, now and then one with a
field that is none, or with too many or too few of them."""

from __future__ import annotations

from typing import Final

import msgpack

from fuzz.words import Source
from tests.engine.making import NOW_MS, job_id
from workq.engine import transitions

RECORDS_MAX: Final = 4

_IDS: Final = [*(job_id(number) for number in range(24)), job_id(99), b"x", b""]
_NAMES: Final = (b"ping", b"pong", b"new", b"")
_OPTIONS: Final = ((1000, 60_000, 0, 0, 0), (200, 3000, 5, 2, 2), (1, 1, -(2**31), 255, 255))
_TIMES: Final = (NOW_MS, NOW_MS + 1, NOW_MS + 999, NOW_MS + 60_000, 0, 1, 2**40, 2**53, 2**62)
_NUMBERS: Final = (0, 1, 2, 3, 4, 5, 100, 2**40, 2**40 + 1, 2**41, 2**63, 2**64 - 1)
_BYTES: Final = (b"", b"x", b"y" * 9, b"z" * 600, b"z" * 600)


def _packed(value: object) -> bytes:
    return bytes(msgpack.packb(value))


#: Values of every kind that the packed form knows, as deep as it may be, and some that are none.
#: The order is part of the corpus.
ODD: Final = (
    *map(_packed, (None, True, False, -1, 0, 1, 7, 2**31, 2**63, 2**64 - 1, -(2**63))),
    *map(_packed, (1.5, float("nan"), float("inf"), -0.0, b"", b"x", b"\xff" * 300, "", "text")),
    *map(_packed, ((), (1,), (1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6), {}, {1: 2}, ({},))),
    *map(_packed, ((1, 2, 3, 4), (0, 0, "0", 0, 0), (0, 0, 0, 0, b""), (1, 1, None, 1, 1))),
    *map(_packed, (msgpack.Timestamp(1, 1), msgpack.ExtType(5, b"x"))),
    b"\xa1\xff", b"\xc1", b"", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\x91" * 500 + b"\xc0", b"\x91" * 990 + b"\xc0", b"\x91" * 1100 + b"\xc0",
    b"\xd6\xff\x00\x00\x00\x00", b"\xc7\x0c\xff" + b"\xff" * 12,
)  # fmt: skip

#: What a record may be of. Types that are not known stand at the end; the order is part of the
#: corpus.
_KINDS: Final = (
    transitions.ADDED, transitions.LEASED, transitions.COMPLETED, transitions.FAILED,
    transitions.RETURNED, transitions.DUE, transitions.EXPIRED, transitions.DELETED,
    transitions.RESTORED, transitions.COUNTERS, transitions.CLOCK, transitions.STARTED, 0, 12,
)  # fmt: skip


def records(source: Source) -> tuple[int, bytes]:
    """How many records, and the body that holds them."""
    count = source.byte() % (RECORDS_MAX + 1)
    return count, bytes((0x90 | count,)) + b"".join(_record(source) for _ in range(count))


def _record(source: Source) -> bytes:
    kind = source.pick(_KINDS)
    fields = [_packed(value) for value in (kind, *_fields(kind, source))]
    byte = source.byte()
    if byte >= 0xF0:
        del fields[-1]
    elif byte >= 0xE0:
        fields.append(source.pick(ODD))
    elif byte >= 0x80:
        fields[(byte & 0x1F) % len(fields)] = source.pick(ODD)
    return (
        bytes((0x90 | len(fields),)) if len(fields) < 16 else b"\xdc\x00" + bytes((len(fields),))
    ) + b"".join(fields)


def _fields(kind: int, source: Source) -> tuple[object, ...]:
    """What a record of a type holds behind the type."""
    if kind == transitions.COUNTERS:
        return source.pick(_NUMBERS), source.pick(_NUMBERS)
    if kind == transitions.CLOCK:
        return (source.pick((0, 1, -1, 3_600_000, -3_600_000, 2**53)),)
    if kind in (transitions.ADDED, transitions.STARTED, transitions.RESTORED):
        return _job(kind, source)
    identity = source.pick(_IDS)
    if kind == transitions.LEASED:
        return identity, source.pick(_NUMBERS), source.pick(_TIMES)
    if kind == transitions.RETURNED:
        return identity, source.byte() % 5
    if kind == transitions.COMPLETED:
        return identity, source.pick(_BYTES)
    if kind == transitions.FAILED:
        return identity, source.byte() % 5, source.pick(_BYTES)
    return (identity,)


def _job(kind: int, source: Source) -> tuple[object, ...]:
    seq, identity, name = source.pick(_NUMBERS), source.pick(_IDS), source.pick(_NAMES)
    created_ms = source.pick(_TIMES)
    byte = source.byte()
    due_ms = created_ms + (0, 0, 1, 500)[byte & 3]
    expires_ms = (None, created_ms + 1, created_ms + 60_000, 0)[byte >> 2 & 3]
    time_ms = due_ms if byte & 0x10 else None
    options, payload = source.pick(_OPTIONS), source.pick(_BYTES)
    job = seq, identity, name, created_ms, due_ms, expires_ms, options, time_ms, payload
    if kind != transitions.RESTORED:
        return job
    state = source.byte() % 6
    leased, finished = state == 2, state in (3, 4)
    return (
        *job, state, source.byte() % 4, source.byte() % 4, source.byte() % 4,
        source.pick(_NUMBERS) if leased else None, source.pick(_TIMES) if leased else None,
        source.pick(_BYTES) if finished else None,
    )  # fmt: skip
