"""What an operator wants to read in the log of a night: told once a second, from counters.

The broker is pure and logs nothing; it counts. What has grown since the last look is one line with
the difference, so that there is at most one line of a kind in a second, whatever clients do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from workq.server import logs

_log = logs.get_logger("workq.server")


class Event(NamedTuple):
    """Something that is counted and told.

    Attributes:
        counter: what counts it; a key of `stats`.
        tell: the logger's method, by its importance.
        message: what the line says.
        also: other numbers that the line shows, as they are now.
    """

    counter: str
    tell: Callable[..., None]
    message: str
    also: tuple[str, ...] = ()


#: Everything that is told by counting. A new one is one line here, and one in docs/settings.md.
EVENTS = (
    Event("refused-connections", _log.warning, "connections refused", ("connections",)),
    Event(
        "refused-for-memory",
        _log.warning,
        "requests refused: no memory for more",
        ("jobs", "held-bytes", "waiting"),
    ),
    Event(
        "cut-for-memory",
        _log.warning,
        "clients cut off: no memory for more half-received requests",
        ("input-bytes", "connections"),
    ),
    Event(
        "cut-for-input",
        _log.warning,
        "clients cut off: too much sent behind a request that waits",
    ),
    Event(
        "cut-for-untaken",
        _log.warning,
        "clients cut off: too many replies not taken",
        ("untaken-bytes", "connections"),
    ),
    Event("request-timeouts", _log.info, "clients cut off: requests did not come whole in time"),
    Event("idle-timeouts", _log.info, "clients cut off: idle for too long", ("connections",)),
    Event("long-turns", _log.info, "long turns", ("longest-turn-us",)),
)


class Watch:
    """Remembers what was told."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._descriptors_left = True

    def look(self, numbers: Mapping[str, int], descriptors_left: bool) -> None:
        """Tell what has happened since the last look.

        Args:
            numbers: the counters, and what is shown with them.
            descriptors_left: whether another file could be opened.
        """
        for event in EVENTS:
            count = numbers[event.counter] - self._seen.get(event.counter, 0)
            if count:
                self._seen[event.counter] = numbers[event.counter]
                also = {name.replace("-", "_"): numbers[name] for name in event.also}
                event.tell(event.message, count=count, **also)
        if descriptors_left != self._descriptors_left:
            self._descriptors_left = descriptors_left
            connections = numbers["connections"]
            if descriptors_left:
                _log.info("clients are accepted again", connections=connections)
            else:  # the loop says nothing of it
                _log.warning("no file descriptors left: clients wait", connections=connections)
