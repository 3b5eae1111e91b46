"""Bytes that are handed in: from an argument, a file, or standard input."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from workq.cli import statuses
from workq.cli.problems import Problem
from workq.limits import BLOCK_BYTES_MAX


def add_payload(parser: ArgumentParser, metavar: str = "PAYLOAD") -> None:
    """Give a parser a payload, or a result.

    Args:
        parser: of a subcommand.
        metavar: what it is called.
    """
    parser.add_argument(
        "payload", nargs="?", metavar=metavar, help="text; '-' for standard input; or nothing"
    )
    parser.add_argument("--file", metavar="FILE", help="read it from there; '-' as above")


def read_payload(options: Namespace) -> bytes:
    """The bytes that options of `add_payload` tell of.

    Raises:
        Problem: it is given twice, or larger than the server takes.
        OSError: the file cannot be read.
    """
    if options.payload is not None and options.file is not None:
        raise Problem("both an argument and --file: which is it?")
    if options.file not in (None, "-"):
        with Path(options.file).open("rb") as file:
            data = file.read(BLOCK_BYTES_MAX + 1)
    elif "-" in (options.payload, options.file):
        data = sys.stdin.buffer.read(BLOCK_BYTES_MAX + 1)
    else:
        data = os.fsencode(options.payload or "")
    if len(data) > BLOCK_BYTES_MAX:
        raise Problem(too_large("this"), statuses.WRONG)
    return data


def too_large(what: str) -> str:
    """What is said of a block that the server would not take."""
    return (
        f"{what} has more than {BLOCK_BYTES_MAX:,} bytes, and no payload or result may; "
        "put it where workers can read it, and send its name"
    )
