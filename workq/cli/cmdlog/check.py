"""`workq cmdlog check`: is a log sound, and what is in it?"""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from workq.cli import statuses
from workq.cli.cmdlog.words import amount
from workq.cmdlog.files import RealDisk
from workq.cmdlog.segment import segment_name, snapshot_name
from workq.cmdlog.still import Still
from workq.recovery.check import Report, check, measure_aside
from workq.recovery.listing import shown_time

NAME: Final = "check"
SUMMARY: Final = "verify a log and count what is in it; works beside a running server"


#: What is no part of the log any more.
_YOURS: Final = "kept until you remove them"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument("directory", metavar="DIR", help="the directory of the log")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Check, and say what was found; `WRONG` if the log is damaged."""
    with Still(RealDisk(options.directory)) as disk:
        report = check(disk)
    measure_aside(report)
    if options.json:
        shown = {"sound": report.damage is None, **dataclasses.asdict(report)}
        print(json.dumps(shown))
    else:
        print("\n".join(lines(report)))
    return statuses.OK if report.damage is None else statuses.WRONG


def lines(report: Report) -> Iterator[str]:
    """A report for people."""
    damage = report.damage
    if damage is None:
        yield f"{report.path}: sound"
    else:
        yield f"{report.path}: DAMAGED, a server refuses to start from it"
        yield f"  {damage.path}, byte {damage.offset}: {damage.problem}"
        yield f"  What can be done: workq cmdlog repair {report.path} (changes nothing unasked)"
        yield "Before the damage there are"
    for name, text in _facts(report):
        yield f"  {name:<10} {text}"
    if report.queues:
        width = max(len("queue"), *map(len, report.queues))
        yield ""
        yield f"{'queue':<{width}}  {'jobs':>10}  {'bytes':>14}"
        for name, share in report.queues.items():
            yield f"{name:<{width}}  {share.jobs:>10,}  {share.bytes:>14,}"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    if (snapshot := report.snapshot) is not None:
        size = f"{amount(snapshot.records, 'record')}, {amount(snapshot.bytes, 'byte')}"
        name = snapshot_name(snapshot.number)
        yield "snapshot", f"{name}: everything up to position {snapshot.position:,}; {size}"
    yield "segments", _segments(report)
    if report.last_position:
        yield "positions", f"{report.first_position:,} to {report.last_position:,}"
        if report.safe < report.last_position - 1:
            yield "vouched", f"up to {report.safe:,}; what comes later may not have been synced"
        times = shown_time(report.first_time_ms), shown_time(report.last_time_ms)
        yield "times", f"{times[0]} to {times[1]}"
        end = "the last stopped in order"
        if not report.stopped:
            end = "no stop at the end: a server is running, or did not end in order"
        yield "epochs", f"{report.first_epoch} to {report.last_epoch}; {end}"
    yield "frames", _counts(report.frames)
    yield "records", _counts(report.records)
    yield "jobs", _counts(report.jobs)
    yield "digest", report.digest
    if (tail := report.tail) is not None:
        where = f"{segment_name(tail.segment)} from byte {tail.offset} on"
        if tail.later_segments:
            where += f" and {amount(len(tail.later_segments), 'later segment')}"
        yield "tail", f"{where}: never synced, {amount(tail.frames, 'whole frame')} in it"
        yield "", "A running server is just writing it; if there is none, the next start cuts it"
        yield "", "off and keeps it as .cut."
    if report.cut_files:
        files = amount(len(report.cut_files), ".cut file")
        yield "cut", f"{files}, {amount(report.cut_bytes, 'byte')}, from earlier starts, {_YOURS}"
    if report.repaired:
        count = len(report.repaired)
        directories = "1 directory" if count == 1 else f"{count:,} directories"
        yield "repaired", f"{directories}, {amount(report.repaired_bytes, 'byte')}, {_YOURS}"


def _segments(report: Report) -> str:
    if not report.segments:
        return "none"
    first, last = segment_name(report.segments[0]), segment_name(report.segments[-1])
    names = first if first == last else f"{first} to {last}"
    kept = report.kept_segments
    more = f"; {amount(kept, 'older one')} not needed any more, and not read" if kept else ""
    snapshot = " with the snapshot" if report.snapshot else ""
    return f"{names}, {amount(report.bytes, 'byte')}{snapshot}{more}"


def _counts(counts: Mapping[str, int]) -> str:
    found: Iterable[str] = (f"{name} {count:,}" for name, count in counts.items() if count)
    return ", ".join(found) or "none"
