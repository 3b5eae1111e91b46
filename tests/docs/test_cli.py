"""docs/cli.md: every subcommand and option is told, and the examples print what they say."""

import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path

import pytest
from workq_client.testing import Server

from workq.cli import statuses
from workq.cli.workq import SUBCOMMANDS, main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

#: What shells do and we do not: such a block is run by one.
SHELL = re.compile(r"[|<>&`]|\$[^ ]")


def section(heading):
    """The text below a heading, to the next of its kind or above."""
    level = heading.split()[0]
    assert f"\n{heading}\n" in PAGE, heading
    rest = PAGE.split(f"\n{heading}\n")[1]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def parsers(parser):
    """A parser and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for one in action.choices.values():
                yield from parsers(one)


def options(subcommand):
    """All long options that a subcommand has."""
    parser = ArgumentParser()
    subcommand.set_up(parser)
    return {
        option
        for one in parsers(parser)
        for action in one._actions
        for option in action.option_strings
        if option.startswith("--")
    }


@pytest.mark.parametrize("subcommand", SUBCOMMANDS, ids=lambda one: one.NAME)
def test_every_subcommand_is_told_with_its_options_and_no_other(subcommand):
    """Those that all have are told once; those of cmdlog on the page of the log."""
    text = section(f"### {subcommand.NAME}")
    assert f"    workq {subcommand.NAME}" in text
    if subcommand.NAME == "cmdlog":
        return
    shared = {"--url", "--timeout", "--json", "--help"}
    assert all(f"`{option}" in section("## What holds for all") for option in shared)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    told = set(re.findall(r"--[a-z][a-z-]*", prose))
    known = options(subcommand)
    assert known - shared - told == set()
    also = {"--max-fails", "--retry-delay", "--lease", "--ttr"}  # of other subcommands
    assert told - known - also == set()


def test_every_exit_status_is_told_and_no_other():
    """The table is `workq.cli.statuses`."""
    told = re.findall(r"^\| (\d+) \|", section("## Exit statuses"), re.MULTILINE)
    known = {value for name, value in vars(statuses).items() if name.isupper()}
    assert {int(one) for one in told} == known


def blocks():
    """Each example: whether what it prints varies, and its commands with what they print."""
    found = re.findall(r"^```console( varies)?\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == PAGE.count("```console")
    for varies, text in found:
        steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
        yield bool(varies), steps


def alike(text):
    """A text without what is never twice the same."""
    text = re.sub(r"\S+://[^\s,]+", "URL", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"[0-9][0-9,.]*", "0", text)
    return re.sub(r" +", " ", text)


class Session:
    """Somebody who types the examples one after the other."""

    def __init__(self, folder, url, capsys):
        self.folder = folder
        self.capsys = capsys
        self.status = 0
        program = folder / "workq"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m workq.cli.workq "$@"\n')
        program.chmod(0o755)
        self.environment = {"PATH": f"{folder}:/usr/bin:/bin", "WORKQ_URL": url}

    def type(self, command):
        """What is shown for a command."""
        if command == "echo $?":
            return f"{self.status}\n"
        if not SHELL.search(command.replace("$word", "|")):
            self.status = main(shlex.split(command)[1:])
            printed = self.capsys.readouterr()
            return printed.out + printed.err
        return self.shell(command)

    def shell(self, script):
        """What is shown for lines in a shell."""
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, text=True, timeout=30,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        self.status = done.returncode
        return done.stdout


def test_the_examples_print_what_the_page_says(tmp_path, monkeypatch, capsys, program):
    """In order, against one server on which the time is known."""
    program("bash")
    with Server(now=datetime(2030, 1, 1, tzinfo=UTC)) as server:
        monkeypatch.setenv("WORKQ_URL", server.url)
        monkeypatch.chdir(tmp_path)
        session = Session(tmp_path, server.url, capsys)
        for varies, steps in blocks():
            if any(command.endswith("&") for command, _ in steps):  # together, or the end is lost
                shown = session.shell("\n".join(command for command, _ in steps))
                assert shown.rstrip() == "".join(told for _, told in steps).rstrip()
                continue
            for command, told in steps:
                shown = session.type(command).rstrip()
                if varies:
                    shown, told = alike(shown), alike(told)
                shown = re.sub("(2030-01-01T00:00):[0-5][0-9]Z", r"\1:00Z", shown)
                assert shown == told.rstrip(), command
