"""Between broker and log: hands commits over, and tells the broker how safe they have become.

It decides nothing that is not said in the policy, and knows no loop, clock or file: the ring and
the simulation use it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from workq.broker.broker import Broker
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.log import Log
from workq.engine.transitions import Transition
from workq.errors import LogError
from workq.recovery.records import bodies
from workq.server import logs

_log = logs.get_logger("workq.server")

ALWAYS, INTERVAL, OS = "always", "interval", "os"

#: What is lost at the most, by policy, when the machine goes down; a server that ends alone, in
#: whatever way, loses nothing that was acknowledged.
_WINDOW: Final = {
    ALWAYS: "nothing that was acknowledged",
    INTERVAL: "what was acknowledged in the last {interval_ms} ms (or during one sync, if that "
    "takes longer) and during one sync more",
    OS: "what the operating system has not written yet, usually up to 30 s",
}


class Policy(NamedTuple):
    """When the log is synced, and what replies wait for.

    Attributes:
        name: `always`: replies wait for the disk, and each commit is synced; `interval` and `os`:
            they wait for the operating system.
        interval_ms: between syncs, for `interval`; else 0.
    """

    name: str = OS
    interval_ms: int = 0

    @property
    def window(self) -> str:
        """What may be lost when the machine goes down."""
        return _WINDOW[self.name].format(interval_ms=self.interval_ms)


class Writer:
    """What stands between a broker and its log; the log's `workq.cmdlog.log.Reports`.

    Args:
        broker: the broker.
        policy: what its replies wait for.
        wake: called when replies may leave that had to wait.
        fail: called when the log has failed.

    Attributes:
        log: the log; to be set before anything is appended.
    """

    log: Log

    def __init__(
        self,
        broker: Broker,
        policy: Policy,
        wake: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._broker = broker
        self._wake = wake
        self._fail = fail
        self._always = policy.name == ALWAYS
        self._syncing_to = 0
        self._synced = 0

    @property
    def syncing(self) -> bool:
        """Whether a sync that was asked for is on its way."""
        return self._synced < self._syncing_to

    def append(self, commit: Sequence[Transition], now_ms: int) -> None:
        """Hand the commit of a turn to the log.

        Args:
            commit: not empty.
            now_ms: the time of the turn.
        """
        log = self.log
        if not log.keeps:  # it wants no bytes either
            self._broker.appended(log.append(COMMIT, now_ms, 0, b""))
            return
        for records, body in bodies(commit):
            self._broker.appended(log.append(COMMIT, now_ms, records, body), len(body))

    def sync(self) -> None:
        """Have everything that was appended synced; under `always` somebody has to ask for it."""
        self._syncing_to = self.log.position
        self.log.sync()

    # --- what the log tells -----------------------------------------------------------------

    def written(self, position: int) -> None:
        """The operating system has it."""
        if not self._always:
            self._broker.safe(position)
            self._wake()

    def synced(self, position: int) -> None:
        """The disk has it."""
        self._synced = position
        if self._always:
            self._broker.safe(position)
            self._wake()

    def full(self, full: bool) -> None:
        """No new jobs while there is no room on the disk."""
        self._broker.room.disk_full = full
        if full:
            _log.error(
                "the disk of the command log is full: no new jobs until there is room",
                hint="what is leased can be finished; it heals by itself",
            )
        else:
            _log.info("the disk of the command log has room again: new jobs are taken")

    def failed(self, reason: str) -> None:
        """Nothing can be acknowledged any more."""
        self._fail(LogError(reason))
