"""The checks of the fuzzers find what they are there for: here is what is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fuzz import broker, reader, reference
from fuzz.words import IDS, RUN, STREAM_BYTES_MAX, WORDS, contract, expand
from workq.broker.broker import Broker
from workq.broker.gate import Gate
from workq.broker.patience import Patience
from workq.broker.session import Session
from workq.commands import COMMANDS
from workq.engine.engine import Engine
from workq.engine.job import Job
from workq.wire import replies
from workq.wire.grammar import Table
from workq.wire.reader import Reader

Patch = pytest.MonkeyPatch

SMALL = 0  # the profile of small bounds


def said(*streams: bytes, after: bytes = b"") -> bytes:
    """A program in which the first client says each of some streams, in small bounds."""
    program = bytes((SMALL,)) + after
    for stream in streams:
        data = b"".join(contract(stream))
        program += bytes((broker.STEPS.index("say_raw"), len(data))) + data
    return program


def step(name: str, *choices: int, client: int = 0) -> bytes:
    """One step of a program."""
    return bytes((broker.STEPS.index(name) | client << 4, *choices))


def add(number: int) -> bytes:
    """A request that adds a job."""
    return b"add %b mails 1000 60000 1\r\nx\r\n" % IDS[number]


LEASE = b"lease mails 0\r\n"


def broken(monkeypatch: Patch, owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a method by what `make` makes of it."""
    monkeypatch.setattr(owner, name, make(getattr(owner, name)))


# --- the checks bite ----------------------------------------------------------------------------


def test_a_reply_that_leaves_too_early_is_found(monkeypatch: Patch) -> None:
    """The gate lets everything pass although the log lags."""

    def make(release: Any) -> Any:
        def wrong(gate: Gate, spoken: list[Session]) -> Any:
            gate.safe = gate.appended
            return release(gate, spoken)

        return wrong

    program = said(add(0), after=step("log", 1))
    broker.check(program)
    broken(monkeypatch, Gate, "release", make)
    with pytest.raises(AssertionError, match="before it is safe"):
        broker.check(program)


def test_a_lost_reply_is_found(monkeypatch: Patch) -> None:
    """Every ping is executed, and no reply comes of it."""

    def make(release: Any) -> Any:
        def wrong(gate: Gate, spoken: list[Session]) -> Any:
            for session in spoken:
                session.replies.clear()
            return release(gate, spoken)

        return wrong

    program = said(b"ping\r\n")
    broker.check(program)
    broken(monkeypatch, Gate, "release", make)
    with pytest.raises(AssertionError):
        broker.check(program)


def test_input_of_an_ended_session_that_stays_counted_is_found(monkeypatch: Patch) -> None:
    """What was kept of it is let go, and nobody tells."""
    program = bytes.fromhex("00030e")
    broker.check(program)
    monkeypatch.setattr(Patience, "forget", lambda patience, session: session.unset())
    with pytest.raises(AssertionError, match="input is counted"):
        broker.check(program)


def test_a_request_that_waits_while_its_client_is_told_to_be_idle_is_found(
    monkeypatch: Patch,
) -> None:
    """The client takes no replies, so its request is not executed; it is timed all the same."""

    def make(look_at: Any) -> Any:
        def wrong(patience: Patience, session: Session, now_ms: int, heard: bool) -> Any:
            stalled, session.stalled = session.stalled, False
            error = look_at(patience, session, now_ms, heard)
            session.stalled = stalled
            return error

        return wrong

    program = bytes.fromhex("ad08000f0c08")
    broker.check(program)
    broken(monkeypatch, Patience, "look_at", make)
    with pytest.raises(AssertionError, match="an idle client that asks"):
        broker.check(program)


def test_replies_that_are_held_and_not_counted_are_found(monkeypatch: Patch) -> None:
    """The log lags, and the gate believes that it holds nothing."""

    def make(release: Any) -> Any:
        def wrong(gate: Gate, spoken: list[Session]) -> Any:
            sends = release(gate, spoken)
            gate.held_bytes = 0
            return sends

        return wrong

    program = said(add(0), after=step("log", 1))
    broker.check(program)
    broken(monkeypatch, Gate, "release", make)
    with pytest.raises(AssertionError, match="not counted"):
        broker.check(program)


