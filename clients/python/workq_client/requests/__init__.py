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

from workq_client.requests.looking import (
    hello,
    help,
    inspect_job,
    inspect_jobs,
    inspect_many,
    inspect_queue,
    inspect_queues,
    inspect_scheduled_jobs,
    inspect_server,
    ping,
    quit,
    result,
    results,
    stats,
)
from workq_client.requests.producing import add, delete, new, run, schedule
from workq_client.requests.request import ASK_ANEW, ONCE, Again, Request
from workq_client.requests.working import complete, fail, lease, lease_many, release, touch

__all__ = [
    "ASK_ANEW",
    "ONCE",
    "Again",
    "Request",
    "add",
    "complete",
    "delete",
    "fail",
    "hello",
    "help",
    "inspect_job",
    "inspect_jobs",
    "inspect_many",
    "inspect_queue",
    "inspect_queues",
    "inspect_scheduled_jobs",
    "inspect_server",
    "lease",
    "lease_many",
    "new",
    "ping",
    "quit",
    "release",
    "result",
    "results",
    "run",
    "schedule",
    "stats",
    "touch",
]
