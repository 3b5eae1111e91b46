"""`workq run`: hand a job in and wait for its result, as one calls a function."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli import new_jobs
from workq.cli.connection import add_options, add_queue, connect, reach
from workq.cli.payloads import add_payload, read_payload
from workq.cli.results import tell
from workq.cli.times import read_duration

NAME: Final = "run"
SUMMARY: Final = "hand a job in, wait for its result and print it"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_queue(parser)
    add_payload(parser)
    parser.add_argument(
        "--wait",
        type=read_duration,
        default=60.0,
        metavar="DURATION",
        help="in what time a worker must have taken it (60s); then it has its --ttr",
    )
    new_jobs.add_common(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Run, and print the result; `WRONG` if it is that of a failure."""
    payload = read_payload(options)
    said = new_jobs.arguments(options)
    with connect(options) as client:
        reach(client)
        return tell(client.run(options.queue, payload, wait=options.wait, **said), options.json)
