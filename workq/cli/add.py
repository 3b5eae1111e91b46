"""`workq add`: hand a job in, or one for each line of a file."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from workq.cli import new_jobs, statuses
from workq.cli.connection import add_options, add_queue, connect
from workq.cli.payloads import add_payload, read_payload, too_large
from workq.cli.problems import Problem, explain, status_of
from workq.cli.progress import Progress
from workq.cli.showing import print_json
from workq.cli.times import read_duration
from workq.limits import BLOCK_BYTES_MAX, READ_LINES_BYTES

NAME: Final = "add"
SUMMARY: Final = "hand a job in, or many"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_queue(parser)
    add_payload(parser)
    parser.add_argument(
        "--lines",
        metavar="FILE",
        help="a job for each line of it that is not empty; '-' for standard input",
    )
    new_jobs.add_common(parser)
    new_jobs.add_kept(parser)
    parser.add_argument(
        "--delay", type=read_duration, metavar="DURATION", help="in what time it is ready (0s)"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Add, and print the id, or how many there were."""
    said = new_jobs.arguments(options)
    if options.lines is not None:
        return _add_lines(options, said)
    payload = read_payload(options)
    with connect(options) as client:
        identity = client.add(options.queue, payload, **said)
    return new_jobs.tell(identity, options)


def _add_lines(options: Namespace, said: dict[str, Any]) -> int:
    if options.payload is not None or options.file is not None or options.id is not None:
        raise Problem("--lines has the payloads, and each job gets an id of its own")
    if options.lines == "-":
        added = _add_from(sys.stdin.buffer, "standard input", options, said)
    else:
        with Path(options.lines).open("rb") as file:
            added = _add_from(file, options.lines, options, said)
    if options.json:
        print_json({"added": added})
    else:
        print(f"added {added:,} {'job' if added == 1 else 'jobs'}")
    return statuses.OK


def _add_from(file: BinaryIO, name: str, options: Namespace, said: dict[str, Any]) -> int:
    """Add them as they come, a piece of the file at a time: a pipe may be slow."""
    from workq_client import ManyFailed, NewJob

    added = 0
    try:
        with connect(options) as client, Progress("jobs", _size(file)) as progress:
            for pieces, size in _pieces(file, name):
                jobs = [NewJob(queue=options.queue, payload=line, **said) for _, line in pieces]
                try:
                    added += client.add_many(jobs)
                except ManyFailed as error:
                    added += error.added
                    failed, first = error.errors[0]
                    number = next(
                        n for (n, _), job in zip(pieces, jobs, strict=True) if job is failed
                    )
                    raise Problem(f"{name}, line {number}: {first}", status_of(error)) from error
                progress.show(added, size)
    except KeyboardInterrupt:
        print(f"workq: broken off{_told(added)}", file=sys.stderr)
        raise
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        raise Problem(f"{explained.text}{_told(added)}", explained.status) from error
    return added


def _told(added: int) -> str:
    """How many were added before it broke off; of a request under way nobody knows."""
    were = "1 job was" if added == 1 else f"{added:,} jobs were"
    return f"\n  {were} added, and perhaps some that were under way."


def _size(file: BinaryIO) -> int | None:
    """Bytes of a file, if it has an end that is known."""
    try:
        return os.fstat(file.fileno()).st_size or None
    except OSError:
        return None


def _pieces(file: BinaryIO, name: str) -> Iterator[tuple[list[tuple[int, bytes]], int]]:
    """The lines that are not empty, with their numbers, and how much of the file was read."""
    read = number = 0
    rest = b""
    while True:
        data = file.read1(READ_LINES_BYTES) if hasattr(file, "read1") else file.read(-1)
        read += len(data)
        lines = (rest + data).split(b"\n")
        rest = lines.pop() if data else b""
        found = []
        for line in lines:
            number += 1
            found.append((number, line.removesuffix(b"\r")))
        longest = max((len(line) for _, line in found), default=0)
        if max(longest, len(rest)) > BLOCK_BYTES_MAX:
            raise Problem(too_large(f"a line of {name} near line {number}"), statuses.WRONG)
        kept = [(at, line) for at, line in found if line]
        if kept:
            yield kept, read
        if not data:
            return
