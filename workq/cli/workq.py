# PYTHON_ARGCOMPLETE_OK
"""`workq`: what people and scripts do with a job server and its files.

Each subcommand is a module of this package (see `workq.cli.subcommands`) and one entry in
`SUBCOMMANDS`. What they ask of a server they ask through `workq_client`, as everybody does.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

from workq import __version__
from workq.cli import statuses
from workq.cli.problems import explain
from workq.cli.subcommands import Later, Subcommand, add_subcommands, needed

#: All subcommands, in the order of `workq --help`.
SUBCOMMANDS: Final[tuple[Subcommand, ...]] = (
    Later("add", "workq.cli.add"),
    Later("run", "workq.cli.run"),
    Later("schedule", "workq.cli.schedule"),
    Later("lease", "workq.cli.lease"),
    Later("complete", "workq.cli.complete"),
    Later("fail", "workq.cli.fail"),
    Later("release", "workq.cli.release"),
    Later("touch", "workq.cli.touch"),
    Later("result", "workq.cli.result"),
    Later("wait", "workq.cli.wait"),
    Later("delete", "workq.cli.delete"),
    Later("inspect", "workq.cli.inspect"),
    Later("stats", "workq.cli.stats"),
    Later("ping", "workq.cli.ping"),
    Later("top", "workq.cli.top"),
    Later("exec", "workq.cli.execute"),
    Later("worker", "workq.cli.worker"),
    Later("bench", "workq.cli.bench"),
    Later("cmdlog", "workq.cli.cmdlog"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line says.

    Returns:
        An exit status, see `workq.cli.statuses`.
    """
    _prepare_streams()
    options: Namespace = make_parser(arguments).parse_args(arguments)
    try:
        return _run(options)
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return statuses.OK
    except KeyboardInterrupt:
        return statuses.INTERRUPTED


def _prepare_streams() -> None:
    """See to it that whatever is printed can be. A stream that was closed for us (`>&-`) leads
    nowhere; or its number would be that of the next socket. What an encoding has no sign for is
    escaped."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(options: Namespace) -> int:
    """Run a subcommand, and say what goes wrong."""
    try:
        if getattr(options, "opens_many_files", False):
            from workq.server.process import raise_descriptor_limit

            raise_descriptor_limit()
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except Exception as error:
        explained = explain(error, getattr(options, "directory", None))
        if explained is None:
            raise
        sys.stdout.flush()
        print(f"workq: {explained.text}", file=sys.stderr)
        return explained.status
    return status


def make_parser(arguments: Sequence[str] | None) -> ArgumentParser:
    """The parser, of all subcommands or of the one that is called; it completes words for a shell
    if that asks, and then does not return.

    Args:
        arguments: of the command line; None for those of the process.
    """
    completing = "_ARGCOMPLETE" in os.environ
    words = sys.argv[1:] if arguments is None else arguments
    if completing:  # the last word may be half a name
        words = os.environ.get("COMP_LINE", "").split(" ")[1:-1]
    parser = ArgumentParser(prog="workq", description="Works with a workq job server.")
    parser.add_argument("--version", action="version", version=f"workq {__version__}")
    add_subcommands(parser, needed(SUBCOMMANDS, words))
    if completing:
        try:
            from argcomplete import autocomplete
        except ModuleNotFoundError:
            sys.exit(statuses.UNUSABLE)  # that of another installation has asked
        autocomplete(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
