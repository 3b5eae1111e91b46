"""The order of a queue against a sorted list."""

import random
from itertools import islice
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workq.engine import queue as queue_module
from workq.engine.job import Options
from workq.engine.queue import Order, Queue, Run
from workq.limits import CHUNK_JOBS_MAX, EMPTY_RUNS_MAX, GROUP_RUNS_MAX


class Item:
    """What an order looks at, and no more."""

    __slots__ = ("due_ms", "options", "seq")

    def __init__(self, due_ms: int, seq: int, priority: int = 0) -> None:
        self.due_ms = due_ms
        self.seq = seq
        self.options = Options(1, 1, priority)


def sorted_items(items: list[Item]) -> list[Item]:
    """The items as they should stand."""
    return sorted(items, key=lambda item: (-item.options.priority, item.due_ms, item.seq))


def check_chunks(run: Run[Item], chunk_max: int) -> None:
    """No chunk is empty, and none is too long."""
    assert [chunk for chunk in run._chunks if not 0 < len(chunk) <= chunk_max] == []
    assert sum(len(chunk) for chunk in run._chunks) == run.size


def check_groups(order: Order[Item], group_max: int) -> None:
    """Every priority stands in its group, no group is empty or too long, and each counts right."""
    groups, runs = order._groups, order._runs
    if groups is None:
        assert len(runs) < 2
        return
    assert [key for group in groups for key in group.keys] == sorted(runs)
    for group in groups:
        assert 0 < len(group.keys) <= group_max
        assert group.size == sum(runs[key].size for key in group.keys)
        assert all(runs[key].group is group for key in group.keys)


@given(
    due=st.lists(st.integers(0, 5), max_size=60),
    removals=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=60),
)
def test_a_run_is_a_sorted_list(due, removals):
    """Chunks of four: whatever comes and goes, the order is due time, then arrival."""
    with mock.patch.object(queue_module, "CHUNK_JOBS_MAX", 4):
        run: Run[Item] = Run()
        inside: list[Item] = []
        removals_at = dict(removals)
        for number, due_ms in enumerate(due):
            item = Item(due_ms, number)
            run.add(item)
            inside.append(item)
            if number in removals_at:
                gone = inside.pop(removals_at[number] % len(inside))
                run.remove(gone)
            assert list(run.from_offset(0)) == sorted_items(inside)
            assert not inside or run.first() is sorted_items(inside)[0]
            check_chunks(run, 4)


@given(data=st.data())
def test_an_order_is_a_sorted_list(data):
    """Over several priorities: its head, any part of it, and its size."""
    acts = data.draw(
        st.lists(
            st.tuples(st.integers(-2, 2) | st.integers(-(2**31), 2**31 - 1), st.integers(0, 3)),
            max_size=50,
        )
    )
    with (
        mock.patch.multiple(queue_module, CHUNK_JOBS_MAX=3, EMPTY_RUNS_MAX=1),
        mock.patch.object(queue_module, "GROUP_RUNS_MAX", 2),
    ):
        order: Order[Item] = Order()
        inside: list[Item] = []
        for number, (priority, due_ms) in enumerate(acts):
            item = Item(due_ms, number, priority)
            order.add(item)
            inside.append(item)
            while inside and data.draw(st.booleans()):
                gone = inside.pop(data.draw(st.integers(0, len(inside) - 1)))
                order.remove(gone)
            expected = sorted_items(inside)
            assert order.size == len(expected)
            assert order.first() is (expected[0] if expected else None)
            offset = data.draw(st.integers(0, len(expected) + 1))
            assert list(order.from_offset(offset)) == expected[offset:]
            check_groups(order, 2)


def test_a_long_run_is_a_sorted_list():
    """Many times more jobs than a chunk holds, in and out at every place, all offsets right."""
    chance = random.Random(7)
    run: Run[Item] = Run()
    inside: list[Item] = []
    for number in range(CHUNK_JOBS_MAX * 8):
        item = Item(chance.choice([number, chance.randrange(CHUNK_JOBS_MAX * 8)]), number)
        run.add(item)
        inside.append(item)
        if chance.random() < 0.3:
            run.remove(inside.pop(chance.randrange(len(inside))))
    check_chunks(run, CHUNK_JOBS_MAX)
    expected = sorted_items(inside)
    for offset in (
        0,
        1,
        CHUNK_JOBS_MAX - 1,
        CHUNK_JOBS_MAX,
        CHUNK_JOBS_MAX + 1,
        run.size - 1,
        run.size,
        10**6,
    ):
        assert list(run.from_offset(offset)) == expected[offset:]
    chance.shuffle(inside)
    while inside:
        run.remove(inside.pop())
    assert run._chunks == []
    assert run.size == 0


