"""`workq bench`: how fast a server answers this client.

It measures the way from a Python program and back, which takes longer than the server does: what
the server can do at most is measured in bench/, with a load generator in C.
"""

from __future__ import annotations

import os
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from workq.cli import statuses
from workq.cli.connection import add_options, connect
from workq.cli.showing import print_json, print_table
from workq.limits import BENCH_CALLS_MAX, LISTED_MAX

if TYPE_CHECKING:
    from workq_client import Client

NAME: Final = "bench"
SUMMARY: Final = "measure how fast a server answers this client"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="of add (one by one), many (in a pipeline), cycle (lease, complete); without it all",
    )
    parser.add_argument(
        "--count", type=int, default=5000, metavar="N", help="jobs for each of them (5000)"
    )
    parser.add_argument("--size", type=int, default=100, metavar="BYTES", help="of a payload (100)")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="that call at the same time (1)"
    )
    parser.add_argument(
        "--queue", metavar="QUEUE", help="a queue that nobody uses (one with our process id)"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Measure, print, and leave no job behind."""
    from workq.cli.problems import Problem

    wanted = options.what or list(_PARTS)
    if unknown := sorted(set(wanted) - set(_PARTS)):
        raise Problem(f"bench of what? {' '.join(unknown)} is none of {' '.join(_PARTS)}")
    if not (1 <= options.threads <= options.count <= BENCH_CALLS_MAX):
        raise Problem(f"--count is from --threads (1 or more) up to {BENCH_CALLS_MAX:,}")
    if options.size < 0:
        raise Problem("--size is below 0")
    options.queue = options.queue or f"workq-bench.{os.getpid()}"
    measured = []
    with connect(options) as client:
        client.ping()
        for name in wanted:
            one = _PARTS[name](client, options)
            measured.append({"what": name, **one})
            if options.json:
                print_json(measured[-1])
    if not options.json:
        rows = [list(one.values()) for one in measured]
        print_table(["what", "calls", "calls/s", "p50 ms", "p99 ms"], rows)
    return statuses.OK


def _jobs(options: Namespace) -> dict[str, Any]:
    return {"payload": b"x" * options.size, "ttr": 60, "ttl": 600}


def _add(client: Client, options: Namespace) -> dict[str, Any]:
    from workq_client.ids import new_id

    ids: list[str] = []
    said = _jobs(options)

    def add() -> None:
        identity = new_id()
        ids.append(identity)  # first, for it is deleted also if nobody knows whether it was added
        client.add(options.queue, id=identity, **said)

    try:
        return _timed(options, add)
    finally:
        _delete(client, ids)


def _many(client: Client, options: Namespace) -> dict[str, Any]:
    ids, jobs = _new(options)
    begin = time.perf_counter()
    try:
        client.add_many(jobs)
        return _told(options.count, time.perf_counter() - begin, [])
    finally:
        _delete(client, ids)


def _cycle(client: Client, options: Namespace) -> dict[str, Any]:
    ids, jobs = _new(options)
    try:
        client.add_many(jobs)

        def cycle() -> None:
            job = client.lease(options.queue)
            if job is not None:
                client.complete(job)

        return _timed(options, cycle)
    finally:
        _delete(client, ids)


def _new(options: Namespace) -> tuple[list[str], list[Any]]:
    from workq_client import NewJob
    from workq_client.ids import new_id

    ids = [new_id() for _ in range(options.count)]
    said = _jobs(options)
    return ids, [NewJob(queue=options.queue, id=one, **said) for one in ids]


_PARTS: Final[dict[str, Callable[[Client, Namespace], dict[str, Any]]]] = {
    "add": _add,
    "many": _many,
    "cycle": _cycle,
}


def _timed(options: Namespace, act: Callable[[], object]) -> dict[str, Any]:
    """Do something as often as was asked, in so many threads."""
    taken_s: list[float] = []
    over = threading.Event()

    def some(count: int) -> None:
        for _ in range(count):
            if over.is_set():
                return
            begin = time.perf_counter()
            act()
            taken_s.append(time.perf_counter() - begin)

    share, more = divmod(options.count, options.threads)
    failed: list[BaseException] = []

    def guarded(count: int) -> None:
        try:
            some(count)
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=guarded, args=(share + (at < more),), daemon=True)
        for at in range(options.threads)
    ]
    begin = time.perf_counter()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:  # Ctrl-C, perhaps before all have begun: what is still added would not be deleted
        over.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if failed:
        raise failed[0]
    return _told(options.count, time.perf_counter() - begin, taken_s)


def _told(count: int, whole_s: float, taken_s: list[float]) -> dict[str, Any]:
    taken_s.sort()

    def at(share: float) -> float | None:
        return round(taken_s[int(share * (len(taken_s) - 1))] * 1000, 3) if taken_s else None

    return {"calls": count, "calls_per_s": int(count / whole_s), "p50": at(0.5), "p99": at(0.99)}


def _delete(client: Client, ids: Iterable[str]) -> None:
    left = list(ids)
    while left:
        with client.pipeline() as pipeline:
            for one in left[:LISTED_MAX]:
                pipeline.delete(one)
        del left[:LISTED_MAX]
