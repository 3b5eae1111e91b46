"""What the client hands out and takes in: frozen, with times as aware datetimes and durations in
seconds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

from workq_client.codec import BYTES, NOTHING, Codec
from workq_client.errors import DecodeError, JobFailed
from workq_client.values import TTL, TTR, Duration


def decoded(codec: Codec, data: bytes, what: str) -> Any:
    """The value of some bytes.

    Args:
        codec: that reads them.
        data: the bytes.
        what: they are, for the error.

    Raises:
        DecodeError: they are none.
    """
    try:
        return codec.decode(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise DecodeError(f"{what} cannot be read: {error}", data) from error


class _Payload:
    """What has the payload of a job."""

    __slots__ = ()

    id: str
    payload: bytes
    codec: Codec

    @property
    def value(self) -> Any:
        """The payload, read by the codec of the client.

        Raises:
            DecodeError: it cannot be.
        """
        return decoded(self.codec, self.payload, f"the payload of job {self.id}")


@dataclass(frozen=True, slots=True)
class Job(_Payload):
    """A job that was leased: work to be done.

    Hand it to `complete`, `fail`, `touch` or `release`: they name its lease, so that nothing is
    spoilt for the next worker should the lease have run out meanwhile.

    Attributes:
        id: of the job.
        queue: that it came from.
        ttr: how long the lease lasts, from when it was given, in seconds.
        payload: what is to be done, bytes.
        token: of the lease.
        attempt: which lease of the job this is, from 1 on.
        codec: that reads the payload.
    """

    id: str
    queue: str
    ttr: float
    payload: bytes
    token: int | None = None
    attempt: int | None = None
    codec: Codec = field(default=BYTES, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a job.

    Attributes:
        id: of the job.
        success: whether it was completed; else it has failed.
        data: what its worker said, bytes.
        codec: that reads it.
    """

    id: str
    success: bool
    data: bytes
    codec: Codec = field(default=BYTES, repr=False, compare=False)

    @property
    def value(self) -> Any:
        """The data, read by the codec of the client.

        Raises:
            DecodeError: it cannot be.
        """
        return decoded(self.codec, self.data, f"the result of job {self.id}")

    def check(self) -> Result:
        """This result, if it is that of a success.

        Raises:
            JobFailed: it is that of a failure.
        """
        if not self.success:
            raise JobFailed(self.id, self.data)
        return self


class State(IntEnum):
    """The state of a job, by its number in the protocol."""

    #: Was never leased: it is ready, or waits for its time.
    NEW = 0
    #: Finished with success.
    COMPLETED = 1
    #: Finished without.
    FAILED = 2
    #: Is ready again, or held back until it is, after a lease or a failure.
    PENDING = 3
    #: A worker has it.
    LEASED = 4


@dataclass(frozen=True, slots=True)
class JobInfo(_Payload):
    """What the server knows of a job.

    Attributes:
        id, queue, payload: as in `Job`.
        ttr: how long each lease lasts, in seconds.
        ttl: how long the job exists, in seconds; 0 for one that `run` handed in.
        priority: jobs of higher priority are leased first.
        state: its state.
        attempts: leases it has had.
        max_attempts: leases, after which it fails; 0 for no limit.
        fails: failures that were reported.
        max_fails: failures, of which the last is final; 0 as 1.
        timeouts: leases that ran out.
        retry_delay: how long it is held back when it comes back, in seconds,
        backoff: by what that grows each time,
        retry_max: up to what, in seconds; 0 for a year.
        created: when it was handed in.
        time: when it is due, if it was scheduled.
        held_until: when it is ready, if it is delayed or held back.
        more: keys that this client does not know.
        codec: that reads the payload.
    """

    id: str
    queue: str
    payload: bytes
    ttr: float
    ttl: float
    priority: int
    state: State
    attempts: int
    max_attempts: int
    fails: int
    max_fails: int
    timeouts: int
    retry_delay: float
    backoff: int
    retry_max: float
    created: datetime
    time: datetime | None = None
    held_until: datetime | None = None
    more: Mapping[str, str] = field(default_factory=dict)
    codec: Codec = field(default=BYTES, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """How much a queue has to do.

    Attributes:
        name: of the queue.
        ready: jobs that could be leased now.
        scheduled: jobs that wait for their time.
        more: keys that this client does not know.
    """

    name: str
    ready: int
    scheduled: int
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What `inspect server` tells.

    Attributes:
        active_clients: open connections.
        evicted_jobs: jobs that came to the end of their time to live unfinished.
        started: when the server was.
        more: keys that this client does not know.
    """

    active_clients: int
    evicted_jobs: int
    started: datetime
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stats:
    """The server's numbers.

    Attributes:
        version: of the server.
        numbers: by the names that docs/protocol.md explains, like `jobs-ready`.
    """

    version: str
    numbers: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.numbers[name]


@dataclass(frozen=True, slots=True)
class Hello:
    """What a server can do, as it tells each connection.

    Attributes:
        version: of the server.
        protocol: the version that is spoken.
        block_bytes: the largest payload or result.
        line_bytes: the longest line.
        lease_names: queues in one `lease`.
        lease_count: jobs in one `lease`.
        ids: in one `results` or `inspect_many`.
        more: keys that this client does not use.
    """

    version: str
    protocol: int
    block_bytes: int
    line_bytes: int
    lease_names: int
    lease_count: int
    ids: int
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be added, for `add_many`; what is left out is as in `add` and `schedule`.

    Attributes:
        queue, payload: what is to be done, and where.
        at: when it is due; None for now.
        id, ttr, ttl, delay, priority, max_attempts, max_fails, retry_delay, backoff, retry_max: as
            the arguments of `add`.
    """

    queue: str
    payload: Any = NOTHING
    at: datetime | None = None
    id: str | uuid.UUID | None = None
    ttr: Duration = TTR
    ttl: Duration = TTL
    delay: Duration = 0
    priority: int = 0
    max_attempts: int = 0
    max_fails: int = 0
    retry_delay: Duration = 0
    backoff: int = 1
    retry_max: Duration = 0
