"""What the checkers see of a running server: the order of its choices, and what it tells.

The methods that are watched do what they did; nothing else of the server is touched. What they note
is what the documents leave open (which connection has its turn when) and what a client would see a
moment later (what was said).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.model import HELD, READY, Job
from tests.simulation.violation import Violation


class Watch:
    """Watches one ring.

    Args:
        ring: a `workq.server.ring.Ring`.
        begun: called with time and offset at the start of each turn, which may raise.
        ended: called at the end of each turn, with what was said, before anything is sent.
        failed: called when the server fails, with why.

    Attributes:
        events: what has happened since the last turn's end.
    """

    def __init__(
        self,
        ring: Any,
        begun: Callable[[int, int], None],
        ended: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.ring = ring
        self.events: list[tuple[Any, ...]] = []
        broker = ring.broker
        self._begun, self._ended = begun, ended
        self._spy(broker, "turn", before=self._turn)
        self._spy(ring.writer, "_fail", before=failed)
        self._spy(broker, "release", before=lambda: ended())
        self._spy(broker, "_serve", before=self._note("serve"), after=self._note("served"))
        self._spy(broker._care, "cut_off", before=self._note("cut"))
        self._spy(broker._serving, "abandon", before=self._note("abandon"))
        self._spy(broker, "_refuse", before=lambda *said: self.events.append(("unread", *said[:2])))
        self._spy(broker, "_refusal", told=self._refused)
        self._spy(broker, "eof", before=self._note("eof"))
        self._spy(broker, "lost", before=self._note("lost"))
        self._spy(broker, "stall", before=self._note("stall"))
        self._spy(broker, "drain", before=self._note("drain"))
        self._spy(broker, "end", before=self._note("end"))
        self._spy(ring.writer, "full", before=self._note("full"))

    def _turn(self, now_ms: int, offset_ms: int) -> None:
        self._begun(now_ms, offset_ms)
        self.events.append(("turn", now_ms, offset_ms))

    def _note(self, kind: str) -> Callable[..., None]:
        return lambda *arguments: self.events.append((kind, *arguments))

    def _refused(self, error: bytes | None, session: Any, *_: Any) -> None:
        if error:
            self.events.append(("refused", session, error))

    def _spy(
        self,
        place: Any,
        name: str,
        before: Callable[..., None] | None = None,
        after: Callable[..., None] | None = None,
        told: Callable[..., None] | None = None,
    ) -> None:
        """Have something called before a method, after it, or with what it has returned."""
        method = getattr(place, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                before(*arguments)
            found = method(*arguments, **named)
            if after is not None:
                after(*arguments)
            if told is not None:
                told(found, *arguments)
            return found

        setattr(place, name, watched)

    def executed(self, name: str, reply: object) -> None:
        """A command was executed."""
        said = reply if isinstance(reply, bytes) else None
        self.events.append(("execute", self.ring.broker._asking, name, said))


def watched_commands(commands: tuple[Any, ...], told: Callable[[str, object], None]) -> Any:
    """The commands, each of which tells when it is executed."""
    return tuple(_watched(command, told) for command in commands)


def _watched(command: Any, told: Callable[[str, object], None]) -> Any:
    execute = command.execute
    twin = object.__new__(type(command))
    twin.__dict__.update(command.__dict__)

    def watched(desk: Any, arguments: Any) -> Any:
        reply = execute(desk, arguments)
        told(command.name, reply)
        return reply

    twin.execute = watched
    return twin


def jobs_of(engine: Any) -> dict[bytes, Job]:
    """The jobs that a server has, as the model describes them; but for those of `run`."""
    found: dict[bytes, Job] = {}
    for job in sorted(engine.jobs.values(), key=lambda job: job.seq):
        if not job.foreground:
            options = job.options
            held = job.state == READY and job.hold_until_ms is not None
            retry_delay, backoff, retry_max = options.retry
            found[job.id] = Job(
                id=job.id, name=job.queue.name, payload=job.payload, ttr=options.ttr_ms,
                ttl=options.ttl_ms, priority=options.priority, max_attempts=options.max_attempts,
                max_fails=options.max_fails, seq=job.seq, created_ms=job.created_ms,
                due_ms=job.due_ms, ends_ms=job.at_ms, time_ms=job.time_ms,
                state=HELD if held else job.state, held_ms=job.hold_until_ms,
                retry_delay=retry_delay, backoff=backoff, retry_max=retry_max,
                attempts=job.attempts, fails=job.fails, result=job.result, foreground=False,
                deadline_ms=None if job.lease is None else job.lease.at_ms,
                timeouts=job.timeouts, token=None if job.lease is None else job.lease.token,
            )  # fmt: skip
    return found


def compare(found: dict[bytes, Job], expected: dict[bytes, Job], checker: str, when: str) -> None:
    """Demand that two sets of jobs are the same, in the same order."""
    for job_id, job in expected.items():
        if job_id not in found:
            raise Violation(checker, f"{when}: {job_id!r} ({job.state}) is not there")
        if found[job_id].durable() != job.durable():
            names = Job.__slots__
            differ = {
                name: (getattr(job, name), getattr(found[job_id], name))
                for name in names
                if name != "seq" and getattr(job, name) != getattr(found[job_id], name)
            }
            raise Violation(checker, f"{when}: {job_id!r} differs (expected, found): {differ}")
    surplus = [job_id for job_id in found if job_id not in expected]
    if surplus:
        raise Violation(checker, f"{when}: {surplus[0]!r} is there and should not be")
    if [*found] != sorted(expected, key=lambda job_id: expected[job_id].seq):
        raise Violation(checker, f"{when}: the jobs are in another order")
