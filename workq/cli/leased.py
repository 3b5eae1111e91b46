"""The options of subcommands that end or prolong a lease."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from workq.cli import statuses
from workq.cli.connection import add_options
from workq.cli.showing import print_json

if TYPE_CHECKING:
    from workq_client import Job


def add_job(parser: ArgumentParser) -> None:
    """Give a parser the job, and the lease that it must still have."""
    parser.add_argument("id", metavar="ID", help="of the job")
    parser.add_argument(
        "--lease",
        type=_token,
        metavar="TOKEN",
        help="only if the job is still leased under it; lease --json tells it",
    )
    add_options(parser)


def named(options: Namespace) -> Job | str:
    """The job that options of `add_job` are about, for the client."""
    from workq_client import Job
    from workq_client.ids import job_id

    identity = job_id(options.id)
    if options.lease is None:
        return identity
    return Job(id=identity, queue="", ttr=0, payload=b"", token=options.lease)


def done(options: Namespace, what: str) -> int:
    """Say what was done, to programs; people need not be told what they have asked for.

    Args:
        options: of the subcommand.
        what: in one word.

    Returns:
        The exit status.
    """
    if options.json:
        print_json({"id": options.id.lower(), "done": what})
    return statuses.OK


def _token(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no token: a number that `lease --json` tells")
    return int(text)
