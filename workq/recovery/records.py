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

A body is packed with one call (0.5 µs a record) and read with one call (0.5 µs). One that turns out
too large is packed again in pieces. Options and queue
names that are equal become one object, so that a million jobs share them as they do when they
come from clients.
"""

from __future__ import annotations

import reprlib  # of what is long or deep it shows the beginning only
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgpack

from workq.engine import transitions
from workq.engine.job import Options
from workq.engine.transitions import Transition
from workq.limits import FRAME_RECORDS_MAX, FRAME_SPLIT_BYTES

#: What the numbers of one record take, in bytes, at the most.
_RECORD_BYTES: Final = 128

#: The kinds of the values of a record of each type, its type included; "?" for one that may be nil.
#: Those that may be left out at the end are not among them.
_JOB_KINDS: Final = (int, int, bytes, bytes, int, int, "?", Options, "?", bytes)
_KINDS: Final[Mapping[int, tuple[object, ...]]] = {
    transitions.ADDED: _JOB_KINDS,
    transitions.DUE: (int, bytes),
    transitions.LEASED: (int, bytes, int, int),
    transitions.RETURNED: (int, bytes, int),
    transitions.COMPLETED: (int, bytes, bytes),
    transitions.FAILED: (int, bytes, int, bytes),
    transitions.EXPIRED: (int, bytes),
    transitions.DELETED: (int, bytes),
    transitions.RESTORED: (*_JOB_KINDS, int, int, int, int, "?", "?", "?b"),
    transitions.COUNTERS: (int, int, int),
    transitions.TOUCHED: (int, bytes, int),
    transitions.DELAYED: _JOB_KINDS,
    transitions.CLOCK: (int, int),
}
_MAYBE: Final = {"?": (int, type(None)), "?b": (bytes, type(None))}

#: How many values a record of each type has, with its type.
_LENGTHS: Final = {kind: len(kinds) for kind, kinds in _KINDS.items()}

#: How many values there may be behind these, by type; each a number or nil.
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
        # As they are written, and as they were met first: most are those of the record before.
        own_name = own = object()
        name: bytes | None = None
        options: Options | None = None
        for record in found:
            kind = record[0]
            if len(record) != lengths.get(kind):
                record = _whole(record)
            # Spelled out, and in place of `in`: three quarters of all there is to do.
            if kind == transitions.ADDED or kind == transitions.DELAYED:
                _, seq, job_id, found_name, created_ms, due_ms, at_ms, values, time_ms, data = (
                    record
                )
                if values != own or found_name != own_name:
                    name, options = self._shared(found_name, values)
                    own_name, own = found_name, values
                record = (
                    kind, seq, job_id, name, created_ms, due_ms, at_ms, options, time_ms, data,
                )  # fmt: skip
            elif kind == transitions.RESTORED:
                found_name, values = record[_NAME], record[_OPTIONS]
                if values != own or found_name != own_name:
                    name, options = self._shared(found_name, values)
                    own_name, own = found_name, values
                (
                    _, seq, job_id, _, created_ms, due_ms, at_ms, _, time_ms, data,
                    state, attempts, fails, timeouts, token, deadline_ms, result, *more,
                ) = record  # fmt: skip
                record = (
                    kind, seq, job_id, name, created_ms, due_ms, at_ms, options, time_ms, data,
                    state, attempts, fails, timeouts, token, deadline_ms, result,
                )  # fmt: skip
                if more:
                    record = (*record, *more)
            records.append(record)
        return records

    def _shared(self, name: bytes, values: Transition) -> tuple[bytes, Options]:
        """A name and options as they were met first."""
        options = self._options.get(values)
        if options is None:
            whole = Options(*_padded(values, _OPTIONS_LENGTH, _OPTION_DEFAULTS, "options"))
            if set(map(type, whole)) != {int}:
                raise RecordError("it has options that are no numbers")
            options = self._options[values] = self._options.setdefault(whole, whole)
        return self._names.setdefault(name, name), options


def makes_sense(record: Transition) -> bool:
    """Whether the values of a record that was read are such as a server writes.

    Who reads a log need not ask: the hashes vouch for it, and a start would take a seventh longer.
    """
    kinds = (*_KINDS[record[0]], *("?" for _ in range(_OPTIONAL.get(record[0], 0))))
    for value, kind in zip(record, kinds, strict=False):
        if type(value) not in _MAYBE.get(str(kind), (kind,)):
            return False
    if record[0] == transitions.ADDED or record[0] == transitions.DELAYED:
        created_ms, due_ms, time_ms = record[4], record[5], record[8]
        timed = record[0] == transitions.ADDED
        return due_ms == created_ms if timed and time_ms is None else timed or time_ms is None
    if record[0] == transitions.RESTORED:
        return record[15] is None or record[14] is not None
    return True


def _whole(record: Transition) -> Transition:
    """A record with all fields that its type has, from one that has another number of them."""
    kind = record[0]
    if type(kind) is not int:
        raise RecordError(f"it has a record of type {reprlib.repr(kind)}")
    what = f"a record of type {kind}"
    if kind in _LENGTHS:
        if 0 < len(record) - _LENGTHS[kind] <= _OPTIONAL.get(kind, 0):
            return record
        return _padded(record, _LENGTHS[kind], _DEFAULTS.get(kind, ()), what)
    # That of a foreground job is known, and on no log; a number that never was is to come.
    if kind > 0 and kind not in transitions.NAMES:
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
