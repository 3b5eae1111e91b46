"""Subcommands of several ids: what goes wrong with one is told, and the others are done."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable

from workq.cli import statuses
from workq.cli.problems import explain


def add_ids(parser: ArgumentParser) -> None:
    """Give a parser one id or more."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="of a job")


def for_each(ids: Iterable[str], act: Callable[[str], int]) -> int:
    """Do something for each id.

    Args:
        ids: of jobs.
        act: returns an exit status, or raises what the client does.

    Returns:
        The highest status. What the server refuses for one id is told and counted; any other error
        would meet the next one too, and ends it.

    Raises:
        InvalidRequest: one of them is no id; nothing was done.
    """
    from workq_client import Refused, ServerError
    from workq_client.ids import job_id

    worst = statuses.OK
    for one in [job_id(one) for one in ids]:  # all, before anything is done
        try:
            status = act(one)
        except Refused as error:
            explained = explain(error)
            if explained is None or isinstance(error, ServerError):
                raise
            sys.stdout.flush()
            print(f"workq: {explained.text}", file=sys.stderr)
            status = explained.status
        worst = max(worst, status)
    return worst
