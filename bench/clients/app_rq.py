"""RQ: https://python-rq.org/docs/"""

import os
import time

import marks
from redis import Redis
from rq import Queue

QUEUE = Queue("bench", connection=Redis(port=int(os.environ["BENCH_PORT"])))


def noop(sent_ns):
    """The job."""
    marks.leave(sent_ns)


def enqueue(count):
    """Hand jobs in."""
    for _ in range(count):
        QUEUE.enqueue(noop, time.time_ns())
