"""How results are told, and with which exit status."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from workq.cli import statuses
from workq.cli.showing import bytes_as_json, one_line, print_json

if TYPE_CHECKING:
    from workq_client import Result


def tell(result: Result, as_json: bool, *, alone: bool = True) -> int:
    """Print a result.

    Args:
        result: of a job.
        as_json: as a JSON object on a line.
        alone: whether it is the only one: then its bytes are printed as they are.

    Returns:
        The exit status: `WRONG` if the job has failed.
    """
    if as_json:
        print_json(
            {
                "id": result.id,
                "state": outcome(result),
                **bytes_as_json("result", result.data),
            }
        )
    elif not alone:
        print(f"{result.id} {outcome(result)} {one_line(result.data)}".rstrip(), flush=True)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(result.data)
        if sys.stdout.isatty() and result.data and not result.data.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        if not result.success:
            print(f"workq: job {result.id} has failed", file=sys.stderr)
    return statuses.OK if result.success else statuses.WRONG


def outcome(result: Result) -> str:
    """The state that a job with this result has."""
    return "completed" if result.success else "failed"
