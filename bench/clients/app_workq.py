"""workq: docs/worker.md"""

import os
import time

import marks
from workq_client import JSON, Client, Worker

URL = f"workq://127.0.0.1:{os.environ['BENCH_PORT']}"
POOL = os.environ.get("BENCH_POOL", "threads")
CONCURRENCY = int(os.environ.get("BENCH_CONCURRENCY", "10"))
worker = Worker(URL, codec=JSON, pool=POOL, concurrency=CONCURRENCY)

if POOL == "tasks":

    @worker.job("bench")
    async def noop(sent_ns):
        """The job."""
        marks.leave(sent_ns)

else:

    @worker.job("bench")
    def noop(sent_ns):
        """The job."""
        marks.leave(sent_ns)


def enqueue(count):
    """Hand jobs in, one call after the other, as the others do."""
    with Client(URL, codec=JSON) as client:
        for _ in range(count):
            client.add("bench", time.time_ns(), ttr=60, ttl=3600)


if __name__ == "__main__":
    raise SystemExit(worker.run())
