"""Requests of those who look at results, jobs, queues and the server; and how connections begin."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from workq_client.answers import Shape
from workq_client.errors import InvalidRequest
from workq_client.ids import job_id
from workq_client.models import Hello, JobInfo, QueueInfo, Result, ServerInfo, Stats
from workq_client.requests.reading import (
    hello_of,
    job_info,
    job_infos,
    only,
    queue_info,
    result_of,
    results_of,
    server_info,
    stats_of,
)
from workq_client.requests.request import ASK_ANEW, Request, flags_of
from workq_client.values import Duration, integer, milliseconds, name_word


def result(id: str | uuid.UUID, *, wait: Duration = 0) -> Request[Result]:
    """Get the result of a job, as often as one likes.

        client.result(job_id, wait=30).check().value

    Args:
        id: of the job.
        wait: how long to wait for it, in seconds.

    Returns:
        The result; `check()` raises an error if it is that of a failure.

    Raises:
        TimedOut: the job is not finished.
        NotFound: there is no such job, or no longer.
        NoReply: the answer did not come in time.
    """
    identity = job_id(id)
    return Request(
        ("result", identity),
        shape=Shape.BLOCKS,
        read=lambda answer, codec: result_of(only(answer, identity), codec),
        wait_ms=milliseconds("wait", wait),
        again=ASK_ANEW,
        job_id=identity,
    )


def results(ids: Iterable[str | uuid.UUID]) -> Request[dict[str, Result]]:
    """Get the results of several jobs that are there.

        done = client.results(ids)

    Args:
        ids: of up to 100 jobs.

    Returns:
        By id, those of jobs that are finished, up to the one that makes 1 MiB of them: ask again
        for the others.
    """
    identities = _several(ids)
    return Request(
        ("result", *identities),
        shape=Shape.BLOCKS,
        read=lambda answer, codec: {one.id: one for one in results_of(answer, codec)},
        wait_ms=0,
        again=ASK_ANEW,
    )


def _several(ids: Iterable[str | uuid.UUID]) -> list[str]:
    identities = [job_id(one) for one in ids]
    if not identities:
        raise InvalidRequest("no ids were given")
    if len(identities) == 1:  # of one, that it is not there would be an error
        identities *= 2
    return identities


def inspect_job(id: str | uuid.UUID) -> Request[JobInfo]:
    """Look at a job.

        client.inspect_job(job_id).state

    Args:
        id: of the job.

    Raises:
        NotFound: there is no such job, or no longer.
    """
    identity = job_id(id)
    return Request(
        ("inspect", "job", identity),
        shape=Shape.KEYS,
        read=lambda answer, codec: job_info(only(answer, identity), codec),
        again=ASK_ANEW,
        job_id=identity,
        parts=2,
    )


def inspect_many(ids: Iterable[str | uuid.UUID]) -> Request[dict[str, JobInfo]]:
    """Look at several jobs.

        client.inspect_many(ids)

    Args:
        ids: of up to 100 jobs.

    Returns:
        By id, those that exist, up to the one that makes 1 MiB of them: ask again for the others.
    """
    identities = _several(ids)
    return Request(
        ("inspect", "job", *identities),
        shape=Shape.KEYS,
        read=lambda answer, codec: {info.id: info for info in job_infos(answer, codec)},
        again=ASK_ANEW,
        parts=2,
    )


def inspect_jobs(queue: str, *, offset: int = 0, limit: int = 100) -> Request[list[JobInfo]]:
    """Look at the ready jobs of a queue, in the order in which they will be leased.

        client.inspect_jobs("mails", limit=10)

    Args:
        queue: its name.
        offset: how many to leave out.
        limit: how many at most, up to 100; there may be fewer though there are more: they have
            1 MiB together, or are one.

    Raises:
        NotFound: nobody has named such a queue.
    """
    return _listing("jobs", queue, offset, limit)


def inspect_scheduled_jobs(
    queue: str, *, offset: int = 0, limit: int = 100
) -> Request[list[JobInfo]]:
    """Look at the jobs of a queue whose time has not come.

        client.inspect_scheduled_jobs("mails", limit=10)

    Args:
        queue, offset, limit: as for `inspect_jobs`.

    Raises:
        NotFound: nobody has named such a queue.
    """
    return _listing("scheduled-jobs", queue, offset, limit)


def _listing(what: str, queue: str, offset: int, limit: int) -> Request[list[JobInfo]]:
    return Request(
        ("inspect", what, name_word("queue", queue), *_page(offset, limit)),
        shape=Shape.KEYS,
        read=job_infos,
        again=ASK_ANEW,
        parts=2,
    )


def _page(offset: int, limit: int) -> tuple[str, str]:
    return str(integer("offset", offset)), str(integer("limit", limit))


def inspect_queue(queue: str) -> Request[QueueInfo]:
    """Look at how much a queue has to do.

        client.inspect_queue("mails").ready

    Args:
        queue: its name.

    Raises:
        NotFound: nobody has named such a queue.
    """
    return Request(
        ("inspect", "queue", name_word("queue", queue)),
        shape=Shape.KEYS,
        read=lambda answer, _: queue_info(only(answer)),
        again=ASK_ANEW,
        parts=2,
    )


def inspect_queues(*, offset: int = 0, limit: int = 100) -> Request[list[QueueInfo]]:
    """Look at the queues, by their names.

        client.inspect_queues()

    Args:
        offset: how many to leave out.
        limit: how many at most, up to 100.
    """
    return Request(
        ("inspect", "queues", *_page(offset, limit)),
        shape=Shape.KEYS,
        read=lambda answer, _: [queue_info(entry) for entry in answer.entries],
        again=ASK_ANEW,
        parts=2,
    )


def inspect_server() -> Request[ServerInfo]:
    """Look at the server.

    client.inspect_server().started
    """
    return Request(
        ("inspect", "server"),
        shape=Shape.KEYS,
        read=lambda answer, _: server_info(only(answer)),
        again=ASK_ANEW,
        parts=2,
    )


def stats() -> Request[Stats]:
    """Get the server's numbers.

    client.stats()["jobs-ready"]
    """
    return Request(
        ("stats",), shape=Shape.KEYS, read=lambda answer, _: stats_of(only(answer)), again=ASK_ANEW
    )


def ping() -> Request[None]:
    """Find out whether the server answers.

    client.ping()
    """
    return Request(("ping",), again=ASK_ANEW)


def help(*command: str) -> Request[list[str]]:
    """Get the server's own list of commands, or its words about one.

        print("\\n".join(client.help("lease")))

    Args:
        command: up to two words of its name.

    Raises:
        NotFound: there is no such command.
    """
    return Request(
        ("help", *[name_word("command", word) for word in command]),
        shape=Shape.LINES,
        read=lambda answer, _: [entry.words[0] for entry in answer.entries],
        again=ASK_ANEW,
    )


def hello(name: str | None = None) -> Request[Hello]:
    """Speak version 2 of the protocol, as each connection of a client does at its beginning.

    Args:
        name: what the client calls itself, for people.

    Returns:
        What the server can do.
    """
    return Request(
        ("hello", "2"),
        flags_of(name=name and name_word("name", name)),
        shape=Shape.KEYS,
        read=lambda answer, _: hello_of(only(answer)),
        again=ASK_ANEW,
    )


def quit() -> Request[None]:
    """Have the server close the connection; a client makes another one for the next call."""
    return Request(("quit",), again=ASK_ANEW)
