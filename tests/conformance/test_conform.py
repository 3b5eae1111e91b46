"""The player itself: one that let a wrong answer pass would make every transcript worthless."""

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conformance import conform
from tests.conformance.conform import Case, Failed, Play, Variables, unescape


@pytest.fixture
def parrot() -> Iterator[tuple[str, int]]:
    """The address of a server that sends back what it got, and closes when it was told `bye`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def serve(listener: socket.socket) -> None:
    """Answer connections, one after another, until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while (data := connection.recv(4096)) and data != b"bye\r\n":
                if data == b"slow\r\n":
                    time.sleep(0.1)
                connection.sendall(data)


HOLDS = {
    "exact bytes": [r"A> x\r\n", r"A< x\r\n"],
    "a regex": [r"A> one two\r\n", r"A<? one \w+\r\n"],
    "a variable": ["A> add {a}", "A< add {a}"],
    "a window of time": [r"A> slow\r\n", r"A<[90,2000] slow\r\n"],
    "silence": ["A-- 20"],
    "the end": [r"A> bye\r\n", "A<EOF"],
}

FAILS = {
    "other bytes": ([r"A> x\r\n", r"A< y\r\n"], "wanted"),
    "bytes left over": ([r"A> xyz\r\n", "A< xy"], "unread on A"),
    "more than the regex": ([r"A> one\r\n", "A<? on"], "no match"),
    "too early": ([r"A> x\r\n", r"A<[500,2000] x\r\n"], "came after"),
    "too late": ([r"A> slow\r\n", r"A<[0,50] slow\r\n"], "came after"),
    "no silence": (["A> x", "A-- 500"], "wanted silence"),
    "bytes instead of the end": (["A> x", "A<EOF"], "wanted the end"),
    "an unknown step": (["A? x"], "not a step"),
    "an unknown variable": (["A> {nonsense}"], "unknown variable"),
    "a step for a server of its own": (["@restart"], "server of its own"),
}


@pytest.mark.parametrize("what", HOLDS)
def test_a_case_that_holds_passes(what: str, parrot: tuple[str, int]) -> None:
    """Each kind of expectation is met by a server that does as it says."""
    Play(Case(f"P1 | {what}", tuple(HOLDS[what])), parrot).run()


@pytest.mark.parametrize("what", FAILS)
def test_a_case_that_does_not_hold_fails(
    what: str, parrot: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of breach is noticed, and the message says which it was."""
    monkeypatch.setattr(conform, "PATIENCE_S", 0.2)
    steps, said = FAILS[what]

    with pytest.raises(Failed, match=said):
        Play(Case(f"P1 | {what}", tuple(steps)), parrot).run()


def test_escapes_stand_for_bytes() -> None:
    """The short escapes, two hex digits, and braces that are no variable."""
    assert unescape(r"a\r\n\t\x00\xff\{q\}") == b"a\r\n\t\x00\xff{q}"


def test_a_padded_line_has_exactly_the_length_asked_for() -> None:
    """Head, size, payload and both line ends together."""
    variables = Variables()

    filled = unescape(variables.fill("{pad4097:add {a} {q} 1 1 }"))

    assert len(filled) == 4097
    assert filled.startswith(f"add {variables.values['a']} ".encode())


def test_a_variable_in_a_regex_matches_only_itself() -> None:
    """Its characters are taken literally; counts in braces stay part of the regex."""
    variables = Variables()
    regex = variables.fill_regex(r"{q} \d{3}")

    assert re.fullmatch(regex, f"{variables.values['q']} 123")
