"""Whether a transition can happen to a job as it is: what replay asks of every record.

Who makes a transition has looked at the state, so on the live path nothing here is asked. A log may
have been written by a server with a mistake, or made by somebody; then its records are refused
before they have changed anything.
"""

from __future__ import annotations

import reprlib  # of what is long or deep it shows the beginning only
from typing import Final

from workq.engine import transitions
from workq.engine.job import COMPLETED, FAILED, LEASED, READY, SCHEDULED, STATES, Job
from workq.engine.transitions import Transition


class TransitionError(Exception):
    """A transition cannot happen to the state as it is."""


def unfit(transition: Transition, what: str) -> TransitionError:
    """The error for a transition of a job that is or is not so.

    Args:
        transition: about a job.
        what: is wrong with the job, behind "which".
    """
    kind = transition[0]
    job_id = transition[2] if kind not in BEFORE else transition[1]
    return TransitionError(f"{transitions.NAMES[kind]} of {reprlib.repr(job_id)}, which {what}")


def is_whole(transition: Transition) -> bool:
    """Whether a restored job has what its state needs, and nothing else."""
    number, deadline_ms, result = transition[10], transition[15], transition[16]
    held = len(transition) > 17 and transition[17] is not None
    if not 0 <= number < len(STATES):
        return False
    state = STATES[number]
    if (
        held
        and state is SCHEDULED
        and (transition[8] is not None or transition[17] != transition[5])
    ):
        return False
    return (
        (deadline_ms is not None) == (state is LEASED)
        and (result is not None) == (state is COMPLETED or state is FAILED)
        and (state is not SCHEDULED or transition[5] != transition[4])
        and (state is not SCHEDULED or held or transition[8] is not None)
        and (not held or state is SCHEDULED or state is READY)
    )


def is_counted_only(transition: Transition, job: Job) -> bool:
    """Whether it is a failure of a job that nobody has leased: it is counted, and stays."""
    return (
        transition[0] == transitions.RETURNED
        and transition[2] == transitions.FAILURE
        and not job.finished
    )


_UNFINISHED = frozenset((SCHEDULED, READY, LEASED))

#: In which states a job can be to which something happens; what is not here makes a job, or is of
#: none.
BEFORE: Final[dict[int, frozenset[str]]] = {
    transitions.DUE: frozenset((SCHEDULED, READY)),
    transitions.LEASED: frozenset((READY,)),
    transitions.RETURNED: frozenset((LEASED,)),
    transitions.COMPLETED: _UNFINISHED,
    transitions.FAILED: _UNFINISHED,
    transitions.EXPIRED: frozenset(STATES),
    transitions.DELETED: frozenset(STATES),
    transitions.TOUCHED: frozenset((LEASED,)),
}

#: Whether a job must be held back, or must not be, to which something happens; else it may be.
HELD: Final[dict[int, bool]] = {transitions.DUE: True, transitions.LEASED: False}
