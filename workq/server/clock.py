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


class VirtualClock(Clock):
    """A clock that goes as the machine's does, and can be stopped and set forward: for tests.

    The wall clock goes with it: `offset_ms` stays 0.

    Args:
        start_ms: what it shows at the start; by default what the wall clock does.
    """

    def __init__(self, start_ms: int | None = None) -> None:
        self._stopped_ns: int | None = None
        super().__init__()
        if start_ms is not None:
            self._base_ns = start_ms * 1_000_000 - _elapsed_ns()

    def now_ns(self) -> int:
        """The time, which may stand still."""
        stopped_ns = self._stopped_ns
        return super().now_ns() if stopped_ns is None else stopped_ns

    def sample(self) -> None:
        """There is no other clock to look at."""

    def stop(self) -> None:
        """Stand still until `go_on`."""
        self._stopped_ns = self.now_ns()

    def set(self, to_ns: int) -> None:
        """Set the clock, which stands still, to a time that is no earlier than it shows."""
        assert self._stopped_ns is not None and to_ns >= self._stopped_ns
        self._stopped_ns = to_ns

    def go_on(self) -> None:
        """Go on from where it stands."""
        self._base_ns = self.now_ns() - _elapsed_ns()
        self._stopped_ns = None


def _elapsed_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
