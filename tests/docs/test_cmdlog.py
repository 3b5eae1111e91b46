"""The examples in docs/cmdlog.md are what the tools say, word for word."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from tests.recovery.making import places
from workq.cli import statuses
from workq.cli.cmdlog import repair
from workq.cli.workq import main
from workq.cmdlog.files import RealDisk
from workq.recovery.check import Report

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "cmdlog.md").read_text(encoding="utf-8")
GOLDEN = ROOT / "tests" / "recovery" / "golden"
GO_DIR = ROOT / "tests" / "recovery" / "data" / "go-log" / "dir"

#: The moment of the repair: 2026-11-23T08:51:31Z.
NOW_MS = 1_795_423_891_000


def examples():
    """Every command in the page with what it prints, in order."""
    return re.findall(r"^```\n\$ workq (.+)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory to work in, in which the time stands still."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(repair, "now_ms", lambda: NOW_MS)
    return tmp_path


def prepared(place, number):
    """The directory `data` as it is before an example."""
    if number == 4:
        return shutil.copytree(GO_DIR, place / "go")
    data = shutil.copytree(GOLDEN / "transitions" / "log", place / "data")
    if number in (1, 3):
        at = places(RealDisk(str(data)))[3]
        file = data / f"{at.number:09d}.log"
        content = bytearray(file.read_bytes())
        content[at.offset + 70] ^= 1
        file.write_bytes(content)
    return data


@pytest.mark.parametrize("number, status", list(enumerate([0, 1, 0, 0, 0])))
def test_an_example_is_what_the_tool_says(number, status, place, capsys):
    """With the exit status that the page tells."""
    prepared(place, number)
    command, expected = examples()[number]
    words = command.replace("/var/lib/workq-go", "go").split()
    assert main(words) == status
    assert capsys.readouterr().out.replace(" go\n", " /var/lib/workq-go\n") == expected


def test_there_is_an_example_of_each_tool():
    """And the test above takes them all."""
    assert [command.split()[1] for command, _ in examples()] == [
        "check", "check", "dump", "repair", "import",
    ]  # fmt: skip


def test_every_key_of_the_json_of_check_is_told():
    """For those who write programs."""
    keys = [field.name for field in dataclasses.fields(Report)] + ["sound"]
    assert [key for key in keys if key != "path" and f"`{key}`" not in TEXT] == []


def test_every_exit_status_is_told():
    """In the chapter on the tools."""
    chapter = " ".join(TEXT.partition("## Tools")[2].partition("###")[0].split())
    assert "exit status is 0 if all is well, 1 if the log is damaged" in chapter
    assert (statuses.OK, statuses.WRONG, statuses.BAD_USAGE, statuses.UNUSABLE) == (0, 1, 2, 3)
