"""`workq stats`: the server's numbers."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli import statuses
from workq.cli.connection import add_options, connect
from workq.cli.showing import print_facts, print_json

NAME: Final = "stats"
SUMMARY: Final = "print the server's numbers; docs/protocol.md explains each"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print them."""
    with connect(options) as client:
        stats = client.stats()
    facts = {"version": stats.version, **stats.numbers}
    if options.json:
        print_json(facts)
    else:
        print_facts(facts)
    return statuses.OK