def test_a_second_reply_is_found(monkeypatch: Patch) -> None:
    """Whoever is refused is told so twice."""

    def make(refuse: Any) -> Any:
        def wrong(self: Broker, session: Session, reply: bytes, tag: int | None) -> None:
            session.replies.append(replies.UNKNOWN_COMMAND)
            refuse(self, session, reply, tag)

        return wrong

    program = said(b"nosuch\r\n")
    broker.check(program)
    broken(monkeypatch, Broker, "_refuse", make)
    with pytest.raises(AssertionError, match="more replies than requests"):
        broker.check(program)


def test_a_job_leased_twice_is_found(monkeypatch: Patch) -> None:
    """A job stays at the head of its queue when it is leased."""

    def make(head: Any) -> Any:
        leased: list[Job] = []

        def wrong(engine: Engine, name: bytes) -> Any:
            job = head(engine, name)
            leased.extend([job] if job else [])
            return leased[0] if leased else None

        return wrong

    program = said(add(0), LEASE, LEASE)
    broker.check(program)
    broken(monkeypatch, Engine, "head", make)
    with pytest.raises(AssertionError):
        broker.check(program)


def test_a_change_without_a_record_is_found(monkeypatch: Patch) -> None:
    """Whatever is deleted comes back when the commits are replayed."""

    def make(delete: Any) -> Any:
        def wrong(engine: Engine, job: Job) -> None:
            delete(engine, job)
            del engine.commit[-1:]

        return wrong

    program = said(add(0), b"delete %b\r\n" % IDS[0])
    broker.check(program)
    broken(monkeypatch, Engine, "delete", make)
    with pytest.raises(AssertionError):
        broker.check(program)


def test_a_lease_that_nobody_got_is_found(monkeypatch: Patch) -> None:
    """What was leased to a connection that broke is not given back."""
    program = said(add(0) + LEASE, after=step("log", 1)) + step("lose")
    broker.check(program)
    monkeypatch.setattr(Engine, "give_back", lambda engine, job_id, token: None)
    with pytest.raises(AssertionError, match="a lease"):
        broker.check(program)


def test_an_error_in_a_known_line_is_found(monkeypatch: Patch) -> None:
    """The short way of reading is wrong, the general one is right."""

    def make(remember: Any) -> Any:
        def wrong(table: Table[Any], command: Any, line: bytes, header: Any) -> None:
            remember(table, command, line, header)
            table.lines.update(dict.fromkeys(table.lines, (command, ("wrong",))))

        return wrong

    data = bytes((SMALL, 0)) + b"".join(contract(b"ping\r\n" * 2))
    reader.check(data)
    broken(monkeypatch, Table, "remember", make)
    with pytest.raises(AssertionError):
        reader.check(data)


def test_a_difference_between_pieces_is_found(monkeypatch: Patch) -> None:
    """A reader that forgets the end of what it was given."""

    def make(feed: Any) -> Any:
        def wrong(stream: Reader[Any], data: bytes) -> None:
            feed(stream, data.rstrip(b"\n") if len(data) < 3 else data)

        return wrong

    data = bytes((SMALL, 1, 0)) + b"".join(contract(b"ping\r\n"))
    reader.check(data)
    broken(monkeypatch, Reader, "feed", make)
    with pytest.raises(AssertionError):
        reader.check(data)


# --- what they know of ------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_reference_knows_every_command_and_its_flags(command: Any) -> None:
    """What it does not know, nobody fuzzes: it takes that for an unknown command."""
    assert command.name in reference.FORMS
    assert reference.FORMS[command.name].flags.split() == [flag.decode() for flag in command.flags]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_words_of_a_stream_have_every_command(command: Any) -> None:
    """So that random bytes become requests of it."""
    text = b"".join(WORDS)
    assert all(word.encode() in text for word in command.name.split())
    assert all(b" -%b=" % flag in text for flag in command.flags)


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [b"".join(WORDS), bytes(range(256)), b"x" * 70_001, b"\x01\x01\x01\x02\xff", b""],
    ids=["words", "bytes", "run", "escapes", "nothing"],
)
def test_any_stream_can_be_written(stream: bytes) -> None:
    """As data that stands for it, mostly shorter."""
    assert expand(b"".join(contract(stream))) == stream


def test_no_data_stands_for_too_long_a_stream() -> None:
    """But for the last run of all."""
    assert len(expand(bytes((RUN, 255, 0)) * 100)) < STREAM_BYTES_MAX + 255**2
