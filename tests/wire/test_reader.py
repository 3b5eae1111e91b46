"""The reader: requests out of a stream, however it is cut, and whatever it is."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.helpers import ID, WITH_BLOCK, Item, drain, line_of, read, reader
from workq import limits
from workq.commands.base import Command
from workq.wire import replies
from workq.wire.grammar import Line, Table, read_line

PING = ("ping", ())
FOREIGN = {"GET", "POST", "PUT", "HEAD", "PATCH", "OPTIONS", "DELETE", "CONNECT", "TRACE"}
with_block = pytest.mark.parametrize("command", WITH_BLOCK, ids=lambda command: command.name)

#: One of each: CRLF and LF, blocks of every kind, refusals that leave the stream in step.
STREAM = (
    b"ping\r\nping\n"
    b"complete %(id)b 4\r\n\r\n\r\n\r\n"
    b"fail %(id)b 3\nabc\nfail %(id)b 0\n\r\n"
    b"complete %(id)b 2 -x=1\r\nab\r\n"
    b"add nobody q 1 1 6\r\nping\r\n\r\n"
    b"nosuch\r\n\r\n"
    b"delete %(id)b\r\n"
) % {b"id": ID.encode()}
SHORT = b"fail %(id)b 3\nab\n\r\ncomplete x 1\r\n\n\r\nping\n" % {b"id": ID.encode()}

#: Refused lines with a block of two, and refused lines without: what follows stays in step.
RECOVERABLE = [
    b"nosuch\r\n",
    b"\n",
    b"ping -x=\r\n",
    b"ping -x=1\r\n",
    b"lease q x\r\n",
    b"inspect nosuch\r\n",
    b"complete nobody 2\r\nxx\r\n",
    b"complete nobody 2\nxx\n",
    b"complete %b 2 -x=1\r\nxx\r\n" % ID.encode(),
    b"add %b q 1 1 2 -priority=x\r\n\r\n\r\n" % ID.encode(),
]


def cut(stream: bytes, *places: int) -> list[bytes]:
    """A stream in pieces."""
    ends = [0, *places, len(stream)]
    return [stream[start:stop] for start, stop in pairwise(ends)]


# --- pieces -------------------------------------------------------------------------------------


def test_a_stream_is_read_in_order() -> None:
    """What it is when it comes in one piece; the other tests compare with this."""
    arguments = {"complete": b"\r\n\r\n", "fail": b"abc"}

    assert read([STREAM]) == [
        PING,
        PING,
        ("complete", (ID.encode(), (None,), arguments["complete"])),
        ("fail", (ID.encode(), (None, None, False), arguments["fail"])),
        ("fail", (ID.encode(), (None, None, False), b"")),
        ("", replies.INVALID_ARGS),
        ("", replies.INVALID_ID),
        ("", replies.UNKNOWN_COMMAND),
        ("", replies.UNKNOWN_COMMAND),
        ("delete", (ID.encode(), ())),
    ]


def test_pieces_of_one_byte_make_no_difference() -> None:
    """The slowest way there is."""
    assert read(cut(STREAM, *range(1, len(STREAM)))) == read([STREAM])


@pytest.mark.parametrize("stream", [STREAM, SHORT], ids=["long", "short"])
def test_a_cut_anywhere_makes_no_difference(stream: bytes) -> None:
    """At every single place."""
    whole = read([stream])

    assert all(read(cut(stream, place)) == whole for place in range(len(stream) + 1))


def test_two_cuts_anywhere_make_no_difference() -> None:
    """Every pair of places."""
    whole = read([SHORT])

    for places in combinations(range(len(SHORT) + 1), 2):
        assert read(cut(SHORT, *places)) == whole, places


@given(st.lists(st.integers(0, len(STREAM)), max_size=40).map(sorted))
def test_many_cuts_make_no_difference(places: list[int]) -> None:
    """Empty pieces among them."""
    assert read(cut(STREAM, *places)) == read([STREAM])


# --- anything at all ----------------------------------------------------------------------------

WORDS = [b"ping", b"add ", b"complete ", b"inspect job ", b"lease ", ID.encode(), b" q ", b" 1 "]
MARKS = [b"\r\n", b"\n", b"\r", b" ", b" 3", b"-x=1", b"-priority=5", b"=", b"-", b"GET ", b"\x00"]
SHARDS = st.sampled_from(WORDS + MARKS)
GARBAGE = st.lists(st.lists(SHARDS | st.binary(max_size=8), max_size=8).map(b"".join), max_size=12)


@given(GARBAGE)
def test_whatever_comes_is_a_request_or_a_documented_error(pieces: list[bytes]) -> None:
    """Nothing is raised, and a reply is empty only where the connection ends without one."""
    stream = reader()
    said = read(pieces, stream)

    errors = [reply for name, reply in said if not name]
    assert all(reply in replies.ERRORS.values() for reply in errors if reply)
    assert b"" not in errors[:-1]
    assert not errors or errors[-1] or stream.ended


@given(GARBAGE, st.integers(1, 7))
def test_whatever_comes_is_read_alike_in_other_pieces(pieces: list[bytes], step: int) -> None:
    """Where pieces begin and end tells nothing."""
    whole = b"".join(pieces)

    assert read(cut(whole, *range(step, len(whole), step))) == read([whole])


@given(GARBAGE)
def test_nothing_is_kept_of_what_was_read(pieces: list[bytes]) -> None:
    """What is pending is a part of the last request, and no more than came."""
    stream = reader()
    for piece in pieces:
        stream.feed(piece)
        drain(stream)

    came = b"".join(pieces)
    assert stream.pending <= len(came)
    assert not (stream.pending and stream.ended)


@pytest.mark.parametrize("refused", RECOVERABLE)
def test_the_next_request_is_read_after_an_error_that_does_not_close(refused: bytes) -> None:
    """One error, then the request, however both were cut."""
    stream = refused + b"ping\r\n"
    whole = read([stream])

    assert [name for name, _ in whole] == ["", "ping"]
    assert read(cut(stream, *range(1, len(stream)))) == whole


@given(st.lists(st.sampled_from(RECOVERABLE), max_size=15))
def test_the_next_request_is_read_after_any_number_of_such_errors(several: list[bytes]) -> None:
    """Each has one error of its own."""
    said = read([b"".join(several) + b"ping\r\n"])

    assert len(said) == len(several) + 1
    assert said[-1] == PING


# --- bounds -------------------------------------------------------------------------------------


def test_a_line_may_have_its_limit_with_its_end() -> None:
    """One byte more is too long, with a CR in it or not."""
    fits = b"ping".ljust(limits.LINE_BYTES_MAX - 1)

    assert read([fits + b"\n"]) == [PING]
    assert read([fits[:-1] + b"\r\n"]) == [PING]
    assert read([fits + b" \n"]) == [("", replies.LINE_TOO_LONG)]
    assert read([fits + b"\r\n"]) == [("", replies.LINE_TOO_LONG)]


@pytest.mark.parametrize("piece", [1000, 4096, 70_000])
def test_a_line_that_does_not_end_is_refused_at_its_limit(piece: int) -> None:
    """Whatever the size of the pieces, no more is kept than the limit and a piece."""
    stream = reader()
    fed = 0
    said: list[Item] = []
    while not stream.ended:
        stream.feed(b"x" * piece)
        fed += piece
        said += drain(stream)
        assert stream.pending <= limits.LINE_BYTES_MAX

    assert said == [("", replies.LINE_TOO_LONG)]
    assert not stream.silent
    assert fed < limits.LINE_BYTES_MAX + piece


def test_a_stream_that_has_ended_keeps_nothing() -> None:
    """Whatever still comes."""
    stream = reader()
    stream.feed(b"x" * limits.LINE_BYTES_MAX)
    drain(stream)
    stream.feed(b"ping\r\n" * 1000)

    assert stream.ended and stream.pending == 0 and drain(stream) == []


@with_block
def test_a_block_may_have_its_limit(command: Command) -> None:
    """And what is pending never exceeds line, block and end."""
    block = b"x" * limits.BLOCK_BYTES_MAX
    line = line_of(command, len(block)).encode() + b"\r\n"
    stream = reader()
    said = []
    for piece in cut(line + block + b"\r\n", *range(60_000, len(block), 60_000)):
        stream.feed(piece)
        assert stream.pending <= len(line) + len(block) + 2
        said += drain(stream)

    assert [name for name, _ in said] == [command.name]
    assert said[0][1][-1] == block


@with_block
def test_a_larger_block_is_refused_at_once_and_never_stored(command: Command) -> None:
    """It is thrown away as it comes; the next request is read."""
    size = limits.BLOCK_BYTES_MAX + 1
    stream = reader()
    stream.feed(line_of(command, size).encode() + b"\r\n")

    assert drain(stream) == [("", command.block_error)]
    block = (b"ping\r\n" * size)[:size]
    for piece in cut(block, *range(50_000, size, 50_000)):
        stream.feed(piece)
        assert drain(stream) == []
        assert stream.pending == 0
    stream.feed(b"\r\nping\r\n")
    assert drain(stream) == [PING]


@with_block
@pytest.mark.parametrize(
    "flag, error", [("-x=1", replies.INVALID_ARGS), ("-x=", replies.INVALID_FLAGS)]
)
@pytest.mark.parametrize("size", [limits.BLOCK_BYTES_MAX + 1, 10**9])
def test_a_bad_flag_comes_before_a_block_that_is_too_large(
    command: Command, flag: str, error: bytes, size: int
) -> None:
    """One error is told; whether the connection closes is the size's affair."""
    stream = reader()
    stream.feed(f"{line_of(command, size)} {flag}\r\n".encode())

    assert drain(stream) == [("", error)]
    assert stream.ended == (size > limits.BLOCK_DISCARD_BYTES_MAX)


