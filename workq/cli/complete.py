"""`workq complete`: finish a job with success."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli.connection import connect
from workq.cli.leased import add_job, done, named
from workq.cli.payloads import add_payload, read_payload

NAME: Final = "complete"
SUMMARY: Final = "finish a job with success"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_job(parser)
    add_payload(parser, "RESULT")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Complete."""
    result = read_payload(options)
    job = named(options)
    with connect(options) as client:
        client.complete(job, result)
    return done(options, "completed")
