"""`workq exec`: a shell command as worker.

The main thread leases, one job at a time and only when a command may begin; it also hears the
signals. Each job has a thread (`workq.cli.command`), and another that renews its lease
(`workq.cli.renewal`).
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from workq.cli import statuses
from workq.cli.command import Command, Ended
from workq.cli.connection import add_options, add_queue, connect, reach
from workq.cli.problems import Problem, explain
from workq.cli.renewal import Renewal
from workq.cli.showing import print_json
from workq.cli.signals import Signals
from workq.cli.times import read_duration
from workq.limits import EXEC_JOBS_MAX, EXEC_PAUSE_MS

if TYPE_CHECKING:
    from workq_client import Client, Job

NAME: Final = "exec"
SUMMARY: Final = "work on jobs with a command: payload on its stdin, result from its stdout"

#: What a command's exit status says beside 0, from sysexits.h.
TRY_AGAIN: Final = os.EX_TEMPFAIL  # 75
FINAL: Final = os.EX_DATAERR  # 65

#: Why a command was ended.
LOST: Final = "lease lost"
STOPPED: Final = "stopped"

#: How long one lease waits. A signal is obeyed when it ends; cutting it short might lose a job.
_LEASE_S: Final = 1.0
#: How often the main thread looks around when there is nothing to lease for.
_LOOK_S: Final = 0.1


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_queue(parser)
    parser.usage = "%(prog)s [options] QUEUE -- COMMAND [ARGUMENT …]"
    parser.add_argument(
        "command", nargs="+", metavar="COMMAND", help="and its arguments, behind --"
    )
    parser.add_argument(
        "--jobs", type=_jobs, default=1, metavar="N", help="how many at the same time (1)"
    )
    parser.add_argument("--once", action="store_true", help="one job only; its end is the status")
    parser.add_argument(
        "--wait",
        type=read_duration,
        metavar="DURATION",
        help="end when no job has come for so long; 0 works off what is there (without end)",
    )
    add_options(parser)
    # Each job has pipes and a connection: many at once need more than the usual 1,024 files.
    parser.set_defaults(run=run, opens_many_files=True)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= EXEC_JOBS_MAX:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {EXEC_JOBS_MAX}")
    return int(text)


def run(options: Namespace) -> int:
    """Work until told to stop, or until there is no more to do."""
    program = options.command[0]
    if shutil.which(program) is None:
        raise Problem(f"there is no program {program} that can be run", statuses.UNUSABLE)
    with connect(options) as client:
        reach(client)  # a wrong address is told now; what breaks later is waited for
        work = Work(client, options)
        with Signals(work.stop):
            return work.run()


class Work:
    """Jobs of a queue, worked on by a command.

    Args:
        client: of the server.
        options: of the subcommand.
    """

    def __init__(self, client: Client, options: Namespace) -> None:
        self._client = client
        self._options = options
        self._words: list[str] = options.command
        self._slots = threading.Semaphore(options.jobs)
        self._running: dict[Command, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stops = 0
        self._away = False
        self._status: int = statuses.OK

    def stop(self) -> None:
        """Take no more jobs; when told again, end those that run."""
        self._stops += 1
        if self._stops > 1:
            for command in list(self._running):
                command.kill(STOPPED)

    def _stopping(self) -> bool:
        """Whether no more jobs are to be taken."""
        return self._stops > 0

    def run(self) -> int:
        """Work; return the exit status."""
        try:
            self._take()
        finally:
            while threads := list(self._running.values()):
                threads[0].join(timeout=_LOOK_S)  # open to signals
        return self._status

    def _take(self) -> None:
        """Take jobs and begin with them, until there is a reason to end."""
        idle_since = time.monotonic()
        while not self._stopping():
            if not self._slots.acquire(timeout=_LOOK_S):
                idle_since = time.monotonic()
                continue
            job = self._lease(idle_since)
            if job is None:
                self._slots.release()
                if self._over(idle_since):
                    return
            elif self._stopping():
                self._tell(job, "released", partial(self._client.release, job))
            else:
                self._begin(job)
                idle_since = time.monotonic()
                if self._options.once:
                    return

    def _lease(self, idle_since: float) -> Job | None:
        """The next job; None if there is none, or the server is away: then it may come back."""
        wait = _LEASE_S
        if self._options.wait is not None:
            left = idle_since + self._options.wait - time.monotonic()
            wait = min(wait, max(left, _LOOK_S if self._running else 0))
        try:
            job = self._client.lease(self._options.queue, wait=wait)
        except Exception as error:
            explained = explain(error)
            if explained is None or explained.status != statuses.UNUSABLE:
                raise
            if not self._away:
                self._say(f"{error}; trying on")
            self._away = True
            time.sleep(_LOOK_S)
            return None
        self._away = False
        return job

    def _over(self, idle_since: float) -> bool:
        """Whether no job has come for long enough, and none is under way."""
        if self._options.wait is None or self._running:
            return False
        if time.monotonic() < idle_since + self._options.wait:
            return False
        if self._options.once:
            self._say(f"no job came from {self._options.queue} in time")
            self._status = statuses.WRONG
        return True

    def _begin(self, job: Job) -> None:
        environment = {
            **os.environ,
            "WORKQ_URL": self._client.url,
            "WORKQ_JOB_ID": job.id,
            "WORKQ_QUEUE": job.queue,
            "WORKQ_ATTEMPT": str(job.attempt),
        }
        command = Command(self._words, environment, job.payload)
        thread = threading.Thread(target=self._work, args=(job, command), name=job.id)
        with self._lock:
            self._running[command] = thread
        thread.start()

    def _work(self, job: Job, command: Command) -> None:
        """One job, in its thread."""
        try:
            # The lease is kept until the job is reported, which may take longer than it lasts.
            with Renewal(self._client.url, job, partial(command.kill, LOST)):
                ended = self._ended(job, command)
            if (
                ended is not None
                and ended.status == TRY_AGAIN
                and not (self._stopping() or self._options.once)
            ):
                time.sleep(EXEC_PAUSE_MS / 1000)
        finally:
            with self._lock:
                self._running.pop(command, None)
            self._slots.release()

    def _ended(self, job: Job, command: Command) -> Ended | None:
        """Run the command to its end and report it; None if it cannot be started."""
        try:
            ended = command.run()
        except OSError as error:  # which is no fault of the job's
            self._say(f"{self._words[0]}: {error.strerror or error}; the job is given back")
            self._stops = max(self._stops, 1)
            self._status = statuses.UNUSABLE
            self._tell(job, "released", partial(self._client.release, job))
            return None
        self._report(job, ended)
        return ended

    def _report(self, job: Job, ended: Ended) -> None:
        """Tell the server what became of a job."""
        client = self._client
        if ended.killed == LOST:
            self._say(f"job {job.id}: the lease is lost, and the command was ended")
            self._show(job, "lost")
            self._end(statuses.WRONG)
        elif ended.killed == STOPPED or (ended.status == TRY_AGAIN and not ended.too_much):
            self._tell(job, "released", partial(client.release, job))
            self._end(statuses.WRONG)
        elif ended.status == 0 and not ended.too_much:
            self._tell(job, "completed", partial(client.complete, job, ended.output))
        else:
            final = ended.status == FINAL
            self._tell(job, "failed", partial(client.fail, job, ended.failure(), final=final))
            self._end(statuses.WRONG)

    def _tell(self, job: Job, done: str, act: Callable[[], None]) -> None:
        error = self._try(act)
        if error is not None:
            explained = explain(error)
            if explained is None:
                raise error
            self._say(f"job {job.id}: that it {done} could not be reported: {explained.text}")
            self._show(job, "unknown")
            self._end(explained.status)
            return
        self._show(job, done)

    def _try(self, act: Callable[[], None]) -> Exception | None:
        """Report something, again and again as long as a `Worker` would, or until we are to end
        now; return what kept it from being done."""
        from workq_client import errors
        from workq_client.limits import REPORT_AGAIN_S, REPORT_PATIENCE_S

        passing = (
            errors.Unreachable, errors.NoReply, errors.OutcomeUnknown, errors.Busy,
            errors.ServerError,
        )  # fmt: skip
        until = time.monotonic() + max(REPORT_PATIENCE_S, self._options.timeout or 0)
        unknown: Exception | None = None
        while True:
            try:
                act()
                return None
            except Exception as error:
                if isinstance(error, errors.OutcomeUnknown):
                    unknown = error  # so a later refusal may be of what was done
                    refused = isinstance(error.cause, errors.Refused)
                else:
                    refused = not isinstance(error, passing)
                if refused or self._stops > 1 or time.monotonic() >= until:
                    return unknown or error
            time.sleep(REPORT_AGAIN_S)

    def _show(self, job: Job, done: str) -> None:
        """What became of a job, for programs."""
        if not self._options.json:
            return
        told = {"id": job.id, "queue": job.queue, "attempt": job.attempt, "done": done}
        try:
            print_json(told)
        except BrokenPipeError:  # who wanted to know is gone
            self._stops = max(self._stops, 1)

    def _end(self, status: int) -> None:
        """How it ends, if this was the only job."""
        if self._options.once:
            self._status = max(self._status, status)

    @staticmethod
    def _say(text: str) -> None:
        with suppress(OSError):  # nobody may hear it, and the work goes on
            print(f"workq exec: {text}", file=sys.stderr, flush=True)
