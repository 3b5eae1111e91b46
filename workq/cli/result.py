"""`workq result`: print the results of jobs."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli.connection import add_options, connect, reach
from workq.cli.each import add_ids, for_each
from workq.cli.results import tell
from workq.cli.times import read_duration

NAME: Final = "result"
SUMMARY: Final = "print the results of jobs"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_ids(parser)
    parser.add_argument(
        "--wait",
        type=read_duration,
        default=0.0,
        metavar="DURATION",
        help="how long to wait for all of them (0s)",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print them; `WRONG` if one is that of a failure, or is not there."""
    until = time.monotonic() + options.wait
    alone = len(options.ids) == 1
    with connect(options) as client:
        reach(client)

        def one(identity: str) -> int:
            left = max(until - time.monotonic(), 0) if options.wait else 0
            return tell(client.result(identity, wait=left), options.json, alone=alone)

        return for_each(options.ids, one)
