"""`workq inspect`: look at jobs, queues and the server."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workq.cli import statuses
from workq.cli.connection import add_options, add_queue, connect
from workq.cli.each import add_ids, for_each
from workq.cli.showing import (
    bytes_as_json,
    length,
    moment,
    one_line,
    print_facts,
    print_json,
    print_table,
    shortened,
)
from workq.cli.subcommands import add_subcommands
from workq.limits import LISTED_MAX

if TYPE_CHECKING:
    from workq_client import Client, JobInfo, QueueInfo

T = TypeVar("T")

NAME: Final = "inspect"
SUMMARY: Final = "look at jobs, queues and the server"


@dataclass(frozen=True)
class Object:
    """What can be looked at.

    Attributes:
        NAME, SUMMARY: as of any subcommand.
        takes: gives a parser what it takes.
        look: looks, prints, and returns an exit status.
    """

    NAME: str
    SUMMARY: str
    takes: Callable[[ArgumentParser], None]
    look: Callable[[Client, Namespace], int]

    def set_up(self, parser: ArgumentParser) -> None:
        """Give the parser what it takes."""
        self.takes(parser)
        add_options(parser)
        parser.set_defaults(run=self.run)

    def run(self, options: Namespace) -> int:
        """Look."""
        with connect(options) as client:
            return self.look(client, options)


def set_up(parser: ArgumentParser) -> None:
    """Give the parser its objects."""
    add_subcommands(parser, OBJECTS)


def _take_page(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--offset", type=int, default=0, metavar="N", help="how many to leave out (0)"
    )
    parser.add_argument(
        "--limit", type=_limit, default=100, metavar="N", help="how many to show at most (100)"
    )


def _limit(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _take_queue_and_page(parser: ArgumentParser) -> None:
    add_queue(parser)
    _take_page(parser)


def _paged(options: Namespace, ask: Callable[..., list[T]]) -> Iterator[T]:
    """Entries of a list, which the server shows in pieces."""
    offset, left = options.offset, options.limit
    while left > 0:
        piece = ask(offset=offset, limit=min(left, LISTED_MAX))
        yield from piece
        if not piece:
            return
        offset += len(piece)
        left -= len(piece)


def _job(client: Client, options: Namespace) -> int:
    first = True

    def one(identity: str) -> int:
        nonlocal first
        info = client.inspect_job(identity)
        if options.json:
            print_json(job_as_json(info))
            return statuses.OK
        if not first:
            print()
        first = False
        facts = job_as_json(info)
        del facts["payload_encoding"]
        print_facts(
            {
                **facts,
                "ttr": length(info.ttr),
                "ttl": length(info.ttl),
                "retry_delay": length(info.retry_delay),
                "retry_max": length(info.retry_max),
                "payload": shortened(one_line(info.payload)),
                "payload_bytes": len(info.payload),
            }
        )
        return statuses.OK

    return for_each(options.ids, one)


def job_as_json(info: JobInfo) -> dict[str, Any]:
    """A job as a JSON object; durations are seconds."""
    return {
        "id": info.id,
        "queue": info.queue,
        "state": info.state.name.lower(),
        "priority": info.priority,
        "attempts": info.attempts,
        "max_attempts": info.max_attempts,
        "fails": info.fails,
        "max_fails": info.max_fails,
        "timeouts": info.timeouts,
        "ttr": info.ttr,
        "ttl": info.ttl,
        "retry_delay": info.retry_delay,
        "backoff": info.backoff,
        "retry_max": info.retry_max,
        "created": moment(info.created),
        "time": moment(info.time),
        "held_until": moment(info.held_until),
        **bytes_as_json("payload", info.payload),
    }


def _list_jobs(options: Namespace, jobs: Iterator[JobInfo], *, scheduled: bool) -> int:
    if options.json:
        for info in jobs:
            print_json(job_as_json(info))
        return statuses.OK
    rows = [
        [
            info.id,
            info.state.name.lower(),
            info.priority,
            info.attempts,
            info.fails,
            moment((info.time or info.held_until) if scheduled else info.created),
            shortened(one_line(info.payload)),
        ]
        for info in jobs
    ]
    when = "due" if scheduled else "created"
    print_table(["id", "state", "priority", "attempts", "fails", when, "payload"], rows)
    return statuses.OK


def _jobs(client: Client, options: Namespace) -> int:
    def ask(**page: int) -> list[JobInfo]:
        return client.inspect_jobs(options.queue, **page)

    return _list_jobs(options, _paged(options, ask), scheduled=False)


def _scheduled_jobs(client: Client, options: Namespace) -> int:
    def ask(**page: int) -> list[JobInfo]:
        return client.inspect_scheduled_jobs(options.queue, **page)

    return _list_jobs(options, _paged(options, ask), scheduled=True)


def _queue(client: Client, options: Namespace) -> int:
    info = client.inspect_queue(options.queue)
    if options.json:
        print_json(_queue_as_json(info))
    else:
        print_facts(_queue_as_json(info))
    return statuses.OK


def _queue_as_json(info: QueueInfo) -> dict[str, Any]:
    return {"name": info.name, "ready": info.ready, "scheduled": info.scheduled}


def _queues(client: Client, options: Namespace) -> int:
    queues = _paged(options, client.inspect_queues)
    if options.json:
        for info in queues:
            print_json(_queue_as_json(info))
    else:
        rows = [[info.name, info.ready, info.scheduled] for info in queues]
        print_table(["queue", "ready", "scheduled"], rows)
    return statuses.OK


def _server(client: Client, options: Namespace) -> int:
    info = client.inspect_server()
    facts = {
        "active_clients": info.active_clients,
        "evicted_jobs": info.evicted_jobs,
        "started": moment(info.started),
    }
    if options.json:
        print_json(facts)
    else:
        print_facts(facts)
    return statuses.OK


#: What can be looked at, in the order of `workq inspect --help`.
OBJECTS: Final = (
    Object("job", "show jobs", add_ids, _job),
    Object(
        "jobs",
        "list the ready jobs of a queue, in the order of their leases",
        _take_queue_and_page,
        _jobs,
    ),
    Object(
        "scheduled-jobs",
        "list the jobs of a queue whose time has not come",
        _take_queue_and_page,
        _scheduled_jobs,
    ),
    Object("queue", "show how much a queue has to do", add_queue, _queue),
    Object("queues", "list the queues by their names", _take_page, _queues),
    Object("server", "show since when the server runs, and for how many", lambda _: None, _server),
)
