"""`Worker`: handlers by decorator, and `run`."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, Unpack

from workq_client.codec import BYTES, Codec
from workq_client.errors import InvalidRequest
from workq_client.limits import CONCURRENCY, LEASE_QUEUES_MAX, PREFETCH_MAX, SHUTDOWN_S
from workq_client.values import Duration
from workq_client.worker import signals
from workq_client.worker.calls import AsyncMiddleware, Calls, PlainMiddleware
from workq_client.worker.handlers import AddOptions, Handler
from workq_client.worker.jobs import Held
from workq_client.worker.leasing import Conductor, MakePool
from workq_client.worker.pools import Changed, Finished, Pool
from workq_client.worker.pools.tasks import Tasks, run_in_loop
from workq_client.worker.pools.threads import Threads
from workq_client.worker.settings import PoolKind, Settings

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound="PlainMiddleware | AsyncMiddleware")
Hook = Callable[[], Awaitable[None] | None]
H = TypeVar("H", bound=Hook)

logger = logging.getLogger("workq_client.worker")


class Worker:
    """Takes jobs and has them done by functions.

        worker = Worker()

        @worker.job("resize", ttr=30)
        def resize(photo: bytes) -> bytes: ...

        worker.run()

    Args:
        url: of the server, as for `Client`.
        codec: what payloads and results are, as for `Client`.
        concurrency: how many handlers run at a time; up to 1,000 in threads, 10,000 as tasks, 250
            in processes.
        pool: where they run: in `threads`, as `tasks` of asyncio, or in `processes`.
        prefetch: how many more jobs are taken at the most, so that there is always one; as many
            as are done in a twentieth of a second, and given back after a second.
        shutdown_timeout: how long handlers may finish when the worker stops, in seconds.
        max_jobs_per_child: jobs after which a process is replaced; 0 for any number.
        max_bytes_per_child: memory with which it is, after its job; 0 for any.
        health: a file whose time is set each second as long as the server answers; or a port on
            this machine, a number or its digits, or `host:port`, that tells it by HTTP.
        name: what the worker calls itself, for people; None for machine and process.

    Raises:
        InvalidRequest: an argument makes no sense. Nothing is connected to before `run`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        codec: Codec = BYTES,
        concurrency: int = CONCURRENCY,
        pool: PoolKind = "threads",
        prefetch: int = PREFETCH_MAX,
        shutdown_timeout: Duration = SHUTDOWN_S,
        max_jobs_per_child: int = 0,
        max_bytes_per_child: int = 0,
        health: str | int | None = None,
        name: str | None = None,
    ) -> None:
        self.settings = Settings(
            url=url,
            codec=codec,
            concurrency=concurrency,
            pool=pool,
            prefetch=prefetch,
            shutdown_timeout=shutdown_timeout,
            max_jobs_per_child=max_jobs_per_child,
            max_bytes_per_child=max_bytes_per_child,
            health=health,
            name=name,
        )
        self.handlers: dict[str, Handler[..., Any]] = {}
        self._plain: list[PlainMiddleware] = []
        self._asynchronous: list[AsyncMiddleware] = []
        self._on_start: list[Hook] = []
        self._on_stop: list[Hook] = []
        self._conductor: Conductor | None = None
        self._ready: threading.Event | None = None
        #: The module that makes it, for child processes.
        self._module = sys._getframe(1).f_globals.get("__name__", "")

    # --- what it does -------------------------------------------------------------------------

    def job(
        self,
        queue: str,
        *,
        ttr: Duration | None = None,
        timeout: Duration | None = None,
        **options: Unpack[AddOptions],
    ) -> Callable[[Callable[P, R]], Handler[P, R]]:
        """Make a function the handler of a queue's jobs.

            @worker.job("resize", ttr=30, timeout=20, max_fails=5)
            def resize(photo: bytes, work: Work) -> bytes: ...

        It takes the payload, decoded; an argument that is annotated as `Work` is the job with all
        that belongs to it. What it returns is the job's result. An exception is a failure.

        Args:
            queue: its name.
            ttr: how long a lease lasts from when it is renewed, in seconds; it is what a worker
                that is gone delays its jobs by. None for each job's own. And the `ttr` of jobs
                that are added by the handler.
            timeout: how long the handler may run, in seconds; then it is interrupted, and has
                failed. None for any time.
            options: how its `add` and `new` make jobs, see `AddOptions`.

        Raises:
            InvalidRequest: the queue has a handler already, or the function cannot be one.
        """

        def made(function: Callable[P, R]) -> Handler[P, R]:
            handler = Handler(function, queue, ttr, timeout, options)
            if queue in self.handlers:
                raise InvalidRequest(f"queue {queue} has two handlers: {self.handlers[queue]}")
            self.handlers[queue] = handler
            return handler

        return made

    def middleware(self, function: M) -> M:
        """Have a function wrap all calls of handlers; the first one is the outermost.

            @worker.middleware
            def timed(work: Work, call: Callable[[], Any]) -> Any:
                begun = time.perf_counter()
                try:
                    return call()
                finally:
                    print(work.queue, time.perf_counter() - begun)

        A plain function wraps plain handlers, an async one (`return await call()`) async ones.
        """
        if inspect.iscoroutinefunction(function):
            self._asynchronous.append(function)
        else:
            self._plain.append(function)
        return function

    def on_start(self, function: H) -> H:
        """Have a function called before the first job: in the main thread, or in each child
        process. It may be async where handlers are tasks."""
        self._on_start.append(function)
        return function

    def on_stop(self, function: H) -> H:
        """Have a function called behind the last job, like `on_start`."""
        self._on_stop.append(function)
        return function

    # --- its life -----------------------------------------------------------------------------

    def run(self, **changes: Any) -> int:
        """Work until SIGTERM, SIGINT or `stop`.

        Args:
            changes: arguments of `Worker`, in place of those that it was made with.

        Returns:
            An exit status: 0 if everything that ran was finished and reported, 1 if not.

        Raises:
            InvalidRequest: it has no handlers, or none that its pool can run.
            Exception: what `on_start` raises.
        """
        settings = replace(self.settings, **changes) if changes else self.settings
        self._check(settings)
        if self._conductor is not None:
            raise InvalidRequest("the worker runs already")
        try:
            finished = self._serve(settings, changes)
        finally:
            self._conductor = None
        return 0 if finished else 1

    def stop(self, *, at_once: bool = False) -> None:
        """Have `run` end, from any thread.

        Args:
            at_once: whether what runs is interrupted; else it may finish.
        """
        if self._conductor is not None:
            self._conductor.stop(at_once=at_once)

    def pause(self) -> None:
        """Take no more jobs until `resume`; what runs goes on."""
        if self._conductor is not None:
            self._conductor.pause()

    def resume(self) -> None:
        """Take jobs again."""
        if self._conductor is not None:
            self._conductor.resume()

    @contextmanager
    def running(self, **changes: Any) -> Iterator[Worker]:
        """Work in another thread inside a `with`, for tests, say; no signals are taken.

        Args:
            changes: as for `run`.

        Raises:
            Exception: as for `run`.
        """
        failures: list[BaseException] = []
        ready = threading.Event()
        self._ready = ready

        def work() -> None:
            try:
                self.run(**changes)
            except BaseException as error:
                failures.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=work, name="workq-worker", daemon=True)
        thread.start()
        ready.wait()
        try:
            if not failures:
                yield self
        finally:
            self.stop()
            thread.join()
            if failures:
                raise failures[0]

    def member(
        self, changes: dict[str, Any], renew: Callable[[Held], None]
    ) -> tuple[Calls, list[Hook], list[Hook]]:
        """What a child process needs of it.

        Args:
            changes: that `run` was called with, in the parent.
            renew: has the parent renew a lease.

        Returns:
            How handlers are called, and the hooks of start and stop.
        """
        settings = replace(self.settings, **changes)
        calls = Calls(settings.codec, self._plain, self._asynchronous, renew, log=False)
        return calls, self._on_start, self._on_stop

    # --- how ----------------------------------------------------------------------------------

    def _check(self, settings: Settings) -> None:
        """Refuse what cannot work before anything is begun."""
        if not self.handlers:
            raise InvalidRequest("the worker has no handlers: @worker.job(…) makes one")
        if len(self.handlers) > LEASE_QUEUES_MAX:
            raise InvalidRequest(f"a worker serves up to {LEASE_QUEUES_MAX} queues")
        plain = [one for one in self.handlers.values() if not one.is_async]
        if settings.pool == "tasks" and plain:
            raise InvalidRequest(
                f"{plain[0]} is no `async def`, and would keep all others waiting: make it one, or "
                "take pool='threads', which runs both"
            )
        hooks = [*self._on_start, *self._on_stop]
        if settings.pool == "threads" and any(map(inspect.iscoroutinefunction, hooks)):
            raise InvalidRequest("async hooks need pool='tasks' or 'processes', which have a loop")
        for is_async, middleware in ((False, self._asynchronous), (True, self._plain)):
            others = self._asynchronous if is_async else self._plain
            without = [h for h in self.handlers.values() if h.is_async is is_async]
            if middleware and without and not others:
                logger.warning(
                    "no middleware is around %s: plain functions wrap plain handlers, async ones "
                    "async handlers",
                    ", ".join(map(repr, without)),
                )

    def _serve(self, settings: Settings, changes: dict[str, Any]) -> bool:
        """Work; return whether everything was finished."""
        if settings.pool == "tasks":
            return run_in_loop(self._serve_in_loop(settings))
        if settings.pool == "processes":
            from workq_client.worker.pools.processes import Processes, Recruits

            recruits = Recruits.of(self, self._module, changes)

            def processes(finished: Finished, changed: Changed) -> Pool:
                return Processes(settings, recruits, finished, changed, self._renew)

            conductor = self._conduct(settings, processes)
            with signals.pauses_taken(conductor):
                return self._conducted(conductor)
        calls = self._calls(settings)
        conductor = self._conduct(
            settings, lambda finished, _: Threads(settings.concurrency, calls, finished)
        )
        with signals.pauses_taken(conductor):
            for hook in self._on_start:
                with _told():
                    hook()
            try:
                return self._conducted(conductor)
            finally:
                for hook in self._on_stop:
                    with _told():
                        hook()

    async def _serve_in_loop(self, settings: Settings) -> bool:
        """Work with handlers that are tasks of the loop that this runs in."""
        calls = self._calls(settings)
        loop = asyncio.get_running_loop()
        conductor = self._conduct(
            settings, lambda finished, _: Tasks(settings.concurrency, calls, finished, loop)
        )
        with signals.pauses_taken(conductor):
            for hook in self._on_start:
                await _called(hook)
            try:
                with signals.stops_taken(conductor):
                    self._start(conductor)
                    return await asyncio.wrap_future(conductor.ended)
            finally:
                for hook in self._on_stop:
                    await _called(hook)

    def _conducted(self, conductor: Conductor) -> bool:
        """Work; return whether everything was finished."""
        with signals.stops_taken(conductor):
            self._start(conductor)
            wait([conductor.ended])
        return conductor.ended.result()

    def _conduct(self, settings: Settings, make_pool: MakePool) -> Conductor:
        self._conductor = Conductor(settings, self.handlers, make_pool)
        return self._conductor

    def _start(self, conductor: Conductor) -> None:
        conductor.start()
        if self._ready is not None:
            self._ready.set()

    def _calls(self, settings: Settings) -> Calls:
        return Calls(settings.codec, self._plain, self._asynchronous, self._renew)

    def _renew(self, held: Held) -> None:
        if self._conductor is not None:
            self._conductor.renew(held)


async def _called(hook: Hook) -> None:
    with _told():
        made = hook()
        if made is not None:
            await made


@contextmanager
def _told() -> Iterator[None]:
    """Have the log say where a hook has failed: a connection that was refused might be ours."""
    try:
        yield
    except Exception:
        logger.exception("a hook of start or stop has failed")
        raise
