"""The two times of design 7: one that never steps, and what the wall clock is ahead of it."""

import time


class Clock:
    """Milliseconds since 1970, from a start on by elapsed time.

    Elapsed time counts the sleep of the machine too, so that a deadline an hour ahead is an hour
    ahead for people.

    Args:
        offset_ms: what the wall clock is ahead at the start.
        least_ms: the time is no earlier, whatever that makes it.
    """

    def __init__(self, offset_ms: int = 0, least_ms: int = 0) -> None:
        start_ns = max(time.time_ns() - offset_ms * 1_000_000, least_ms * 1_000_000)
        self._base_ns = start_ns - _elapsed_ns()
        self.offset_ms = 0
        self.sample()

    def now_ns(self) -> int:
        """The time that never steps back, in nanoseconds."""
        return self._base_ns + _elapsed_ns()

    def now_ms(self) -> int:
        """The time that never steps back."""
        return self.now_ns() // 1_000_000

    def sample(self) -> None:
        """Look at the wall clock; `offset_ms` tells from then on what it is ahead."""
        self.offset_ms = (time.time_ns() - self._base_ns - _elapsed_ns()) // 1_000_000


def _elapsed_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
