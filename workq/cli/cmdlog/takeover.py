"""`workq cmdlog import`: makes a new log of one of the original server, written in Go."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import Final

from workq.cli import statuses
from workq.cli.cmdlog.words import amount
from workq.cli.times import now_ms, read_time
from workq.cmdlog.files import RealDisk
from workq.engine.job import STATES
from workq.limits import CLOCK_BEHIND_MS_MAX
from workq.recovery.takeover import take_over

NAME: Final = "import"
SUMMARY: Final = "make a new log of a directory of the original Go server"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument("source", metavar="GO-DIR", help="its directory; nothing there is changed")
    parser.add_argument("directory", metavar="DIR", help="the new directory, made if it is missing")
    parser.add_argument(
        "--now",
        metavar="TIME",
        type=read_time,
        help="look at the jobs as they stood at this time (RFC 3339); the default is now",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Make it, and say what is in it; warnings go to stderr."""
    clock_ms = now_ms()
    at_ms = clock_ms if options.now is None else options.now
    log = take_over(Path(options.source), RealDisk(options.directory, make=True), at_ms, os.urandom)
    for warning in log.warnings:
        print(f"workq: {warning}", file=sys.stderr)
    counts = Counter(job.state for job in log.jobs)
    told = ", ".join(f"{state} {counts[state]:,}" for state in STATES)
    print(f"{options.directory}: {amount(len(log.jobs), 'job')} from {options.source}")
    print(f"  jobs       {told}")
    print(f"  read       {amount(log.records, 'record')}, {amount(len(log.warnings), 'warning')}")
    print(f"  left out   {amount(log.expired, 'job')} whose TTL had ended")
    print(f"             {amount(log.homeless, 'record')} of no job (of run, mostly)")
    flag = ""
    if at_ms - clock_ms > CLOCK_BEHIND_MS_MAX:
        flag = " --accept-clock"
        print("  The time of the import is in the future: the server needs --accept-clock once.")
    print(f"Start with: workq-server --cmdlog-path {options.directory}{flag}")
    return statuses.OK
