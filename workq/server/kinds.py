"""The kinds of values that settings have: how each is read, shown, and told of in errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from workq.errors import SettingError
from workq.server.listen import read_address

KIB, MIB, GIB = 1024, 1024**2, 1024**3
SECOND_MS, HOUR_MS, DAY_MS = 1000, 3_600_000, 86_400_000

#: How true and false may be written.
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

#: Where a text may be missing, how that is written.
NONE = "none"

Scalar = str | int | bool


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; where it is empty, or says so, there is none.

    Attributes:
        metavar: what stands for the value in the help.
        suffix: what the name of the field ends in: the unit.
    """

    metavar: str
    suffix: str = ""

    def read(self, where: str, text: str) -> Scalar:
        """The value that a text stands for.

        Args:
            where: the setting's name as the operator wrote it, for the error.
            text: without white space around it.

        Raises:
            SettingError: it is none of this kind, or out of range.
        """
        if not text.isprintable():
            raise SettingError(where, f"{text!r} has characters that cannot be printed")
        return "" if text == NONE else text

    def show(self, value: Scalar) -> str:
        """The value as one would write it."""
        return str(value) or NONE

    def values(self) -> str:
        """What may be written, in words."""
        return f"{self.metavar} or {NONE}"


@dataclass(frozen=True, slots=True)
class Listened(Text):
    """An address to listen on."""

    def read(self, where: str, text: str) -> Scalar:
        Text.read(self, where, text)
        read_address(text, where)
        return text

    def values(self) -> str:
        return "HOST:PORT or unix:PATH"


@dataclass(frozen=True, slots=True)
class Choice(Text):
    """One of a few words."""

    words: tuple[str, ...] = ()

    def read(self, where: str, text: str) -> Scalar:
        if text not in self.words:
            raise SettingError(where, f"{text!r} is not one of {self.values()}")
        return text

    def values(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True, slots=True)
class Boolean(Text):
    """True or false; as a flag it needs no value to be true."""

    def read(self, where: str, text: str) -> Scalar:
        word = text.lower()
        if word not in TRUE and word not in FALSE:
            raise SettingError(where, f"{text!r} is not true or false")
        return word in TRUE

    def show(self, value: Scalar) -> str:
        return "true" if value else "false"

    def values(self) -> str:
        return "true, false"


@dataclass(frozen=True, slots=True)
class Quantity(Text):
    """A whole number of a base unit, within a range; shown in the greatest unit that suits it.

    Attributes:
        lowest: the range's beginning, in the base unit.
        highest: its end, inclusive.
        zero: the word that 0 stands for and that may be written for it; 0 is then legal whatever
            the range. Empty if 0 is a number like others.
        units: how many of the base unit each is, in rising order; the base unit is the first.
        plain: the unit of a number that has none.
        like: a good value, for the error.
        base: the base unit in words, for the error; empty where a value is just a number.
    """

    lowest: int = 0
    highest: int = 0
    zero: str = ""
    units: Mapping[str, int] = field(default_factory=lambda: {"": 1})
    plain: str = ""
    like: str = "a whole number"
    base: str = ""

    def read(self, where: str, text: str) -> Scalar:
        if self.zero and text.lower() == self.zero:
            return 0
        found = re.fullmatch(r"(-?[0-9]{1,40}(?:\.[0-9]{1,40})?) ?([A-Za-z]*)", text)
        units = {unit.lower(): factor for unit, factor in self.units.items()}
        unit = (found[2] or self.plain).lower() if found else ""
        if found is None or unit not in units:
            raise SettingError(where, f"{text!r} is not {self.like}")
        amount = Fraction(found[1]) * units[unit]
        if amount == 0 and self.zero:
            return 0
        if not self.lowest <= amount <= self.highest:
            raise SettingError(where, f"{text} is not in {self.values()}")
        if amount.denominator != 1:
            of = f" of {self.base}" if self.base else ""
            raise SettingError(where, f"{text} is not a whole number{of}")
        return int(amount)

    def show(self, value: Scalar) -> str:
        amount = int(value)
        if amount == 0:
            return self.zero or "0"
        unit = [unit for unit, factor in self.units.items() if amount % factor == 0][-1]
        return f"{amount // self.units[unit]}{unit}"

    def values(self) -> str:
        text = f"{self.show(self.lowest)} … {self.show(self.highest)}"
        return f"{text}, or 0 for {self.zero}" if self.zero else text


BYTE_UNITS = {"B": 1, "K": KIB, "KiB": KIB, "M": MIB, "MiB": MIB, "G": GIB, "GiB": GIB}
TIME_UNITS = {"ms": 1, "s": SECOND_MS, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


def number(lowest: int, highest: int, zero: str = "") -> Quantity:
    """A whole number."""
    return Quantity("NUMBER", "", lowest, highest, zero)


def size(lowest: int, highest: int, zero: str = "") -> Quantity:
    """A number of bytes."""
    like = "a size like 65536, 64KiB or 2GiB (the units are B, KiB, MiB, GiB, or K, M, G for short)"
    return Quantity("SIZE", "_bytes", lowest, highest, zero, BYTE_UNITS, "B", like, "bytes")


def duration(lowest: int, highest: int, zero: str = "", plain: str = "s") -> Quantity:
    """A time in milliseconds; a number without a unit is seconds, unless `plain` says else."""
    units = ", ".join(TIME_UNITS)
    like = f"a time like 500ms, 60s, 5m or 1h (the units are {units}; a plain number is {plain})"
    return Quantity("TIME", "_ms", lowest, highest, zero, TIME_UNITS, plain, like, "ms")


def choice(*words: str) -> Choice:
    """One of some words."""
    return Choice("|".join(words), words=words)
