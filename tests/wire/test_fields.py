"""The values in a line: what each field takes, what it refuses, and with which error."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.helpers import ID, RIGHT, WRONG, error_of
from workq import limits
from workq.commands import COMMANDS
from workq.wire import fields, replies
from workq.wire.fields import Field

NUMBERS = {
    "ttr": (fields.TTR, 1, limits.TTR_MS_MAX),
    "ttl": (fields.TTL, 1, limits.TTL_MS_MAX),
    "wait-timeout": (fields.WAIT, 0, limits.WAIT_MS_MAX),
    "cursor-offset": (fields.OFFSET, 0, limits.CURSOR_OFFSET_MAX),
    "limit": (fields.LIMIT, 1, limits.LISTED_MAX),
    "priority": (fields.PRIORITY, limits.PRIORITY_MIN, limits.PRIORITY_MAX),
    "max-attempts": (fields.MAX_ATTEMPTS, 0, limits.ATTEMPTS_MAX),
    "max-fails": (fields.MAX_FAILS, 0, limits.FAILS_MAX),
    "delay": (fields.DELAY, 0, limits.DELAY_MS_MAX),
    "retry-delay": (fields.RETRY_DELAY, 0, limits.DELAY_MS_MAX),
    "backoff": (fields.BACKOFF, 1, limits.BACKOFF_MAX),
    "retry-max": (fields.RETRY_MAX, 0, limits.DELAY_MS_MAX),
    "final": (fields.FINAL, 0, 1),
    "count": (fields.COUNT, 1, limits.LEASE_COUNT_MAX),
    "lease": (fields.LEASE, 1, limits.TOKEN_MAX),
}
each_number = pytest.mark.parametrize("field, low, high", NUMBERS.values(), ids=NUMBERS)


def test_every_field_of_every_command_is_tested_here() -> None:
    """The tables of right and wrong words name each of them, and are right themselves."""
    known = {field.name: field for c in COMMANDS for field in (*c.fields, *c.flags.values())}

    assert set(known) == set(RIGHT)
    assert set(known) == {*WRONG, "command", "object"}
    for name, field in known.items():
        assert error_of(field, RIGHT[name]) is None
        if name in WRONG:
            assert error_of(field, WRONG[name][0]) == WRONG[name][1]


@each_number
def test_a_number_is_taken_up_to_both_ends_of_its_range(field: Field, low: int, high: int) -> None:
    """The ends are in it, and their neighbours beyond are not."""
    assert field.read(b"%d" % low) == low
    assert field.read(b"%d" % high) == high
    assert error_of(field, str(low - 1)) == WRONG[field.name][1]
    assert error_of(field, str(high + 1)) == WRONG[field.name][1]


@each_number
def test_leading_zeros_do_not_count(field: Field, low: int, high: int) -> None:
    """However many there are."""
    assert field.read(b"0" * 5000 + b"%d" % max(low, 1)) == max(low, 1)


@each_number
@pytest.mark.parametrize(
    "word",
    ["", "-", "+", " 1", "1 ", "1_0", "0x1", "1.0", "1e1", "--1", "+-1", "\xb9", "\xb2", "1\x00"],
    ids=repr,
)
def test_what_is_not_digits_is_no_number(field: Field, low: int, high: int, word: str) -> None:
    """No notation of programming languages is taken."""
    assert error_of(field, word) == WRONG[field.name][1]


@each_number
def test_only_a_priority_has_a_sign(field: Field, low: int, high: int) -> None:
    """One `+` or `-` may stand before it; before other numbers none may."""
    signed = field is fields.PRIORITY

    assert (error_of(field, "+1") is None) == signed
    assert (error_of(field, "-1") is None) == signed
    assert (error_of(field, "-0") is None) == signed


@each_number
def test_a_number_of_very_many_digits_is_out_of_range(field: Field, low: int, high: int) -> None:
    """It is refused unconverted: Python would raise beyond 4,300 digits."""
    assert error_of(field, "9" * 60_000) == WRONG[field.name][1]
    assert error_of(field, "1" + "0" * limits.NUMBER_DIGITS_MAX) == WRONG[field.name][1]


@given(st.binary(max_size=24))
def test_a_number_is_read_as_python_would_or_refused(word: bytes) -> None:
    """Whatever is taken are ASCII digits, and means what they mean."""
    if error_of(fields.TTL, word) is None:
        assert re.fullmatch(rb"[0-9]+", word)
        assert fields.TTL.read(word) == int(word)


def test_an_id_is_taken_in_either_case_and_kept_in_lower_case() -> None:
    """Upper, lower and mixed are one id."""
    assert fields.JOB_ID.read(ID.upper().encode()) == ID.encode()
    assert fields.JOB_ID.read(ID.capitalize().encode()) == ID.encode()


@pytest.mark.parametrize("version", "123456789abcdef0")
def test_an_id_may_be_of_any_version_and_variant(version: str) -> None:
    """Only the form counts."""
    word = f"c0ffee00-1111-{version}222-{version}333-000000000001"

    assert fields.JOB_ID.read(word.encode()) == word.encode()


@pytest.mark.parametrize(
    "word",
    [
        "",
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        f"-{ID}",
        f"{ID}z",
        f"{ID}\n",
        ID[:-1],
        ID.replace("f", "g"),
        ID.replace("-", "_"),
        "c0ffee001-111-4222-8333-000000000001",
    ],
)
def test_every_other_spelling_of_an_id_is_refused(word: str) -> None:
    """Nil, bare, in braces, as a URN, cut, prolonged, with dashes elsewhere."""
    assert error_of(fields.JOB_ID, word) == replies.INVALID_ID


@given(st.binary(max_size=40))
def test_a_name_is_made_of_its_alphabet(word: bytes) -> None:
    """Whatever is taken has 1 to 255 of the allowed characters; a line end is not among them."""
    allowed = re.fullmatch(rb"[A-Za-z0-9_.\-]{1,255}", word) is not None

    assert (error_of(fields.QUEUE_NAME, word) is None) == allowed


@pytest.mark.parametrize("word", ["q", "-", ".", "_", "-x", "0", "A.b-C_9", "n" * 255])
def test_a_name_is_kept_as_it_is(word: str) -> None:
    """Case and leading marks are part of it."""
    assert fields.QUEUE_NAME.read(word.encode()) == word.encode()


@pytest.mark.parametrize("word", ["", "n" * 256, "a b", "a/b", "a=b", "a\n", "a\r", "\xe4", "q@"])
def test_another_name_is_refused(word: str) -> None:
    """Empty, too long, or with another character."""
    assert error_of(fields.QUEUE_NAME, word) == replies.INVALID_NAME


@pytest.mark.parametrize(
    "word, time_ms",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", -1000),
        ("1969-12-31T23:59:59.9Z", -100),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999),
        ("2000-02-29T12:00:00.25Z", 951_825_600_250),
        ("2030-01-01T00:00:00.0009Z", 1_893_456_000_000),
        ("2030-01-01T00:00:00.123456789Z", 1_893_456_000_123),
    ],
)
def test_a_time_is_read_to_the_millisecond(word: str, time_ms: int) -> None:
    """Of every year there is; what is finer is cut off."""
    assert fields.TIME.read(word.encode()) == time_ms


@pytest.mark.parametrize(
    "word",
    [
        "",
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-01-01 00:00:00Z",
        "2030-01-01t00:00:00Z",
        "2030-01-01T00:00:00z",
        "2030-01-01T00:00:00+00:00",
        "2030-01-01T00:00:00.Z",
        "2030-01-01T00:00:00,5Z",
        "2030-01-01T00:00:00.1234567890Z",
        "2030-01-01T0:00:00Z",
        "2030-1-1T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2030-00-01T00:00:00Z",
        "2030-13-01T00:00:00Z",
        "2030-02-29T00:00:00Z",
        "2030-01-01T24:00:00Z",
        "2030-01-01T00:60:00Z",
        "2030-01-01T00:00:60Z",
        "2030-01-01T00:00:00Z\n",
        "\xb2030-01-01T00:00:00Z",
    ],
)
def test_another_time_is_refused(word: str) -> None:
    """Other forms, other zones, and moments that do not exist."""
    assert error_of(fields.TIME, word) == replies.INVALID_TIME


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_a_time_comes_back_as_it_was_written(moment: datetime) -> None:
    """Reading and writing are the same notation, in whole seconds."""
    word = moment.replace(microsecond=0, tzinfo=UTC).isoformat().encode().replace(b"+00:00", b"Z")

    assert replies.time(fields.TIME.read(word)) == word
