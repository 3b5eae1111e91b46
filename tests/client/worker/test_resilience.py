"""Whatever becomes of the server, and at whatever moment: a worker consumes again within two
seconds of the server being reachable again.

Every case is one of three pools, one of four kinds of harm, and one of the states in which a worker
may be with the server. All run at the same time but the states of one worker, which follow each
other; then each case looks at its own result.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

import pytest
from workq_client import Client, Worker

from tests.client.worker.handlers import HARMS, POOLS, RESILIENT
from tests.client.worker.proxy import PATIENCE_S, Proxy

#: The states of the protocol, and what the harm comes upon.
STATES = {
    "connecting": "the connection is being made",
    "hello": "hello was sent",
    "lease": "a lease was sent, and waits: the worker is idle",
    "half a job": "half of the reply to a lease has come",
    "running": "a job runs, whose lease is due to be renewed meanwhile",
    "touch": "a renewal was sent",
    "complete": "a result was sent, and has not arrived",
    "half a reply": "a result has arrived, and half of the reply has come",
    "pausing": "attempts to connect have failed, and the next one is waited with",
}

#: How long the harm lasts, in seconds. A worker cannot know that a connection which is silent is
#: lost before some time is over: the shorter the harm, the longer that is after it.
HARM_S = {"cut": 0.1, "silence": 0.1, "stop": 1.4, "kill": 0.1}
LONG_HARM_S = 1.7

#: What is promised.
AGAIN_S = 2.0

#: Pool, harm and state.
Key = tuple[str, str, str]


class Served:
    """A server in a process of its own, which can be stopped and killed.

    Args:
        folder: of its log.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, again on its port, with its jobs."""
        command = [sys.executable, "-m", "workq", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*command, "--cmdlog-path", self.folder], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "127.0.0.1:" in line:
                self.port = int(line.rsplit(":", 1)[1])
                break
        threading.Thread(target=read_and_close, args=[self.process.stderr], daemon=True).start()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()

    def end(self) -> None:
        """Have it gone."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class Stalls:
    """How long this machine has let programs stand still that wanted to go on: on a busy one that
    is no fault of the worker."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ending.wait(0.01):
            now = time.monotonic()
            late_s = now - before - 0.01
            self.total_s += late_s if late_s > 0.02 else 0.0
            before = now

    def close(self) -> None:
        """Be done with it."""
        self._ending.set()
        self._thread.join()


def read_and_close(file: IO[str]) -> None:
    """Take what a process says until it ends."""
    with file:
        file.read()


class Case:
    """A worker of one pool, whose server suffers one kind of harm, again and again.

    Args:
        pool, harm: which.
        folder: for the server's log.
    """

    def __init__(self, pool: str, harm: str, folder: str) -> None:
        self.pool = pool
        self.harm = harm
        self.server = Served(folder)
        self.proxy = Proxy(self.server.port)
        self.client = Client(f"workq://127.0.0.1:{self.server.port}")
        self.worker: Worker = RESILIENT[pool, harm]

    def strike(self) -> None:
        """Do the harm; in the proxy's thread."""
        strikes: dict[str, Callable[[], None]] = {
            "cut": self.proxy.refuse,
            "silence": self.proxy.fall_silent,
            "stop": lambda: os.kill(self.server.process.pid, signal.SIGSTOP),
            "kill": self.server.kill,
        }
        strikes[self.harm]()

    def heal(self) -> None:
        """Undo it, and wait until the server answers somebody."""
        if self.harm == "stop":
            os.kill(self.server.process.pid, signal.SIGCONT)
        elif self.harm == "kill":
            self.server.process.wait()
            self.server.start()
        self.proxy.do(self.proxy.heal)
        self.client.ping()

    def add(self, name: str, payload: bytes, ttr: float, delay: float = 0.25) -> str:
        """Add a job, which is ready only when its arrival is acknowledged and the harm prepared:
        that must not come upon who adds it."""
        queue = f"{self.pool}.{self.harm}.{name}"
        return self.client.add(queue, payload, ttr=ttr, delay=delay)

    def suffer(self, state: str) -> float:
        """Let harm come upon the worker in a state; return how long until it consumes again, in
        seconds."""
        kept: str | None = None
        if state == "pausing":
            self.proxy.do(self.strike)
        elif state == "running":
            kept = self.add("long", b"1.2", 1.5)
            while self.client.inspect_job(kept).attempts == 0:
                time.sleep(0.01)
            self.proxy.do(self.strike)
        else:
            if state == "touch":
                kept = self.add("long", b"1.2", 1.5)
            elif state == "half a job":
                self.add("quick", b"lost", 3600)
            elif state in ("complete", "half a reply"):
                kept = self.add("quick", b"kept", 3600)
            self.proxy.arm(state, self.strike)
            if state in ("connecting", "hello"):
                self.proxy.do(self.proxy.cut)
            assert self.proxy.sprung.wait(PATIENCE_S), "that state did not come"
        time.sleep(LONG_HARM_S if state == "pausing" else HARM_S[self.harm])
        self.heal()
        stalls = Stalls()
        begun = time.monotonic()
        after = self.add("quick", b"after", 3600, delay=0)
        assert self.client.result(after, wait=PATIENCE_S).check().data == b"after"
        took_s = time.monotonic() - begun
        stalls.close()
        if kept is not None:  # what it had done is not lost either
            self.client.result(kept, wait=PATIENCE_S).check()
        return took_s - stalls.total_s

    def close(self) -> None:
        """Have all of it gone."""
        self.client.close()
        self.proxy.close()
        self.server.end()


def gone_through(pool: str, harm: str, folder: str, told: dict[Key, float | BaseException]) -> None:
    """Go through all states with one worker, and note how long each took, or what went wrong."""
    try:
        case = Case(pool, harm, folder)
        try:
            with case.worker.running(url=f"workq://127.0.0.1:{case.proxy.port}"):
                first = case.add("quick", b"first", 3600)
                case.client.result(first, wait=PATIENCE_S).check()
                for state in STATES:
                    told[pool, harm, state] = case.suffer(state)
        finally:
            case.close()
    except BaseException as error:
        for state in STATES:
            told.setdefault((pool, harm, state), error)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """How long each case took, or what went wrong."""
    folder = tmp_path_factory.mktemp("logs")
    told: dict[Key, float | BaseException] = {}
    threads = [
        threading.Thread(target=gone_through, args=[pool, harm, f"{folder}/{pool}-{harm}", told])
        for pool in POOLS
        for harm in HARMS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_consumes_again_within_two_seconds(told, pool, harm, state):
    """Of the server being reachable again. What it had done meanwhile is reported."""
    took_s = told[pool, harm, state]
    if isinstance(took_s, BaseException):
        raise took_s
    assert took_s < AGAIN_S
