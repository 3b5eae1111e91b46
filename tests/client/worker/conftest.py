"""Workers against a server whose clock jumps, with handlers in threads and as tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from workq_client import Client, Worker
from workq_client.testing import Server
from workq_client.worker import leasing

#: No test here takes longer unless something hangs.
PATIENCE_S = 20


@pytest.fixture
def server():
    """A server of this test alone."""
    with Server() as running:
        yield running


@pytest.fixture
def client(server):
    """A client of it."""
    with Client(server.url) as one:
        yield one


class Bench:
    """What a test makes workers with, for one pool.

    Args:
        pool: which.
        url: of the server.
    """

    def __init__(self, pool: str, url: str) -> None:
        self.pool = pool
        self.url = url

    def worker(self, **settings: Any) -> Worker:
        """A worker."""
        return Worker(self.url, **{"pool": self.pool, "concurrency": 2, **settings})

    def form(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A plain function in the form that the pool runs."""
        if self.pool != "tasks":
            return function

        @wraps(function)
        async def form(*args: Any) -> Any:
            return function(*args)

        return form


@pytest.fixture(params=["threads", "tasks"])
def bench(request, server, monkeypatch):
    """For each pool in this process. Its workers ask for jobs often: one that stops waits until the
    server has answered, and here nearly every test stops one."""
    monkeypatch.setattr(leasing, "LEASE_WAIT_S", 0.03)
    return Bench(request.param, server.url)


class Gate:
    """Keeps a handler until it is opened, and tells that it has come.

    Args:
        pool: in what form.
    """

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.come = threading.Semaphore(0)
        self.opened = threading.Event()
        self.ended: list[BaseException] = []

    def handler(self) -> Callable[..., Any]:
        """A handler that waits there, in small steps so that it can be interrupted."""
        import asyncio
        import time

        def plain(payload: bytes) -> bytes:
            self.come.release()
            try:
                while not self.opened.is_set():
                    time.sleep(0.002)
            except BaseException as error:
                self.ended.append(error)
                raise
            return payload

        async def task(payload: bytes) -> bytes:
            self.come.release()
            try:
                while not self.opened.is_set():  # noqa: ASYNC110 - a thread opens it
                    await asyncio.sleep(0.002)
            except BaseException as error:
                self.ended.append(error)
                raise
            return payload

        return task if self.pool == "tasks" else plain

    def wait(self) -> None:
        """Wait until a handler has come."""
        assert self.come.acquire(timeout=PATIENCE_S)


@pytest.fixture
def gate(bench):
    """A gate for the pool's handlers."""
    made = Gate(bench.pool)
    yield made
    made.opened.set()
