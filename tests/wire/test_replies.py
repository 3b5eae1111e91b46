"""Replies: their form, and that every error is there once."""

import re

import pytest

from workq.wire import replies

# What a stranger could get to see, as the original has it.
PLAIN = re.compile(rb"-(?:TIMEOUT|NOT-FOUND|(?:CLIENT|SERVER)-ERROR [A-Z][A-Za-z ]*[A-Za-z])\r\n")


@pytest.mark.parametrize("line", replies.ERRORS)
def test_an_error_is_a_class_and_perhaps_a_text(line: str) -> None:
    """One space between them, none at the end: a client splits at the first space."""
    assert PLAIN.fullmatch(replies.ERRORS[line])
    assert replies.ERRORS[line] == f"-{line}\r\n".encode()


def test_every_error_of_the_module_is_in_the_table() -> None:
    """None can be sent that is not documented."""
    named = {
        value
        for name, value in vars(replies).items()
        if name.isupper() and isinstance(value, bytes) and value.startswith(b"-")
    }

    assert named == set(replies.ERRORS.values())


def test_a_counted_reply_tells_how_many_entries_follow() -> None:
    """Also when there are none."""
    assert replies.counted([]) == b"+OK 0\r\n"
    assert replies.counted([b"a\r\n", b"b\r\n"]) == b"+OK 2\r\na\r\nb\r\n"


def test_an_entry_tells_how_many_keys_it_has() -> None:
    """Numbers are written in digits, bytes as they are."""
    shown = replies.block(b"mails", [("ready-len", 10), ("payload", b"\x00\r\n\xff")])

    assert shown == b"mails 2\r\nready-len 10\r\npayload \x00\r\n\xff\r\n"


@pytest.mark.parametrize(
    "time_ms, shown",
    [
        (0, b"1970-01-01T00:00:00Z"),
        (999, b"1970-01-01T00:00:00Z"),
        (-1, b"1969-12-31T23:59:59Z"),
        (-62_135_596_800_000, b"0001-01-01T00:00:00Z"),
        (253_402_300_799_999, b"9999-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_written_in_whole_seconds_cut_off(time_ms: int, shown: bytes) -> None:
    """Of every year a request may name, with four digits each."""
    assert replies.time(time_ms) == shown
