"""`workq`: what holds for all its subcommands."""

import json
import subprocess
import sys
import tomllib
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from tests.cli.making import ID
from workq import __version__
from workq.cli import statuses, workq
from workq.cli.subcommands import Later, needed
from workq.cli.times import now_ms, read_duration, read_moment, read_time
from workq.errors import CorruptionError, DirectoryError, GoLogError, MissingExtra

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


class Trial:
    """A subcommand that ends in some way."""

    NAME = "trial"
    SUMMARY = "end in some way"

    def __init__(self, end):
        self.end = end

    def set_up(self, parser):
        """It takes nothing."""
        parser.set_defaults(run=self.run)

    def run(self, options):
        """End."""
        sys.stdout.write("something\n")
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


@pytest.mark.parametrize(
    "end, status, said",
    [
        (statuses.OK, statuses.OK, ""),
        (statuses.WRONG, statuses.WRONG, ""),
        (CorruptionError("/a/b", 7, "is bad"), statuses.WRONG, "workq: /a/b, byte 7: is bad\n"),
        (GoLogError("/a", None, "is bad"), statuses.WRONG, "workq: /a: is bad\n"),
        (DirectoryError("/a", "in use"), statuses.UNUSABLE, "workq: /a: in use\n"),
        (MissingExtra("this", "import"), statuses.UNUSABLE, "workq: this needs a package"),
        (OSError(28, "No space left", "/a"), statuses.UNUSABLE, "workq: /a: No space left\n"),
        (KeyboardInterrupt(), statuses.INTERRUPTED, ""),
    ],
)
def test_every_end_has_a_status_and_a_line_without_a_trace(end, status, said, monkeypatch, capsys):
    """What was printed before stands."""
    monkeypatch.setattr(workq, "SUBCOMMANDS", (Trial(end),))
    assert workq.main(["trial"]) == status
    printed = capsys.readouterr()
    assert printed.out == "something\n"
    assert printed.err.startswith(said)
    assert bool(printed.err) == bool(said)


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["cmdlog"], ["cmdlog", "check"], ["cmdlog", "check", "--x", "y"]]
)
def test_a_command_line_that_makes_no_sense_is_told_how_it_would(words, capsys):
    """And nothing is done."""
    with pytest.raises(SystemExit) as caught:
        workq.main(words)
    assert caught.value.code == statuses.BAD_USAGE
    assert "usage: workq" in capsys.readouterr().err


def test_help_tells_every_subcommand(capsys):
    """By name and what it is for."""
    with pytest.raises(SystemExit) as caught:
        workq.main(["--help"])
    assert not caught.value.code
    said = " ".join(capsys.readouterr().out.split())
    for one in workq.SUBCOMMANDS:
        assert f"{one.NAME} {one.SUMMARY}" in said


def test_version_is_that_of_the_package(capsys):
    """On one line."""
    with pytest.raises(SystemExit) as caught:
        workq.main(["--version"])
    assert not caught.value.code
    assert capsys.readouterr().out == f"workq {__version__}\n"


def test_the_program_is_installed_with_the_package():
    """Under its name."""
    scripts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["workq"] == "workq.cli.workq:main"


def test_who_reads_may_stop_before_the_end(program):
    """As `head` does; that is no error."""
    golden = Path(__file__).parents[1] / "recovery" / "golden" / "snapshot" / "log"
    command = f"{sys.executable} -m workq.cli.workq cmdlog dump {golden} | {program('true')}"
    done = subprocess.run(
        [program("bash"), "-o", "pipefail", "-c", command],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (statuses.OK, "")


@pytest.mark.parametrize(
    "closed, words, status",
    [(">&-", "inspect queues", statuses.OK), ("<&-", "add q -", statuses.OK), ("2>&-", "x", 2)],
)
def test_a_stream_that_is_closed_leads_nowhere(closed, words, status, server, program):
    """And it is no error; nothing that is for it reaches the server."""
    command = f"{sys.executable} -m workq.cli.workq {words} {closed}"
    done = subprocess.run(
        [program("bash"), "-c", command], capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_the_output_has_no_sign_for_is_escaped(more, client, process, monkeypatch):
    """The lease has been given: to lose it to an encoding would be a pity."""
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    client.add("q", "\N{GRINNING FACE}é".encode(), id=ID)
    out, err = process("lease", "q", *more).communicate(timeout=20)
    assert err == b""
    if more:
        assert json.loads(out)["payload"] == "\N{GRINNING FACE}é"
    else:
        assert out == f"{ID} ".encode() + b"\\U0001f600\xe9\n"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-02", 86_400_000),
        ("2026-11-22T09:36:24.4826Z", 1_795_340_184_482),
        ("1970-01-01T00:00:00.5", 500),
    ],
)
def test_times_are_read_as_utc_where_no_zone_is_given(text, expected):
    """To the millisecond."""
    assert read_time(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "12:00", "2026-13-01", "1795340184482"])
def test_what_is_no_time_is_told_with_one_that_is(text):
    """For argparse to print."""
    with pytest.raises(ArgumentTypeError, match="like 2026"):
        read_time(text)


def test_now_is_after_this_was_written():
    """In milliseconds."""
    assert now_ms() > read_time("2024-01-01")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("30", 30),
        ("30s", 30),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86_400),
    ],
)
def test_durations_are_seconds_unless_they_have_a_unit(text, expected):
    """As sleep takes them, and a little more."""
    assert read_duration(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1w", "1h30m", "1e3", "nan", " 1", "1 s", ".5", "1_0"])
def test_what_is_no_duration_is_told_with_some_that_are(text):
    """For argparse to print."""
    with pytest.raises(ArgumentTypeError, match="30s, 500ms"):
        read_duration(text)


def test_a_moment_has_a_zone():
    """Unlike the times of logs, which are those of one machine."""
    assert read_moment("2030-01-31T09:00+01:00") == read_moment("2030-01-31T08:00:00Z")
    with pytest.raises(ArgumentTypeError, match="has no zone"):
        read_moment("2030-01-31T09:00")


@pytest.mark.parametrize("one", workq.SUBCOMMANDS, ids=lambda one: one.NAME)
def test_what_is_imported_later_is_what_was_named(one):
    """The name stands twice, so that finding it need not import it."""
    assert isinstance(one, Later)
    assert one.module.NAME == one.NAME


def test_only_the_subcommand_that_is_called_is_needed():
    """And all, to tell what there is."""
    first, second = Trial(0), Later("second", "no.such.module")
    assert needed([first, second], ["trial", "second"]) == [first]
    assert needed([first, second], ["x"]) == needed([first, second], []) == [first, second]


def test_a_ping_does_not_read_the_server():
    """Nor asyncio: who calls a program a thousand times in a script has waited for it."""
    script = (
        "import sys; from workq.cli.workq import main;"
        "main(['ping', '--url', 'workq+unix:///nowhere', '--timeout', '0.01']);"
        "print(sorted({name.split('.')[1] for name in sys.modules if name.startswith('workq.')}));"
        "print('asyncio' in sys.modules, 'rich' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "['cli', 'errors', 'limits']\nFalse False\n"
