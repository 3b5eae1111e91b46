"""The packed form of transitions: what stands in the bodies of the log's frames.

A body is a msgpack array of records, a record is a transition: an array of its type and its
fields, in the order of `workq.engine.transitions`. Bytes are msgpack's bin, options an array of
their numbers. A record, or its options, may be shorter than it is now. What was added later stands
at the end: either it may be left out where it says nothing (`_OPTIONAL`, and `Options` does so by
itself), or it has a default (`_DEFAULTS`), which is filled in here, so that nobody else meets a
record without it. What is longer, or of an unknown type, comes from a newer server.

A commit that is too large for one frame is split anywhere between two records. Nothing that has to
stay whole is parted by that: every command makes one record at the most, and deadlines that are
fired beside it are changes of their own. Who brings a command of several records brings groups.

A body is packed with one call (0.5 µs a record) and read with one call (1 µs). One that turns out
too large is packed again in pieces. Options and queue
names that are equal become one object, so that a million jobs share them as they do when they
come from clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgpack

from workq.engine import transitions
from workq.engine.job import Options
from workq.engine.transitions import Transition
from workq.limits import FRAME_RECORDS_MAX, FRAME_SPLIT_BYTES

#: What the numbers of one record take, in bytes, at the most.
_RECORD_BYTES: Final = 128

#: How many values a record of each type has, with its type, without those that may be left out.
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
    transitions.TOUCHED: 3,
    transitions.DELAYED: 10,
    transitions.CLOCK: 2,
}

#: How many values there may be behind these, by type.
_OPTIONAL: Final[Mapping[int, int]] = {transitions.RETURNED: 1, transitions.RESTORED: 1}

#: The values of the last fields of records that do not have them yet, by type: what each field that
#: was added to a type stands for in what was written before. Nothing has been added so far.
_DEFAULTS: Final[Mapping[int, Transition]] = {}

#: The same for options, and how many numbers they have at the most.
_OPTION_DEFAULTS: Final[tuple[int, ...]] = Options.LATER
_OPTIONS_LENGTH: Final = len(Options.NAMES)

#: Where the queue's name and the options stand in the records that make a job.
_NAME: Final = 3
_OPTIONS: Final = 7

_pack = msgpack.Packer(autoreset=True).pack


class RecordError(Exception):
    """A body makes no sense: no server has written it."""


class NewerRecord(RecordError):
    """A record has more in it than this server knows: a newer one has written it."""


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
            NewerRecord: a newer server has written it.
            RecordError: it makes no sense.
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
                record = _whole(record)
            if (
                kind == transitions.ADDED or kind == transitions.DELAYED
            ):  # spelled out: three quarters of all there is to do
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
            whole = Options(*_padded(values, _OPTIONS_LENGTH, _OPTION_DEFAULTS, "options"))
            options = self._options[values] = self._options.setdefault(whole, whole)
        return self._names.setdefault(name, name), options


def _whole(record: Transition) -> Transition:
    """A record with all fields that its type has, from one that has another number of them."""
    kind = record[0]
    what = f"a record of type {kind}"
    if kind in _LENGTHS:
        if 0 < len(record) - _LENGTHS[kind] <= _OPTIONAL.get(kind, 0):
            return record
        return _padded(record, _LENGTHS[kind], _DEFAULTS.get(kind, ()), what)
    # That of a foreground job is known, and on no log; a number that never was is to come.
    if type(kind) is int and kind > 0 and kind not in transitions.NAMES:
        raise NewerRecord(what)
    raise RecordError(f"it has {what}")


def _padded(values: Transition, length: int, defaults: Transition, what: str) -> Transition:
    """Values with the defaults of those that are missing at their end."""
    missing = length - len(values)
    if missing < 0:
        raise NewerRecord(f"{what} with {len(values)} values")
    if missing > len(defaults):
        raise RecordError(f"it has {what} with {len(values)} values")
    return (*values, *defaults[len(defaults) - missing :])
