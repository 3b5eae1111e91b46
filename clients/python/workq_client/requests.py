"""What a client can ask: one function for each command makes its `Request`.

`Client`, `AsyncClient` and their pipelines have a method of the same name and arguments for each;
what is told here of the answer holds there. A `Request` itself is for `call`: a command that this
client does not know yet can be asked with one made by hand.

    client.call(Request(("ping",)))
    client.call(Request(("pause", "mails"), again=ASK_ANEW))       # of some later server

Durations are seconds or `timedelta`, and rounded up to milliseconds. Errors of the server are those
of `workq_client.errors.Refused`; every call may raise `Unreachable`, `Busy`, `ClientClosed`,
`BrokenReply` and `InvalidRequest` as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from workq_client.answers import Answer, Entry, Shape
from workq_client.codec import NOTHING, Codec
from workq_client.errors import (
    BrokenReply,
    DuplicateJob,
    DuplicateResult,
    InvalidRequest,
    LeaseLost,
    NotFound,
    Refused,
    TimedOut,
)
from workq_client.ids import job_id, new_id
from workq_client.models import (
    Hello,
    Job,
    JobInfo,
    NewJob,
    QueueInfo,
    Result,
    ServerInfo,
    State,
    Stats,
)
from workq_client.values import (
    TTL,
    TTR,
    Duration,
    integer,
    milliseconds,
    name_word,
    seconds,
    time_of,
    time_word,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Again:
    """What is to be done about a request that was sent when its connection broke.

    Attributes:
        repeat: whether it may be sent again. Doing it twice must be as doing it once.
        done: errors that then say that the first one had arrived, which is a success.
        unknown: errors that then leave it open what the first one has done.
        keeps: whether it changes nothing that lasts, so that its failing leaves nothing open.
    """

    repeat: bool
    done: tuple[type[Refused], ...] = ()
    unknown: tuple[type[Refused], ...] = ()
    keeps: bool = False


#: It only asks, or what it changes does no harm: it is asked anew.
ASK_ANEW: Final = Again(repeat=True, keeps=True)
#: It must not be done twice.
ONCE: Final = Again(repeat=False)
#: It takes an id, so the second time it is a duplicate.
_ADDS: Final = Again(repeat=True, done=(DuplicateJob,))
#: It ends a job, or a lease that it names.
_ENDS: Final = Again(repeat=True, unknown=(DuplicateResult, LeaseLost, NotFound))
#: It removes a job.
_REMOVES: Final = Again(repeat=True, done=(NotFound,))


def _nothing(answer: Answer, codec: Codec) -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Request(Generic[T]):
    """One request, and how its answer is read.

    Attributes:
        words: the command and its arguments, but for a wait and a size.
        flags: by name, without the `-`.
        block: payload or result, for the client's codec; or none.
        has_block: whether there is one.
        shape: of the answer.
        read: makes of the answer what the call returns.
        missing: makes it of a `TIMEOUT`, if that is no error.
        wait_ms: how long the server may wait, which is the last argument; None if it has none.
        work_ms: how much longer its answer may take than that.
        again: what is to be done if the connection breaks.
        job_id: what job it is about, for errors.
        parts: of the command's name, as errors tell it.
    """

    words: tuple[str, ...]
    flags: Mapping[str, str] = field(default_factory=dict)
    block: Any = None
    has_block: bool = False
    shape: Shape = Shape.DONE
    read: Callable[[Answer, Codec], T] = _nothing  # type: ignore[assignment]
    missing: Callable[[], T] | None = None
    wait_ms: int | None = None
    work_ms: int = 0
    again: Again = ONCE
    job_id: str | None = None
    parts: int = 1

    @property
    def command(self) -> str:
        """The name of the command."""
        return " ".join(self.words[: self.parts])

    @property
    def waits(self) -> bool:
        """Whether the server may let it wait."""
        return bool(self.wait_ms or self.work_ms)

    def encode(self, block: bytes | None, wait_ms: int | None) -> bytes:
        """The bytes of the request.

        Args:
            block: its block, if it has one.
            wait_ms: how long the server is to wait, if it may.
        """
        words = list(self.words)
        if wait_ms is not None:
            words.append(str(wait_ms))
        if block is not None:
            words.append(str(len(block)))
        for name, value in self.flags.items():
            words.append(f"-{name}={value}")
        line = " ".join(words)
        if "\r" in line or "\n" in line:
            raise InvalidRequest(f"a request of more than one line: {line[:80]!r}")
        try:
            data = line.encode("ascii") + b"\r\n"
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"a request that is not ASCII: {error}") from None
        return data if block is None else b"%b%b\r\n" % (data, block)


def _flags(**values: int | str | None) -> dict[str, str]:
    """Flags by their Python names; None and 0 are left out, for that is what they mean."""
    return {name.replace("_", "-"): str(value) for name, value in values.items() if value}


#: The options of most jobs, none of which is sent.
_PLAIN: Final[tuple[object, ...]] = (0, 0, 0, 0, 1, 0)


def _options(
    priority: int,
    max_attempts: int,
    max_fails: int,
    retry_delay: Duration,
    backoff: int,
    retry_max: Duration,
) -> dict[str, str]:
    if (priority, max_attempts, max_fails, retry_delay, backoff, retry_max) == _PLAIN:
        return {}
    return _flags(
        priority=integer("priority", priority),
        max_attempts=integer("max_attempts", max_attempts),
        max_fails=integer("max_fails", max_fails),
        retry_delay=milliseconds("retry_delay", retry_delay),
        backoff=None if backoff == 1 else str(integer("backoff", backoff)),
        retry_max=milliseconds("retry_max", retry_max),
    )


def add(
    queue: str,
    payload: Any = NOTHING,
    *,
    id: str | uuid.UUID | None = None,
    ttr: Duration = TTR,
    ttl: Duration = TTL,
    delay: Duration = 0,
    priority: int = 0,
    max_attempts: int = 0,
    max_fails: int = 0,
    retry_delay: Duration = 0,
    backoff: int = 1,
    retry_max: Duration = 0,
) -> Request[str]:
    """Hand a job in.

    Whether it arrived is never left open for long: if the connection breaks, it is sent again, and
    its id sees to it that there is one job.

        client.add("resize", b"photo.jpg", ttr=30, max_fails=3, retry_delay=5, backoff=2)

    Args:
        queue: where it waits for a worker.
        payload: what is to be done: bytes, or what the client's codec takes.
        id: a UUID of your choice; None for a new one.
        ttr: time to run, how long a lease lasts, in seconds: up to a day.
        ttl: time to live, in seconds: when it ends the job is gone, and its result with it.
        delay: in what time it is ready, in seconds; less than `ttl`.
        priority: jobs of higher priority are leased first.
        max_attempts: leases, after which it fails when the last ends without success; 0: no limit.
        max_fails: failures, of which the last one is final; 0 as 1.
        retry_delay: how long it is held back when it comes back, in seconds.
        backoff: by what that grows each time, a whole number from 1 to 100.
        retry_max: up to what, in seconds; 0 for a year.

    Returns:
        The id of the job.

    Raises:
        DuplicateJob: there is a job of this id, which was there before the call.
        OutOfMemory, DiskFull: the server has no room for it.
        OutcomeUnknown: the time was over while it was on its way.
    """
    identity = new_id() if id is None else job_id(id)
    flags = _options(priority, max_attempts, max_fails, retry_delay, backoff, retry_max)
    if delay_ms := milliseconds("delay", delay):
        flags["delay"] = str(delay_ms)
    return Request(
        ("add", identity, *_place(queue, ttr, ttl)),
        flags,
        payload,
        has_block=True,
        read=lambda _, __: identity,
        again=_ADDS,
        job_id=identity,
    )


def _place(queue: str, ttr: Duration, ttl: Duration) -> tuple[str, str, str]:
    name = name_word("queue", queue)
    return name, str(milliseconds("ttr", ttr)), str(milliseconds("ttl", ttl))


def schedule(
    queue: str,
    payload: Any = NOTHING,
    *,
    at: datetime,
    id: str | uuid.UUID | None = None,
    ttr: Duration = TTR,
    ttl: Duration = TTL,
    priority: int = 0,
    max_attempts: int = 0,
    max_fails: int = 0,
    retry_delay: Duration = 0,
    backoff: int = 1,
    retry_max: Duration = 0,
) -> Request[str]:
    """Hand a job in that is ready at a time by the server's wall clock.

        client.schedule("mails", b"good morning", at=datetime(2030, 1, 31, 8, tzinfo=UTC))

    Args:
        at: when, an aware datetime. A past one is taken as long as `ttl` from then is not over.
        ttl: time to live, in seconds, from `at` on.
        queue, payload, id, ttr, priority, max_attempts, max_fails, retry_delay, backoff, retry_max:
            as for `add`.

    Returns:
        The id of the job.

    Raises:
        DuplicateJob, OutOfMemory, DiskFull, OutcomeUnknown: as for `add`.
        InvalidArgument: it would be over already.
    """
    identity = new_id() if id is None else job_id(id)
    return Request(
        ("schedule", identity, *_place(queue, ttr, ttl), time_word("at", at)),
        _options(priority, max_attempts, max_fails, retry_delay, backoff, retry_max),
        payload,
        has_block=True,
        read=lambda _, __: identity,
        again=_ADDS,
        job_id=identity,
    )


def new(job: NewJob) -> Request[str]:
    """Hand in what a `NewJob` describes, by `add` or `schedule`.

        client.new(NewJob(queue="resize", payload=b"photo.jpg", ttr=30))

    Args:
        job: what it describes.

    Returns:
        The id of the job.

    Raises:
        InvalidRequest: it has both a delay and a time; and as for `add` and `schedule`.
    """
    options: dict[str, Any] = {
        "id": job.id,
        "ttr": job.ttr,
        "ttl": job.ttl,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "max_fails": job.max_fails,
        "retry_delay": job.retry_delay,
        "backoff": job.backoff,
        "retry_max": job.retry_max,
    }
    if job.at is None:
        return add(job.queue, job.payload, delay=job.delay, **options)
    if job.delay:
        raise InvalidRequest("a job is due at a time or after a delay, not both")
    return schedule(job.queue, job.payload, at=job.at, **options)


def run(
    queue: str,
    payload: Any = NOTHING,
    *,
    wait: Duration,
    ttr: Duration = TTR,
    id: str | uuid.UUID | None = None,
    priority: int = 0,
) -> Request[Result]:
    """Hand a job in and wait for its result, as one calls a function.

    The job lives while its caller waits. If the connection breaks it is gone, and not run again.

        client.run("shout", b"hello", wait=5).check().data

    Args:
        wait: in what time a worker must have taken it, in seconds. One that has it then may use up
            its lease: the answer may take `wait` and `ttr` together.
        queue, payload, id, ttr, priority: as for `add`.

    Returns:
        The result; `check()` raises an error if it is that of a failure.

    Raises:
        TimedOut: there is no result. A worker may have begun.
        NotFound: the job was deleted.
        DuplicateJob: there is a job of this id.
        OutOfMemory: the server has no room for it.
        OutcomeUnknown: the connection broke; a worker may have begun, or done it.
    """
    identity = new_id() if id is None else job_id(id)
    ttr_ms = milliseconds("ttr", ttr)
    return Request(
        ("run", identity, name_word("queue", queue), str(ttr_ms)),
        _flags(priority=integer("priority", priority)),
        payload,
        has_block=True,
        shape=Shape.BLOCKS,
        read=lambda answer, codec: _result(_only(answer, identity), codec),
        wait_ms=milliseconds("wait", wait),
        work_ms=ttr_ms,
        job_id=identity,
    )


def lease(*queues: str, wait: Duration = 0) -> Request[Job | None]:
    """Take the next job of one of some queues.

    If the answer is lost with the connection, the job it told of comes back when its lease is over.

        job = client.lease("resize", "mails", wait=10)

    Args:
        queues: one or more; if several have a job, the one that was served longest ago.
        wait: how long to wait for a job, in seconds.

    Returns:
        The job, or None if none came.

    Raises:
        OutOfMemory: too many wait already.
        NoReply: the answer did not come in time.
    """
    return Request(
        _lease_words(queues),
        shape=Shape.BLOCKS,
        read=_one_job,
        missing=lambda: None,
        wait_ms=milliseconds("wait", wait),
        again=ASK_ANEW,
    )


def lease_many(*queues: str, count: int, wait: Duration = 0) -> Request[list[Job]]:
    """Take several jobs at once, of those that are ready when the first is.

        for job in client.lease_many("mails", count=50, wait=10): ...

    Args:
        queues: one or more.
        count: how many at most, up to 100.
        wait: how long to wait for the first, in seconds.

    Returns:
        The jobs; none if none came. They have 1 MiB together, or are one.

    Raises:
        OutOfMemory, NoReply: as for `lease`.
    """
    return Request(
        _lease_words(queues),
        {"count": str(integer("count", count))},
        shape=Shape.BLOCKS,
        read=_jobs,
        missing=list,
        wait_ms=milliseconds("wait", wait),
        again=ASK_ANEW,
    )


def _lease_words(queues: tuple[str, ...]) -> tuple[str, ...]:
    if not queues:
        raise InvalidRequest("a lease needs a queue, or several")
    return ("lease", *[name_word("queue", queue) for queue in queues])


def _bound(job: Job | str | uuid.UUID) -> tuple[str, dict[str, str]]:
    """The id of a job, and the flag that binds a request to its lease."""
    if isinstance(job, Job):
        return job.id, _flags(lease=job.token)
    return job_id(job), {}


def complete(job: Job | str | uuid.UUID, result: Any = NOTHING) -> Request[None]:
    """Finish a job with success.

    If the connection breaks it is sent again.

        client.complete(job, b"thumb.jpg")

    Args:
        job: the job as it was leased; or its id, and then whoever has it.
        result: bytes, or what the client's codec takes; kept until the job's time to live ends.

    Raises:
        LeaseLost: the lease is over. Nothing has changed.
        DuplicateResult: the job is finished already.
        NotFound: there is no such job, or no longer.
        OutOfMemory: the server has no room for the result.
        OutcomeUnknown: it was sent more than once, and what the first has done is open.
    """
    identity, flags = _bound(job)
    return Request(
        ("complete", identity), flags, result, has_block=True, again=_ENDS, job_id=identity
    )


def fail(
    job: Job | str | uuid.UUID,
    result: Any = NOTHING,
    *,
    delay: Duration | None = None,
    final: bool = False,
) -> Request[None]:
    """Report that a job has failed. It comes back, unless it has failed often enough.

    If the connection breaks it is sent again, but not if it has only an id and is not final: it
    might be counted twice.

        client.fail(job, b"no such photo", final=True)

    Args:
        job: the job as it was leased; or its id, and then whoever has it.
        result: what went wrong: bytes, or what the client's codec takes.
        delay: how long it is held back if it comes back, in seconds; None for what `retry_delay`
            and `backoff` of the job say.
        final: whether it is not to be tried again, whatever `max_fails` says.

    Raises:
        LeaseLost, DuplicateResult, NotFound, OutOfMemory, OutcomeUnknown: as for `complete`.
    """
    identity, flags = _bound(job)
    if delay is not None:
        flags["delay"] = str(milliseconds("delay", delay))
    if final:
        flags["final"] = "1"
    return Request(
        ("fail", identity),
        flags,
        result,
        has_block=True,
        again=_ENDS if final or "lease" in flags else ONCE,
        job_id=identity,
    )


def touch(job: Job | str | uuid.UUID, *, ttr: Duration | None = None) -> Request[None]:
    """Let the time of a lease begin anew.

        client.touch(job)

    Args:
        job: the job as it was leased; or its id, and then whoever has it.
        ttr: how long from now, in seconds; None for the job's own.

    Raises:
        LeaseLost: the lease is over. Nothing has changed.
        NotFound: there is no such job, or no longer.
    """
    identity, flags = _bound(job)
    if ttr is not None:
        flags["ttr"] = str(milliseconds("ttr", ttr))
    return Request(("touch", identity), flags, again=ASK_ANEW, job_id=identity)


def release(job: Job | str | uuid.UUID) -> Request[None]:
    """Give a leased job back, as if it had never been taken.

    If the connection breaks it is sent again, but not if it has only an id: it might take the job
    from the next worker.

        client.release(job)

    Args:
        job: the job as it was leased; or its id, and then whoever has it.

    Raises:
        LeaseLost: the lease is over. Nothing has changed.
        NotFound: there is no such job, or no longer.
        OutcomeUnknown: it was sent more than once, and what the first has done is open.
    """
    identity, flags = _bound(job)
    again = _ENDS if flags else ONCE
    return Request(("release", identity), flags, again=again, job_id=identity)


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
        read=lambda answer, codec: _result(_only(answer, identity), codec),
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
        read=lambda answer, codec: {one.id: one for one in _results(answer, codec)},
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


def delete(id: str | uuid.UUID) -> Request[None]:
    """Remove a job in whatever state.

        client.delete(job_id)

    Args:
        id: of the job.

    Raises:
        NotFound: there is no such job, or no longer.
        OutcomeUnknown: the time was over while it was on its way.
    """
    identity = job_id(id)
    return Request(("delete", identity), again=_REMOVES, job_id=identity)


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
        read=lambda answer, codec: _job_info(_only(answer, identity), codec),
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
        read=lambda answer, codec: {info.id: info for info in _job_infos(answer, codec)},
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
        read=_job_infos,
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
        read=lambda answer, _: _queue_info(_only(answer)),
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
        read=lambda answer, _: [_queue_info(entry) for entry in answer.entries],
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
        read=lambda answer, _: _server_info(_only(answer)),
        again=ASK_ANEW,
        parts=2,
    )


def stats() -> Request[Stats]:
    """Get the server's numbers.

    client.stats()["jobs-ready"]
    """
    return Request(
        ("stats",), shape=Shape.KEYS, read=lambda answer, _: _stats(_only(answer)), again=ASK_ANEW
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
        _flags(name=name and name_word("name", name)),
        shape=Shape.KEYS,
        read=lambda answer, _: _hello(_only(answer)),
        again=ASK_ANEW,
    )


def quit() -> Request[None]:
    """Have the server close the connection; a client makes another one for the next call."""
    return Request(("quit",), again=ASK_ANEW)


def _only(answer: Answer, identity: str | None = None) -> Entry:
    """The one entry of an answer, which is about a certain job, if it is about one."""
    if len(answer.entries) != 1:
        raise BrokenReply(f"{len(answer.entries)} entries instead of one", b"")
    (entry,) = answer.entries
    if identity is not None and entry.words[0] != identity:
        raise BrokenReply(f"an answer about another job than {identity}", entry.words[0].encode())
    return entry


def _one_job(answer: Answer, codec: Codec) -> Job:
    return _job(_only(answer), codec)


def _jobs(answer: Answer, codec: Codec) -> list[Job]:
    return [_job(entry, codec) for entry in answer.entries]


def _job(entry: Entry, codec: Codec) -> Job:
    identity, queue, ttr, _ = entry.words
    token, attempt = entry.attributes.get("token"), entry.attributes.get("attempt")
    return Job(
        identity,
        queue,
        seconds(ttr),
        entry.block,
        None if token is None else int(token),
        None if attempt is None else int(attempt),
        codec,
    )


def _results(answer: Answer, codec: Codec) -> list[Result]:
    return [_result(entry, codec) for entry in answer.entries]


def _result(entry: Entry, codec: Codec) -> Result:
    identity, success, _ = entry.words
    return Result(identity, {"1": True, "0": False}[success], entry.block, codec)


def _job_infos(answer: Answer, codec: Codec) -> list[JobInfo]:
    return [_job_info(entry, codec) for entry in answer.entries]


def _job_info(entry: Entry, codec: Codec) -> JobInfo:
    keys = dict(entry.keys)
    keys.pop("payload-size")
    number = int
    due, held = keys.pop("time", None), keys.pop("held-until", None)
    return JobInfo(
        id=entry.words[0],
        queue=keys.pop("name"),
        payload=entry.block,
        ttr=seconds(keys.pop("ttr")),
        ttl=seconds(keys.pop("ttl")),
        priority=number(keys.pop("priority")),
        state=State(number(keys.pop("state"))),
        attempts=number(keys.pop("attempts")),
        max_attempts=number(keys.pop("max-attempts")),
        fails=number(keys.pop("fails")),
        max_fails=number(keys.pop("max-fails")),
        timeouts=number(keys.pop("timeouts")),
        retry_delay=seconds(keys.pop("retry-delay")),
        backoff=number(keys.pop("backoff")),
        retry_max=seconds(keys.pop("retry-max")),
        created=time_of(keys.pop("created")),
        time=None if due is None else time_of(due),
        held_until=None if held is None else time_of(held),
        more=keys,
        codec=codec,
    )


def _queue_info(entry: Entry) -> QueueInfo:
    keys = dict(entry.keys)
    ready, scheduled = int(keys.pop("ready-len")), int(keys.pop("scheduled-len"))
    return QueueInfo(entry.words[0], ready, scheduled, keys)


def _server_info(entry: Entry) -> ServerInfo:
    keys = dict(entry.keys)
    clients, evicted = int(keys.pop("active-clients")), int(keys.pop("evicted-jobs"))
    return ServerInfo(clients, evicted, time_of(keys.pop("started")), keys)


def _stats(entry: Entry) -> Stats:
    keys = dict(entry.keys)
    version = keys.pop("version")
    return Stats(version, {key: int(value) for key, value in keys.items() if value.isdigit()})


def _hello(entry: Entry) -> Hello:
    keys = dict(entry.keys)
    return Hello(
        version=keys.pop("version"),
        protocol=int(keys.pop("protocol")),
        block_bytes=int(keys.pop("block-bytes")),
        line_bytes=int(keys.pop("line-bytes")),
        lease_names=int(keys.pop("lease-names")),
        lease_count=int(keys.pop("lease-count")),
        ids=int(keys.pop("ids")),
        more=keys,
    )


def understand(request: Request[T], answer: Answer, codec: Codec) -> T:
    """What a call returns, from the answer to its request.

    Raises:
        BrokenReply: the answer is none to this request.
    """
    try:
        return request.read(answer, codec)
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        problem = f"no answer to {request.command} ({type(error).__name__}: {error})"
        raise BrokenReply(problem, repr(answer)[:200].encode()) from error


def missing(request: Request[T], error: Refused) -> T:
    """What a call returns when nothing came in time.

    Raises:
        TimedOut: that is an error for this request; any other error is raised as it is.
    """
    if request.missing is None or not isinstance(error, TimedOut):
        raise error
    return request.missing()
