"""What clients under load may ask, so that their checker can tell right from wrong."""

from random import Random

from tests.faults import wire
from tests.faults.load import World


def test_a_job_is_not_deleted_while_somebody_adds_it_once_more():
    """The second request would come after the deletion, and rightly make another job of its id: an
    hour's run found it once."""
    world = World(1)
    first = world.new(Random(1))
    job = world.open[first.job_id]
    world.sent(first)
    world.over(first)
    second = world.again(job)
    world.sent(second)
    assert world.delete(job).verb == "inspect"
    world.over(second)
    assert world.delete(job) == wire.delete(job.job_id)
