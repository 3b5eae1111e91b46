"""The packed form of transitions: what stands in the bodies of the log's frames.

A body is a msgpack array of records, a record is a transition: an array of its type and its
fields, in the order of `workq.engine.transitions`. Bytes are msgpack's bin, options an array of
their five numbers. A record may be shorter than it is now: what was added to a type later stands
at its end and has a default. What is longer, or of an unknown type, comes from a newer server.

A body is packed with one call (0.5 µs a record) and read with one call (1 µs). One that turns out
too large is packed again in pieces. Options and queue
names that are equal become one object, so that a million jobs share them as they do when they
come from clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgpack

from workq.engine import transitions
from workq.engine.job import Options
from workq.engine.transitions import Transition
from workq.limits import FRAME_RECORDS_MAX, FRAME_SPLIT_BYTES

#: What the numbers of one record take, in bytes, at the most.
_RECORD_BYTES: Final = 128

#: How many values a record of each type has, with its type.
_LENGTHS: Final = {
    transitions.ADDED: 10,
    transitions.DUE: 2,
    transitions.LEASED: 4,
    transitions.RETURNED: 3,
    transitions.COMPLETED: 3,
    transitions.FAILED: 4,
    transitions.EXPIRED: 2,
    transitions.DELETED: 2,
    transitions.RESTORED: 17,
    transitions.COUNTERS: 3,
}

#: Where the queue's name and the options stand in the records that make a job.
_NAME: Final = 3
_OPTIONS: Final = 7

_pack = msgpack.Packer(autoreset=True).pack


class RecordError(Exception):
    """A record is none that this server knows."""


def bodies(commit: Sequence[Transition]) -> Iterator[tuple[int, bytes]]:
    """A commit in pieces, each for one frame: how many records, and the packed form.

    Args:
        commit: the transitions, not empty.
    """
    if len(commit) <= FRAME_RECORDS_MAX:
        body = _pack(commit)
        if len(body) <= FRAME_SPLIT_BYTES or len(commit) == 1:
            yield len(commit), body
            return
    yield from pieces(commit)


def pieces(records: Iterable[Transition]) -> Iterator[tuple[int, bytes]]:
    """Any number of transitions in pieces that a frame may hold, as they come: how many records,
    and the packed form.

    Args:
        records: the transitions; no more of them are held than one piece takes.
    """
    piece: list[Transition] = []
    piece_bytes = 0
    for transition in records:
        grows = _RECORD_BYTES + _data_bytes(transition)
        if piece and (len(piece) >= FRAME_RECORDS_MAX or piece_bytes + grows > FRAME_SPLIT_BYTES):
            yield len(piece), _pack(piece)
            piece, piece_bytes = [], 0
        piece.append(transition)
        piece_bytes += grows
    if piece:
        yield len(piece), _pack(piece)


def _data_bytes(transition: Transition) -> int:
    size = 0
    for value in transition:  # not a sum over a generator: compaction does this for every job
        if type(value) is bytes:
            size += len(value)
    return size


class Unpacker:
    """Reads bodies, and makes equal names and options one object."""

    def __init__(self) -> None:
        self._options: dict[Any, Options] = {}
        self._names: dict[bytes, bytes] = {}

    def records(self, body: bytes) -> list[Transition]:
        """The transitions in a body.

        Raises:
            RecordError: it holds something unknown.
        """
        try:
            return self._read(msgpack.unpackb(body, use_list=False))
        except (ValueError, TypeError, LookupError) as error:
            raise RecordError(f"it cannot be unpacked: {error}") from error

    def _read(self, found: Sequence[Transition]) -> list[Transition]:
        lengths = _LENGTHS
        records: list[Transition] = []
        for record in found:
            kind = record[0]
            if len(record) != lengths.get(kind):
                raise RecordError(f"it has a record of type {kind} with {len(record)} values")
            if kind == transitions.ADDED:  # spelled out: three quarters of all there is to do
                (
                    _, seq, job_id, name, created_ms, due_ms, expires_ms, values, time_ms, payload,
                ) = record  # fmt: skip
                name, shared = self._shared(name, values)
                record = (
                    kind, seq, job_id, name, created_ms, due_ms, expires_ms, shared,
                    time_ms, payload,
                )  # fmt: skip
            elif kind == transitions.RESTORED:
                name, shared = self._shared(record[_NAME], record[_OPTIONS])
                record = (*record[:_NAME], name, *record[_NAME + 1 : _OPTIONS], shared, *record[8:])
            records.append(record)
        return records

    def _shared(self, name: bytes, values: Transition) -> tuple[bytes, Options]:
        """A name and options as they were met first."""
        options = self._options.get(values)
        if options is None:
            options = self._options[values] = Options(*values)
        return self._names.setdefault(name, name), options
