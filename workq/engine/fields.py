"""What is state, and of which kind (design 4): tables of every field that the engine keeps.

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
    "hold": DURABLE,
    "_before": DERIVED,
    "_after": DERIVED,
    "foreground": VOLATILE,
    "watchers": VOLATILE,
}

#: The fields of a lease. `at_ms` is its deadline.
LEASE: Final = {
    "job": DURABLE,
    "token": DURABLE,
    "at_ms": DURABLE,
    "_before": DERIVED,
    "_after": DERIVED,
}

#: The fields of what holds a job back, shown as `hold_until_ms`. `at_ms` is its end.
HOLD: Final = {
    "job": DURABLE,
    "at_ms": DURABLE,
    "_before": DERIVED,
    "_after": DERIVED,
}

#: The same of a scheduled job, which the job's `time_ms` makes.
SCHEDULE: Final = {
    "job": DERIVED,
    "at_ms": DERIVED,
    "_before": DERIVED,
    "_after": DERIVED,
}

#: The fields of a queue: what belongs to its jobs, and the rotation among names.
QUEUE: Final = {
    "name": DERIVED,
    "ready": DERIVED,
    "scheduled": DERIVED,
    "size": DERIVED,
    "served": VOLATILE,
    "woken": VOLATILE,
}

#: The fields of the server's state. Foreground jobs are volatile, though they stand in `jobs`.
STATE: Final = {
    "jobs": DURABLE,
    "seq": DURABLE,
    "token": DURABLE,
    "offset_ms": DURABLE,
    "applied_seq": VOLATILE,
    "queues": DERIVED,
    "expiries": DERIVED,
    "deadlines": DERIVED,
    "holds": DERIVED,
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
    "late": VOLATILE,
    "unclear": VOLATILE,
    "_buries_left": VOLATILE,
    "commit": VOLATILE,
    "tally": VOLATILE,
    "evicted": VOLATILE,
    "_last_seq": VOLATILE,
    "_last_token": VOLATILE,
}
