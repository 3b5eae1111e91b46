"""How subcommands are put together: one module each, and one line in a list.

A module has a `NAME`, a `SUMMARY` of one line, and `set_up`, which gives its parser what it takes.
What is to be done is the parser's default `run`: a function of the options that returns an exit
status (`workq.cli.statuses`). A subcommand that has subcommands itself calls `add_subcommands`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Protocol, cast


class Subcommand(Protocol):
    """What the module of a subcommand has."""

    @property
    def NAME(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def SUMMARY(self) -> str:
        """What it is for, in one line that goes on from `to`."""
        ...

    def set_up(self, parser: ArgumentParser, /) -> None:
        """Give a parser what it takes, and set its default `run`."""
        ...


class Later:
    """A subcommand whose module is imported when it is needed: whoever pings a server should not
    wait until Python has read how logs are mended.

    Args:
        name: its `NAME`.
        module: the dotted name of its module.
    """

    def __init__(self, name: str, module: str) -> None:
        self.NAME = name
        self._module = module

    @property
    def module(self) -> Subcommand:
        """The module itself."""
        return cast("Subcommand", import_module(self._module))

    @property
    def SUMMARY(self) -> str:
        """That of the module."""
        return self.module.SUMMARY

    def set_up(self, parser: ArgumentParser, /) -> None:
        """As the module does."""
        self.module.set_up(parser)


def needed(subcommands: Sequence[Subcommand], words: Sequence[str]) -> Sequence[Subcommand]:
    """Those of some subcommands that a command line is about: the one it names, or all.

    Args:
        subcommands: all.
        words: of the command line, without the program's name.
    """
    named = [one for one in subcommands if words and words[0] == one.NAME]
    return named or subcommands


def add_subcommands(parser: ArgumentParser, subcommands: Iterable[Subcommand]) -> None:
    """Have a parser take one of some subcommands.

    Args:
        parser: of the program, or of a subcommand.
        subcommands: in the order of its `--help`.
    """
    under = parser.add_subparsers(required=True, metavar="SUBCOMMAND", title="subcommands")
    for one in subcommands:
        text = f"{one.SUMMARY[0].upper()}{one.SUMMARY[1:]}."
        one.set_up(under.add_parser(one.NAME, help=one.SUMMARY, description=text))
