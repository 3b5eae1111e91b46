"""What must hold of any state: its derived part follows, and its commits make it again."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.engine.rebuild import Record, derived
from workq.engine import dump
from workq.engine.state import State
from workq.engine.transitions import Transition


def foreground_records(state: State) -> list[Record]:
    """Records of the foreground jobs, which `dump.durable` leaves out."""
    return [
        {
            "id": job.id,
            "seq": job.seq,
            "queue": job.queue.name,
            "options": list(job.options),
            "payload": job.payload,
            "due_ms": job.due_ms,
            "at_ms": job.at_ms,
            "time_ms": job.time_ms,
            "state": job.state,
            "lease": None if job.lease is None else [job.lease.token, job.lease.at_ms],
            "hold": job.hold_until_ms,
            "result": job.result,
        }
        for job in state.jobs.values()
        if job.foreground
    ]


class Shown(NamedTuple):
    """What a state shows of itself. To look once and compare often: looking is slow.

    Attributes:
        durable: the durable dump.
        rest: the other one.
        foreground: the records of the foreground jobs, which the durable dump leaves out.
    """

    durable: dict[str, Any]
    rest: dict[str, Any]
    foreground: list[Record]


def shown(state: State) -> Shown:
    """Look at a state."""
    return Shown(dump.durable(state), dump.rest(state), foreground_records(state))


def check_derived(state: State, view: Shown | None = None) -> None:
    """Hold what a state keeps of orders, deadlines and numbers against what follows from it."""
    durable, rest, foreground = view or shown(state)
    assert rest == derived(durable["jobs"], foreground)
    # Two ways to the same numbers: the dump walks, a serving engine looks here.
    assert len(state.jobs) == sum(rest["counts"].values())
    assert len(state.queues) == len(rest["queues"])
    for name, queue_shown in rest["queues"].items():
        queue = state.queues.get(name)
        assert queue is not None
        assert queue.ready.size == len(queue_shown["ready"])
        assert queue.scheduled.size == len(queue_shown["scheduled"])
        head = queue.ready.first()
        assert (head and head.id) == next(iter(queue_shown["ready"]), None)


def replayed(commit: Iterable[Transition], now_ms: int = 0) -> State:
    """A fresh state after a commit. Its clock may show anything: it only chooses levels."""
    state = State()
    state.now_ms = now_ms
    for transition in commit:
        state.apply(transition)
    return state


def check_replay(view: Shown, replica: State) -> None:
    """Hold a state made from commits against the engine that made them: all but what runs in the
    foreground is the same."""
    copy = shown(replica)
    assert copy.durable == view.durable
    assert copy.rest == derived(view.durable["jobs"])
    assert copy.foreground == []
