"""The calendar of deadlines against a sorted list."""

import gc
import random
import weakref

from hypothesis import example, given
from hypothesis import strategies as st

from workq.engine.calendar import NEVER, Calendar, Timer

LEVELS = 5
DISTANCES_MS = st.one_of(
    st.integers(-5, 5),
    st.integers(-(2**33), 2**44),
    *[st.integers(2**shift - 2, 2**shift + 2) for shift in (10, 20, 30, 40)],
)
STARTS_MS = st.sampled_from([0, 1023, 2**40 - 1, 1_700_000_000_123])
ACTS = st.one_of(
    st.tuples(st.just("set"), DISTANCES_MS),
    st.tuples(st.just("unset"), st.integers(0, 1000)),
    st.tuples(st.just("move"), DISTANCES_MS),
    st.tuples(st.just("sleep"), st.just(0)),
)


class Mark(Timer):
    """A timer that can be watched being freed."""

    def __init__(self, at_ms: int) -> None:
        super().__init__(at_ms)


def deadline(timer: Timer) -> int:
    """The deadline of a timer that has one."""
    assert timer.at_ms is not None
    return timer.at_ms


def fire(calendar: Calendar[Timer], now_ms: int, moves_max: int = 10**9) -> list[int]:
    """Take out what is due, in the order in which the calendar gives it."""
    while calendar.cascade(now_ms, moves_max) == moves_max:
        pass
    fired = []
    while (timer := calendar.first(now_ms)) is not None:
        timer.unset()
        fired.append(deadline(timer))
    return fired


def empty_buckets(calendar: Calendar[Timer]) -> list[int]:
    """How many buckets are kept in each level."""
    return [len(buckets) for buckets in calendar._buckets]


@given(start_ms=STARTS_MS, moves_max=st.sampled_from([1, 2, 7, 10**9]), acts=st.lists(ACTS))
@example(start_ms=0, moves_max=1, acts=[("set", 2**41), ("set", 2**41 + 1), ("move", 2**41)])
@example(start_ms=0, moves_max=1, acts=[("set", 1024), ("move", 2000), ("move", -2000)])
def test_it_is_a_sorted_list(start_ms, moves_max, acts):
    """Whatever is added and removed, and however time steps: due timers fire, in order, once."""
    calendar: Calendar[Timer] = Calendar()
    inside: list[Timer] = []
    now_ms = start_ms
    for act, number in acts:
        if act == "set":
            timer = Timer(now_ms + number)
            calendar.set(timer, now_ms)
            inside.append(timer)
        elif act == "unset" and inside:
            inside.pop(number % len(inside)).unset()
        elif act in ("move", "sleep"):
            soonest_ms = calendar.soonest_ms
            now_ms = now_ms + number if act == "move" or soonest_ms == NEVER else soonest_ms
            due = sorted(at_ms for timer in inside if (at_ms := deadline(timer)) <= now_ms)
            assert fire(calendar, now_ms, moves_max) == due
            inside = [timer for timer in inside if deadline(timer) > now_ms]
            assert calendar.soonest_ms > now_ms, "nothing is left to do at this instant"
        assert {id(timer) for timer in calendar.timers()} == {id(timer) for timer in inside}
        assert calendar.soonest_ms <= min((deadline(timer) for timer in inside), default=NEVER)


@given(start_ms=STARTS_MS, left_ms=st.integers(1, 2**44))
def test_a_timer_wakes_its_owner_once_per_level_at_most(start_ms, left_ms):
    """Who sleeps until `soonest_ms` each time comes to the deadline in a few steps, not in many."""
    calendar: Calendar[Timer] = Calendar()
    calendar.set(Timer(start_ms + left_ms), start_ms)
    wakings = 0
    now_ms = start_ms
    while calendar.soonest_ms < NEVER:
        wakings += 1
        now_ms = max(now_ms, calendar.soonest_ms)
        if fire(calendar, now_ms):
            assert now_ms == start_ms + left_ms
    assert wakings <= LEVELS


def test_a_timer_of_one_millisecond_fires_in_its_own():
    """Neither before nor after, from the finest level as from the coarsest."""
    for left_ms in (1, 1023, 1024, 2**20, 2**30, 2**40, 2**43):
        calendar: Calendar[Timer] = Calendar()
        calendar.set(Timer(left_ms), 0)
        assert fire(calendar, left_ms - 1) == []
        assert fire(calendar, left_ms) == [left_ms]


def test_timers_of_one_millisecond_fire_in_the_order_they_came():
    """So that a sweep that stops in the middle goes on where it was."""
    calendar: Calendar[Timer] = Calendar()
    timers = [Timer(7) for _ in range(10)]
    for timer in timers:
        calendar.set(timer, 0)
    for timer in timers:
        assert calendar.first(7) is timer
        timer.unset()
    assert calendar.first(7) is None


@given(STARTS_MS, st.lists(st.tuples(DISTANCES_MS, st.integers(1, 4))))
def test_timers_that_are_set_at_once_stand_as_if_they_came_one_by_one(start_ms, places):
    """In the same buckets, in the same order, whose earliest is known."""
    deadlines = [start_ms + left_ms + n for left_ms, many in places for n in range(many)]
    single: Calendar[Timer] = Calendar()
    together: Calendar[Timer] = Calendar()
    for at_ms in deadlines:
        single.set(Timer(at_ms), start_ms)
    half = len(deadlines) // 2
    for some in (deadlines[:half], deadlines[half:]):
        together.set_all([Timer(at_ms) for at_ms in some], start_ms)

    def stands(calendar):
        buckets = [{key: ring.at_ms for key, ring in level.items()} for level in calendar._buckets]
        return buckets, calendar._keys, calendar.soonest_ms, [t.at_ms for t in calendar.timers()]

    assert stands(together) == stands(single)