@with_block
def test_a_block_beyond_what_is_thrown_away_closes(command: Command) -> None:
    """The error, then the end; up to that size the stream goes on."""
    for size, goes_on in (
        (limits.BLOCK_DISCARD_BYTES_MAX, True),
        (limits.BLOCK_DISCARD_BYTES_MAX + 1, False),
        (10**30, False),
    ):
        stream = reader()
        stream.feed(line_of(command, size).encode() + b"\r\n")

        assert drain(stream) == [("", command.block_error)]
        assert stream.ended != goes_on
        assert not stream.silent


def test_a_block_that_dribbles_is_not_copied_with_every_piece() -> None:
    """What has come gathers aside until the request can be complete."""
    stream = reader()
    stream.feed(line_of(WITH_BLOCK[0], 10_000).encode() + b"\r\n")
    assert drain(stream) == []
    start = stream._data
    for _ in range(10_000):
        stream.feed(b"x")
        assert stream.next() is None
        assert stream._data is start

    stream.feed(b"\r\n")
    assert len(drain(stream)) == 1


def test_a_line_that_dribbles_is_not_copied_with_every_piece() -> None:
    """Nor searched from its beginning."""
    stream = reader()
    stream.feed(b"l")
    assert drain(stream) == []
    start = stream._data
    for _ in range(10_000):
        stream.feed(b"x")
        assert stream.next() is None
        assert stream._data is start

    stream.feed(b"\r\n")
    assert drain(stream) == [("", replies.UNKNOWN_COMMAND)]


