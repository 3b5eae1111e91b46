"""How long a pool of processes waits for its children, in virtual time; these are no processes.

What they do as processes is in `tests/client/worker/test_processes.py`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import pytest
from workq_client.limits import (
    CHILD_END_S,
    CHILD_LAST_WORDS_S,
    CHILD_PAUSE_FIRST_S,
    CHILD_PAUSE_MAX_S,
)
from workq_client.worker.pools.frames import packed
from workq_client.worker.pools.processes import Processes, Recruits
from workq_client.worker.settings import Settings


class AtOnce(ThreadPoolExecutor):
    """Does in the loop's thread what it is told to: no other time passes."""

    def submit(self, function, /, *args, **kwargs):
        """Do it."""
        done: Future[object] = Future()
        done.set_result(function(*args, **kwargs))
        return done


class Child:
    """A child that is no process.

    Args:
        sock: its side of the connection to its parent.
        nursery: its.

    Attributes:
        sentinel: may be read once it has ended.
        exitcode: how.
    """

    exitcode = None

    def __init__(self, sock, nursery):
        self.sock = sock.dup()
        self.sentinel, self._alive = os.pipe()
        self._nursery = nursery

    def start(self):
        """Begin."""
        self._nursery.children.append(self)
        self._nursery.times.append(self._nursery.virtual.passed_s)
        self._nursery.upbringing(self)

    def say(self, *message):
        """Say something to the parent."""
        self.sock.sendall(packed(*message))

    def end(self, exitcode):
        """End. Somebody else may have its side of the connection still."""
        self.exitcode = exitcode
        os.close(self._alive)

    def kill(self):
        """End."""
        self._nursery.killed.append(self._nursery.virtual.passed_s)
        self.end(-9)

    def join(self):
        """It has ended."""
        assert self.exitcode is not None

    def close(self):
        """Be forgotten."""
        os.close(self.sentinel)
        self.sock.close()


class Nursery:
    """Where children come from.

    Args:
        virtual: the world.

    Attributes:
        upbringing: what each does when it has begun.
        children: those that have begun.
        times: when.
        killed: when one was.
    """

    def __init__(self, virtual):
        self.virtual = virtual
        self.upbringing = lambda child: None
        self.children: list[Child] = []
        self.times: list[float] = []
        self.killed: list[float] = []

    def Process(self, *, target, args, name):
        """A child."""
        return Child(args[0], self)

    def run(self, seconds, then):
        """Have a pool of one child for some time, and then do something with it and close it."""

        async def main():
            asyncio.get_running_loop().set_default_executor(AtOnce())
            pool = Processes(
                Settings(concurrency=1),
                Recruits("", "", (), (), {}),
                lambda finished: None,
                lambda: None,
                lambda held: None,
            )
            await asyncio.sleep(seconds)
            await then(pool)
            await pool.close()

        self.virtual.run(main())


@pytest.fixture
def nursery(virtual, monkeypatch):
    """In place of the system's processes."""
    made = Nursery(virtual)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: made)
    return made


async def nothing(pool):
    """Do nothing."""


def test_pauses_before_children_that_do_not_come_up_grow_to_the_longest(nursery):
    """CHILD_PAUSE_FIRST_S, doubled up to CHILD_PAUSE_MAX_S."""

    def die(child):
        child.sock.close()
        child.end(1)

    nursery.upbringing = die
    nursery.run(60, nothing)
    pauses = [later - earlier for earlier, later in pairwise(nursery.times)]
    doubled = [CHILD_PAUSE_FIRST_S * 2**step for step in range(7)]
    assert pauses == pytest.approx([*doubled, *[CHILD_PAUSE_MAX_S] * (len(pauses) - 7)])
    assert len(pauses) > 8


def test_the_last_words_of_a_child_have_time_to_arrive(nursery):
    """CHILD_LAST_WORDS_S, if somebody else has its side of the connection: a program that it ran.
    Then another one takes its place."""
    nursery.upbringing = lambda child: child.say("ready")

    async def die(pool):
        nursery.children[0].end(1)
        await asyncio.sleep(1)
        nursery.upbringing = lambda child: None
        for child in nursery.children[1:]:
            child.sock.close()
            child.end(0)

    nursery.run(1, die)
    assert nursery.times == pytest.approx([0, 1 + CHILD_LAST_WORDS_S])


def test_a_child_that_does_not_end_is_killed(nursery):
    """CHILD_END_S after it was told to end."""
    nursery.upbringing = lambda child: child.say("ready")
    nursery.run(1, nothing)
    assert nursery.killed == pytest.approx([1 + CHILD_END_S])
    assert nursery.virtual.passed_s < 1 + CHILD_END_S + 2 * CHILD_LAST_WORDS_S
