"""The two times: one that never steps, and what the wall clock is ahead of it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workq.server.clock import Clock, VirtualClock

MS = 1_000_000  # ns
START_MS = 1_893_456_000_000


class Fake:
    """A machine's clocks.

    Attributes:
        wall_ns: what the wall clock shows.
        elapsed_ns: since the machine was started, sleep included.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall_ns = START_MS * MS
        self.elapsed_ns = 5_000_000_123
        patch.setattr(time, "time_ns", lambda: self.wall_ns)
        patch.setattr(time, "clock_gettime_ns", self._elapsed)

    def _elapsed(self, clock: int) -> int:
        assert clock == time.CLOCK_BOOTTIME
        return self.elapsed_ns

    def sleep(self, ms: int) -> None:
        """Let time pass on both."""
        self.wall_ns += ms * MS
        self.elapsed_ns += ms * MS


@pytest.fixture
def machine(monkeypatch):
    """A machine whose clocks stand still."""
    return Fake(monkeypatch)


def test_time_begins_with_the_wall_clock(machine):
    """And both are the same then."""
    clock = Clock()
    assert (clock.now_ms(), clock.offset_ms) == (START_MS, 0)


def test_time_passes_as_it_elapses(machine):
    """Whole milliseconds are told."""
    clock = Clock()
    machine.sleep(1500)
    assert clock.now_ms() == START_MS + 1500
    machine.elapsed_ns += MS - 1
    assert clock.now_ms() == START_MS + 1500
    machine.elapsed_ns += 1
    assert clock.now_ms() == START_MS + 1501


@pytest.mark.parametrize("step_ms", [-86_400_000, -1, 1, 3_600_000])
def test_a_step_of_the_wall_clock_changes_the_offset_only(machine, step_ms):
    """Once it is looked at; the time itself never steps."""
    clock = Clock()
    machine.sleep(10)
    machine.wall_ns += step_ms * MS
    assert (clock.now_ms(), clock.offset_ms) == (START_MS + 10, 0)
    clock.sample()
    assert (clock.now_ms(), clock.offset_ms) == (START_MS + 10, step_ms)
    machine.wall_ns -= step_ms * MS
    clock.sample()
    assert clock.offset_ms == 0


@pytest.mark.parametrize("ahead_ms", [60_000, -60_000])
def test_time_goes_on_from_the_start_that_is_given(machine, ahead_ms):
    """Whatever the wall clock shows: deadlines are points in this time."""
    clock = Clock(-ahead_ms)
    assert (clock.now_ms(), clock.offset_ms) == (START_MS + ahead_ms, -ahead_ms)
    machine.sleep(5)
    clock.sample()
    assert (clock.now_ms(), clock.offset_ms) == (START_MS + ahead_ms + 5, -ahead_ms)


def test_time_begins_no_earlier_than_it_had_come(machine):
    """A wall clock that was set back while no server ran does not take time with it."""
    clock = Clock(0, START_MS + 60_000)
    assert (clock.now_ms(), clock.offset_ms) == (START_MS + 60_000, -60_000)


@given(st.lists(st.tuples(st.integers(-(10**7), 10**7), st.integers(0, 10**6), st.booleans())))
def test_time_never_steps_back(steps):
    """And with the offset it is the wall clock, within a millisecond, whenever that was seen."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Fake(patch)
        clock = Clock()
        last_ms = clock.now_ms()
        for step_us, elapsed_us, looks in steps:
            machine.wall_ns += step_us * 1000
            machine.elapsed_ns += elapsed_us * 1000
            if looks:
                clock.sample()
                wall_ms = machine.wall_ns // MS
                assert 0 <= wall_ms - (clock.now_ms() + clock.offset_ms) <= 1
            assert clock.now_ms() >= last_ms
            last_ms = clock.now_ms()


def test_the_real_clock_is_near_the_wall_clock():
    """Without anything fake."""
    before_ms = time.time_ns() // MS
    clock = Clock()
    assert before_ms - 1 <= clock.now_ms() <= time.time_ns() // MS + 1000
    assert clock.offset_ms in (-1, 0)


def test_a_virtual_clock_goes_as_the_machine_does(machine):
    """From the time it was started with, or from that of the wall clock."""
    clocks = VirtualClock(), VirtualClock(1000)
    assert [clock.now_ms() for clock in clocks] == [START_MS, 1000]
    machine.sleep(5)
    assert [clock.now_ms() for clock in clocks] == [START_MS + 5, 1005]


def test_a_virtual_clock_stands_still_where_it_was_set_and_goes_on_from_there(machine):
    """Whatever the machine's clocks do meanwhile."""
    clock = VirtualClock(1000)
    machine.sleep(5)
    clock.stop()
    machine.sleep(5)
    assert clock.now_ms() == 1005
    clock.set(7000 * MS)
    machine.sleep(5)
    assert clock.now_ms() == 7000
    clock.go_on()
    assert clock.now_ms() == 7000
    machine.sleep(5)
    assert clock.now_ms() == 7005


def test_a_virtual_clock_knows_no_other_wall_clock(machine):
    """Schedules come when it says so."""
    clock = VirtualClock(1000)
    machine.wall_ns += 3_600_000 * MS
    clock.sample()
    assert (clock.now_ms(), clock.offset_ms) == (1000, 0)
