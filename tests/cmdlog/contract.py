"""What every command log promises: one suite for all there are, and will be.

A log is run through it by a class of tests:

    class TestOurLog(LogContract):
        def drive(self) -> Driver: ...

`Noted`, which stands where the ring is, already refuses reports that go back, synced ones before
written ones, `full` told twice, and anything told after `failed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import Random

import pytest

from tests.cmdlog.making import Noted
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.log import Log

SIZES = (0, 1, 500, 1500)


class Driver(ABC):
    """A log that was just opened, in the hands of a test.

    Attributes:
        log: the log.
        noted: what it reports.
    """

    log: Log
    noted: Noted

    @abstractmethod
    def step(self, random: Random) -> None:
        """Let something happen, if there is anything on its way."""

    @abstractmethod
    def run(self) -> None:
        """Let everything happen that is on its way."""

    @abstractmethod
    def fail(self) -> None:
        """Let whatever the log waits for next fail, for ever."""

    @abstractmethod
    def set_full(self, full: bool) -> None:
        """Let there be no room for more than what is there, or room again."""

    def append(self, size: int = 10) -> int:
        """Append a commit."""
        return self.log.append(COMMIT, 1, 1, bytes(size))


class LogContract(ABC):
    """The tests."""

    @abstractmethod
    def drive(self) -> Driver:
        """A new log."""

    def test_positions_rise_by_one(self):
        """From the position there was, whatever is in a frame."""
        driver = self.drive()
        first = driver.log.position + 1
        for number, size in enumerate(SIZES * 3):
            assert driver.append(size) == first + number == driver.log.position

    def test_everything_is_written_without_being_asked_for(self):
        """In order, to the last."""
        driver = self.drive()
        for size in SIZES * 3:
            driver.append(size)
        driver.run()
        assert driver.noted.position == driver.log.position

    def test_a_sync_covers_all_that_was_appended_before(self):
        """Also what was not written when it was asked for."""
        driver = self.drive()
        for size in SIZES * 3:
            driver.append(size)
        driver.log.sync()
        driver.run()
        assert driver.noted.safe == driver.log.position

    def test_a_sync_of_nothing_new_is_nothing(self):
        """However often it is asked for."""
        driver = self.drive()
        driver.append()
        driver.log.sync()
        driver.log.sync()
        driver.run()
        told = list(driver.noted.told)
        driver.log.sync()
        driver.run()
        assert driver.noted.told == told
        assert [name for name, _ in told].count("synced") == 1

    def test_syncs_gather_while_one_is_on_its_way(self):
        """Twenty frames, each with a sync of its own, take two."""
        driver = self.drive()
        for _ in range(20):
            driver.append(0)
            driver.log.sync()
        driver.run()
        assert driver.noted.safe == driver.log.position
        assert [name for name, _ in driver.noted.told].count("synced") <= 2

    @pytest.mark.parametrize("seed", range(100))
    def test_reports_come_in_order_whatever_happens_meanwhile(self, seed):
        """And never go beyond what was appended."""
        random = Random(seed)
        driver = self.drive()
        for _ in range(40):
            match random.randrange(6):
                case 0 | 1:
                    position = driver.log.position
                    assert driver.append(random.choice(SIZES)) == position + 1
                case 2:
                    driver.log.sync()
                case 3:
                    driver.log.tick(1)
                case _:
                    driver.step(random)
            assert driver.noted.position <= driver.log.position
        driver.log.sync()
        driver.run()
        assert driver.noted.position == driver.noted.safe == driver.log.position

    @pytest.mark.parametrize("seed", range(100))
    def test_a_failure_is_told_once_and_is_the_end(self, seed):
        """Frames still get positions, and nothing comes of them; a close is still answered."""
        random = Random(seed)
        driver = self.drive()
        for _ in range(random.randrange(10)):
            driver.append(random.choice(SIZES))
            driver.step(random)
        safe = driver.noted.safe
        driver.fail()
        position = driver.append()
        driver.log.sync()
        driver.run()
        assert driver.noted.reason
        assert driver.noted.safe >= safe
        told = list(driver.noted.told)
        assert driver.append() == position + 1
        assert driver.append(5000) == position + 2
        driver.log.sync()
        driver.log.tick(1)
        driver.run()
        closed: list[bool] = []
        driver.log.close(1, lambda: closed.append(True))
        driver.run()
        assert closed == [True]
        assert driver.noted.told == told

    def test_a_failure_while_it_closes_ends_it(self):
        """Nobody waits for ever."""
        driver = self.drive()
        driver.append()
        driver.fail()
        closed: list[bool] = []
        driver.log.close(1, lambda: closed.append(True))
        driver.run()
        assert closed == [True]
        assert driver.noted.reason

    def test_a_log_without_room_says_so_and_goes_on(self):
        """With the room that is left; and says when there is more."""
        driver = self.drive()
        driver.run()
        driver.set_full(True)
        assert driver.noted.fullness() == [True]
        driver.append()
        driver.log.sync()
        driver.run()
        assert driver.noted.safe == driver.log.position
        driver.log.tick(1)
        driver.run()
        assert driver.noted.fullness() == [True]
        driver.set_full(False)
        driver.log.tick(1)
        driver.run()
        assert driver.noted.fullness() == [True, False]
        driver.append()
        driver.run()
        assert not driver.noted.reason

    def test_an_idle_log_vouches_once_for_what_it_has(self):
        """With a frame of its own, synced too; not while something is not safe."""
        driver = self.drive()
        position = driver.append()
        for _ in range(3):
            driver.log.tick(1)
            driver.run()
        assert driver.log.position == position
        driver.log.sync()
        driver.run()
        for _ in range(5):
            driver.log.tick(1)
            driver.run()
        assert driver.log.position == driver.noted.safe == position + 1
        assert driver.append() == position + 2

    def test_a_closed_log_has_synced_everything(self):
        """And a frame more that says so."""
        driver = self.drive()
        for size in SIZES * 3:
            driver.append(size)
        closed: list[int] = []
        driver.log.close(1, lambda: closed.append(driver.noted.safe))
        driver.run()
        assert closed == [driver.log.position]
