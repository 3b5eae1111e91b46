"""Claims about when the log is synced under `always`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from workq.limits import GATHER_US
from workq.server.gathering import Gathering


class Loop:
    """A loop that goes on when it is told to, and a writer of which only the syncs matter.

    Attributes:
        syncs: how many were asked for.
        syncing: whether one is on its way.
        more: whether something has come that is yet to be done.
        now_ns: the time.
    """

    def __init__(self) -> None:
        self.syncs = 0
        self.syncing = False
        self.more = False
        self.now_ns = 0
        self._calls: deque[Callable[[], None]] = deque()
        self.gathering = Gathering(
            self,  # type: ignore[arg-type]
            self._calls.append,
            lambda: self.more,
            lambda: self.now_ns,
        )

    def sync(self) -> None:
        """A sync begins."""
        assert not self.syncing, "two syncs at a time"
        self.syncs += 1
        self.syncing = True

    def look(self) -> None:
        """One look at the sockets, and what was to be called after it."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def ended(self) -> None:
        """The sync on its way has ended."""
        self.syncing = False
        self.gathering.go_on()


@pytest.fixture
def loop():
    """A loop on which nothing has happened."""
    return Loop()


def test_who_is_alone_is_synced_after_one_look(loop):
    """It does not wait for others who might come."""
    loop.gathering.begin()
    assert loop.syncs == 0
    loop.look()
    assert loop.syncs == 1


def test_one_sync_is_for_all_that_come_while_the_loop_is_busy(loop):
    """Each turn writes something; the sync begins when nothing more comes."""
    loop.more = True
    for _ in range(5):
        loop.gathering.begin()
        loop.look()
    assert loop.syncs == 0
    loop.more = False
    loop.look()
    assert loop.syncs == 1


def test_but_nobody_waits_for_ever(loop):
    """If more comes all the time, it begins after a millisecond."""
    loop.more = True
    loop.gathering.begin()
    for _ in range(9):
        loop.now_ns += GATHER_US * 100
        loop.look()
    assert loop.syncs == 0
    loop.now_ns += GATHER_US * 100
    loop.look()
    assert loop.syncs == 1


def test_what_comes_during_a_sync_waits_for_its_end_and_for_those_it_answers(loop):
    """They get their replies, and one look at the sockets to say more."""
    loop.gathering.begin()
    loop.look()
    loop.gathering.begin()
    for _ in range(3):
        loop.look()
    assert loop.syncs == 1
    loop.ended()
    loop.look()  # the turn in which the replies leave is over
    assert loop.syncs == 1
    loop.more = True
    loop.look()
    assert loop.syncs == 1
    loop.more = False
    loop.look()
    assert loop.syncs == 2


def test_after_the_last_sync_nothing_is_asked_for(loop):
    """Nothing was written meanwhile."""
    loop.gathering.begin()
    loop.look()
    loop.ended()
    for _ in range(5):
        loop.look()
    assert loop.syncs == 1


def test_reports_from_elsewhere_begin_no_sync_while_one_is_on_its_way(loop):
    """A segment that was ended makes a part of what is waited for safe."""
    loop.gathering.begin()
    loop.look()
    loop.gathering.begin()
    loop.look()
    loop.gathering.go_on()  # not all is synced that was asked for
    for _ in range(5):
        loop.look()
    assert loop.syncs == 1
    loop.ended()
    for _ in range(2):
        loop.look()
    assert loop.syncs == 2
