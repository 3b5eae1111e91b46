"""`workq release`: give a leased job back, as if it had never been taken."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli.connection import connect
from workq.cli.leased import add_job, done, named

NAME: Final = "release"
SUMMARY: Final = "give a leased job back, as if it had never been taken"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_job(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Release."""
    job = named(options)
    with connect(options) as client:
        client.release(job)
    return done(options, "released")
