"""Claims about what is refused for want of room."""

from workq.broker.room import Room
from workq.broker.waiting import Waiting
from workq.engine.engine import Engine
from workq.engine.job import Options
from workq.limits import JOB_BYTES, QUEUE_BYTES, WAITED_NAMES_MAX, Bounds
from workq.wire.replies import OUT_OF_MEMORY

FULL = JOB_BYTES + 100


def holding(jobs: int) -> Engine:
    """An engine with so many jobs of 100 bytes in one queue."""
    engine = Engine()
    for number in range(jobs):
        engine.add(b"%d" % number, b"q", Options(1000, 1000), b"x" * 100)
    return engine


def test_without_bounds_everything_fits():
    """As in the original."""
    room = Room(Bounds(), holding(3), Waiting())
    assert room.refuses_job(10**12) is None
    assert room.refuses_result(10**12) is None


def test_so_many_jobs_fit_and_no_more():
    """In whatever state they are."""
    for jobs, refusal in ((2, None), (3, OUT_OF_MEMORY)):
        assert Room(Bounds(jobs_max=3), holding(jobs), Waiting()).refuses_job(1) == refusal


def test_payloads_jobs_and_queues_count_to_the_byte():
    """What just fits is taken."""
    room = Room(Bounds(memory_bytes_max=3 * FULL + QUEUE_BYTES), holding(2), Waiting())
    assert room.refuses_job(100) is None
    assert room.refuses_job(101) == OUT_OF_MEMORY


def test_a_result_may_take_an_eighth_more():
    """So that what was taken in can be finished."""
    memory_bytes_max = 2 * FULL + QUEUE_BYTES
    room = Room(Bounds(memory_bytes_max=memory_bytes_max), holding(2), Waiting())
    assert room.refuses_job(0) == OUT_OF_MEMORY
    assert room.refuses_result(memory_bytes_max // 8) is None
    assert room.refuses_result(memory_bytes_max // 8 + 1) == OUT_OF_MEMORY
    assert room.refused == 2


def test_so_many_places_in_lines_are_given():
    """Of all who wait together."""
    waiting = Waiting()
    waiting.names = WAITED_NAMES_MAX - 3
    room = Room(Bounds(), holding(0), waiting)
    assert room.refuses_wait(3) is None
    assert room.refused == 0
    assert room.refuses_wait(4) == OUT_OF_MEMORY
    assert room.refused == 1
