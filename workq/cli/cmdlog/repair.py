"""`workq cmdlog repair`: makes a log that a server refuses into one that it starts from.

Without `--yes` it tells what is damaged and what would be lost; on a terminal it then asks.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Final

from workq.cli import statuses
from workq.cli.cmdlog.words import amount
from workq.cli.times import now_ms
from workq.cmdlog.files import RealDisk
from workq.cmdlog.settle import lock
from workq.errors import CorruptionError, DirectoryError
from workq.recovery.repair import CUT, SKIP, damage_of, plan, repair
from workq.recovery.salvage import NAMED_JOBS_MAX, Salvage

NAME: Final = "repair"
SUMMARY: Final = "make a damaged log usable again, keeping all that was there"

#: What has to be typed.
WORD: Final = "repair"

#: So many places of damage are told one by one.
PLACES_MAX: Final = 20


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument("directory", metavar="DIR", help="the directory of the log")
    parser.add_argument("--yes", action="store_true", help="do it, and do not ask")
    parser.add_argument(
        "--cut",
        action="store_const",
        dest="way",
        const=CUT,
        default=SKIP,
        help="end the log where the damage begins, instead of skipping what is damaged",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Tell, ask, and mend; `WRONG` if there is damage and it was not mended."""
    disk = RealDisk(options.directory)
    try:
        lock(disk)
    except DirectoryError as error:
        raise DirectoryError(disk.path, "a server uses this log: stop it first") from error
    try:
        damage = damage_of(disk)
        if damage is None:
            print(f"{disk.path}: nothing to repair, a server starts from it as it is")
            return statuses.OK
        found = plan(disk, options.way)
        print("\n".join(lines(disk.path, damage, found, options.way)), flush=True)
        if not (options.yes or _is_wanted()):
            print(f"\nNothing was changed. To do it: workq cmdlog repair {_words(options)} --yes")
            return statuses.WRONG
        aside = repair(disk, found, options.way, now_ms())
    finally:
        disk.unlock()
    print(f"\nRepaired. All old files are in {disk.path}/{aside}: keep them until you are sure.")
    print("The log says what was done: a line of type repair in workq cmdlog dump.")
    return statuses.OK


def _is_wanted() -> bool:
    """Ask, if there is somebody to ask."""
    if not sys.stdin.isatty():
        return False
    try:
        return input(f'\nType "{WORD}" to do it: ').strip() == WORD
    except EOFError:
        return False


def _words(options: Namespace) -> str:
    return f"{options.directory}{' --cut' if options.way == CUT else ''}"


def lines(path: str, damage: CorruptionError, found: Salvage, way: str) -> Iterator[str]:
    """What is damaged, and what a repair would make of it, for people."""
    yield f"{path}: DAMAGED"
    yield f"  a server refuses to start: {damage}"
    yield "Damage:"
    for place in found.damage[:PLACES_MAX]:
        yield f"  {place}"
    if len(found.damage) > PLACES_MAX:
        yield f"  and {amount(len(found.damage) - PLACES_MAX, 'place')} more"
    for first, last in found.lost[:PLACES_MAX]:
        runs = f"frame {first}" if first == last else f"frames {first} to {last}"
        yield f"  {runs}: lost, and with it whatever it said"
    if way == CUT:
        yield f"Cut before frame {found.broken_from}, the log would hold"
    else:
        yield "Without what is damaged, the log would hold"
    jobs = ", ".join(f"{name} {count:,}" for name, count in found.state.counts.items())
    yield f"  jobs: {jobs}"
    yield f"  taken: {amount(found.applied, 'transition')}, {amount(found.frames, 'frame')}"
    yield from _losses(found)


def _losses(found: Salvage) -> Iterator[str]:
    """What would not be taken, or not as it stands."""
    if found.left_out:
        yield f"  not taken: {amount(found.left_out, 'good frame')} behind the cut"
    for why, count in found.skipped.items():
        yield f"  not taken: {amount(count, 'transition')} {why}"
    if found.named_jobs:
        names = ", ".join(job_id.decode("ascii", "replace") for job_id in found.named_jobs)
        more = " …" if len(found.named_jobs) == NAMED_JOBS_MAX else ""
        yield f"    of the jobs {names}{more}"
    if found.made_up:
        yield f"  made up: {amount(found.made_up, 'transition')} that others tell of"
    yield "  Jobs whose end was lost are handed out again; jobs whose beginning was lost are gone."
