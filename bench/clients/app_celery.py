"""Celery: https://docs.celeryq.dev/en/stable/getting-started/first-steps-with-celery.html"""

import os
import time

import marks
from celery import Celery

URL = f"redis://127.0.0.1:{os.environ['BENCH_PORT']}/0"
app = Celery("bench", broker=URL, backend=URL)


@app.task
def noop(sent_ns):
    """The job."""
    marks.leave(sent_ns)


def enqueue(count):
    """Hand jobs in."""
    for _ in range(count):
        noop.delay(time.time_ns())
