"""How subcommands are put together: one module each, and one line in a list.

A module has a `NAME`, a `SUMMARY` of one line, and `set_up`, which gives its parser what it takes.
What is to be done is the parser's default `run`: a function of the options that returns an exit
status (`workq.cli.statuses`). A subcommand that has subcommands itself calls `add_subcommands`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Protocol


class Subcommand(Protocol):
    """What the module of a subcommand has."""

    NAME: str
    SUMMARY: str

    def set_up(self, parser: ArgumentParser, /) -> None:
        """Give a parser what it takes, and set its default `run`."""
        ...


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
