"""The thread that waits for the disk."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from queue import SimpleQueue

from workq.cmdlog.worker import NICENESS, ThreadWorker


def test_steps_are_taken_in_order_and_away_from_the_caller():
    """And their ends are told in order."""
    ends: list[tuple[int, Exception | None]] = []
    threads: list[str] = []
    worker = ThreadWorker(lambda done, failure: done(failure))

    def step() -> None:
        threads.append(threading.current_thread().name)

    def end(number: int, failure: Exception | None) -> None:
        ends.append((number, failure))

    for number in range(50):
        worker.submit(step, partial(end, number))
    worker.close()
    assert ends == [(number, None) for number in range(50)]
    assert set(threads) == {"workq-cmdlog"}


def test_a_step_that_fails_is_told_and_the_next_is_taken():
    """What becomes of it the loop decides."""
    ends: list[Exception | None] = []
    worker = ThreadWorker(lambda done, failure: done(failure))
    error = OSError(5, "Input/output error")

    def fail() -> None:
        raise error

    worker.submit(fail, ends.append)
    worker.submit(lambda: None, ends.append)
    worker.close()
    assert ends == [error, None]


def test_a_caller_does_not_wait():
    """Not even for a step that waits for the caller."""
    gate: SimpleQueue[None] = SimpleQueue()
    ends: list[Exception | None] = []
    worker = ThreadWorker(lambda done, failure: done(failure))
    worker.submit(gate.get, ends.append)
    assert ends == []
    gate.put(None)
    worker.close()
    assert ends == [None]


def test_a_loop_that_is_gone_ends_the_thread():
    """Without a word: nobody is there to hear it."""

    def call(done, failure):
        raise RuntimeError("Event loop is closed")

    worker = ThreadWorker(call)
    worker.submit(lambda: None, lambda failure: None)
    worker.close()


def test_it_comes_second_on_a_core_that_it_shares_with_the_loop():
    """The thread alone, as far as there are priorities of threads; who made it is as nice as
    before."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    found: list[int] = []
    worker = ThreadWorker(lambda done, failure: done(failure))
    worker.submit(lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)), lambda _: None)
    worker.close()
    nicer = NICENESS if sys.platform == "linux" else 0
    assert found == [min(before + nicer, 19)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    first = ThreadWorker(lambda done, failure: done(failure), second=False)
    first.submit(lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)), lambda _: None)
    first.close()
    assert found[1] == before


def test_one_that_may_not_come_second_takes_its_steps_all_the_same(monkeypatch):
    """A sandbox may refuse it."""

    def refused(_: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "nice", refused)
    ends: list[Exception | None] = []
    worker = ThreadWorker(lambda done, failure: done(failure))
    worker.submit(lambda: None, ends.append)
    worker.close()
    assert ends == [None]
