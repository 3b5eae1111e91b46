"""Changes to a small log, chosen by data: damage, and what only who knows the hashes could do.

A change is a byte: what (the low four bits), and what is made right again behind it (the upper two,
`SEALS`); then come the bytes that it chooses from. What is not sealed is damage as a disk may do
it. What is sealed gets past the hashes, as if a server had written it, and so reaches what they
guard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from struct import pack, pack_into, unpack_from
from typing import Final

import msgpack

from fuzz.records import records
from fuzz.reference_log import COMMIT, END, HEAD, HEAD_BYTES, HEADER_BYTES, PART
from fuzz.words import Source

#: Nothing; the hash of what was changed; that and the chain behind it; and what a snapshot's head
#: and end tell of its parts.
NOT, OWN, CHAIN, ALL = SEALS = range(4)

EDITS_MAX: Final = 24
FILES_MAX: Final = 24
PIECES_MAX: Final = 24
_OVERHEAD_BYTES: Final = 80

#: What is done, by number. The order is part of the corpus.
EDITS: Final = (
    "flip", "set_field", "write_records", "write_bytes", "zero", "truncate", "extend", "take_out",
    "double", "swap", "remove", "rename", "copy", "set_header", "append", "put_in",
)  # fmt: skip

#: The fields of a frame's head that are numbers: where they are, and how they are packed.
_FIELDS: Final = (
    (8, "<I"), (12, "<I"), (16, "<I"), (20, "<I"), (24, "<Q"), (32, "<Q"), (40, "<Q"), (48, "<Q"),
    (0, "<Q"),
)  # fmt: skip
_HEADER_FIELDS: Final = ((0, "<Q"), (8, "<I"), (16, "<Q"), (24, "<Q"), (12, "<I"), (32, "<Q"))
_VALUES: Final = (
    0, 1, 2, 3, 4, 5, 6, 15, 16, 17, 18, 19, 99, 255, 2**24, 2**24 + 1, 2**31, 2**32 - 1, 2**53,
    2**63, 2**64 - 1, int.from_bytes(b"workqlog", "little"), int.from_bytes(b"workqsnp", "little"),
)  # fmt: skip

#: Files that are put in, by number: their names, and what they hold. The order is part of the
#: corpus.
_STRANGERS: Final = (
    ("append.lock", b""), ("read.lock", b""), ("000000002.log", b"wqwq" + bytes(60)),
    ("000000099.snap", b""), ("999999999999999.log", b"x"), ("900000000000000.log", b"x"),
    ("000000050.log", bytes(64)), ("000000050.log.tmp", b"x"), ("000000077.3.cut", b"kept"),
    ("000000077.3.cut.tmp", b"x"), ("0000000001.log", b"x"), ("notes.txt", b"mine"),
    ("999999999999999.snap.tmp", b"x"), ("000000000.log", b""), ("000000001.log ", b"x"),
    ("00000000\u0661.log", b"x"),
)  # fmt: skip


class Draft:
    """The files of a log, in pieces, while they are changed.

    Args:
        files: with what it begins.

    Attributes:
        sealed: whether anything was made right again: then more than damage was done.
    """

    def __init__(self, files: Mapping[str, list[bytes]]) -> None:
        self._files = {name: [bytearray(one) for one in pieces] for name, pieces in files.items()}
        self.sealed = False
        self._seal = NOT
        self._edits: list[Callable[[Source], None]] = [getattr(self, f"_{name}") for name in EDITS]

    def files(self) -> dict[str, bytes]:
        """The files as they are now, by name."""
        return {name: b"".join(pieces) for name, pieces in sorted(self._files.items())}

    def edit(self, source: Source) -> None:
        """Make one change."""
        byte = source.byte()
        self._seal = byte >> 6
        self.sealed = self.sealed or self._seal != NOT
        self._edits[byte & 15](source)

    # --- choosing ---------------------------------------------------------------------------------

    def _file(self, source: Source) -> str:
        """The name of a file; empty if there is none."""
        names = sorted(self._files)
        return names[source.byte() % len(names)] if names else ""

    def _place(self, source: Source) -> tuple[str, int]:
        """A piece of a file, with something in it; an empty name if there is none."""
        name = self._file(source)
        pieces = self._files.get(name, [])
        return (name, source.byte() % len(pieces)) if pieces else ("", 0)

    @staticmethod
    def _offset(source: Source, size: int) -> int:
        return (source.byte() << 8 | source.byte()) % size if size else 0

    # --- damage -----------------------------------------------------------------------------------

    def _flip(self, source: Source) -> None:
        name, index = self._place(source)
        if name and (piece := self._files[name][index]):
            piece[self._offset(source, len(piece))] ^= source.byte() or 1
            self._mend(name, index)

    def _zero(self, source: Source) -> None:
        """As if the disk had never had it: from somewhere on, up to 255 times 8 bytes."""
        name = self._file(source)
        data = bytearray().join(self._files.get(name, []))
        start = self._offset(source, len(data))
        end = min(start + 8 * source.byte(), len(data))
        at = 0
        for piece in self._files.get(name, []):
            low, high = max(start - at, 0), min(end - at, len(piece))
            if low < high:
                piece[low:high] = bytes(high - low)
            at += len(piece)

    def _truncate(self, source: Source) -> None:
        name, index = self._place(source)
        if name:
            pieces = self._files[name]
            del pieces[index][self._offset(source, len(pieces[index]) + 1) :]
            del pieces[index + 1 :]

    def _extend(self, source: Source) -> None:
        name = self._file(source)
        if name:
            byte = source.byte()
            more = bytes(byte & 0x7F) if byte < 0x80 else source.take(byte & 0x7F)
            self._files[name].append(bytearray(more))

    def _take_out(self, source: Source) -> None:
        name, index = self._place(source)
        if name and len(self._files[name]) > 1:
            del self._files[name][index]
            self._mend(name, max(index - 1, 0))

    def _double(self, source: Source) -> None:
        name, index = self._place(source)
        other, before = self._place(source)
        if name and len(self._files[other]) < PIECES_MAX:
            self._files[other].insert(before, bytearray(self._files[name][index]))
            self._mend(other, max(before - 1, 0))

    def _swap(self, source: Source) -> None:
        name, index = self._place(source)
        pieces = self._files.get(name, [])
        if index + 1 < len(pieces):
            pieces[index], pieces[index + 1] = pieces[index + 1], pieces[index]
            self._mend(name, max(index - 1, 0))

    def _remove(self, source: Source) -> None:
        self._files.pop(self._file(source), None)

    def _rename(self, source: Source) -> None:
        name = self._file(source)
        if name:
            self._files[self._new_name(source)] = self._files.pop(name)

    def _copy(self, source: Source) -> None:
        name = self._file(source)
        if name and len(self._files) < FILES_MAX:
            self._files[self._new_name(source)] = [bytearray(one) for one in self._files[name]]

    @staticmethod
    def _new_name(source: Source) -> str:
        return f"{source.byte() % 32:09d}{source.pick(('.log', '.snap', '.log.tmp', '.3.cut'))}"

    def _put_in(self, source: Source) -> None:
        name, data = source.pick(_STRANGERS)
        if len(self._files) < FILES_MAX:
            self._files[name] = [bytearray(data)]

    # --- what needs the hashes, to be noticed -----------------------------------------------------

    def _set_field(self, source: Source) -> None:
        """Give a number in a frame's head another value, or one near to what it was."""
        name, index = self._place(source)
        if name and len(self._files[name][index]) >= HEAD_BYTES:
            self._set(self._files[name][index], source.pick(_FIELDS), source)
            self._mend(name, index)

    def _set_header(self, source: Source) -> None:
        name = self._file(source)
        header = self._files[name][0] if name and self._files[name] else b""
        if isinstance(header, bytearray) and len(header) == HEADER_BYTES:
            self._set(header, source.pick(_HEADER_FIELDS), source)
            if self._seal != NOT:
                header[24] |= not any(header[24:32])  # no mark is drawn that is zeros
                header[48:] = blake2b(header[:48], digest_size=16).digest()

    @staticmethod
    def _set(piece: bytearray, field: tuple[int, str], source: Source) -> None:
        at, form = field
        byte = source.byte()
        if byte < 0x80:
            value = _VALUES[byte % len(_VALUES)]
        else:
            value = unpack_from(form, piece, at)[0] + (byte & 0x0F) - 8
        pack_into(form, piece, at, value % (1 << (32 if form == "<I" else 64)))

    def _write_records(self, source: Source) -> None:
        name, index = self._place(source)
        count, body = records(source)
        if name and len(piece := self._files[name][index]) >= _OVERHEAD_BYTES:
            pack_into("<I", piece, 16, count)
            self._set_body(piece, body)
            self._mend(name, index)

    def _write_bytes(self, source: Source) -> None:
        """Overwrite some of a body, or all of it."""
        name, index = self._place(source)
        byte = source.byte()
        data = source.take(byte & 0x3F)
        if name and len(piece := self._files[name][index]) >= _OVERHEAD_BYTES:
            body = piece[HEAD_BYTES:-16]
            start = self._offset(source, len(body)) if byte & 0x40 else 0
            end = start + len(data) if byte & 0x40 else len(body)
            body[start:end] = data
            self._set_body(piece, bytes(body))
            self._mend(name, index)

    def _append(self, source: Source) -> None:
        """One more commit, where the last frames of a file are."""
        name, index = self._place(source)
        count, body = records(source)
        pieces = self._files.get(name, [])
        if not 0 < index < len(pieces) <= PIECES_MAX or not pieces[0]:
            return
        before = pieces[index - 1]
        if len(before) < HEAD_BYTES:
            return
        mark = bytes(pieces[0][24:32])
        epoch, time_ms = (1, 1) if index == 1 else unpack_from("<I16xQ", before, 12)
        head = pack("<8sIIIIQQQ16s", mark, COMMIT, epoch, count, len(body), 0, time_ms, 0, b"")
        pieces.insert(index, bytearray(head + body + bytes(16)))
        self._mend(name, index - 1)

    @staticmethod
    def _set_body(piece: bytearray, body: bytes) -> None:
        piece[HEAD_BYTES:-16] = body
        pack_into("<I", piece, 20, len(body))

    # --- making it right again --------------------------------------------------------------------

    def _mend(self, name: str, index: int) -> None:
        """Make right what the seal says, from a piece on."""
        pieces = self._files[name]
        is_snapshot = name.endswith(".snap")
        if self._seal == ALL and is_snapshot:
            self._count(pieces)
            index = 0
        if self._seal == OWN:
            for piece in pieces[max(index, 1) : index + 1]:
                _hash(piece)
        elif self._seal in (CHAIN, ALL):
            later = [] if is_snapshot else self._later(name)
            _chain([*pieces[index:], *later], 0 if is_snapshot else 1)

    def _later(self, name: str) -> list[bytearray]:
        """The frames of all segments behind one."""
        names = [other for other in sorted(self._files) if other > name and other.endswith(".log")]
        return [piece for other in names for piece in self._files[other][1:]]

    @staticmethod
    def _count(pieces: list[bytearray]) -> None:
        """Have the head and the end of a snapshot tell of the parts that there are."""
        frames = [piece for piece in pieces if len(piece) >= _OVERHEAD_BYTES]
        parts = [one for one in frames if unpack_from("<I", one, 8)[0] == PART]
        bodies = [bytes(part[HEAD_BYTES:-16]) for part in parts]
        counts = [unpack_from("<I", part, 16)[0] for part in parts]
        hashed = blake2b(digest_size=16)
        for body in bodies:
            hashed.update(body[{0xDC: 3, 0xDD: 5}.get(body[0], 1) if body else 0 :])
        told = {"format": 1, "version": "0.1.0", "digest": hashed.digest()}
        told |= {"records": sum(counts), "data": 0}
        for frame in frames:
            kind = unpack_from("<I", frame, 8)[0]
            if kind == HEAD:
                Draft._set_body(frame, bytes(msgpack.packb(told)))
            elif kind == END:
                Draft._set_body(frame, pack("<QQ", len(parts), sum(counts)))


def _hash(piece: bytearray) -> bytes:
    """Give a frame its right hash; that."""
    if len(piece) >= _OVERHEAD_BYTES:
        piece[-16:] = blake2b(piece[:-16], digest_size=16).digest()
    return bytes(piece[-16:])


def _chain(pieces: list[bytearray], step: int) -> None:
    """Give frames their right hashes, and those behind the first their place in the chain."""
    last, position = b"", -1
    for piece in pieces:
        if len(piece) < _OVERHEAD_BYTES or not any(piece):
            continue
        if last:
            piece[48:64] = last
            pack_into("<Q", piece, 24, (position + step) % (1 << 64))
        last, position = _hash(piece), unpack_from("<Q", piece, 24)[0]
