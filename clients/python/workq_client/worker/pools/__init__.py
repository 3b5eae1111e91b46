"""Where handlers run: as `tasks` of one event loop, in `threads`, or in `processes`.

A pool takes jobs from the conductor, has its handlers called, a bounded number at a time, and
hands back what became of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from workq_client.worker.jobs import Held
from workq_client.worker.outcomes import Outcome

#: Told that a pool has more places, or fewer.
Changed = Callable[[], None]

#: Takes a job and what became of it; from any thread.
Finished = Callable[[tuple[Held, Outcome]], None]


class Pool(Protocol):
    """Where handlers run. All methods are called in the conductor's thread, and none waits.

    Attributes:
        places: how many handlers can run at a time.
    """

    places: int

    def begin(self, jobs: list[Held]) -> None:
        """Have jobs done, in this order, as soon as there are places."""
        ...

    def take_back(self, held: Held) -> bool:
        """Let a job not begin; return whether it had not."""
        ...

    def interrupt(self, held: Held) -> None:
        """Have a handler end that runs, for the reason that `held.why` tells."""
        ...

    def abandon(self, held: Held) -> None:
        """Count on a handler no longer: it does not end. Its place goes to another."""
        ...

    async def close(self) -> None:
        """Be done with it: nothing runs any more that was not given up."""
        ...
