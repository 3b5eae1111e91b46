"""Dramatiq: https://dramatiq.io/guide.html"""

import os
import time

import dramatiq
import marks
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(port=int(os.environ["BENCH_PORT"])))


@dramatiq.actor
def noop(sent_ns):
    """The job."""
    marks.leave(sent_ns)


def enqueue(count):
    """Hand jobs in."""
    for _ in range(count):
        noop.send(time.time_ns())
