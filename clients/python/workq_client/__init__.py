"""The Python client of workq, a job server one can talk to with netcat.

    from workq_client import Client

    with Client("workq://127.0.0.1:9922") as client:
        job_id = client.add("resize", b"photo.jpg", ttr=30)
        job = client.lease("resize", wait=10)
        client.complete(job, b"thumb.jpg")
        print(client.result(job_id).data)

`Client` is for programs with threads, `AsyncClient` for asyncio; both have the same methods, one
for each command (`workq_client.requests`). `Worker` takes jobs and has them done by functions. What
can go wrong is in `workq_client.errors`.
"""

from typing import TYPE_CHECKING, Any

from workq_client.answers import Answer, Entry, Shape
from workq_client.client import AsyncClient, Client
from workq_client.codec import BYTES, JSON, NOTHING, TEXT, Codec
from workq_client.errors import (
    BrokenReply,
    Busy,
    ClientClosed,
    ClientError,
    DecodeError,
    DiskFull,
    DuplicateJob,
    DuplicateResult,
    InvalidArgument,
    InvalidRequest,
    JobFailed,
    LeaseLost,
    ManyFailed,
    NoReply,
    NotFound,
    OutcomeUnknown,
    OutOfMemory,
    Refused,
    ServerError,
    ShuttingDown,
    TimedOut,
    TooManyConnections,
    UnknownCommand,
    Unreachable,
    WorkqError,
)
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
from workq_client.pipelines import AsyncPipeline, Pending, Pipeline
from workq_client.requests import ASK_ANEW, ONCE, Again, Request

if TYPE_CHECKING:
    from workq_client.worker import Handler, Interrupted, Reject, Retry, Work, Worker

__version__ = "0.1.0"

__all__ = [
    "ASK_ANEW",
    "BYTES",
    "JSON",
    "NOTHING",
    "ONCE",
    "TEXT",
    "Again",
    "Answer",
    "AsyncClient",
    "AsyncPipeline",
    "BrokenReply",
    "Busy",
    "Client",
    "ClientClosed",
    "ClientError",
    "Codec",
    "DecodeError",
    "DiskFull",
    "DuplicateJob",
    "DuplicateResult",
    "Entry",
    "Handler",
    "Hello",
    "Interrupted",
    "InvalidArgument",
    "InvalidRequest",
    "Job",
    "JobFailed",
    "JobInfo",
    "LeaseLost",
    "ManyFailed",
    "NewJob",
    "NoReply",
    "NotFound",
    "OutOfMemory",
    "OutcomeUnknown",
    "Pending",
    "Pipeline",
    "QueueInfo",
    "Refused",
    "Reject",
    "Request",
    "Result",
    "Retry",
    "ServerError",
    "ServerInfo",
    "Shape",
    "ShuttingDown",
    "State",
    "Stats",
    "TimedOut",
    "TooManyConnections",
    "UnknownCommand",
    "Unreachable",
    "Work",
    "Worker",
    "WorkqError",
]

#: What is loaded when it is asked for: most programs only hand jobs in.
_OF_THE_WORKER = ("Handler", "Interrupted", "Reject", "Retry", "Work", "Worker")


def __getattr__(name: str) -> Any:
    if name in _OF_THE_WORKER:
        from workq_client import worker

        return getattr(worker, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
