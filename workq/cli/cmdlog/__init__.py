"""`workq cmdlog`: looking at command logs, mending them, and taking one over from elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Final

from workq.cli.cmdlog import check, dump, repair, takeover
from workq.cli.subcommands import Subcommand, add_subcommands

NAME: Final = "cmdlog"
SUMMARY: Final = "look at command logs, mend them, or take one over"

#: The tools, in the order of `workq cmdlog --help`.
TOOLS: Final[tuple[Subcommand, ...]] = (check, dump, repair, takeover)


def set_up(parser: ArgumentParser) -> None:
    """Give the parser its tools."""
    add_subcommands(parser, TOOLS)
    # A log has as many files as it has, and its tools open them all.
    parser.set_defaults(opens_many_files=True)
