"""Request lines: their form, which error comes first, and the short way of reading them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wire.helpers import (
    BY_NAME,
    ID,
    RIGHT,
    WITH_BLOCK,
    WRONG,
    drain,
    line_of,
    read,
    reader,
    refusal_of,
    table,
)
from workq import limits
from workq.commands import COMMANDS
from workq.commands.base import Command
from workq.wire import replies
from workq.wire.grammar import read_line
from workq.wire.reader import Reader

each_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)


# --- the order of errors ------------------------------------------------------------------------


@dataclass
class Draft:
    """A request that is still to be spoilt."""

    command: Command
    words: list[str]
    size: str = "2"
    flags: list[str] = field(default_factory=list)
    end: str = "\r\n"

    def written(self) -> bytes:
        block = self.command.block_error is not None
        words = [self.command.name, *self.words, *([self.size] if block else []), *self.flags]
        return (" ".join(words) + "\r\n" + ("xx" + self.end if block else "")).encode("latin-1")


@dataclass(frozen=True)
class Fault:
    """Something wrong with a request: what it does to one, its error, whether that closes."""

    rank: float
    spoil: Callable[[Draft], None]
    error: bytes
    fatal: bool = False


def _say(flag: str) -> Callable[[Draft], None]:
    return lambda draft: draft.flags.append(flag)


def _spoil_word(index: int, word: str) -> Callable[[Draft], None]:
    return lambda draft: draft.words.__setitem__(index, word)


def faults(command: Command) -> list[Fault]:
    """Every single fault that a request of a command can have, first errors first."""
    block = command.block_error
    found = [
        Fault(0, _say("-x="), replies.INVALID_FLAGS),
        Fault(0.1, _say("-=1"), replies.INVALID_FLAGS),
        Fault(0.2, _say("-y=1 -y=1"), replies.INVALID_FLAGS),
        Fault(
            2,
            lambda draft: draft.words.extend(["more"] * 260),
            replies.INVALID_ARGS,
            block is not None,
        ),
        Fault(3, _say("-nosuch=1"), replies.INVALID_ARGS),
    ]
    if block is not None:
        found += [
            Fault(4, lambda draft: setattr(draft, "size", "two"), block, True),
            Fault(5, lambda draft: setattr(draft, "end", "zz"), block, True),
        ]
    for index, one in enumerate(command.fields):
        if one.name in WRONG:
            word, error = WRONG[one.name]
            found.append(Fault(6 + index / 100, _spoil_word(index, word), error))
    for flag in command.flags.values():
        word, error = WRONG[flag.name]
        found.append(Fault(7, _say(f"-{flag.name}={word}"), error))
    return found


def spoilt(command: Command, *chosen: Fault) -> bytes:
    """A request with faults."""
    draft = Draft(command, [RIGHT[one.name] for one in command.fields])
    for fault in chosen:
        fault.spoil(draft)
    return draft.written()


@each_command
def test_each_fault_has_its_error(command: Command) -> None:
    """The next request is read behind it, unless nobody can tell where it begins."""
    for fault in faults(command):
        said = read([spoilt(command, fault) + b"ping\r\n"])

        assert said == [("", fault.error), *([] if fault.fatal else [("ping", ())])]


@each_command
def test_of_two_faults_the_first_in_the_documented_order_is_told(command: Command) -> None:
    """Every pair there is; flags' values as written. One error per request, never two."""
    for one, other in permutations(faults(command), 2):
        if one.rank > other.rank:
            continue
        said = read([spoilt(command, one, other) + b"ping\r\n"])
        told = [item for item in said if item != ("", b"")]  # an end without a word

        behind = [] if one.fatal or other.fatal else [("ping", ())]
        assert told == [("", one.error), *behind], (one, other)


@each_command
def test_an_unknown_command_comes_before_everything_but_malformed_flags(command: Command) -> None:
    """A line that names no command is not looked into."""
    for fault in faults(command):
        line = spoilt(command, fault).split(b"\r\n")[0].decode("latin-1")
        expected = replies.INVALID_FLAGS if fault.rank < 1 else replies.UNKNOWN_COMMAND

        assert refusal_of(f"no{line}") == expected


# --- words and flags ----------------------------------------------------------------------------


