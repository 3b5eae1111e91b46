"""`workq fail`: report that a job has failed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli.connection import connect
from workq.cli.leased import add_job, done, named
from workq.cli.payloads import add_payload, read_payload
from workq.cli.times import read_duration

NAME: Final = "fail"
SUMMARY: Final = "report that a job has failed"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_job(parser)
    add_payload(parser, "TEXT")
    parser.add_argument(
        "--delay",
        type=read_duration,
        metavar="DURATION",
        help="how long it is held back if it comes back (what --retry-delay of the job says)",
    )
    parser.add_argument("--final", action="store_true", help="it is not to be tried again")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Fail."""
    text = read_payload(options)
    job = named(options)
    with connect(options) as client:
        client.fail(job, text, delay=options.delay, final=options.final)
    return done(options, "failed")
