"""Fuzz data as something to choose from, and bytes that stand for the words of the protocol.

A mutator that changes single bytes would spend its life on misspelt commands. So a byte from 128
on stands for a whole word, and two small ones for a long run and for the byte that follows; every
other byte stands for itself. Any data has a meaning, and any stream can be written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeVar

Choice = TypeVar("Choice")

#: RUN, n, c: the byte c, n * n times. LITERAL, c: the byte c.
RUN: Final = 1
LITERAL: Final = 2
FIRST_WORD: Final = 128

#: No data stands for a longer stream.
STREAM_BYTES_MAX: Final = 140 * 1024

IDS: Final = (
    b"c0ffee00-1111-4222-8333-000000000001",
    b"c0ffee00-1111-4222-8333-000000000002",
    b"c0ffee00-1111-4222-8333-000000000003",
    b"6ba7b810-9dad-11d1-80b4-00c04fd430c8",
)

#: What a byte from 128 on stands for. At most 128; the order is part of the corpus: append only.
WORDS: Final = (
    b"\r\n", b"\n", b"\r", b" ", b"  ", b"-", b"=", b"0",
    b"add ", b"schedule ", b"run ", b"lease ", b"complete ", b"fail ", b"result ", b"delete ",
    b"inspect ", b"job ", b"jobs ", b"scheduled-jobs ", b"queue ", b"queues ", b"server ",
    b"stats", b"ping", b"help", b"quit", b"inspect",
    *IDS, b"C0FFEE00-1111-4222-8333-000000000001", b"00000000-0000-0000-0000-000000000000",
    b"c0ffee00-1111-4222-8333-00000000000", b"c0ffee0011114222833300000000000001", b"nobody",
    b"mails ", b"letters ", b"a ", b"b ", b"-q ", b"no/name ", b"q.A_z-9 ",
    b"1 ", b"2 ", b"01 ", b"10 ", b"1000 ", b"60000 ", b"86400000 ", b"86400001 ", b"1048576",
    b"1048577", b"16777216", b"16777217", b"18446744073709551615 ", b"18446744073709551616 ",
    b"4294967295 ", b"4294967296 ", b"100 ", b"101 ", b"+1 ", b"-1 ", b"512", b"513", b"1024",
    b"1025", b"000000000000000000000000000001",
    b"2030-01-31T08:00:00Z ", b"2030-01-01T00:00:00.25Z ", b"0001-01-01T00:00:00Z ",
    b"9999-12-31T23:59:59.999999999Z ", b"2030-02-30T00:00:00Z ", b"1969-12-31T23:59:59Z ",
    b" -priority=", b" -max-attempts=", b" -max-fails=", b" -x=1", b" -=1", b" -x=",
    b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"255", b"256", b"+5",
    b"GET ", b"POST / HTTP/1.1\r\n", b"Host: x\r\n", b"CONNECT", b"EHLO:", b"nosuch", b"PING",
    b"0\r\n\r\n", b"1\r\nx\r\n", b"2\nab\n", b"2\nab\r\n", b"4\r\n\r\n\r\n\r\n", b"3\r\nabcd",
    b"ping\r\n", b"stats\r\n", b"quit\r\n",
    b"lease mails 0\r\n", b"lease mails letters 1000\r\n",
    b"delete c0ffee00-1111-4222-8333-000000000001\r\n",
    b"add c0ffee00-1111-4222-8333-000000000001 mails 1000 60000 ",
    b"run c0ffee00-1111-4222-8333-000000000002 mails 1000 500 ",
    b"complete c0ffee00-1111-4222-8333-000000000001 ",
    b"fail c0ffee00-1111-4222-8333-000000000001 ",
    b"hello 2\r\n", b" -lease=", b"1099511627777",
    b"touch ", b"release ", b" -delay=", b" -retry-delay=", b" -backoff=", b" -retry-max=",
    b" -final=1", b" -ttr=", b" -count=", b" -tag=", b" -name=",
)  # fmt: skip

assert FIRST_WORD + len(WORDS) <= 256

_RUN = re.compile(rb"(.)\1*", re.DOTALL)
_BY_LENGTH = sorted(range(len(WORDS)), key=lambda index: -len(WORDS[index]))


class Source:
    """Data to choose from, byte by byte; at its end every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        """Whether all of it is used up."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """The next byte, 0 at the end."""
        if self.done:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of some choices."""
        return choices[self.byte() % len(choices)]

    def take(self, size: int) -> bytes:
        """The next bytes, fewer at the end."""
        start, self._at = self._at, min(self._at + size, len(self._data))
        return self._data[start : self._at]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))


def expand(data: bytes) -> bytes:
    """The stream that data stands for."""
    source = Source(data)
    stream = bytearray()
    while not source.done and len(stream) < STREAM_BYTES_MAX:
        byte = source.byte()
        if byte == RUN:
            count = source.byte() ** 2
            stream += bytes((source.byte(),)) * count
        elif byte == LITERAL:
            stream.append(source.byte())
        elif byte >= FIRST_WORD and byte - FIRST_WORD < len(WORDS):
            stream += WORDS[byte - FIRST_WORD]
        else:
            stream.append(byte)
    return bytes(stream)


def contract(stream: bytes) -> list[bytes]:
    """Short data that stands for a stream, in pieces each of which stands for a part of it."""
    parts: list[bytes] = []
    at = 0
    while at < len(stream):
        byte = stream[at]
        run = _RUN.match(stream, at)
        root = min(int(len(run[0]) ** 0.5), 255) if run else 0
        index = next((i for i in _BY_LENGTH if stream.startswith(WORDS[i], at)), None)
        if root >= 3:
            parts.append(bytes((RUN, root, byte)))
            at += root * root
        elif index is not None:
            parts.append(bytes((FIRST_WORD + index,)))
            at += len(WORDS[index])
        else:
            literal = byte in (RUN, LITERAL) or byte >= FIRST_WORD
            parts.append(bytes((LITERAL, byte)) if literal else bytes((byte,)))
            at += 1
    return parts
