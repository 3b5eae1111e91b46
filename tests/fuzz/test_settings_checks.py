"""The checks of the fuzzer of settings find what they are there for: here is what is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fuzz import settings as target
from fuzz.reference_settings import BY_NAME
from workq.errors import SettingError
from workq.server import kinds, listen, settings

Patch = pytest.MonkeyPatch

_NAMES = list(BY_NAME)

Form = Callable[[str, str], bytes]


def given(name: str, value: str) -> bytes:
    """The bytes that stand for a setting and a value."""
    return bytes((_NAMES.index(name), target._VALUES.index(value)))


def flag(name: str, value: str) -> bytes:
    """A flag."""
    return b"\0" + given(name, value)


#: A variable, or a line of the file, is chosen by the same byte.
variable = line = flag


def program(flags: list[bytes], variables: list[bytes], lines: list[bytes] | None = None) -> bytes:
    """Data."""
    head = len(flags) | len(variables) << 3 | (0 if lines is None else 0x40)
    return bytes((head,)) + b"".join((*flags, *variables, *(lines or ())))


def found(monkeypatch: Patch, data: bytes, place: object, name: str, value: Any) -> None:
    """Whatever is in the data passes, and no more once something is broken."""
    target.check(data)
    monkeypatch.setattr(place, name, value)
    with pytest.raises(AssertionError):
        target.check(data)


def test_a_source_that_holds_before_a_later_one_is_found(monkeypatch: Patch) -> None:
    """A variable holds before a flag."""
    from_flags = settings._from_flags

    def wrong(words: Any) -> Any:
        given = from_flags(words)
        return {name: one for name, one in given.items() if name != "max-jobs"}

    data = program([flag("max-jobs", "100")], [variable("max-jobs", "10000")])
    found(monkeypatch, data, settings, "_from_flags", wrong)


def test_a_source_that_is_told_wrongly_is_found(monkeypatch: Patch) -> None:
    """The value is right, and is said to be the default."""
    load = settings.load

    def wrong(words: Any, environ: Any) -> Any:
        found = load(words, environ)
        return replace(found, sources={**found.sources, "log": "default"})

    found(monkeypatch, program([], [variable("log", "json")]), target, "load", wrong)


def test_a_file_that_is_not_read_is_found(monkeypatch: Patch) -> None:
    """What it says does not hold."""
    data = program([], [], [line("max-jobs", "100")])
    found(monkeypatch, data, settings, "_from_file", lambda where, path, mistakes: {})


def test_a_wrong_unit_is_found(monkeypatch: Patch) -> None:
    """An hour has 60 seconds."""
    data = program([flag("idle-timeout", "1h")], [])
    target.check(data)
    monkeypatch.setitem(kinds.TIME_UNITS, "h", 60_000)
    with pytest.raises(AssertionError):
        target.check(data)


def test_a_value_out_of_range_is_found(monkeypatch: Patch) -> None:
    """It is taken as it is."""
    data = program([flag("max-connections", "1000001")], [])
    found(monkeypatch, data, settings, "_value", lambda setting, given: 1_000_001)


def test_a_mistake_that_is_not_told_is_found(monkeypatch: Patch) -> None:
    """Of two, only the first is."""
    data = program([flag("max-jobs", "true"), flag("max-line", "true")], [])

    def wrong(errors: Any) -> SettingError:
        first: SettingError = errors[0]
        return first

    found(monkeypatch, data, settings, "SettingErrors", wrong)


def test_what_is_shown_and_not_accepted_again_is_found(monkeypatch: Patch) -> None:
    """A size is shown in a unit that is none."""
    data = program([flag("max-line", "64KiB")], [])
    wrong: Any = lambda kind, value: f"{value}Bytes"  # noqa: E731
    found(monkeypatch, data, kinds.Quantity, "show", wrong)


def test_an_error_of_another_kind_is_found(monkeypatch: Patch) -> None:
    """A host that is no name is looked up nevertheless."""
    data = program([flag("listen", "a..b:1")], [])
    target.check(data)
    monkeypatch.setattr(listen, "_is_name", lambda text: True)
    target._alone.cache_clear()
    with pytest.raises(UnicodeError):
        target.check(data)
    target._alone.cache_clear()
    target._is_exposed.cache_clear()


def test_an_error_that_cannot_be_read_is_found(monkeypatch: Patch) -> None:
    """It has in it what was given, as it was."""
    data = program([flag("cmdlog-path", "a\nb")], [variable("log", "\x1b[31m")])
    wrong: Any = lambda error: f"{error.setting}: \x1b[31m"  # noqa: E731
    found(monkeypatch, data, SettingError, "__str__", wrong)


def test_an_address_that_others_reach_and_is_taken_is_found(monkeypatch: Patch) -> None:
    """Nobody has said that this is meant."""
    data = program([flag("listen", "0.0.0.0:1")], [])
    found(monkeypatch, data, settings, "check_reach", lambda address, where: None)
