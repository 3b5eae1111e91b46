"""`workq`: what people and scripts do with a job server and its files.

Each subcommand is a module of this package (see `workq.cli.subcommands`) and one entry in
`SUBCOMMANDS`.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

from workq import __version__
from workq.cli import cmdlog, statuses
from workq.cli.subcommands import Subcommand, add_subcommands
from workq.errors import CorruptionError, GoLogError, WorkqError
from workq.server.process import raise_descriptor_limit

#: All subcommands, in the order of `workq --help`.
SUBCOMMANDS: Final[tuple[Subcommand, ...]] = (cmdlog,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line says.

    Returns:
        An exit status, see `workq.cli.statuses`.
    """
    parser = ArgumentParser(prog="workq", description="Works with a workq job server.")
    parser.add_argument("--version", action="version", version=f"workq {__version__}")
    add_subcommands(parser, SUBCOMMANDS)
    options: Namespace = parser.parse_args(arguments)
    raise_descriptor_limit()  # a log has as many files as it has, and its tools open them all
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return statuses.OK
    except KeyboardInterrupt:
        return statuses.INTERRUPTED
    except (CorruptionError, GoLogError) as error:
        return _refuse(error, statuses.WRONG)
    except WorkqError as error:
        return _refuse(error, statuses.UNUSABLE)
    except OSError as error:
        where = error.filename or getattr(options, "directory", None)
        problem = [str(part) for part in (where, error.strerror or error) if part]
        return _refuse(": ".join(problem), statuses.UNUSABLE)
    return status


def _refuse(problem: object, status: int) -> int:
    sys.stdout.flush()
    print(f"workq: {problem}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
