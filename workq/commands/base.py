"""What a command is, and what it may use.

A command is one module: its grammar, its execution, its words. `execute` gets the `Desk` (what
the broker lends it) and the arguments its grammar made (one tuple, see `Arguments`), and returns

- bytes: the reply; or
- a wait: the broker makes the reply when the wait is satisfied or over; or
- `LATER`: nothing has changed, and the broker asks again in a later turn, when more of the
  deadlines that have come are fired.

A command that refuses changes nothing. It knows no session, and time only through the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from workq.engine.engine import Engine
from workq.engine.job import COMPLETED, Job
from workq.limits import Bounds
from workq.wire import replies
from workq.wire.fields import Field
from workq.wire.grammar import Arguments, Grammar


class Facts(NamedTuple):
    """What only the ring can know of the process; sampled about once a second.

    Attributes:
        version: of the server.
        started_ms: when it began to listen, as Unix time.
        uptime_ms: how long it has listened.
        memory_bytes: resident memory.
        long_turns: turns of the loop that took longer than `LONG_TURN_MS`.
        longest_turn_us: how long the longest one took, in microseconds.
        untaken_bytes: replies that were sent to clients that do not keep up, and not taken.
        cut_for_untaken: connections cut because that was too much.
    """

    version: str = ""
    started_ms: int = 0
    uptime_ms: int = 0
    memory_bytes: int = 0
    long_turns: int = 0
    longest_turn_us: int = 0
    untaken_bytes: int = 0
    cut_for_untaken: int = 0


class Names(Protocol):
    """The queues that are known: those with jobs, with waiters, and those merely mentioned."""

    def __contains__(self, name: bytes) -> bool:
        """Whether a name is known."""
        ...

    def __len__(self) -> int:
        """How many names are known."""
        ...

    def mention(self, names: Iterable[bytes]) -> None:
        """Remember names, as an accepted command named them."""
        ...

    def listed(self, offset: int, limit: int) -> list[bytes]:
        """The known names in byte order, `limit` from `offset` on."""
        ...


class Room(Protocol):
    """Whether there is room for what would make the server larger."""

    def refuses_job(self, payload_bytes: int, logged: bool = True) -> bytes | Later | None:
        """The error that a job with so large a payload gets instead of being taken in; None if
        it may be; `LATER` if it may be once jobs are gone that are over.

        Args:
            payload_bytes: the size of its payload.
            logged: whether it takes room in the command log too.
        """
        ...

    def refuses_wait(self, names: int) -> bytes | None:
        """The error that a request gets that would wait for a job of so many queues; None if it
        may."""
        ...

    def refuses_result(self, result_bytes: int) -> bytes | None:
        """The error that a result so large gets; None if it may be kept."""
        ...


class Desk(Protocol):
    """What the broker lends to a command while it executes."""

    engine: Engine
    facts: Facts
    bounds: Bounds
    commands: tuple[Command, ...]
    version: int  # of the protocol that the asking session speaks

    @property
    def names(self) -> Names:
        """The queues that are known."""
        ...

    @property
    def room(self) -> Room:
        """What there is room for."""
        ...

    def hand_out(self, job: Job, wait: JobWait) -> bytes:
        """Lease a ready job to the asking session, and more if it wants more; return the reply that
        tells it so."""
        ...

    def greet(self, name: bytes) -> None:
        """Let the asking session, which calls itself so, speak version 2 from now on."""
        ...

    def quit(self) -> None:
        """Close the asking session once its replies are sent."""
        ...

    def gauges(self) -> dict[str, int]:
        """The numbers of connections and requests, by name."""
        ...


class JobWait(NamedTuple):
    """Wait for a job to lease.

    Attributes:
        names: the queues it may come from.
        wait_ms: how long.
        jobs_max: how many jobs are wanted, of those that are there when the first is.
    """

    names: tuple[bytes, ...]
    wait_ms: int
    jobs_max: int = 1


class ResultWait(NamedTuple):
    """Wait for the result of a job.

    Attributes:
        job: the job.
        wait_ms: how long.
        caller: whether this is the caller of a foreground job, which goes when the wait ends.
    """

    job: Job
    wait_ms: int
    caller: bool = False


def unfinished(desk: Desk, arguments: Arguments) -> Job | bytes:
    """The job that a request reports the end of; or the error that says why it cannot be.

    Args:
        desk: of the command.
        arguments: of a request with a job's id, values of which the first is the token of the lease
            that it is bound to (None for none), and a result.
    """
    job_id, values, result = arguments
    job = desk.engine.find(job_id)
    if job is None:
        return replies.NOT_FOUND
    token = values[0]
    if token is not None and is_lost(job, token):
        return replies.LEASE_LOST
    if job.result is not None:
        return replies.DUPLICATE_RESULT
    if result and (refusal := desk.room.refuses_result(len(result))) is not None:
        return refusal
    return job


def is_lost(job: Job, token: int) -> bool:
    """Whether a lease is over: the job has another one, or none."""
    lease = job.lease
    return lease is None or lease.token != token


def held(desk: Desk, job_id: bytes, token: int | None) -> Job | bytes:
    """The job of an id, if it is leased; or the error that says why something cannot happen to its
    lease.

    Args:
        desk: of the command.
        job_id: of the job.
        token: of the lease that is meant; None for whichever it has.
    """
    job = desk.engine.find(job_id)
    if job is None:
        return replies.NOT_FOUND
    if job.lease is None or (token is not None and is_lost(job, token)):
        return replies.LEASE_LOST
    return job


#: What a command that reports the end of a job answers, for its details.
UNFINISHED_REPLIES = """\
With -lease it is done only if that lease stands; else -CLIENT-ERROR Lease lost.
+OK, -NOT-FOUND, or -CLIENT-ERROR Duplicate result when it is finished already;
-SERVER-ERROR Out of memory when a result of this size cannot be kept."""

Wait: TypeAlias = JobWait | ResultWait


class Later(Enum):
    """A request is to be asked again in a later turn."""

    LATER = 0


LATER: Final = Later.LATER

Reply: TypeAlias = bytes | Wait | Later


def leased(job: Job) -> bytes:
    """The reply that hands one job to a worker, on version 1: the usual one."""
    payload = job.payload
    return b"+OK 1\r\n%b %b %d %d\r\n%b\r\n" % (
        job.id,
        job.queue.name,
        job.options.ttr_ms,
        len(payload),
        payload,
    )


def lease_entry(job: Job, version: int) -> bytes:
    """What hands a job to a worker, in a reply of a version of the protocol."""
    payload, lease = job.payload, job.lease
    assert lease is not None
    return b"%b %b %d %d%b\r\n%b\r\n" % (
        job.id,
        job.queue.name,
        job.options.ttr_ms,
        len(payload),
        b"" if version == 1 else b" token=%d attempt=%d" % (lease.token, job.attempts),
        payload,
    )


def finished(job: Job) -> bytes:
    """The reply that tells the result of a job."""
    result = job.result
    assert result is not None
    success = job.state is COMPLETED
    return b"+OK 1\r\n%b %d %d\r\n%b\r\n" % (job.id, success, len(result), result)


def result_entry(job: Job) -> bytes:
    """What tells the result of a job, in a reply with several."""
    result = job.result
    assert result is not None
    success = job.state is COMPLETED
    return b"%b %d %d\r\n%b\r\n" % (job.id, success, len(result), result)


Execute: TypeAlias = Callable[[Desk, Any], Reply]


#: Told from the engine and the arguments.
Knows: TypeAlias = Callable[[Engine, Arguments], bool]


def WHOLE(_engine: Engine, _arguments: Arguments) -> bool:
    """Whole queues are not what they should be while anything is unfired."""
    return False


def _no_cost(_: Arguments) -> int:
    return 0


class Command(Grammar):
    """One command.

    Args:
        name, fields, flags, many, optional, block_error, make, varied, effort: see `Grammar`.
        execute: called with the desk and the arguments, as one tuple.
        summary: one line for `help`.
        details: what the replies mean, more lines for `help <command>`.
        knows: for one that looks at queues: whether it sees what it should, though deadlines that
            have come are not all fired; else it must wait. `WHOLE` if it looks at whole queues.
        naming: whether it looks at the names of queues, so that it must wait while too many that
            came and went are not taken in.
        cost: how much it does, in usual requests; a turn may do so many (limits.py). Or a function
            that tells it from the arguments.
        closing: whether it is still served while the server shuts down.
        waits: whether it may have to wait.
    """

    def __init__(
        self,
        name: str,
        fields: tuple[Field, ...] = (),
        *,
        execute: Execute,
        summary: str,
        details: str = "",
        flags: tuple[Field, ...] = (),
        many: int = 0,
        optional: int = 0,
        block_error: bytes | None = None,
        make: Callable[[list[Any], dict[str, Any]], tuple[Any, ...]] | None = None,
        varied: bool = False,
        effort: Callable[[Arguments], int] | None = None,
        knows: Knows | None = None,
        naming: bool = False,
        closing: bool = False,
        waits: bool = False,
        cost: int | Callable[[Arguments], int] = 1,
    ) -> None:
        super().__init__(
            name,
            fields,
            flags=flags,
            many=many,
            optional=optional,
            block_error=block_error,
            make=make,
            varied=varied,
            effort=effort,
        )
        self.execute = execute
        self.summary = summary
        self.details = details
        self.knows = knows
        self.naming = naming
        self.closing = closing
        self.waits = waits
        #: 0 where `weigh` tells it.
        self.cost, self.weigh = (cost, _no_cost) if isinstance(cost, int) else (0, cost)