@each_command
def test_a_right_line_is_taken_with_any_spaces_within(command: Command) -> None:
    """Several spaces are one, and those at the end are none."""
    line = line_of(command)
    cold = read_line(table(), line.encode())

    assert cold.command is command and cold.header.refusal is None
    assert read_line(table(), (line.replace(" ", "   ") + "  ").encode()) == cold
    assert refusal_of(f" {line}") == replies.UNKNOWN_COMMAND
    assert refusal_of(line.replace(" ", "\t")) == (None if " " not in line else refusal_of("a\tb"))


@each_command
def test_each_number_of_arguments_but_the_right_one_is_refused(command: Command) -> None:
    """One too few and one too many, where there can be."""
    name, *words = [command.name, *line_of(command).removeprefix(command.name).split()]
    fewer = refusal_of(" ".join([name, *words[:-1]])) if words else replies.INVALID_ARGS
    more = refusal_of(" ".join([name, *words[:1] * (256 if command.many else 1), *words, "1"]))

    assert fewer == (None if command.name == "help" else replies.INVALID_ARGS)
    assert more == replies.INVALID_ARGS


@pytest.mark.parametrize("place", range(1, 6))
def test_a_flag_may_stand_anywhere_behind_the_name(place: int) -> None:
    """Between any two arguments, and at the end."""
    words = line_of(BY_NAME["add"]).split(" ")
    arguments = read_line(
        table(), " ".join([*words[:place], "-priority=-7", *words[place:]]).encode()
    ).header.arguments

    _, (_, _, options) = arguments
    assert options.priority == -7


@pytest.mark.parametrize(
    "flag, error",
    [
        ("-priority=5", None),
        ("-priority=+5", None),
        ("-priority=5=5", replies.INVALID_PRIORITY),
        ("-priority==5", replies.INVALID_PRIORITY),
        ("--priority=5", replies.INVALID_ARGS),
        ("-Priority=5", replies.INVALID_ARGS),
        ("-priority", replies.INVALID_ARGS),
        ("-=5", replies.INVALID_FLAGS),
        ("-=", replies.INVALID_FLAGS),
        ("-priority=", replies.INVALID_FLAGS),
        ("-priority=1 -priority=1", replies.INVALID_FLAGS),
        ("-priority=1 -priority=", replies.INVALID_FLAGS),
    ],
)
def test_a_flag_is_a_name_and_a_value(flag: str, error: bytes | None) -> None:
    """The first `=` parts them, further ones belong to the value."""
    assert refusal_of(f"{line_of(BY_NAME['add'])} {flag}") == error


def test_a_word_with_a_dash_and_without_an_equals_sign_is_an_argument() -> None:
    """Queues may be called so."""
    (wait,) = read_line(table(), b"lease -priority - -- 5").header.arguments

    assert wait.names == (b"-priority", b"-", b"--")


@pytest.mark.parametrize(
    "line, error",
    [
        ("lease" + " -a=1" * limits.LINE_WORDS_MAX, replies.INVALID_ARGS),
        ("lease" + " -a=1" * (limits.LINE_WORDS_MAX - 1), replies.INVALID_FLAGS),
        ("nosuch" + " -a=1" * limits.LINE_WORDS_MAX, replies.UNKNOWN_COMMAND),
        ("inspect" + " job" * limits.LINE_WORDS_MAX, replies.INVALID_ARGS),
        ("ping" + " " * 60_000, None),
        ("add" + " x" * limits.LINE_WORDS_MAX, replies.INVALID_ARGS),
    ],
)
def test_a_line_of_very_many_words_is_not_looked_into(line: str, error: bytes | None) -> None:
    """Found from outside: a hundred such lines kept everybody waiting for three seconds."""
    assert refusal_of(line) == error


def test_a_lease_takes_as_many_names_as_the_limit_says() -> None:
    """And not one more; a name given twice is looked at once."""
    names = [f"q{number}" for number in range(limits.LEASE_NAMES_MAX + 1)]

    assert refusal_of(" ".join(["lease", *names[1:], "0"])) is None
    assert refusal_of(" ".join(["lease", *names, "0"])) == replies.INVALID_ARGS
    assert read_line(table(), b"lease b a b 0").header.arguments[0].names == (b"b", b"a")


