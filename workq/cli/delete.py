"""`workq delete`: remove jobs in whatever state."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli import statuses
from workq.cli.connection import add_options, connect
from workq.cli.each import add_ids, for_each
from workq.cli.showing import print_json

NAME: Final = "delete"
SUMMARY: Final = "remove jobs in whatever state"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_ids(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Delete them; `WRONG` if one was not there."""
    with connect(options) as client:

        def one(identity: str) -> int:
            client.delete(identity)
            if options.json:
                print_json({"id": identity, "done": "deleted"})
            return statuses.OK

        return for_each(options.ids, one)
