"""`workq schedule`: hand a job in that is ready at a time."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli import new_jobs
from workq.cli.connection import add_options, add_queue, connect
from workq.cli.payloads import add_payload, read_payload
from workq.cli.times import read_moment

NAME: Final = "schedule"
SUMMARY: Final = "hand a job in that is ready at a time"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_queue(parser)
    add_payload(parser)
    parser.add_argument(
        "--at",
        type=read_moment,
        required=True,
        metavar="TIME",
        help="when, with a zone: 2030-01-31T08:00:00Z, or 2030-01-31T09:00+01:00",
    )
    new_jobs.add_common(parser)
    new_jobs.add_kept(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Schedule, and print the id."""
    payload = read_payload(options)
    said = new_jobs.arguments(options)
    with connect(options) as client:
        identity = client.schedule(options.queue, payload, at=options.at, **said)
    return new_jobs.tell(identity, options)
