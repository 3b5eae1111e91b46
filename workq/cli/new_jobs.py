"""The options of subcommands that hand jobs in."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Final

from workq.cli import statuses
from workq.cli.showing import print_json
from workq.cli.times import read_duration

#: The options that are arguments of the client's `add`, `schedule` and `run`.
_FIELDS: Final = (
    "id", "ttr", "ttl", "delay", "priority", "max_attempts", "max_fails", "retry_delay", "backoff",
    "retry_max",
)  # fmt: skip


def add_common(parser: ArgumentParser) -> None:
    """Give a parser what all of them take."""
    parser.add_argument("--id", metavar="UUID", help="the job's id; a new one without it")
    _duration(parser, "--ttr", "how long a worker may have it (60s)")
    _number(parser, "--priority", "jobs of higher priority are leased first (0)")


def add_kept(parser: ArgumentParser) -> None:
    """Give a parser what those take whose jobs are kept and tried again."""
    _duration(parser, "--ttl", "how long it exists, its result included (1d)")
    _number(parser, "--max-attempts", "leases after which it has failed; 0 for no limit (0)")
    _number(parser, "--max-fails", "reports of failure, of which the last is final; 0 as 1 (0)")
    _duration(parser, "--retry-delay", "how long it is held back when it comes back (0s)")
    _number(parser, "--backoff", "by what that grows each time (1)")
    _duration(parser, "--retry-max", "up to what; 0 for a year (0)")


def _duration(parser: ArgumentParser, name: str, help: str) -> None:
    parser.add_argument(name, type=read_duration, metavar="DURATION", help=help)


def _number(parser: ArgumentParser, name: str, help: str) -> None:
    parser.add_argument(name, type=int, metavar="N", help=help)


def tell(identity: str, options: Namespace) -> int:
    """Print the id of a new job; return the exit status."""
    if options.json:
        print_json({"id": identity})
    else:
        print(identity)
    return statuses.OK


def arguments(options: Namespace) -> dict[str, Any]:
    """What was said, as arguments of the client's methods; they know what holds for the rest."""
    said = {name: getattr(options, name, None) for name in _FIELDS}
    return {name: value for name, value in said.items() if value is not None}
