"""What each command must answer, of the jobs as they are when it is executed.

One method for each command, called with what was asked, and with what was answered at once, for the
cases in which the documents leave a choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from tests.simulation.model import HELD, LEASED, Job, Model
from tests.simulation.peers import Peer, Wait
from tests.simulation.violation import Violation
from tests.simulation.words import (
    DISK_FULL,
    DUPLICATE_JOB,
    DUPLICATE_RESULT,
    HELLO,
    INVALID_TIME,
    LEASE_LOST,
    NOT_FOUND,
    OK,
    OUT_OF_MEMORY,
    TIMEOUT,
    counted,
    result_of,
)


class Answers(ABC):
    """The commands.

    Attributes:
        bounds: the server's settings.
        tagged_waits_max: how many requests of a connection may wait under tags.
        model: the jobs.
        peers: the connections that matter.
        known: the names of queues that `inspect` must show.
        full: whether the log has said that the disk is full.
        token_before: the highest token of a lease before this start.
    """

    bounds: Any
    tagged_waits_max: int
    model: Model
    peers: dict[Any, Peer]
    known: set[bytes]
    full: bool
    token_before: int

    @abstractmethod
    def _place(self) -> int:
        """The next place in all lines."""

    @abstractmethod
    def _wait(self, peer: Peer, wait: Wait) -> None:
        """A request begins to wait, if it may."""

    @abstractmethod
    def _hand_out(self, peer: Peer, jobs: list[Job], reply: bytes, wait: Wait | None) -> None:
        """A peer is handed jobs by a reply."""

    @abstractmethod
    def _lent(
        self, peer: Peer, names: Any, most: int, reply: bytes, first: Job | None = None
    ) -> list[Job]:
        """Lease the jobs that a reply hands out, if they are the right ones."""

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
        job_id, (name, delay_ms, options), payload = arguments
        errors = self._refused_job(job_id, payload, True)
        if not errors:
            self.model.add(job_id, name, options, payload, None, delay_ms)
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
        self._wait(peer, Wait(self.model.now_ms + wait_ms, job=job, caller=True))

    def _lease(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        ((names, wait_ms, most),) = arguments
        self.known.update(names)
        if any(self.model.ready(name) for name in names):
            reply = reply or b""
            self._hand_out(peer, self._lent(peer, names, most, reply), reply, None)
        elif wait_ms == 0:
            peer.expect(TIMEOUT, "finds no job")
        else:
            until_ms = self.model.now_ms + wait_ms
            self._wait(peer, Wait(until_ms, names, most, self._place()))

    def _lost(self, peer: Peer, job: Job, token: int | None) -> bool:
        """Whether the lease that is meant is over."""
        if token is None:
            return False
        lost = job.state != LEASED or job.token != token
        before = token <= self.token_before
        self.model.count(
            "stale token" + (" from before the start" if before else "") if lost else "token"
        )
        if not lost and before:
            self.model.count("token from before the start")
        if not lost and job not in peer.leased:
            self.model.count("token of another connection")
        return lost

    def _held(self, peer: Peer, job_id: bytes, token: int | None, what: str) -> Job | None:
        """A job whose lease is meant; None if it has been told that it cannot be."""
        job = self.model.jobs.get(job_id)
        if job is None:
            peer.expect(NOT_FOUND, f"{what} {job_id!r}")
        elif job.state != LEASED or self._lost(peer, job, token):
            peer.expect(LEASE_LOST, f"{what} {job_id!r}")
        else:
            peer.expect(OK, f"{what} {job_id!r}")
            return job
        return None

    def _touch(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (token, ttr_ms) = arguments
        job = self._held(peer, job_id, token, "touches")
        if job is not None:
            self.model.touch(job, ttr_ms)

    def _release(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (token,) = arguments
        job = self._held(peer, job_id, token, "releases")
        if job is not None:
            self.model.give_back(job, "released")

    def _unfinished(
        self, peer: Peer, job_id: bytes, token: int | None, result: bytes
    ) -> Job | None:
        job = self.model.jobs.get(job_id)
        limit = self.bounds.memory_bytes_max
        if job is None:
            peer.expect(NOT_FOUND, f"finishes {job_id!r}")
        elif self._lost(peer, job, token):
            peer.expect(LEASE_LOST, f"finishes {job_id!r}")
        elif job.finished():
            peer.expect(DUPLICATE_RESULT, f"finishes {job_id!r}")
        elif result and limit and self.model.used_bytes() + len(result) > limit + limit // 8:
            peer.expect(OUT_OF_MEMORY, f"finishes {job_id!r}")
        else:
            peer.expect(OK, f"finishes {job_id!r}")
            return job
        return None

    def _complete(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (token,), result = arguments
        job = self._unfinished(peer, job_id, token, result)
        if job is not None:
            self.model.complete(job, result)

    def _fail(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (token, delay_ms, final), result = arguments
        job = self._unfinished(peer, job_id, token, result)
        if job is not None:
            self.model.fail(job, result, delay_ms, final)

    def _result(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, (wait_ms, *others) = arguments
        job = self.model.jobs.get(job_id)
        if others:
            self.model.count("several results")
            jobs = [self.model.jobs.get(one) for one in (job_id, *others)]
            found = [result_of(one) for one in jobs if one is not None and one.finished()]
            peer.expect(counted(found), "asks for several results")
        elif job is None:
            peer.expect(NOT_FOUND, f"asks for the result of {job_id!r}")
        elif job.finished():
            peer.expect(counted([result_of(job)]), f"asks for the result of {job_id!r}")
        elif not wait_ms:
            peer.expect(TIMEOUT, f"asks for the result of {job_id!r}")
        else:
            self._wait(peer, Wait(self.model.now_ms + wait_ms, job=job))

    def _delete(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job = self.model.jobs.get(arguments[0])
        if job is not None:
            self.model.remove(job, f"deleted when {job.state}")
        peer.expect(NOT_FOUND if job is None else OK, f"deletes {arguments[0]!r}")

    def _inspect_job(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        job_id, others = arguments
        jobs = [self.model.jobs.get(one) for one in (job_id, *others)]
        shown = [self.model.shown(job, peer.version) for job in jobs if job is not None]
        self.model.count("several shown" if others else "one shown")
        peer.expect(counted(shown) if shown or others else NOT_FOUND, f"inspects {job_id!r}")

    def _inspect_jobs(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        self._list(peer, arguments, self.model.ready)

    def _inspect_scheduled_jobs(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        self._list(peer, arguments, self.model.scheduled)

    def _list(self, peer: Peer, arguments: Any, jobs_of: Any) -> None:
        name, offset, limit = arguments
        jobs = jobs_of(name)[offset : offset + limit]
        shown = counted([self.model.shown(job, peer.version) for job in jobs])
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
        shown = counted([self._queue(name) for name in names])
        peer.expect(shown, "inspects queues")

    def _inspect_server(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        self._numbers(peer, {b"evicted-jobs": self.model.evicted})

    def _stats(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        model = self.model
        counts = dict.fromkeys((b"scheduled", b"ready", b"leased", b"completed", b"failed"), 0)
        for job in model.jobs.values():
            counts[b"ready" if job.state == HELD else job.state.encode()] += 1
        numbers = {b"jobs-" + state: count for state, count in counts.items()}
        numbers[b"jobs"] = len(model.jobs)
        numbers[b"evicted-jobs"] = model.evicted
        numbers[b"known-names"] = len(self.known)
        numbers[b"waiting"] = sum(len(one.waits()) for one in self.peers.values())
        self._numbers(peer, numbers)

    def _numbers(self, peer: Peer, numbers: dict[bytes, int]) -> None:
        """Hold some numbers of a reply against what they should be."""
        reply = peer.told()
        found = dict(line.partition(b" ")[::2] for line in reply.split(b"\r\n"))
        for key, number in numbers.items():
            if not peer.lost and found.get(key) != b"%d" % number:
                problem = f"{key!r} is {number}, said was {found.get(key)!r}"
                raise Violation("replies", f"{peer.name} asks for numbers: {problem}")
        peer.expect(reply, "asks for numbers")

    def _ping(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.expect(OK, "pings")

    def _help(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.expect(peer.told(), "asks for help")

    def _hello(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.version = 2
        head, *lines = peer.told().split(b"\r\n")
        found = [line.partition(b" ")[::2] for line in lines]
        expected = HELLO | {
            b"waits": b"%d" % self.tagged_waits_max,
            b"idle-timeout-ms": b"%d" % self.bounds.idle_timeout_ms,
        }
        told = dict(found[1:-1])
        right = head == b"+OK 1" and found[0] == (b"hello", b"9") and [*told] == [*expected]
        right = right and told == expected | {b"version": told[b"version"]}
        if not (right or peer.lost):
            raise Violation("replies", f"{peer.name} says hello and is told {peer.next_said()!r}")
        peer.expect(peer.told(), "says hello")

    def _quit(self, peer: Peer, arguments: Any, reply: bytes | None) -> None:
        peer.end()
        peer.expect(OK, "quits")