@pytest.mark.parametrize("rises", [1, -1])
def test_jobs_that_come_in_order_fill_their_chunks(rises):
    """So a job takes eight bytes in its queue, not sixteen, whether due times or arrivals rise."""
    run: Run[Item] = Run()
    for number in range(CHUNK_JOBS_MAX * 3 + 1):
        run.add(Item(number, number * rises))
    assert [len(chunk) for chunk in run._chunks] == [
        CHUNK_JOBS_MAX,
        CHUNK_JOBS_MAX,
        CHUNK_JOBS_MAX,
        1,
    ]


@pytest.mark.parametrize("late", [0, 0.001, 0.3])
def test_jobs_that_are_added_at_once_stand_as_if_they_came_one_by_one(late):
    """In the same chunks, whatever there is already, and wherever they belong."""
    chance = random.Random(5)
    single: Order[Item] = Order()
    together: Order[Item] = Order()
    number = 0
    for size in (1, 3, CHUNK_JOBS_MAX - 4, 1, CHUNK_JOBS_MAX * 3 + 5, 200, 1):
        priorities = chance.choice(((0,), (0, 5), (5, 1, -3)))
        items = []
        for _ in range(size):
            number += 1
            due_ms = chance.randrange(number) if chance.random() < late else number // 3
            items.append(Item(due_ms, number, chance.choice(priorities)))
        for item in items:
            single.add(item)
        together.add_all(items)
        check_groups(together, GROUP_RUNS_MAX)
        assert together.first() is single.first()
        assert together.size == single.size
        chunks = [{key: run._chunks for key, run in o._runs.items()} for o in (single, together)]
        assert chunks[0] == chunks[1]
        for order in (single, together):
            order.remove(items[size // 2])


def test_many_priorities_and_many_jobs_are_a_sorted_list():
    """A thousand priorities, emptied from the head as a worker does it."""
    chance = random.Random(11)
    order: Order[Item] = Order()
    items = [Item(chance.randrange(50), n, chance.randrange(-500, 500)) for n in range(5000)]
    for item in items:
        order.add(item)
    for expected in sorted_items(items):
        head = order.first()
        assert head is expected
        order.remove(head)
    assert order.first() is None
    assert order.size == 0


def test_a_list_from_the_middle_passes_over_groups_of_priorities():
    """So its cost is bounded: of 100,000 priorities it looks at those of one group."""
    looked_at = 0

    class Counted(dict[int, Run[Item]]):
        def __getitem__(self, key: int) -> Run[Item]:
            nonlocal looked_at
            looked_at += 1
            return super().__getitem__(key)

    order: Order[Item] = Order()
    items = [Item(0, number, -number) for number in range(100_000)]
    for item in items:
        order.add(item)
    check_groups(order, GROUP_RUNS_MAX)
    assert order._groups is not None
    assert len(order._groups) <= 2 * len(items) / GROUP_RUNS_MAX
    order._runs = Counted(order._runs)
    for offset in (0, 50_000, 99_900):
        looked_at = 0
        assert list(islice(order.from_offset(offset), 100)) == items[offset : offset + 100]
        assert looked_at <= GROUP_RUNS_MAX + 100


def test_empty_priorities_are_kept_for_a_few_only():
    """Priorities used once do not grow memory."""
    order: Order[Item] = Order()
    for number in range(1000):
        item = Item(0, number, number)
        order.add(item)
        order.remove(item)
    assert len(order._runs) <= EMPTY_RUNS_MAX
    for number in range(1000):
        order.add(Item(0, number, number))
    for item in list(order.from_offset(0)):
        order.remove(item)
    assert len(order._runs) <= EMPTY_RUNS_MAX


def test_the_head_is_found_again_when_a_higher_priority_comes_and_goes():
    """The remembered head never outlives the job that stood there."""
    order: Order[Item] = Order()
    low, high = Item(0, 1, -5), Item(9, 2, 5)
    order.add(low)
    assert order.first() is low
    order.add(high)
    assert order.first() is high
    order.remove(high)
    assert order.first() is low
    order.add(high)
    assert order.first() is high
    order.remove(low)
    assert order.first() is high


def test_a_new_queue_is_empty_and_counts_as_served_when_it_was_made():
    """A name that has just come does not go before those that have waited."""
    queue: Queue[Item] = Queue(b"ping", 7)
    assert [queue.ready.size, queue.scheduled.size, queue.size] == [0, 0, 0]
    assert queue.served == 7
    assert not queue.woken
