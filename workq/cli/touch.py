"""`workq touch`: let the time of a lease begin anew."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli.connection import connect
from workq.cli.leased import add_job, done, named
from workq.cli.times import read_duration

NAME: Final = "touch"
SUMMARY: Final = "let the time of a lease begin anew"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_job(parser)
    parser.add_argument(
        "--ttr", type=read_duration, metavar="DURATION", help="how long from now (the job's own)"
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Touch."""
    job = named(options)
    with connect(options) as client:
        client.touch(job, ttr=options.ttr)
    return done(options, "touched")
