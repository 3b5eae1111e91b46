"""A naive model of the life of jobs, written from the documents and not from the engine.

Jobs are plain dicts in a plain dict, time is looked at by walking over all of them, and order is
found by sorting. It has no commit, no deadlines in a calendar and no idea of being behind: it
says what should be true after each act, and nothing of how.

The sources are the job model and the clocks (design, sections 4 and 7) and the behaviour of
commands with its rulings (reference, sections 2 and 6).
"""

from __future__ import annotations

from typing import Any

from tests.engine.rebuild import Record, derived

DEADLINE_MS_MAX = 2**53
TOKENS_PER_EPOCH = 2**40
YEAR_MS = 365 * 24 * 60 * 60 * 1000


class Model:
    """All jobs, as a client would describe them."""

    def __init__(self, epoch: int = 1) -> None:
        self.now_ms = 0
        self.wall_ms = 0
        self.jobs: dict[bytes, Record] = {}
        self.evicted = 0
        self.given_seq = self.durable_seq = 0
        self.given_token = epoch * TOKENS_PER_EPOCH
        self.durable_token = 0

    # --- time ---------------------------------------------------------------------------------

    def advance(self, now_ms: int, offset_ms: int) -> None:
        """Time comes to an instant: first all TTLs end, then all leases, then delays, and then
        scheduled jobs get due."""
        self.now_ms = now_ms
        self.wall_ms = now_ms + offset_ms
        for job in list(self.jobs.values()):
            if job["at_ms"] is not None and job["at_ms"] <= now_ms:
                self.evicted += job["result"] is None
                del self.jobs[job["id"]]
        for job in self.jobs.values():
            if job["lease"] and job["lease"][1] <= now_ms:
                ended_ms = job["lease"][1]
                job["timeouts"] += 1
                self._end_lease(job, b"", ended_ms + retry_ms(job))
        for job in self.jobs.values():
            if job["hold"] is not None and job["hold"] <= now_ms:
                job.update(state="ready", hold=None)
        for job in self.jobs.values():
            if _is_scheduled(job) and job["time_ms"] <= self.wall_ms:
                job["state"] = "ready"

    def next_ms(self) -> int | None:
        """The next instant at which something happens by itself."""
        offset_ms = self.wall_ms - self.now_ms
        times = [job["at_ms"] for job in self.jobs.values() if job["at_ms"] is not None]
        times += [job["lease"][1] for job in self.jobs.values() if job["lease"]]
        times += [job["time_ms"] - offset_ms for job in self.jobs.values() if _is_scheduled(job)]
        times += [job["hold"] for job in self.jobs.values() if job["hold"] is not None]
        return min(times, default=None)

    # --- acts ---------------------------------------------------------------------------------

    def add(
        self,
        job_id: bytes,
        name: bytes,
        options: list[int],
        payload: bytes,
        time_ms: int | None,
        delay_ms: int = 0,
    ) -> str:
        """Hand a job in, due at once, after a delay or at a time of the wall clock."""
        if job_id in self.jobs:
            return "duplicate job"
        scheduled_ms = self.now_ms
        if time_ms is not None:
            scheduled_ms += time_ms - self.wall_ms
        expires_ms: int | None = scheduled_ms + options[1]
        if expires_ms is not None and expires_ms > DEADLINE_MS_MAX:
            expires_ms = None
        self._insert(job_id, name, options, payload, False)
        job = self.jobs[job_id]
        job["time_ms"] = time_ms
        job["due_ms"] = max(scheduled_ms, self.now_ms) + delay_ms
        if delay_ms:
            job.update(state="scheduled", hold=job["due_ms"])
        job["at_ms"] = expires_ms
        if scheduled_ms > self.now_ms:
            job["state"] = "scheduled"
        self.durable_seq = job["seq"]
        return "ok"

    def start(self, job_id: bytes, name: bytes, options: list[int], payload: bytes) -> str:
        """Hand a foreground job in: without TTL."""
        if job_id in self.jobs:
            return "duplicate job"
        self._insert(job_id, name, options, payload, True)
        return "ok"

    def ready(self, name: bytes) -> list[bytes]:
        """The jobs of a queue that may be leased: priority, then due time, then arrival."""
        jobs = [job for job in self.jobs.values() if job["queue"] == name and _is_free(job)]
        jobs.sort(key=lambda job: (-job["options"][2], job["due_ms"], job["seq"]))
        return [job["id"] for job in jobs]

    def lease(self, job_id: bytes) -> int:
        """Lease a ready job."""
        job = self.jobs[job_id]
        assert _is_free(job)
        self.given_token += 1
        job["state"] = "leased"
        job["attempts"] += 1
        job["lease"] = [self.given_token, self.now_ms + job["options"][0]]
        if not job["foreground"]:
            self.durable_token = self.given_token
        return self.given_token

    def give_back(self, job_id: bytes, token: int) -> None:
        """Undo a lease that still stands; its attempt does not count."""
        job = self.jobs.get(job_id)
        if job and job["lease"] and job["lease"][0] == token:
            self.release(job_id)

    def release(self, job_id: bytes) -> str:
        """Give a leased job back; the attempt does not count."""
        job = self.jobs.get(job_id)
        if job is None:
            return "not found"
        if not job["lease"]:
            return "lease lost"
        job["attempts"] -= 1
        job["lease"] = None
        job["state"] = "ready"
        return "ok"

    def touch(self, job_id: bytes, ttr_ms: int) -> str:
        """Let a lease last from now on; nothing is counted."""
        job = self.jobs.get(job_id)
        if job is None:
            return "not found"
        if not job["lease"]:
            return "lease lost"
        job["lease"][1] = self.now_ms + ttr_ms
        return "ok"

    def complete(self, job_id: bytes, result: bytes) -> str:
        """Anyone who knows the id may finish a job once."""
        job = self.jobs.get(job_id)
        if job is None:
            return "not found"
        if job["result"] is not None:
            return "duplicate result"
        job.update(state="completed", lease=None, hold=None, result=result)
        return "ok"

    def fail(
        self, job_id: bytes, result: bytes, delay_ms: int | None = None, final: bool = False
    ) -> str:
        """Count a failure; the last one finishes the job, an earlier one ends its lease only."""
        job = self.jobs.get(job_id)
        if job is None:
            return "not found"
        if job["result"] is not None:
            return "duplicate result"
        job["fails"] += 1
        max_fails = job["options"][4]
        if final or job["fails"] >= max(max_fails, 1):
            job.update(state="failed", lease=None, hold=None, result=result)
        elif job["lease"]:
            self._end_lease(
                job, result, self.now_ms + (retry_ms(job) if delay_ms is None else delay_ms)
            )
        return "ok"

    def delete(self, job_id: bytes) -> str:
        """Remove a job, whatever its state."""
        return "not found" if self.jobs.pop(job_id, None) is None else "ok"

    # --- how it looks -------------------------------------------------------------------------

    def durable(self) -> dict[str, Any]:
        """What `dump.durable` should show."""
        jobs = [dict(job) for job in self.jobs.values() if not job["foreground"]]
        for job in jobs:
            del job["foreground"]
        jobs.sort(key=lambda job: job["id"])
        return {"seq": self.durable_seq, "token": self.durable_token, "jobs": jobs}

    def rest(self) -> dict[str, Any]:
        """What `dump.rest` should show."""
        jobs = self.jobs.values()
        return derived(
            [job for job in jobs if not job["foreground"]],
            [job for job in jobs if job["foreground"]],
        )

    # --- shared -------------------------------------------------------------------------------

    def _insert(
        self, job_id: bytes, name: bytes, options: list[int], payload: bytes, foreground: bool
    ) -> None:
        self.given_seq += 1
        self.jobs[job_id] = {
            "id": job_id, "seq": self.given_seq, "queue": name, "options": list(options),
            "payload": payload, "created_ms": self.now_ms, "due_ms": self.now_ms, "at_ms": None,
            "time_ms": None, "state": "ready", "attempts": 0, "fails": 0, "timeouts": 0,
            "lease": None, "hold": None, "result": None, "foreground": foreground,
        }  # fmt: skip

    def _end_lease(self, job: Record, result: bytes, free_ms: int) -> None:
        """A lease ends without completion: out of attempts, or back to the queue, where it is held
        back until a time."""
        max_attempts = job["options"][3]
        job["lease"] = None
        if 0 < max_attempts <= job["attempts"]:
            job.update(state="failed", result=result)
        else:
            job["state"] = "ready"
            job["hold"] = free_ms if free_ms > self.now_ms else None


def retry_ms(job: Record) -> int:
    """How long a job is held back that has failed or lost its lease for the n-th time: the delay,
    times the factor for each time before, up to the greatest."""
    delay_ms, factor, max_ms = (job["options"] + [0, 1, 0][len(job["options"]) - 5 :])[5:]
    for _ in range(job["fails"] + job["timeouts"] - 1):
        delay_ms = min(delay_ms * factor, max_ms or YEAR_MS)
    return int(min(delay_ms, max_ms or YEAR_MS))


def _is_free(job: Record) -> bool:
    """Whether a job may be leased."""
    return job["state"] == "ready" and job["hold"] is None


def _is_scheduled(job: Record) -> bool:
    """Whether a job waits for a time of the wall clock."""
    return job["state"] == "scheduled" and job["hold"] is None
