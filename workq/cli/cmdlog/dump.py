"""`workq cmdlog dump`: what happened, one JSON object a line."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Final
from uuid import UUID

from workq.cli import statuses
from workq.cli.times import read_time
from workq.cmdlog.files import RealDisk
from workq.cmdlog.scan import Reading
from workq.cmdlog.still import Still
from workq.recovery.listing import Wanted, listing

NAME: Final = "dump"
SUMMARY: Final = "list every change as JSON lines; works beside a running server"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument("directory", metavar="DIR", help="the directory of the log")
    parser.add_argument("--job", metavar="ID", type=_read_id, help="only the changes of this job")
    parser.add_argument("--queue", metavar="NAME", help="only those of jobs in this queue")
    parser.add_argument(
        "--since", metavar="TIME", type=read_time, help="only from this time on (RFC 3339)"
    )
    parser.add_argument("--until", metavar="TIME", type=read_time, help="only before this time")
    parser.set_defaults(run=run)


def _read_id(text: str) -> bytes:
    """The id of a job in its canonical form."""
    try:
        return str(UUID(text)).encode()
    except ValueError:
        problem = f"{text!r} is not an id like 61a444a0-6128-41c0-8078-cc757d3bd2d8"
        raise ArgumentTypeError(problem) from None


def run(options: Namespace) -> int:
    """List them, up to the damage if there is some: that is told after them."""
    wanted = Wanted(
        job=options.job,
        queue=options.queue.encode() if options.queue else None,
        since_ms=options.since,
        until_ms=options.until,
    )
    with Still(RealDisk(options.directory)) as disk:
        for line in listing(Reading(disk), wanted):
            print(json.dumps(line))
    return statuses.OK
