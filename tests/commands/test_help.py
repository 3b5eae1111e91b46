"""help: what one can say."""

import pytest

from tests.commands.harness import Server
from workq.commands import COMMANDS
from workq.commands.base import Command


def test_help_lists_every_command_with_its_summary(server: Server) -> None:
    """In the order of the documentation, one to a line, in two columns."""
    head, *lines = server.ask("help").removesuffix("\r\n").split("\r\n")

    assert head == f"+OK {len(COMMANDS)}"
    for command, line in zip(COMMANDS, lines, strict=True):
        assert line.startswith(f"{command.name} ")
        assert line.endswith(f"  {command.summary}")
    assert len({line.index(c.summary) for c, line in zip(COMMANDS, lines, strict=True)}) == 1


@pytest.mark.parametrize("word", sorted({command.name.split(" ")[0] for command in COMMANDS}))
def test_help_explains_a_command_or_a_family(server: Server, word: str) -> None:
    """Usage, summary and details, and the number of lines."""
    head, *lines = server.ask(f"help {word}").removesuffix("\r\n").split("\r\n")
    told = [command for command in COMMANDS if command.name.split(" ")[0] == word]

    assert head == f"+OK {len(lines)}"
    for command in told:
        assert command.usage in lines
        assert f"  {command.summary}" in lines
    assert len(lines) == sum(2 + len(command.details.splitlines()) for command in told)


@pytest.mark.parametrize("word", ["me", "LEASE", "job", "leas", "\xff", "-"])
def test_other_words_are_not_found(server: Server, word: str) -> None:
    """Whatever bytes they are."""
    assert server.ask(f"help {word}") == "-NOT-FOUND\r\n"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_explains_a_command_by_its_whole_name(server: Server, command: Command) -> None:
    """One of a family alone, then."""
    head, *lines = server.ask(f"help {command.name}").removesuffix("\r\n").split("\r\n")

    assert head == f"+OK {len(lines)}"
    assert lines[:2] == [command.usage, f"  {command.summary}"]
    assert [line for line in lines if not line.startswith("  ")] == [command.usage]


@pytest.mark.parametrize("words", ["inspect nosuch", "lease job", "inspect JOB", "job inspect"])
def test_two_words_that_are_no_command_are_not_found(server: Server, words: str) -> None:
    """A command of one word has no second."""
    assert server.ask(f"help {words}") == "-NOT-FOUND\r\n"


def test_help_explains_one_command_at_a_time(server: Server) -> None:
    """A third word is too many, and flags are refused."""
    for text in ("help inspect job jobs", "help -x=1"):
        assert server.ask(text) == "-CLIENT-ERROR Invalid command args\r\n"
