"""A child process of a worker: it runs one handler at a time, on its main thread.

It imports what makes the worker, as the parent did, and so has the same handlers. A second thread
hears what the parent says meanwhile. Signals are the parent's business. If the parent is gone, the
child ends at once: nobody would report what it does.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from workq_client.errors import InvalidRequest
from workq_client.limits import KEEP_S, READ_BYTES, REPLY_BLOCK_BYTES_MAX
from workq_client.models import Job
from workq_client.worker.jobs import Held, Why
from workq_client.worker.outcomes import failed
from workq_client.worker.pools.frames import Unpacker, packed
from workq_client.worker.pools.runner import Runner, interrupt

if TYPE_CHECKING:
    from workq_client.worker.worker import Worker

#: Signals that are for the parent.
_PARENTS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Recruits:
    """How a child comes by its worker.

    Attributes:
        module, name: the global variable that it is.
        others: modules that add handlers to it.
        queues: that it has handlers for.
        changes: arguments of `run`.
    """

    module: str
    name: str
    others: tuple[str, ...]
    queues: tuple[str, ...]
    changes: dict[str, Any]

    @classmethod
    def of(cls, worker: Worker, made_in: str, changes: dict[str, Any]) -> Recruits:
        """Those of a worker.

        Args:
            worker: the worker.
            made_in: the module that has made it.
            changes: arguments of `run`.

        Raises:
            InvalidRequest: no child could find it.
        """
        functions = [handler.function for handler in worker.handlers.values()]
        others = dict.fromkeys([made_in, *[function.__module__ for function in functions]])
        for module in others:
            for name, value in list(vars(sys.modules.get(module, object)).items()):
                if value is worker:
                    return cls(module, name, tuple(others), tuple(worker.handlers), changes)
        raise InvalidRequest(
            "pool='processes' needs a worker that is a global variable of a module, or of the "
            "program: each process imports it from there"
        )

    def found(self) -> Worker:
        """The worker, in a child.

        Raises:
            RuntimeError: it is another one here.
        """
        for module in self.others:
            importlib.import_module(module)
        worker: Worker = getattr(importlib.import_module(self.module), self.name)
        if missing := set(self.queues) - set(worker.handlers):
            raise RuntimeError(
                f"here the worker has no handlers for {', '.join(sorted(missing))}: they have to be"
                " made when their module is imported"
            )
        return worker


def start_without_signals(process: SpawnProcess) -> None:
    """Start a child that gets no signals before `main` has said what they mean to it: a terminal
    sends Ctrl-C to all, and one that is still importing would show a trace.

    Args:
        process: that is to run `main`.

    Raises:
        OSError: it cannot be started.
    """
    ensure_running()  # first: starting this helper of multiprocessing would unblock signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)  # of this thread and the child
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(sock: socket.socket, recruits: Recruits) -> None:
    """What a child does from its beginning to its end."""
    for number in _PARENTS:
        signal.signal(number, _pass_over)  # and not SIG_IGN, which programs it calls would inherit
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PARENTS)
    child = _Child(sock, recruits.changes)
    child.listen()  # first: what follows may take long, and the parent may be gone meanwhile
    try:
        child.work(recruits.found())
    except BaseException as error:
        with suppress(OSError):
            child.say("broken", "".join(traceback.format_exception(error)))
        sys.exit(1)


def _pass_over(number: int, frame: Any) -> None:
    """It is for the parent."""


class _Child:
    """One process.

    Args:
        sock: to the parent.
        changes: arguments of the parent's `run`.
    """

    def __init__(self, sock: socket.socket, changes: dict[str, Any]) -> None:
        self._sock = sock
        self._changes = changes
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._held: Held | None = None
        self._handlers: dict[str, Any] = {}
        self._touched = 0.0

    def say(self, *message: Any) -> None:
        """Say something to the parent; from any thread."""
        with self._lock:
            self._sock.sendall(packed(*message))

    def _touch(self, held: Held) -> None:
        """Have the parent renew the lease; it does not do so more often than that."""
        now = time.monotonic()
        if now - self._touched >= KEEP_S:
            self._touched = now
            self.say("touch")

    def work(self, worker: Worker) -> None:
        """Do jobs until the parent says that it is enough."""
        calls, on_start, on_stop = worker.member(self._changes, self._touch)
        self._handlers = worker.handlers
        runner = Runner(calls)
        _call_all(runner, on_start)
        self.say("ready")
        while self._jobs.get() is not None:
            held = self._held
            assert held is not None
            outcome = runner.run(held)
            if len(outcome.data) > REPLY_BLOCK_BYTES_MAX:
                size = len(outcome.data)
                outcome = failed(f"the result has {size} bytes, more than can be sent", final=True)
            self.say("done", outcome, _memory_bytes())
        _call_all(runner, on_stop)
        runner.close()

    def listen(self) -> None:
        """Begin to hear what the parent says."""
        threading.Thread(target=self._listen, name="workq-child", daemon=True).start()

    def _listen(self) -> None:
        """Hear what the parent says."""
        unpacker = Unpacker()
        while True:
            try:
                data = self._sock.recv(READ_BYTES)
            except OSError:
                data = b""
            if not data:
                os._exit(1)
            for kind, *rest in unpacker.feed(data):
                if kind == "job":
                    job = Job(*rest)
                    self._held = Held(job, self._handlers[job.queue], time.monotonic())
                    self._jobs.put(job)
                elif kind == "end":
                    self._jobs.put(None)
                elif self._held is not None:
                    self._held.why = Why(rest[0])
                    interrupt(self._held)


def _call_all(runner: Runner, hooks: list[Callable[[], Awaitable[None] | None]]) -> None:
    for hook in hooks:
        made = hook()
        if made is not None:
            runner.loop().run(_awaited(made))


async def _awaited(made: Awaitable[None]) -> None:
    await made


def _memory_bytes() -> int:
    """How much memory this process has, resident; where the system does not tell, the most that it
    had."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()


def how_it_ended(status: int | None) -> str:
    """How a process has ended, for people: `was killed by SIGKILL`.

    Args:
        status: its exit status; that of a signal is negative.
    """
    if status is None:
        return "is gone"
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
