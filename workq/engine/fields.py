"""What is state, and of which kind (design 4): one table for every field of job and server.

*durable*: made by transitions; in dumps, digests and snapshots.
*derived*: follows from the durable; never stored, can be rebuilt from it.
*volatile*: belongs to this process and its connections; in neither.
"""

from typing import Final

DURABLE: Final = "durable"
DERIVED: Final = "derived"
VOLATILE: Final = "volatile"

#: The fields of a job. `at_ms` is the end of its TTL.
JOB: Final = {
    "id": DURABLE,
    "seq": DURABLE,
    "queue": DURABLE,
    "options": DURABLE,
    "payload": DURABLE,
    "created_ms": DURABLE,
    "due_ms": DURABLE,
    "at_ms": DURABLE,
    "time_ms": DURABLE,
    "state": DURABLE,
    "attempts": DURABLE,
    "fails": DURABLE,
    "timeouts": DURABLE,
    "lease": DURABLE,
    "result": DURABLE,
    "schedule": DERIVED,
    "_before": DERIVED,
    "_after": DERIVED,
    "foreground": VOLATILE,
    "watchers": VOLATILE,
}

#: The fields of the server's state. Foreground jobs are volatile, though they stand in `jobs`.
STATE: Final = {
    "jobs": DURABLE,
    "seq": DURABLE,
    "token": DURABLE,
    "queues": DERIVED,
    "expiries": DERIVED,
    "deadlines": DERIVED,
    "schedules": DERIVED,
    "resting": DERIVED,
    "size": DERIVED,
    "queue_count": DERIVED,
    "held_bytes": DERIVED,
    "now_ms": VOLATILE,
    "served": VOLATILE,
    "awaited": VOLATILE,
    "woken": VOLATILE,
    "changed": VOLATILE,
    "shifted": VOLATILE,
    "wall_ms": VOLATILE,
    "behind": VOLATILE,
    "commit": VOLATILE,
    "commit_bytes": VOLATILE,
    "tally": VOLATILE,
    "evicted": VOLATILE,
    "_last_seq": VOLATILE,
    "_last_token": VOLATILE,
}
