"""What is told in the log of what was counted: each once, and at most one line of a kind a look."""

import logging
import re
from pathlib import Path

import pytest

from tests.commands.harness import Server
from workq.server.watch import EVENTS, Watch

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
QUIET = {
    **{event.counter: 0 for event in EVENTS},
    **{name: 7 for event in EVENTS for name in event.also},
    "connections": 5,
    "longest-turn-us": 900,
}


@pytest.fixture
def told(caplog):
    """The lines since the last time, as message and fields."""
    caplog.set_level(logging.INFO, "workq")

    def lines():
        found = [(one.levelname, one.getMessage(), one.fields) for one in caplog.records]
        caplog.clear()
        return found

    return lines


def test_what_has_not_grown_is_not_told(told):
    """A quiet second writes nothing."""
    watch = Watch()
    watch.look(QUIET, True)
    watch.look(QUIET, True)
    assert told() == []


def test_what_has_grown_is_one_line_with_how_much(told):
    """However often it has happened; then silence until it happens again."""
    watch = Watch()
    watch.look(QUIET | {"refused-connections": 2}, True)
    assert told() == [("WARNING", "connections refused", {"count": 2, "connections": 5})]
    many = QUIET | {"refused-connections": 1_000_002, "connections": 9}
    watch.look(many, True)
    watch.look(many, True)
    assert told() == [("WARNING", "connections refused", {"count": 1_000_000, "connections": 9})]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.counter)
def test_every_event_is_told_with_its_fields(event, told):
    """Once, when its counter has grown."""
    watch = Watch()
    watch.look(QUIET | {event.counter: 3}, True)
    watch.look(QUIET | {event.counter: 3}, True)
    fields = {name.replace("-", "_"): QUIET[name] for name in event.also}
    assert [line[1:] for line in told()] == [(event.message, {"count": 3, **fields})]


def test_every_counter_is_a_number_of_the_server():
    """`stats` has it too, so that who has lost the log finds it."""
    keys = {line.split(" ")[0] for line in Server().ask("stats").splitlines()}
    assert {event.counter for event in EVENTS} <= keys


def test_long_turns_are_told_with_the_longest(told):
    """Since the start, that is: no other is known."""
    Watch().look(QUIET | {"long-turns": 3, "longest-turn-us": 40_000}, True)
    assert told() == [("INFO", "long turns", {"count": 3, "longest_turn_us": 40_000})]


def test_running_out_of_descriptors_is_told_once(told):
    """And once that it is over."""
    watch = Watch()
    for left in (True, False, False, True, True):
        watch.look(QUIET, left)
    assert told() == [
        ("WARNING", "no file descriptors left: clients wait", {"connections": 5}),
        ("INFO", "clients are accepted again", {"connections": 5}),
    ]


def test_every_event_is_documented():
    """With its message, in the table of docs/settings.md."""
    messages = set(re.findall(r"^\| `([^`]+)` \| (?:info|warning|error) \|", PAGE, re.MULTILINE))
    assert {event.message for event in EVENTS} <= messages
    source = Path(__file__).parents[2] / "workq" / "server"
    for file in ("compaction.py", "watch.py", "service.py", "storage.py", "writer.py"):
        written = re.findall(r'_log\.\w+\(\s*f?"([^"{]+)', (source / file).read_text())
        assert {text.strip().removesuffix(":") for text in written} <= {
            text.partition(" …")[0].removesuffix(":") for text in messages
        }