def test_first_leaves_the_timer_in():
    """Who fires it takes it out, or sets it anew."""
    calendar: Calendar[Timer] = Calendar()
    timer = Timer(7)
    calendar.set(timer, 0)
    assert calendar.first(7) is calendar.first(7) is timer
    assert list(calendar.timers()) == [timer]


def test_a_cascade_stops_at_its_budget_and_goes_on_later():
    """Its answer is the budget as long as something may be left, and less at the end."""
    calendar: Calendar[Timer] = Calendar()
    for number in range(10):
        calendar.set(Timer(2**20 + number), 0)
    assert calendar.cascade(2**20 - 1, 4) == 0
    assert [calendar.cascade(2**20 + 20, 4) for _ in range(4)] == [4, 4, 2, 0]
    assert fire(calendar, 2**20 + 20) == [2**20 + number for number in range(10)]


def test_a_timer_never_moves_more_often_than_there_are_levels():
    """However time passes, so that a cascade is paid for when the timer is set."""
    calendar: Calendar[Timer] = Calendar()
    calendar.set(Timer(2**41 + 12345), 0)
    moves = sum(calendar.cascade(now_ms, 10) for now_ms in range(0, 2**41 + 12346, 2**28 - 1))
    moves += calendar.cascade(2**41 + 12345, 10)
    assert moves <= LEVELS - 1


def test_a_clock_that_steps_back_only_makes_timers_wait():
    """A timer set before the step fires at its deadline, and so does one set after it."""
    calendar: Calendar[Timer] = Calendar()
    calendar.set(Timer(10_000_000), 9_999_999)
    assert fire(calendar, 9_999_999) == []
    calendar.set(Timer(6_400_000), 6_399_000)
    assert fire(calendar, 6_399_999) == []
    assert calendar.soonest_ms <= 6_400_000
    assert fire(calendar, 6_400_000) == [6_400_000]
    assert fire(calendar, 9_999_999) == []
    assert fire(calendar, 10_000_000) == [10_000_000]


def test_to_unset_a_timer_that_is_in_no_calendar_does_nothing():
    """So nobody has to ask first."""
    timer = Timer(None)
    timer.unset()
    calendar: Calendar[Timer] = Calendar()
    timer.at_ms = 5
    calendar.set(timer, 0)
    timer.unset()
    timer.unset()
    assert list(calendar.timers()) == []


def test_to_unset_a_timer_again_does_not_touch_those_that_came_since():
    """It remembers no neighbours, and keeps none of them alive."""
    calendar: Calendar[Timer] = Calendar()
    gone, since = Timer(5), Timer(5)
    calendar.set(gone, 0)
    gone.unset()
    calendar.set(since, 0)
    gone.unset()
    assert list(calendar.timers()) == [since]
    assert fire(calendar, 5) == [5]


def test_a_removed_timer_can_be_set_again():
    """With another deadline: a lease that is prolonged, for example."""
    calendar: Calendar[Timer] = Calendar()
    timer = Timer(5)
    calendar.set(timer, 0)
    timer.unset()
    timer.at_ms = 2000
    calendar.set(timer, 0)
    assert fire(calendar, 1999) == []
    assert fire(calendar, 2000) == [2000]


def test_an_empty_calendar_wakes_nobody():
    """And one whose timers were removed does so once per bucket that is left, at most."""
    calendar: Calendar[Timer] = Calendar()
    assert calendar.soonest_ms == NEVER
    for at_ms in (5, 5, 6, 5000, 2**22):
        timer = Timer(at_ms)
        calendar.set(timer, 0)
        timer.unset()
    wakings = 0
    while calendar.soonest_ms < NEVER:
        assert fire(calendar, calendar.soonest_ms) == []
        wakings += 1
    assert wakings <= 4


def test_a_removed_timer_is_free_at_once():
    """Nothing dead holds it, and the collector is not needed."""
    calendar: Calendar[Timer] = Calendar()
    gc.disable()
    try:
        timers = [Mark(at_ms) for at_ms in (5, 5, 5, 5000, 2**22, 2**32, 2**42)]
        watched = [weakref.ref(timer) for timer in timers]
        for timer in timers:
            calendar.set(timer, 0)
        for timer in timers[:1] + timers[2:]:
            timer.unset()
        alive = timers[1]
        del timer, timers
        assert [watch() for watch in watched] == [None, alive, *[None] * 5]
    finally:
        gc.enable()


def test_buckets_that_are_over_are_freed_without_the_collector():
    """An emptied bucket refers to nothing, least of all to itself."""
    calendar: Calendar[Timer] = Calendar()
    gc.collect()
    gc.disable()
    try:
        for number in range(100):
            calendar.set(Timer(number * 1000), 0)
        assert len(fire(calendar, 100_000)) == 100
        assert calendar.soonest_ms == NEVER
        assert empty_buckets(calendar) == [0] * LEVELS
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_removed_timers_leave_a_thousand_buckets_of_a_level_behind_at_most():
    """Until time comes by, and then they are gone."""
    calendar: Calendar[Timer] = Calendar()
    chance = random.Random(1)
    calendar.set(Timer(1), 0)
    for _ in range(20_000):
        timer = Timer(2 + chance.randrange(2 ** chance.randrange(1, 50)))
        calendar.set(timer, 0)
        timer.unset()
    assert max(empty_buckets(calendar)) <= 1025
    assert fire(calendar, 2**50) == [1]
    assert calendar.soonest_ms == NEVER
    assert empty_buckets(calendar) == [0] * LEVELS
