"""The derived part of the state, built anew from the durable one.

Shares no code with the engine: a job is a record as `dump.durable` shows it, and what follows
from all records is found by looking at each.
"""

from collections.abc import Iterable
from typing import Any

Record = dict[str, Any]


def derived(durable: Iterable[Record], foreground: Iterable[Record] = ()) -> dict[str, Any]:
    """What `dump.rest` should show, given the records of the jobs."""
    foreground = list(foreground)
    jobs = [*durable, *foreground]
    states = ("scheduled", "ready", "leased", "completed", "failed")
    return {
        "foreground": sorted(job["id"] for job in foreground),
        "queues": {
            name: _queue([job for job in jobs if job["queue"] == name])
            for name in sorted({job["queue"] for job in jobs})
        },
        "expiries": sorted((job["at_ms"], job["id"]) for job in jobs if job["at_ms"] is not None),
        "deadlines": sorted((job["lease"][1], job["id"]) for job in jobs if job["lease"]),
        "holds": sorted((job["hold"], job["id"]) for job in jobs if job["hold"] is not None),
        "schedules": sorted(
            (job["time_ms"], job["id"])
            for job in jobs
            if job["state"] == "scheduled" and job["hold"] is None
        ),
        "counts": {state: sum(job["state"] == state for job in jobs) for state in states},
        "size": len(jobs),
        "queue_count": len({job["queue"] for job in jobs}),
        "held_bytes": sum(len(job["payload"]) + len(job["result"] or b"") for job in jobs),
    }


def _queue(jobs: list[Record]) -> dict[str, Any]:
    def ids(*, held: bool) -> list[bytes]:
        inside = [job for job in jobs if job["state"] in ("scheduled", "ready")]
        inside = [job for job in inside if held == _waits(job)]
        # A record's options are [ttr_ms, ttl_ms, priority, …].
        inside.sort(key=lambda job: (-job["options"][2], job["due_ms"], job["seq"]))
        return [job["id"] for job in inside]

    return {"ready": ids(held=False), "scheduled": ids(held=True), "size": len(jobs)}


def _waits(job: Record) -> bool:
    """Whether a job waits for its time: scheduled, delayed, or held back after it came back."""
    return job["state"] == "scheduled" or job["hold"] is not None
