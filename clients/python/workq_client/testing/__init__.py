"""A real workq server for the tests of those who use it, with a clock that jumps.

    from workq_client import Client
    from workq_client.testing import Server

    def test_a_mail_that_bounces_is_tried_for_three_days() -> None:
        with Server() as server, Client(server.url) as client:
            ...
            server.advance(days=3)

The server is the one that runs in production, in a thread of the tests' own process, on a free
port, and without a log: its jobs are gone with it. It changes nothing in that process (no signal,
no log line, no setting of the interpreter), takes a millisecond to start, and several may run at
once. pytest users have it as the fixture `workq_server`.

It needs the server's package: `pip install .` in a clone of workq brings both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from workq_client.values import Duration

if TYPE_CHECKING:
    from workq.server.guest import Guest

__all__ = ["Server"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)


class Server:
    """A server with a virtual clock. `with Server() as server:`, or `start` and `stop`.

    The clock goes as any other does; `advance` sets it forward. It is the server's alone: neither
    the tests' own clock nor what clients do with time changes.

    Args:
        now: what time it is when the server starts, with a time zone and not before 1970; by
            default what it is.
        max_connections: clients at once, 0 for any number; as the settings of the same names.
        max_jobs: jobs at once.
        max_memory_bytes: payloads, results and a fixed cost for each job together.

    Raises:
        ValueError: `now` has no time zone, or is before 1970.
    """

    def __init__(
        self,
        *,
        now: datetime | None = None,
        max_connections: int = 0,
        max_jobs: int = 0,
        max_memory_bytes: int = 0,
    ) -> None:
        if now is not None and now.tzinfo is None:
            raise ValueError(f"{now} has no time zone: which time is it?")
        if now is not None and now < _EPOCH:
            raise ValueError(f"{now} is before 1970")
        self._begin = now
        self._max_connections = max_connections
        self._max_jobs = max_jobs
        self._max_memory_bytes = max_memory_bytes
        self._guest: Guest | None = None

    # --- its life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start it. After `stop` it may be started again, and is a new one, without jobs.

        Raises:
            ModuleNotFoundError: the server's package is not installed.
            RuntimeError: it runs already.
        """
        if self._guest is not None:
            raise RuntimeError("the server runs already")
        try:
            from workq.limits import Bounds
            from workq.server.guest import Guest
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "workq":
                raise
            raise ModuleNotFoundError(
                "workq_client.testing runs the real server, which is not installed, or too old: "
                "pip install --upgrade . in a clone of workq brings both",
                name=error.name,
            ) from error
        bounds = Bounds(
            connections_max=self._max_connections,
            jobs_max=self._max_jobs,
            memory_bytes_max=self._max_memory_bytes,
            request_timeout_ms=0,  # half a request must not end because time has jumped
        )
        begin_ms = None if self._begin is None else (self._begin - _EPOCH) // _MILLISECOND
        self._guest = Guest(bounds, begin_ms)

    def stop(self) -> None:
        """Stop it: its connections are cut, its thread and its sockets gone. Again: no matter.

        Raises:
            RuntimeError: it has failed before, by a mistake of its own.
        """
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.stop()
            if guest.failure is not None:
                raise RuntimeError("the server has failed") from guest.failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _running(self) -> Guest:
        if self._guest is None:
            raise RuntimeError("the server does not run: use it in a `with`, or call `start`")
        return self._guest

    # --- where it is --------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self._running.port

    @property
    def url(self) -> str:
        """Its address, for clients: `workq://127.0.0.1:<port>`."""
        return f"workq://127.0.0.1:{self.port}"

    # --- its time -----------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """What time it is there, in UTC, to the millisecond."""
        return _EPOCH + self._running.now_ms() * _MILLISECOND

    def advance(
        self,
        by: Duration = 0,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        patience: Duration = 0,
    ) -> None:
        """Let time pass on the server: `advance(hours=3)`.

        Nothing is left out. Leases, delays, schedules, lives and waits end each at its own time
        and in their order, with all that follows from it: a job whose lease runs out is held
        back, comes back, and is leased to who waits for it, an hour before the next one is. When
        this returns, all of that has happened and its replies are sent.

        Without patience it is exact, and the same each time: what was sent to the server before
        is read first, and nothing more until time has come to its end. So a worker in another
        thread can take no part: it hears of the job it was leased when that lease may be over.

        With patience it does. Wherever something has happened, the clock stands still until no
        job is ready and none is leased, and only then goes on: work takes no time on the server.
        What is done before a job is completed or failed is waited for in this way; what anybody
        does on hearing of that is not. The ends of waits are no reason to stop then: one that
        comes between two stops comes with the later one.

        Args:
            by: how much, in seconds, together with what the others say.
            days, hours, minutes, seconds, milliseconds: how much.
            patience: how long to wait for workers at each stop at the most, in seconds of real
                time. A lease, or a queue with ready jobs, that outlasts it is not waited for
                again: its worker is lost, or there is none.

        Raises:
            ValueError: time does not go back, nor beyond the year 9999.
            RuntimeError: the server does not run, has failed, or was stopped meanwhile.
        """
        span = _span(by) + timedelta(
            days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds
        )
        if span < timedelta():
            raise ValueError(f"time does not go back, by {-span}")
        if span > _END - self.now:
            raise ValueError(f"it will not be {span} later: the calendar ends with the year 9999")
        self._running.advance(span // _MICROSECOND, _span(patience).total_seconds())

    # --- its connections ----------------------------------------------------------------------

    def cut(self) -> None:
        """Cut all connections, as a network does that fails. Clients may come again at once; jobs
        that were leased stay so until their time is over."""
        self._running.cut()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be away inside a `with`, as a server that is started anew: all connections are cut, and
        new ones refused. Jobs stay, and time goes on."""
        guest = self._running
        guest.refuse()
        try:
            yield
        finally:
            guest.accept()


def _span(duration: Duration) -> timedelta:
    return duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
