"""Log lines are whole, of one line, in the form asked for, and never in the server's way."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import TracebackType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workq.limits import (
    LOG_EXCEPTION_CHARACTERS_MAX,
    LOG_FIELD_CHARACTERS_MAX,
    LOG_MESSAGE_CHARACTERS_MAX,
)
from workq.server import logs
from workq.server.logs import HumanFormatter, JsonFormatter, get_logger

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
TIME_S = 1795412401.123  # 2026-11-23 05:40:01.123 UTC
Lines = Callable[[], list[str]]
Info = tuple[type[BaseException], BaseException, TracebackType | None]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What a test sets up ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[io.FileIO]:
    """A file to write to."""
    with io.FileIO(tmp_path / "log", "w") as opened:
        yield opened


@pytest.fixture
def lines(tmp_path: Path, file: io.FileIO) -> Lines:
    """The lines that were written to it."""
    return lambda: (tmp_path / "log").read_text(encoding="utf-8").splitlines()


def line(message: str, error: BaseException | None = None, /, **fields: object) -> str:
    """A human line of a warning at a known time."""
    return HumanFormatter(zone=UTC).format(made(message, error, fields))


def entry(
    message: str, error: BaseException | None = None, /, **fields: object
) -> dict[str, object]:
    """A JSON line of it, read again."""
    line = JsonFormatter().format(made(message, error, fields))
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line, parse_constant=pytest.fail)
    assert isinstance(read, dict)
    return read


def made(
    message: str, error: BaseException | None, fields: dict[str, object], name: str = "workq.x"
) -> logging.LogRecord:
    """A log record."""
    info: Info | None = (type(error), error, error.__traceback__) if error else None
    one = logging.LogRecord(name, logging.WARNING, "", 0, message, None, info)
    one.created = TIME_S
    one.fields = fields
    return one


def raised() -> BaseException:
    """An exception that was raised, and is of two lines."""
    try:
        raise ValueError("no\n2026-11-23 all is well")
    except ValueError as error:
        return error


class Unshowable:
    """Something with a mistake in its text."""

    def __str__(self) -> str:
        raise RuntimeError


# --- lines for people -----------------------------------------------------------------------


def test_a_human_line_has_time_level_message_and_fields() -> None:
    """In this order, the fields as key=value."""
    assert line("connection refused", peer="127.0.0.1:4242", connections=10000) == (
        "2026-11-23 05:40:01.123 warning  connection refused  peer=127.0.0.1:4242 connections=10000"
    )


def test_a_human_line_may_have_no_fields() -> None:
    """Then nothing follows the message."""
    assert line("stopping") == "2026-11-23 05:40:01.123 warning  stopping"


@pytest.mark.parametrize(
    "value, written",
    [
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nend\r", '"line\\nend\\r"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("\u2028\u202e\x85", '"\\u2028\\u202e\\x85"'),
        ("\udc80", '"\\udc80"'),
        ("ümläut", "ümläut"),
        (b"a\xff", '"a\\\\xff"'),
        (None, "None"),
        (1.5, "1.5"),
        (Unshowable(), '"a Unshowable that cannot be shown"'),
    ],
)
def test_a_value_is_quoted_where_it_could_mislead(value: object, written: str) -> None:
    """White space and signs of the line's own are quoted, what cannot be printed is escaped."""
    assert line("m", value=value).endswith(f"  value={written}")


@given(st.text(), st.text(), st.text())
def test_nothing_makes_a_second_line(message: str, key: str, value: str) -> None:
    """Neither message nor key nor value, whatever a client puts there."""
    one = made(message, None, {key: value})
    assert HumanFormatter(zone=UTC).format(one).isprintable()
    assert JsonFormatter().format(one).isprintable()


def test_an_exception_stands_below_indented() -> None:
    """Its lines cannot be taken for log lines, nor can those of its text."""
    first, *rest = line("turn failed", raised()).splitlines()
    assert first.endswith("turn failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    ValueError: no", "    2026-11-23 all is well"]


def test_colours_are_for_the_eye_only() -> None:
    """Without them the line is the same."""
    one = made("m", None, {"peer": "a"})
    plain, coloured = (HumanFormatter(colours, UTC).format(one) for colours in (False, True))
    assert "\x1b[33mwarning\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9]+m", "", coloured) == plain


