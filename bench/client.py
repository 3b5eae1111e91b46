"""Calls a second of the Python client beside redis-py's LPUSH, in one run.

    make bench-client
    python bench/client.py --rounds 5 --seconds 3

Both hand in one small job or list entry per call, to a server in memory on a core of its own; the
client has the other. Redis's LPUSH does less: it knows no ids, limits or times. A bare socket sends
and receives the same bytes with nothing around it: what it takes is the server's and the system's.
All ways are measured in each round, in turn; medians are printed, as a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from itertools import count
from typing import Any

from servers import Server, find_workq, started
from workq_client import AsyncClient, Client, NewJob
from workq_client.ids import new_id

try:
    import redis
    import redis.asyncio
except ImportError:
    sys.exit("redis-py is not installed: make bench-client installs it")

PAYLOAD = b"x" * 64
BATCH = 100
TASKS = 50


def calls_per_second(once: Callable[[], int], seconds: float) -> float:
    """How many calls a function makes, which makes some and returns how many, over and over."""
    end = time.perf_counter() + seconds / 5
    while time.perf_counter() < end:
        once()
    done = 0
    begun = time.perf_counter()
    while (now := time.perf_counter()) < begun + seconds:
        done += once()
    return done / (now - begun)


async def awaited_per_second(
    once: Callable[[], Coroutine[Any, Any, Any]], tasks: int, seconds: float
) -> float:
    """The same, of coroutines by so many tasks at a time."""

    async def work(until: float) -> int:
        for done in count():
            if time.perf_counter() >= until:
                return done
            await once()
        return 0

    async def all_work(limit: float) -> float:
        begun = time.perf_counter()
        done = await asyncio.gather(*[work(begun + limit) for _ in range(tasks)])
        return sum(done) / (time.perf_counter() - begun)

    await all_work(seconds / 5)
    return await all_work(seconds)


def bare_per_second(port: int, request: Callable[[], bytes], seconds: float) -> float:
    """The same, of requests sent by a socket; the reply comes in one piece."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def once() -> int:
            sock.sendall(request())
            return bool(sock.recv(4096))

        return calls_per_second(once, seconds)


def bare_add() -> bytes:
    """What the client sends for a job."""
    line = f"add {new_id()} bench 60000 86400000 {len(PAYLOAD)}\r\n".encode()
    return b"%b%b\r\n" % (line, PAYLOAD)


def bare_push() -> bytes:
    """What redis-py sends for an entry."""
    parts = (b"LPUSH", b"bench", PAYLOAD)
    return b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def workq_ways(port: int, seconds: float) -> dict[str, Callable[[], float]]:
    """The ways of the client."""
    url = f"workq://127.0.0.1:{port}"

    def one() -> float:
        with Client(url) as client:
            return calls_per_second(lambda: bool(client.add("bench", PAYLOAD)), seconds)

    def ping() -> float:
        with Client(url) as client:
            return calls_per_second(lambda: client.ping() is None, seconds)

    def pipeline() -> float:
        with Client(url) as client:

            def batch() -> int:
                with client.pipeline() as p:
                    for _ in range(BATCH):
                        p.add("bench", PAYLOAD)
                return BATCH

            return calls_per_second(batch, seconds)

    def many() -> float:
        with Client(url) as client:
            job = NewJob(queue="bench", payload=PAYLOAD)
            return calls_per_second(lambda: client.add_many(job for _ in range(1000)), seconds)

    async def asynchronous(tasks: int) -> float:
        async with AsyncClient(url, connections_max=TASKS) as client:
            return await awaited_per_second(lambda: client.add("bench", PAYLOAD), tasks, seconds)

    return {
        "a bare socket": lambda: bare_per_second(port, bare_add, seconds),
        "one call after the other": one,
        f"a pipeline of {BATCH}": pipeline,
        "asyncio, one task": lambda: asyncio.run(asynchronous(1)),
        f"asyncio, {TASKS} tasks": lambda: asyncio.run(asynchronous(TASKS)),
        "`add_many`": many,
        "`ping`": ping,
    }


def redis_ways(port: int, seconds: float) -> dict[str, Callable[[], float]]:
    """Those of redis-py."""

    def one() -> float:
        with redis.Redis(port=port) as client:
            return calls_per_second(lambda: bool(client.lpush("bench", PAYLOAD)), seconds)

    def ping() -> float:
        with redis.Redis(port=port) as client:
            return calls_per_second(lambda: bool(client.ping()), seconds)

    def pipeline() -> float:
        with redis.Redis(port=port) as client:

            def batch() -> int:
                with client.pipeline(transaction=False) as p:
                    for _ in range(BATCH):
                        p.lpush("bench", PAYLOAD)
                    p.execute()
                return BATCH

            return calls_per_second(batch, seconds)

    async def asynchronous(tasks: int) -> float:
        pool = redis.asyncio.BlockingConnectionPool(port=port, max_connections=TASKS)
        async with redis.asyncio.Redis(connection_pool=pool) as client:
            rate = await awaited_per_second(lambda: client.lpush("bench", PAYLOAD), tasks, seconds)
        await pool.disconnect()
        return rate

    return {
        "a bare socket": lambda: bare_per_second(port, bare_push, seconds),
        "one call after the other": one,
        f"a pipeline of {BATCH}": pipeline,
        "asyncio, one task": lambda: asyncio.run(asynchronous(1)),
        f"asyncio, {TASKS} tasks": lambda: asyncio.run(asynchronous(TASKS)),
        "`ping`": ping,
    }


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    options = parser.parse_args()
    workq = find_workq()
    assert workq is not None, "no workq-server beside this Python"
    os.sched_setaffinity(0, {options.load_core})
    lists = "redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no"
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for name, command, ways in (
            ("workq", workq, workq_ways),
            ("redis", lists, redis_ways),
        ):
            with ExitStack() as stack:
                server = Server(name, name, command)
                port = stack.enter_context(started(server, options.server_core)).port
                for way, measure in ways(port, options.seconds).items():
                    rates.setdefault((way, name), []).append(measure())
    print(f"redis-py {redis.__version__}, calls/s, medians of {options.rounds} rounds\n")
    print("| | workq_client | redis-py | ratio |\n|---|---|---|---|")
    for way in dict.fromkeys(way for way, _ in rates):
        ours = statistics.median(rates[way, "workq"])
        theirs = statistics.median(rates[way, "redis"]) if (way, "redis") in rates else None
        tail = f"{theirs:,.0f} | {ours / theirs:.2f}" if theirs else "|"
        print(f"| {way} | {ours:,.0f} | {tail} |")


if __name__ == "__main__":
    main()
