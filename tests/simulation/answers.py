"""What each command must answer, of the jobs as they are when it is executed.

One method for each command, called with what was asked, and with what was answered at once, for the
cases in which the documents leave a choice.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.model import Job, Model
from tests.simulation.peers import Peer, Wait
from tests.simulation.violation import Violation
from tests.simulation.words import (
    DISK_FULL,
    DUPLICATE_JOB,
    DUPLICATE_RESULT,
    INVALID_TIME,
    NOT_FOUND,
    OK,
    OUT_OF_MEMORY,
    TIMEOUT,
    leased_id,
    result_of,
)


class Answers:
    """The commands.

    Attributes:
        bounds: the server's settings.
        model: the jobs.
        peers: the connections that matter.
        known: the names of queues that `inspect` must show.
        full: whether the log has said that the disk is full.
    """

    bounds: Any
    model: Model
    peers: dict[Any, Peer]
    known: set[bytes]
    full: bool

    def _place(self) -> int:
        """The next place in all lines."""
        raise NotImplementedError

    def _wait(self, peer: Peer, wait: Wait) -> None:
        """A request begins to wait, if it may."""
        raise NotImplementedError

    def _hand_out(self, peer: Peer, job: Job) -> None:
        """A peer is handed a job."""
        raise NotImplementedError

    def _refused_job(self, job_id: bytes, payload: bytes, logged: bool) -> list[bytes]:
        """The errors that a job may get for the state of things; empty if it must be taken."""
        model, bounds = self.model, self.bounds
        if job_id in model.jobs:
            return [DUPLICATE_JOB]
        if logged and self.full:
            return [DISK_FULL]
        if 0 < bounds.jobs_max <= len(model.jobs):
            return [OUT_OF_MEMORY]
        if 0 < bounds.memory_bytes_max < model.used_bytes() + 448 + len(payload):
            return [OUT_OF_MEMORY]
        return []

    def _add(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (name, _, options), payload = arguments
        errors = self._refused_job(job_id, payload, True)
        if not errors:
            self.model.add(job_id, name, options, payload, None)
            self.known.add(name)
        peer.expect(errors[0] if errors else OK, f"adds {job_id!r}")

    def _schedule(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (name, time_ms, options), payload = arguments
        errors = self._refused_job(job_id, payload, True)
        over_ms = self.model.wall_ms - time_ms - options[1]
        if over_ms >= 0 and (over_ms > 0 or reply == INVALID_TIME):
            errors = [INVALID_TIME, *(error for error in errors if error == reply)]
            errors = errors[-1:]
        if not errors:
            self.model.add(job_id, name, options, payload, time_ms)
            self.known.add(name)
        peer.expect(errors[0] if errors else OK, f"schedules {job_id!r}")

    def _run(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (name, options, wait_ms), payload = arguments
        errors = self._refused_job(job_id, payload, False)
        if errors:
            peer.expect(errors[0], f"runs {job_id!r}")
            return
        self.known.add(name)
        job = self.model.add(job_id, name, options, payload, None, foreground=True)
        self._wait(peer, Wait((), job, True, self.model.now_ms + wait_ms, -1))

    def _lease(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        ((names, wait_ms, _),) = arguments
        self.known.update(names)
        heads = [self.model.ready(name)[0] for name in names if self.model.ready(name)]
        if heads:
            told = leased_id(reply or b"")
            job = next((head for head in heads if head.id == told), None)
            if job is None:
                raise Violation(
                    "order", f"{peer.name} leases from {names!r}: one of "
                    f"{[head.id for head in heads]!r} is next, {reply!r} was said",
                )  # fmt: skip
            served = self.model.served
            longest = min(heads, key=lambda head: served.get(head.name, 0))
            if served.get(job.name, 0) > served.get(longest.name, 0):
                raise Violation(
                    "order", f"{peer.name} is handed a job of {job.name!r}, though "
                    f"{longest.name!r} was served longer ago",
                )  # fmt: skip
            self._hand_out(peer, job)
        elif wait_ms == 0:
            peer.expect(TIMEOUT, "finds no job")
        else:
            until_ms = self.model.now_ms + wait_ms
            self._wait(peer, Wait(names, None, False, until_ms, self._place()))

    def _unfinished(self, peer: Peer, job_id: bytes, result: bytes) -> Job | None:
        job = self.model.jobs.get(job_id)
        limit = self.bounds.memory_bytes_max
        if job is None:
            peer.expect(NOT_FOUND, f"finishes {job_id!r}")
        elif job.finished():
            peer.expect(DUPLICATE_RESULT, f"finishes {job_id!r}")
        elif result and limit and self.model.used_bytes() + len(result) > limit + limit // 8:
            peer.expect(OUT_OF_MEMORY, f"finishes {job_id!r}")
        else:
            peer.expect(OK, f"finishes {job_id!r}")
            return job
        return None

    def _complete(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, _, result = arguments
        job = self._unfinished(peer, job_id, result)
        if job is not None:
            self.model.complete(job, result)

    def _fail(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, _, result = arguments
        job = self._unfinished(peer, job_id, result)
        if job is not None:
            self.model.fail(job, result)

    def _result(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (wait_ms,) = arguments
        job = self.model.jobs.get(job_id)
        if job is None:
            peer.expect(NOT_FOUND, f"asks for the result of {job_id!r}")
        elif job.finished():
            peer.expect(result_of(job), f"asks for the result of {job_id!r}")
        elif not wait_ms:
            peer.expect(TIMEOUT, f"asks for the result of {job_id!r}")
        else:
            self._wait(peer, Wait((), job, False, self.model.now_ms + wait_ms, -1))

    def _delete(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job = self.model.jobs.get(arguments[0])
        if job is not None:
            self.model.remove(job, f"deleted when {job.state}")
        peer.expect(NOT_FOUND if job is None else OK, f"deletes {arguments[0]!r}")

    def _inspect_job(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job = self.model.jobs.get(arguments[0])
        shown = NOT_FOUND if job is None else b"+OK 1\r\n" + self.model.shown(job)
        peer.expect(shown, f"inspects {arguments[0]!r}")

    def _inspect_jobs(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        self._list(peer, arguments, self.model.ready)

    def _inspect_scheduled_jobs(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        self._list(peer, arguments, self.model.scheduled)

    def _list(self, peer: Peer, arguments: Any, jobs_of: Any) -> None:
        name, offset, limit = arguments
        jobs = jobs_of(name)[offset : offset + limit]
        shown = b"".join([b"+OK %d\r\n" % len(jobs), *map(self.model.shown, jobs)])
        peer.expect(shown if name in self.known else NOT_FOUND, f"lists {name!r}")

    def _queue(self, name: bytes) -> bytes:
        ready, scheduled = len(self.model.ready(name)), len(self.model.scheduled(name))
        return b"%b 2\r\nready-len %d\r\nscheduled-len %d\r\n" % (name, ready, scheduled)

    def _inspect_queue(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        name = arguments[0]
        shown = b"+OK 1\r\n" + self._queue(name) if name in self.known else NOT_FOUND
        peer.expect(shown, f"inspects {name!r}")

    def _inspect_queues(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        offset, limit = arguments
        names = sorted(self.known)[offset : offset + limit]
        shown = b"".join([b"+OK %d\r\n" % len(names), *map(self._queue, names)])
        peer.expect(shown, "inspects queues")

    def _inspect_server(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        self._numbers(peer, {b"evicted-jobs": self.model.evicted})

    def _stats(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        model = self.model
        counts = dict.fromkeys((b"scheduled", b"ready", b"leased", b"completed", b"failed"), 0)
        for job in model.jobs.values():
            counts[job.state.encode()] += 1
        numbers = {b"jobs-" + state: count for state, count in counts.items()}
        numbers[b"jobs"] = len(model.jobs)
        numbers[b"evicted-jobs"] = model.evicted
        numbers[b"known-names"] = len(self.known)
        numbers[b"waiting"] = sum(one.wait is not None for one in self.peers.values())
        self._numbers(peer, numbers)

    def _numbers(self, peer: Peer, numbers: dict[bytes, int]) -> None:
        """Hold some numbers of a reply against what they should be."""
        reply = peer.next_said()
        found = dict(line.partition(b" ")[::2] for line in reply.split(b"\r\n"))
        for key, number in numbers.items():
            if not peer.lost and found.get(key) != b"%d" % number:
                problem = f"{key!r} is {number}, said was {found.get(key)!r}"
                raise Violation("replies", f"{peer.name} asks for numbers: {problem}")
        peer.expect(reply, "asks for numbers")

    def _ping(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.expect(OK, "pings")

    def _help(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.expect(peer.next_said(), "asks for help")

    def _quit(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.end()
        peer.expect(OK, "quits")