def test_a_line_is_read_once_though_its_block_dribbles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of 60,000 spaces takes ten milliseconds to read; each byte of a block would."""
    calls = 0

    def counting(table: Table[Command], line: bytes, tagging: bool) -> Line[Command]:
        nonlocal calls
        calls += 1
        return read_line(table, line)

    monkeypatch.setattr("workq.wire.reader.read_line", counting)
    request = line_of(WITH_BLOCK[0], 1000).replace(" 1000", " " * 300 + "1000").encode() + b"\r\n"
    stream = reader()
    for piece in (request, *[b"x"] * 1000, b"\r\n"):
        stream.feed(piece)
        drain(stream)

    assert calls <= 3  # when it came, when the rest came, and once to spare


# --- other protocols ----------------------------------------------------------------------------


def test_the_twentieth_unknown_command_in_a_row_ends_the_stream_without_a_word() -> None:
    """Nineteen are answered."""
    stream = reader()
    said = read([b"nosuch\r\n" * 25 + b"ping\r\n"], stream)

    assert said == [("", replies.UNKNOWN_COMMAND)] * 19 + [("", b"")]
    assert stream.ended and stream.silent


@pytest.mark.parametrize(
    "known",
    [
        b"ping\r\n",
        b"lease\r\n",
        b"inspect nosuch\r\n",
        b"ping -x=\r\n",
        b"delete %b\r\n" % ID.encode(),
    ],
)
def test_a_known_command_begins_the_count_anew(known: bytes) -> None:
    """Right or refused, and the name of a family too."""
    stream = reader()
    read([(b"nosuch\r\n" * 19 + known) * 3 + b"nosuch\r\n" * 19], stream)

    assert not stream.ended or not stream.silent


@pytest.mark.parametrize("known", [b"ping\r\n", b"delete %b\r\n" % ID.encode()])
def test_a_command_read_the_short_way_begins_the_count_anew(known: bytes) -> None:
    """As any other."""
    stream = reader()
    stream.feed(known + (b"nosuch\r\n" * 19 + known) * 3)

    assert [name for name, _ in drain(stream)].count("") == 57
    assert not stream.ended


def test_malformed_flags_of_unknown_commands_count_too() -> None:
    """They are no less unknown."""
    stream = reader()
    read([b"nosuch -x=\r\n" * 20], stream)

    assert stream.ended and stream.silent


@pytest.mark.parametrize(
    "line",
    [
        *(f"{verb} / HTTP/1.1" for verb in sorted(FOREIGN)),
        "Host: localhost",
        ":",
        "a:",
        "GET",
    ],
)
def test_another_protocol_ends_the_stream_without_a_word(line: str) -> None:
    """Nothing behind it is executed: a web page must not be able to hand jobs in."""
    stream = reader()

    assert read([f"{line}\r\nping\r\n".encode()], stream) == [("", b"")]
    assert stream.ended and stream.silent


@pytest.mark.parametrize("line", ["get / HTTP/1.1", "Get", "GETS", "a:b", "PATCHES"])
def test_a_word_that_only_looks_similar_does_not(line: str) -> None:
    """It is an unknown command like others."""
    assert read([f"{line}\r\nping\r\n".encode()]) == [("", replies.UNKNOWN_COMMAND), PING]


# --- the end ------------------------------------------------------------------------------------


@with_block
@pytest.mark.parametrize("cut_off", [b"", b"x", b"xx", b"xx\r"])
def test_a_request_cut_off_in_its_block_gets_the_size_error(
    command: Command, cut_off: bytes
) -> None:
    """Wherever in it, to the last byte."""
    request = line_of(command).encode() + b"\r\n" + cut_off

    assert read([request]) == [("", command.block_error)]
    assert read(cut(request, *range(1, len(request)))) == [("", command.block_error)]


@pytest.mark.parametrize("cut_off", [b"", b"p", b"ping", b"ping\r", b"add"])
def test_a_line_cut_off_gets_nothing(cut_off: bytes) -> None:
    """Perhaps it was not meant so."""
    assert read([b"ping\r\n" + cut_off]) == [PING]


@with_block
def test_of_a_refused_request_cut_off_in_its_block_one_error_is_told(command: Command) -> None:
    """The size error comes before a wrong field, and after an unknown flag."""
    line = line_of(command)
    early = f"{line} -x=1\r\nx".encode()
    late = line.replace(ID, "nobody").encode() + b"\r\nx"

    assert read([early]) == [("", replies.INVALID_ARGS)]
    assert read([late]) == [("", command.block_error)]


@with_block
@pytest.mark.parametrize("end", [b"\n", b"\rx", b"x\r\n", b"\n\r", b"\r\r\n"])
def test_a_block_after_a_crlf_line_ends_in_crlf(command: Command, end: bytes) -> None:
    """Anything else is a size error, and the end."""
    stream = reader()

    assert read([line_of(command).encode() + b"\r\nxx" + end], stream) == [
        ("", command.block_error)
    ]
    assert stream.ended and not stream.silent


@with_block
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_block_after_an_lf_line_ends_in_either(command: Command, end: bytes) -> None:
    """As `nc` sends it, or a program that writes one line itself."""
    said = read([line_of(command).encode() + b"\nxx" + end + b"ping\n"])

    assert [name for name, _ in said] == [command.name, "ping"]
