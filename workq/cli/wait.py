"""`workq wait`: wait until jobs are finished, whatever becomes of them."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from workq.cli import statuses
from workq.cli.connection import add_options, connect, reach
from workq.cli.each import add_ids, for_each
from workq.cli.results import outcome
from workq.cli.showing import print_json
from workq.cli.times import read_duration

if TYPE_CHECKING:
    from workq_client import Client, Result

NAME: Final = "wait"
SUMMARY: Final = "wait until jobs are finished"

#: How long one request waits at a time, where there is no end to it.
_PIECE_S: Final = 3600.0


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_ids(parser)
    parser.add_argument(
        "--wait", type=read_duration, metavar="DURATION", help="for how long (without end)"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Wait, and tell the state of each; `WRONG` if one failed, is gone, or was not finished."""
    until = None if options.wait is None else time.monotonic() + options.wait
    with connect(options) as client:
        reach(client)

        def one(identity: str) -> int:
            result = _finished(client, identity, until)
            if options.json:
                print_json({"id": result.id, "state": outcome(result)})
            else:
                print(f"{result.id} {outcome(result)}", flush=True)
            return statuses.OK if result.success else statuses.WRONG

        return for_each(options.ids, one)


def _finished(client: Client, identity: str, until: float | None) -> Result:
    from workq_client import TimedOut

    while True:
        left = _PIECE_S if until is None else max(until - time.monotonic(), 0)
        try:
            return client.result(identity, wait=min(left, _PIECE_S))
        except TimedOut:
            if left <= _PIECE_S and until is not None:
                raise
