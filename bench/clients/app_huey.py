"""Huey: https://huey.readthedocs.io/en/latest/guide.html"""

import os
import time

import marks
from huey import RedisHuey

huey = RedisHuey("bench", port=int(os.environ["BENCH_PORT"]))


@huey.task()
def noop(sent_ns):
    """The job."""
    marks.leave(sent_ns)


def enqueue(count):
    """Hand jobs in."""
    for _ in range(count):
        noop(time.time_ns())
