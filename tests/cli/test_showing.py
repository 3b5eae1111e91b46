"""Tables, lines, JSON, and how far it is."""

import io
import sys

import pytest

from tests.cli.making import ID
from workq.cli import progress, showing


@pytest.mark.parametrize(
    "data, text",
    [
        (b"hello", "hello"),
        (b"a\tb\n", "a\\tb\\n"),
        (b"\x1b[2J", "\\x1b[2J"),
        ("ü \u202e".encode(), "ü \\u202e"),
        (b"\xff\x00", "\\xff\\x00"),
        (b"", ""),
    ],
)
def test_bytes_on_a_line_are_harmless(data, text):
    """To a terminal, and to who reads lines."""
    assert showing.one_line(data) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0s"), (0.5, "0.5s"), (59, "59s"), (60, "1m"), (90, "90s"), (7200, "2h"), (86400, "1d")],
)
def test_a_duration_is_shown_as_it_is_written(seconds, text):
    """With the largest unit that tells all of it."""
    assert showing.length(seconds) == text


def test_a_table_has_numbers_to_the_right():
    """And a sign where there is nothing."""
    lines = showing.table_lines(["name", "n", "more"], [["a", 1000, None], ["bcdef", 2, "x"]])
    assert lines == ["name       n  more", "a      1,000  -", "bcdef      2  x"]
    assert showing.table_lines(["name", "n"], []) == ["name  n"]


class Seen(io.StringIO):
    """Something that is a terminal."""

    def isatty(self):
        """It is."""
        return True


def test_a_narrow_terminal_shortens_no_id(monkeypatch):
    """Whoever sees it wants to copy it."""
    seen = Seen()
    monkeypatch.setattr(sys, "stdout", seen)
    monkeypatch.setenv("COLUMNS", "60")
    showing.print_table(["id", "n", "payload"], [[ID, 1000, "word " * 20]])
    assert ID in seen.getvalue()


def test_what_has_no_room_in_a_terminal_goes_on_in_its_next_line(monkeypatch):
    """The jobs of a queue are wider than 80 columns."""
    seen = Seen()
    monkeypatch.setattr(sys, "stdout", seen)
    monkeypatch.setenv("COLUMNS", "80")
    row = [ID, "new", 0, 0, 0, "2030-01-01T00:00:00Z", "a payload"]
    heads = ["id", "state", "priority", "attempts", "fails", "created", "payload"]
    showing.print_table(heads, [row])
    for cell in [*heads, ID, "2030-01-01T00:00:00Z"]:
        assert cell in seen.getvalue()
    assert "payload" in seen.getvalue().splitlines()[-2]


def test_on_a_terminal_a_table_is_drawn_by_rich(monkeypatch):
    """Which takes no markup from a payload."""
    seen = Seen()
    monkeypatch.setattr(sys, "stdout", seen)
    showing.print_table(["name", "n"], [["[red]x", 1000]])
    assert "[red]x" in seen.getvalue()
    assert "1,000" in seen.getvalue()


@pytest.mark.parametrize("rich", [True, False])
def test_how_far_it_is_is_seen_on_a_terminal_only(rich, monkeypatch):
    """And nothing of it is left."""
    monkeypatch.setattr(progress, "find_spec", lambda name: rich or None)
    for stream, seen in ((io.StringIO(), False), (Seen(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.Progress("jobs", 100) as shown:
            shown.show(5, 50)
        assert bool(stream.getvalue()) == seen


def test_a_bar_without_rich():
    """Or a count, where the end is not known."""
    known, unknown = progress.Progress("jobs", 200), progress.Progress("jobs", None)
    assert known.line(1234, 50) == "[########......................]  25%  1,234 jobs"
    assert unknown.line(1234, 50) == "1,234 jobs"
