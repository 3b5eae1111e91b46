"""The server's bounds made small, so that little data reaches what lies beyond them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, NamedTuple

import workq.broker.broker  # loads every module that knows a bound by name
import workq.commands  # noqa: F401
from workq import limits
from workq.limits import Bounds
from workq.wire import grammar
from workq.wire.fields import number as number_field

_WIRE: Final = {
    "BLOCK_BYTES_MAX": 512,
    "BLOCK_DISCARD_BYTES_MAX": 1024,
    "UNKNOWN_COMMANDS_IN_A_ROW_MAX": 3,
    "KNOWN_LINES_MAX": 2,
    "KNOWN_LINE_BYTES_MAX": 120,
}
_TURN: Final = {
    "REQUESTS_PER_SESSION_AND_TURN_MAX": 3,
    "REQUESTS_PER_TURN_MAX": 5,
    "DEADLINES_PER_TURN_MAX": 2,
    "CASCADES_PER_TURN_MAX": 3,
    "IDLE_NAMES_MAX": 2,
}
_BYTES: Final = {
    "TAGGED_WAITS_MAX": 3,
    "INPUT_BYTES_PAUSE": 256,
    "INPUT_BYTES_MAX": 1024,
    "UNSENT_BYTES_MAX": 500,
    "HELD_BYTES_MAX": 1200,
    "AHEAD_BYTES_MAX": 2500,
}

#: No bound, but what costs most of the time when a small state is looked at again and again.
_SPLIT: Final = {"DICT_SPLIT": 4, "MASK": 3}


class Profile(NamedTuple):
    """Bounds by which a server may be run.

    Attributes:
        limits: bounds that are none of the operator's, by name.
        bounds: those that are.
    """

    limits: Mapping[str, int]
    bounds: Bounds


#: The profiles to choose from. The order is part of the corpus: append only.
PROFILES: Final = (
    Profile(
        {**_SPLIT, **_WIRE, **_TURN, **_BYTES},
        Bounds(
            line_bytes_max=200,
            connections_max=6,
            jobs_max=6,
            input_bytes_max=3000,
            request_timeout_ms=2000,
        ),
    ),
    Profile(_SPLIT, Bounds()),
    Profile({**_SPLIT, **_TURN}, Bounds(memory_bytes_max=4000, idle_timeout_ms=5000)),
)


def _places(name: str) -> list[ModuleType]:
    """The modules that know a bound by its name."""
    found = [module for key, module in sys.modules.items() if key.partition(".")[0] == "workq"]
    return [module for module in found if name in vars(module)]


@contextmanager
def bounds(number: int) -> Iterator[Bounds]:
    """Let the bounds of a profile hold for a while.

    Args:
        number: any number; it chooses the profile.
    """
    profile = PROFILES[number % len(PROFILES)]
    before: list[tuple[ModuleType, str, Any]] = []
    for name, value in profile.limits.items():
        for module in _PLACES[name]:
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
    if "BLOCK_DISCARD_BYTES_MAX" in profile.limits:
        # The one bound that is built into something: the reader of a block's size.
        before.append((grammar, "_read_size", vars(grammar)["_read_size"]))
        vars(grammar)["_read_size"] = number_field(0, limits.BLOCK_DISCARD_BYTES_MAX, b"")
    try:
        yield profile.bounds
    finally:
        for module, name, old in before:
            setattr(module, name, old)


_PLACES: Final = {name: _places(name) for name in PROFILES[0].limits}
assert all(len(_PLACES[name]) > 1 for name in {**_TURN, **_BYTES}), "a bound is not where it was"
