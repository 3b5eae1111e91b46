"""`workq lease`: take jobs, as a worker does."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli import statuses
from workq.cli.connection import add_options, add_queue, connect, reach
from workq.cli.problems import Problem
from workq.cli.showing import bytes_as_json, one_line, print_json
from workq.cli.times import read_duration

NAME: Final = "lease"
SUMMARY: Final = "take jobs, as a worker does"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_queue(parser, many=True)
    parser.add_argument(
        "--wait",
        type=read_duration,
        default=0.0,
        metavar="DURATION",
        help="how long to wait for the first (0s)",
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="how many at most, up to 100 (1)"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Lease, and print id and payload of each, or all there is; `WRONG` if none came."""
    with connect(options) as client:
        reach(client)
        jobs = client.lease_many(*options.queues, count=options.count, wait=options.wait)
    if not jobs:
        raise Problem(f"no job came from {', '.join(options.queues)} in time", statuses.WRONG)
    for job in jobs:
        if options.json:
            print_json(
                {
                    "id": job.id,
                    "queue": job.queue,
                    "ttr": job.ttr,
                    "lease": job.token,
                    "attempt": job.attempt,
                    **bytes_as_json("payload", job.payload),
                }
            )
        else:
            print(f"{job.id} {one_line(job.payload)}".rstrip())
    return statuses.OK
