"""Workers that child processes can import."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from workq_client import Work, Worker

#: Processes that have begun, and memory that is kept: of this process.
STARTED: list[int] = []
KEPT: list[bytes] = []

POOLS = ("threads", "tasks", "processes")
HARMS = ("cut", "silence", "stop", "kill")


def resilient(pool: str, harm: str) -> Worker:
    """A worker for one pool and one kind of harm, with queues of its own."""
    worker = Worker(concurrency=2, pool=pool, shutdown_timeout=5)  # type: ignore[arg-type]
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


processes = Worker(concurrency=1, pool="processes")


@processes.middleware
def marked(work: Work, call: Callable[[], Any]) -> Any:
    """Marks what `marked` returns."""
    value = call()
    return value + b"!" if work.queue == "marked" else value


@processes.on_start
async def started() -> None:
    """Notes that the process has begun."""
    STARTED.append(os.getpid())


@processes.job("marked")
def mark(payload: bytes) -> bytes:
    """Returns the payload."""
    return payload


@processes.job("pid")
def pid(payload: bytes) -> bytes:
    """Tells which process it is, after its start."""
    assert [os.getpid()] == STARTED
    return str(os.getpid()).encode()


@processes.job("task")
async def task(payload: bytes, work: Work) -> bytes:
    """An async handler."""
    await asyncio.sleep(0)
    return f"{work.attempt} {work.payload!r}".encode()


@processes.job("kill", max_fails=1)
def kill(payload: bytes) -> None:
    """Has its process killed."""
    os.kill(os.getpid(), int(payload))


@processes.job("exit")
def leave(payload: bytes) -> None:
    """Ends its process."""
    os._exit(int(payload))


@processes.job("raise")
def fail(payload: bytes) -> None:
    """Fails."""
    raise ValueError("no such photo")


@processes.job("hold", ttr=0.3, timeout=30)
def hold(payload: bytes) -> bytes:
    """Holds the interpreter, so that no other thread of the process has it."""
    sum(range(int(payload)))
    return b"held"


@processes.job("hang", timeout=0.2)
def hang(payload: bytes) -> None:
    """Does not end, whatever is raised."""
    while True:
        with suppress(BaseException):
            time.sleep(60)


@processes.job("slow", ttr=0.6)
def slow(payload: bytes, work: Work) -> bytes:
    """Takes its time, the first time."""
    begun = time.monotonic()
    while work.attempt == 1 and time.monotonic() - begun < 60:
        work.touch()
        time.sleep(0.005)
    return b"at attempt %d" % work.attempt


@processes.job("huge")
def huge(payload: bytes) -> bytes:
    """Returns more than can be sent."""
    return bytes(int(payload))


@processes.job("shell")
def shell(payload: bytes) -> bytes:
    """Runs a program, which a signal must be able to end."""
    program = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout


#: Its processes are replaced.
replaced = Worker(concurrency=1, pool="processes")


@replaced.job("fat")
def fat(payload: bytes) -> bytes:
    """Keeps memory; tells which process it is."""
    KEPT.append(bytes(range(256)) * (int(payload) // 256))
    return str(os.getpid()).encode()