@pytest.mark.parametrize("line", ["inspect", "inspect -x=1"])
def test_a_familys_name_alone_has_too_few_arguments(line: str) -> None:
    """It is a command, but not a whole one."""
    assert refusal_of(line) == replies.INVALID_ARGS


@pytest.mark.parametrize("line", ["", "PING", "ping\t", "inspect nosuch", "inspect Job", "job"])
def test_other_names_are_unknown(line: str) -> None:
    """Case matters, and so does every byte."""
    assert refusal_of(line) == replies.UNKNOWN_COMMAND


def test_a_usage_line_tells_fields_block_and_flags() -> None:
    """Repeated and optional fields are marked."""
    assert (
        BY_NAME["run"].usage == "run <id> <name> <ttr> <wait-timeout> <size> [-priority=<priority>]"
    )
    assert BY_NAME["lease"].usage == ("lease <name> [<name> ...] <wait-timeout> [-count=<count>]")
    assert BY_NAME["help"].usage == "help [<command>] [<object>]"


# --- the short way ------------------------------------------------------------------------------

OTHER_ID = "c0ffee00-1111-4222-8333-0000000000ff"
NIL = "00000000-0000-0000-0000-000000000000"

WORDS = {
    "id": [ID, OTHER_ID, ID.upper(), NIL, f"{ID}0", ID[:-1], "x"],
    "name": ["mails", "letters", "-", "no/name"],
    "ttr": ["1000", "01000", "1", "0", "x"],
    "ttl": ["60000", "1", "-1"],
    "time": ["2030-01-31T08:00:00Z", "2030-01-31T08:00:00.5Z", "today"],
    "wait-timeout": ["0", "500", "x"],
    "cursor-offset": ["0", "1", "x"],
    "limit": ["1", "100", "101"],
    "version": ["2", "02", "1", "x"],
    "command": ["lease", "inspect", "nosuch"],
    "object": ["job", "nosuch"],
}
FLAGS = [
    "-priority=5", "-priority=x", "-max-fails=2", "-max-attempts=3", "-nosuch=1", "-x=", "-lease=7",
    "-lease=8", "-lease=0", "-name=a", "-delay=5", "-delay=60000", "-final=1", "-retry-delay=5",
    "-backoff=2", "-backoff=0", "-ttr=5", "-count=2", "-count=0",
]  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request of any command, mostly right, in one of many spellings."""
    command = draw(st.sampled_from(COMMANDS))
    words = [
        draw(st.sampled_from(WORDS[one.name]) | st.just(RIGHT[one.name])) for one in command.fields
    ]
    size = draw(st.integers(0, 3))
    if command.block_error is not None:
        words.append(draw(st.sampled_from([str(size), str(size), f"0{size}", "x", "+1"])))
    for flag in draw(st.lists(st.sampled_from(FLAGS), max_size=2)):
        words.insert(draw(st.integers(0, len(words))), flag)
    spaces = st.sampled_from([" ", " ", " ", "  "])
    line = command.name + "".join(draw(spaces) + word for word in words)
    line += draw(st.sampled_from(["", "", " "])) + draw(st.sampled_from(["\r\n", "\n"]))
    if command.block_error is not None:
        line += "x" * size + draw(st.sampled_from(["\r\n", "\r\n", "\n", "zz"]))
    return line.encode("latin-1")


def read_each(several: list[bytes], warm: bool) -> list[object]:
    """What each request is read as: all with one table, or each with a fresh one."""
    shared = table()
    found: list[object] = []
    for request in several:
        one: Reader[Command] = Reader(shared if warm else table())
        found.append((read([request], one), one.ended))
    return found


@given(st.lists(requests(), min_size=1, max_size=6))
@example([f"delete {ID}\n".encode(), b"delete\n"])
@example([f"delete {ID}\r\n".encode(), f"delete {NIL}\r\n".encode()])
@example([f"delete {ID}\r\n".encode(), f"delete {ID}0\r\n".encode()])
@example([f"result {ID} 5\r\n".encode(), f"result  {ID} 5\r\n".encode()])
@example([f"result {ID} 5\r\n".encode(), f"result {ID.upper()} 5\r\n".encode()])
@example([f"result {ID} 5\r\n".encode(), f"result {ID} 5 \r\n".encode()])
@example([f"complete {ID} 1\r\nx\r\n".encode(), f"complete {ID} 1\nx\n".encode()])
@example([f"complete {ID} 1\nx\n".encode(), f"complete {ID} 1\r\nx\n".encode()])
@example([b"ping\n", b"ping \n"])
def test_the_short_way_reads_every_line_as_the_general_one(several: list[bytes]) -> None:
    """Whatever was read before, in whatever spelling, and the same requests once more."""
    assert read_each(several * 2, warm=True) == read_each(several * 2, warm=False)


@given(st.lists(requests(), min_size=2, max_size=6))
def test_the_short_way_follows_a_stream_as_the_general_one(several: list[bytes]) -> None:
    """Several requests in one stream, with a table that knows all of them and with a new one."""
    shared = table()
    for request in several:
        read([request], Reader(shared))

    assert read([b"".join(several)], Reader(shared)) == read([b"".join(several)])


@each_command
def test_every_command_is_read_the_short_way_the_second_time(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its right line is, but for what is seldom the same; else there were nothing to compare."""
    request = f"{line_of(command)}\r\n".encode() + b"xx\r\n" * (command in WITH_BLOCK)
    if command.name == "inspect job" or command.varied:
        return
    stream = reader()
    stream.feed(request)
    first = drain(stream)
    monkeypatch.setattr("workq.wire.reader.read_line", None)

    stream.feed(request)

    assert len(first) == 1
    assert drain(stream) == first


