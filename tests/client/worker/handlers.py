"""Workers that child processes can import."""

from __future__ import annotations

import time

from workq_client import Work, Worker

POOLS = ("threads", "tasks", "processes")
HARMS = ("cut", "silence", "stop", "kill")


def resilient(pool: str, harm: str) -> Worker:
    """A worker for one pool and one kind of harm, with queues of its own."""
    import asyncio

    worker = Worker(concurrency=3, pool=pool, shutdown_timeout=5)  # type: ignore[arg-type]
    if pool == "tasks":

        @worker.job(f"{pool}.{harm}.quick")
        async def quick_task(payload: bytes) -> bytes:
            return payload

        @worker.job(f"{pool}.{harm}.long")
        async def long_task(payload: bytes) -> bytes:
            await asyncio.sleep(float(payload))
            return payload
    else:

        @worker.job(f"{pool}.{harm}.quick")
        def quick(payload: bytes) -> bytes:
            return payload

        @worker.job(f"{pool}.{harm}.long")
        def long(payload: bytes, work: Work) -> bytes:
            time.sleep(float(payload))
            return payload

    return worker


RESILIENT = {(pool, harm): resilient(pool, harm) for pool in POOLS for harm in HARMS}
globals().update({f"{pool}_{harm}": worker for (pool, harm), worker in RESILIENT.items()})
