"""The transitions: every change of the durable state, as a record of values.

A transition is a tuple: its type, then its fields. It carries every decision; applying it decides
nothing. Its packed form stands on the command log for ever, so a type is never given a new
meaning and a number is never used again; fields are only ever added at the end, with a default.

- ADDED: seq, id, name, created_ms, due_ms, expires_ms, options, time_ms, payload. A job was
  handed in; it is scheduled if it is due after its creation, else ready.
- DUE: id. The time has come for a job that was scheduled, delayed or held back.
- LEASED: id, token, deadline_ms. A worker took it; `attempts` rises.
- RETURNED: id, reason, hold_until_ms. A lease ended without a result and the job goes back to its
  queue; or, if it was not leased, a failure was counted and it stays where it is.
- COMPLETED: id, result. It has succeeded.
- FAILED: id, reason, result. It has failed for good.
- EXPIRED: id. Its TTL ended: it is gone.
- DELETED: id. It was removed: it is gone.
- STARTED: as ADDED. A foreground job was handed in: never on the log, nor is what becomes of it.
- RESTORED: as ADDED, then state, attempts, fails, timeouts, token, deadline_ms, result,
  hold_until_ms. A job as it stood when a snapshot was made, or as it was taken over from another
  server.
- COUNTERS: seq, token. How far the numbers had come that are never used twice.
- TOUCHED: id, deadline_ms. The lease of a job ends at another time.
- DELAYED: as ADDED. A job was handed in that is due later by the time that never steps; `time_ms`
  is None.
- CLOCK: offset_ms. What the wall clock is ahead of the time that never steps; that has changed.

`state` is the place of a job's state in `workq.engine.job.STATES`; `token` and `deadline_ms` are of
its lease and None without one, `result` is None while it has none.

`hold_until_ms` is until when a job is held back by the time that never steps. It was added later:
None, or not there at all, for not held back.

`expires_ms` and `time_ms` may be None. `options` are the fields of `workq.engine.job.Options`.
`name` and `id` are bytes; the id in its canonical text form.
"""

from typing import Any, Final, TypeAlias

#: A transition: the type, then the fields in the order of the table above.
Transition: TypeAlias = tuple[Any, ...]

ADDED: Final = 1
DUE: Final = 2
LEASED: Final = 3
RETURNED: Final = 4
COMPLETED: Final = 5
FAILED: Final = 6
EXPIRED: Final = 7
DELETED: Final = 8
STARTED: Final = 9
RESTORED: Final = 10
COUNTERS: Final = 11
TOUCHED: Final = 12
DELAYED: Final = 13
CLOCK: Final = 20

NAMES: Final = {
    ADDED: "added",
    DUE: "due",
    LEASED: "leased",
    RETURNED: "returned",
    COMPLETED: "completed",
    FAILED: "failed",
    EXPIRED: "expired",
    DELETED: "deleted",
    STARTED: "started",
    RESTORED: "restored",
    COUNTERS: "counters",
    TOUCHED: "touched",
    DELAYED: "delayed",
    CLOCK: "clock",
}

#: Those that happen while the server serves; the others are met at its start only.
SERVING: Final = (*range(ADDED, STARTED + 1), TOUCHED, DELAYED)

# Why a lease ended without a completion: which counter moves.
TIMED_OUT: Final = 1  # its deadline passed: timeouts + 1
FAILURE: Final = 2  # it was failed by command: fails + 1
GIVEN_BACK: Final = 3  # it never reached a worker, or was released: attempts - 1