def test_a_line_with_another_size_is_read_the_short_way_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Payloads differ; what stands before and behind the size is what is remembered."""
    stream = reader()
    stream.feed(b"add %b q 1 1 2 -priority=5\r\nxx\r\n" % ID.encode())
    first = drain(stream)
    monkeypatch.setattr("workq.wire.reader.read_line", None)

    stream.feed(b"add %b q 1 1 11 -priority=5\r\nhello world\r\n" % ID.encode())

    name, (job_id, fields, _) = first[0]
    assert drain(stream) == [(name, (job_id, fields, b"hello world"))]


def test_what_the_short_way_remembers_is_bounded() -> None:
    """In number and in length."""
    shared = table()
    stream: Reader[Command] = Reader(shared)
    for number in range(limits.KNOWN_LINES_MAX + 10):
        stream.feed(f"lease q{number} 0\r\nresult {ID} {number}\r\n".encode())
        stream.feed(f"add {ID} q{number} 1 1 0\r\n\r\n".encode())
        drain(stream)
    stream.feed(f"lease {'n' * 250} {'n' * 250} 0\r\n".encode())
    drain(stream)

    assert len(shared.lines) <= limits.KNOWN_LINES_MAX
    assert max(map(len, shared.lines)) <= limits.KNOWN_LINE_BYTES_MAX
    assert all(len(tails) <= limits.KNOWN_LINES_MAX for tails in shared.tails.values())
    assert all(len(tails) <= limits.KNOWN_LINES_MAX for tails in shared.sized.values())


def test_a_refused_line_is_never_remembered() -> None:
    """Nor does it count as one that was read."""
    shared = table()
    for command in COMMANDS:
        for fault in faults(command):
            read([spoilt(command, fault)], Reader(shared))

    assert not any(
        fault for tails in shared.tails.values() for fault in tails if b"nosuch" in fault
    )
    assert not any(b"x" in line.split(b" ")[-1] for line in shared.lines)


@pytest.mark.parametrize("line", [b"result x", b"lease q 0", b"add 6-1", b"stats"])
def test_the_short_way_takes_a_line_that_only_begins_like_one_with_an_id_as_a_whole(line):
    """The simulation found it with Python 3.11.2: `result x` was looked up as `x`."""
    match = table().request.match(line + b"\r\n")
    assert match is not None
    assert match.groups() == (None, None, line + b"\r")


def test_the_short_way_looks_no_further_than_a_line_that_may_be_remembered():
    """Else it would go through each piece of a block, in which no line ends, and back again."""
    most = b"x" * limits.KNOWN_LINE_BYTES_MAX
    assert table().request.match(most + b"\n") is not None
    assert table().request.match(most + b"x\n") is None