def test_a_human_line_tells_the_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """People compare it with their clocks."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "ELSEWHERE-5:30")
        time.tzset()
        text = HumanFormatter().format(made("m", None, {}))
    time.tzset()
    assert text.startswith("2026-11-23 11:10:01.123 warning")


# --- lines for programs ---------------------------------------------------------------------


def test_a_json_line_has_the_fields_as_keys() -> None:
    """Numbers stay numbers; the time is UTC."""
    assert entry("refused", peer="127.0.0.1:4242", count=3, share=0.5, last=None, on=True) == {
        "time": "2026-11-23T05:40:01.123Z",
        "level": "warning",
        "message": "refused",
        "peer": "127.0.0.1:4242",
        "count": 3,
        "share": 0.5,
        "last": None,
        "on": True,
    }


def test_a_json_line_holds_any_value() -> None:
    """Numbers JSON does not know, bytes, halves of characters and mistakes become text."""
    read = entry("m", a=float("nan"), b=b"\xff", c="\udc80\x7f", d=Unshowable(), e=[1])
    del read["time"], read["level"], read["message"]
    assert read == {
        "a": "nan",
        "b": "\\xff",
        "c": "\udc80\x7f",
        "d": "a Unshowable that cannot be shown",
        "e": "[1]",
    }


def test_a_field_does_not_replace_a_key_of_the_line() -> None:
    """It gets a name of its own."""
    read = entry("right", message="wrong", level="none")
    assert read["message"] == "right"
    assert read["message_"] == "wrong"
    assert read["level_"] == "none"


def test_an_exception_is_one_key() -> None:
    """The traceback, with its line ends escaped."""
    text = entry("turn failed", raised())["exception"]
    assert isinstance(text, str)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: no\n2026-11-23 all is well")


@pytest.mark.parametrize("form", ["human", "json"])
def test_the_lines_in_the_documentation_are_right(form: str) -> None:
    """docs/settings.md shows what is written."""
    one = made("connections refused", None, {"count": 17, "connections": 10000})
    formatter = JsonFormatter() if form == "json" else HumanFormatter(zone=UTC)
    assert f"\n{formatter.format(one)}\n" in PAGE


# --- bounds ---------------------------------------------------------------------------------


def test_a_long_value_is_cut() -> None:
    """A payload does not flood the log."""
    value = entry("m", text="x" * 5000, data=b"y" * 5000)
    assert value["text"] == "x" * LOG_FIELD_CHARACTERS_MAX + "…"
    assert value["data"] == "y" * LOG_FIELD_CHARACTERS_MAX + "…"


def test_a_long_message_is_cut() -> None:
    """So are messages of libraries that tell of large objects."""
    assert entry("m" * 10_000)["message"] == "m" * LOG_MESSAGE_CHARACTERS_MAX


def test_a_long_exception_keeps_its_end() -> None:
    """The end says what went wrong."""
    text = entry("m", ValueError("x" * 100_000 + "end"))["exception"]
    assert isinstance(text, str)
    assert len(text) == LOG_EXCEPTION_CHARACTERS_MAX
    assert text.endswith("xend")


# --- setting up -----------------------------------------------------------------------------


def test_a_logger_writes_its_levels(file: io.FileIO, lines: Lines) -> None:
    """Each method has its level, and what is below the one asked for is not written."""
    logs.set_up("json", "info", {}, file.fileno())
    log = get_logger("workq.server.test")
    log.debug("a", n=1)
    log.info("b %s", message="b", n=2)
    log.warning("c", n=3)
    log.error("d", exception=raised(), n=4)
    read = [json.loads(line) for line in lines()]
    assert [(one["level"], one["message"], one["n"]) for one in read] == [
        ("info", "b %s", 2),
        ("warning", "c", 3),
        ("error", "d", 4),
    ]
    assert "exception" in read[2]


def test_other_libraries_log_in_the_same_form(file: io.FileIO, lines: Lines) -> None:
    """With their name, so that one knows whose line it is."""
    logs.set_up("human", "info", {}, file.fileno())
    logging.getLogger("asyncio").error("task %s\nfailed", "x")
    assert lines()[0].endswith("error    task x\\nfailed  logger=asyncio")


def test_a_librarys_mistake_in_a_message_loses_no_line() -> None:
    """Arguments that do not fit it are left out."""
    one = made("%d items", None, {}, "library.part")
    one.args = ("x",)
    assert HumanFormatter().format(one).endswith("%d items  logger=library.part")


def test_set_up_again_replaces(file: io.FileIO, lines: Lines) -> None:
    """No line is written twice."""
    logs.set_up("human", "info", {}, file.fileno())
    logs.set_up("json", "error", {}, file.fileno())
    get_logger("workq.x").warning("a")
    get_logger("workq.x").error("b")
    assert [json.loads(line)["message"] for line in lines()] == ["b"]


@pytest.mark.parametrize(
    "form, environ, coloured",
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"TERM": "dumb"}, False),
        ("human", {}, False),
        ("json", {}, False),
    ],
)
def test_a_terminal_gets_colours_by_auto_only(
    form: str, environ: dict[str, str], coloured: bool
) -> None:
    """And not with NO_COLOR, nor where the terminal knows none."""
    controller, terminal = os.openpty()
    try:
        logs.set_up(form, "info", environ, terminal)
        get_logger("workq.x").info("m")
        assert (b"\x1b[" in os.read(controller, 1000)) == coloured
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_file_gets_no_colours(file: io.FileIO, lines: Lines) -> None:
    """Auto is plain where nobody looks."""
    logs.set_up("auto", "info", {}, file.fileno())
    get_logger("workq.x").info("m")
    assert "\x1b" not in lines()[0]


# --- a log nobody reads ---------------------------------------------------------------------

PROGRAM = """
import sys
from workq.limits import (
    LOG_EXCEPTION_CHARACTERS_MAX,
    LOG_FIELD_CHARACTERS_MAX,
    LOG_MESSAGE_CHARACTERS_MAX,
)
from workq.server import logs
logs.set_up("auto", "info", {})
log = logs.get_logger("workq.x")
for number in range(1000):
    log.info("m", text="x" * 1000)
print("alive")
"""


def test_a_broken_stderr_takes_nothing_down() -> None:
    """The process goes on, and ends as well as it would have."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=writer, check=False
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"alive\n")


def test_a_closed_stderr_is_not_written_to(tmp_path: Path) -> None:
    """Its number may be another file's by then, which must not get log lines."""
    victim = tmp_path / "victim"
    program = f"taken = open({str(victim)!r}, 'wb')\nassert taken.fileno() == 2\n{PROGRAM}"
    command = 'exec "$0" -c "$1" 2>&-'
    ended = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, program], stdout=subprocess.PIPE, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, b"alive\n")
    assert victim.read_bytes() == b""


def test_a_full_pipe_that_does_not_wait_drops_lines() -> None:
    """Nothing is raised, and the log goes on when it is read again."""
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        logs.set_up("json", "info", {}, writer)
        log = get_logger("workq.x")
        for _ in range(1000):
            log.info("m", text="x" * 1000)
        while len(os.read(reader, 65536)) == 65536:
            pass
        log.info("heard")
        assert b'"message":"heard"' in os.read(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)
