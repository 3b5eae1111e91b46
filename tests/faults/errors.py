"""Lets one call of the system after another fail, while the server starts and while it serves.

    python -m tests.faults.errors --calls all

strace makes the N-th call of a kind fail, for N = 1, 2, … until it is no longer reached; it counts
in each thread by itself. Each time: the server ends with exit code 4 and one line that tells file,
errno and what to do, or with 3 before it listens; nobody got an acknowledgement that is not true;
and the next start has everything that was acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults import audit
from tests.faults.load import Client, World
from tests.faults.server import PATIENCE_S, Server

#: What a log calls; those that need the directory's name to be told from other calls; and how each
#: fails.
CALLS = ("pwrite64", "fdatasync", "fsync", "fallocate", "ftruncate", "renameat", "openat",
         "unlinkat")  # fmt: skip
BY_DIRECTORY = frozenset(("fsync", "renameat", "openat", "unlinkat"))
ERRORS = {"EIO": 5, "EROFS": 30}
ERROR_OF = {"openat": "EROFS", "unlinkat": "EROFS"}

#: When it fails: at the first start, at a start from a log, while it serves small jobs or large,
#: while it serves and compacts, where the failure may also meet the compactor.
STARTING, AGAIN, SMALL, LARGE = "starting", "starting again", "serving", "serving large"
COMPACTING = "compacting"
PHASES = (STARTING, AGAIN, SMALL, LARGE, COMPACTING)

CLIENTS = 3
REPLIES = 300
POLICIES = ("always", "interval", "os")
SIZES = {SMALL: (0, 10, 400), LARGE: (70_000,)}

#: Outcomes: not reached, exit code 3 before listening, exit code 4; or the server went on and
#: stopped when it was told to: the error met the compactor, or came when all was safe already.
MISSED, REFUSED, FAILED, STOPPED = "not reached", "refused", "failed", "stopped later"


class Fault(NamedTuple):
    """The N-th call of a kind fails in a phase."""

    phase: str
    call: str
    number: int

    @property
    def errno(self) -> int:
        """With what."""
        return ERRORS[ERROR_OF.get(self.call, "EIO")]

    def options(self, log: Path, output: Path) -> list[str]:
        """For strace."""
        error = ERROR_OF.get(self.call, "EIO")
        options = ["-f", "-o", str(output), "-e", f"trace={self.call}"]
        options += ["-e", f"inject={self.call}:error={error}:when={self.number}"]
        return [*options, "-P", str(log)] if self.call in BY_DIRECTORY else options


class Run:
    """One fault.

    Args:
        program: strace.
        path: an empty directory.
        fault: what fails.
    """

    def __init__(self, program: str, path: Path, fault: Fault) -> None:
        self._program = program
        self._fault = fault
        self._log = path / "log"
        self._log.mkdir()
        self._output = path / "trace"
        policy = POLICIES[fault.number % len(POLICIES)]
        settings = ("--cmdlog-sync", policy, "--cmdlog-sync-int", "20ms")
        busy = ("--cmdlog-clean-int", "100ms") if fault.phase == COMPACTING else ()
        self._settings = (*settings, "--cmdlog-seg-size", "16KiB", *busy)
        self._world = World(fault.number, SIZES.get(fault.phase, SIZES[SMALL]))

    async def run(self) -> str:
        """Let it happen; the outcome."""
        if self._fault.phase == AGAIN:
            await self._fill()
        server = await (self._started() if self._fault.phase in (STARTING, AGAIN) else self._met())
        try:
            served = not server.port or await self._serve(server)
            status = await (server.signal(signal.SIGTERM) if served else server.ended())
        finally:
            await server.kill()
        outcome = self._judge(server, status)
        again = await Server(self._log, *self._settings).start()
        try:
            assert again.port, f"{self._fault}: it did not start again: {again.lines}"
            await audit.drain(self._world, again.port)
        finally:
            await again.kill()
        problems = self._world.history.problems()
        assert not problems, f"{self._fault}: {problems[:5]}"
        return outcome

    async def _fill(self) -> None:
        """Have a log that ended in a kill."""
        server = await Server(self._log, *self._settings).start()
        try:
            await self._serve(server)
        finally:
            await server.kill()

    async def _started(self) -> Server:
        """A server whose calls fail from the first one on."""
        options = self._fault.options(self._log, self._output)
        return await Server(self._log, *self._settings, prefix=[self._program, *options]).start()

    async def _met(self) -> Server:
        """A server whose calls fail from when it listens."""
        server = await Server(self._log, *self._settings).start()
        options = self._fault.options(self._log, self._output)
        tracer = await asyncio.create_subprocess_exec(
            self._program, *options, "-p", str(server.pid), stderr=asyncio.subprocess.PIPE
        )
        assert tracer.stderr is not None
        said = b""
        while b" attached" not in said:
            line = await asyncio.wait_for(tracer.stderr.readline(), PATIENCE_S)
            assert line, f"strace did not attach: {said!r}"
            said += line
        self._tracer = tracer  # it ends with the server
        return server

    async def _serve(self, server: Server) -> bool:
        """Have clients; whether the server was there for them to the end."""
        history = self._world.history
        goal = history.replies + REPLIES
        compacts = self._fault.phase == COMPACTING
        seeds = [self._world.random.getrandbits(64) for _ in range(CLIENTS)]
        clients = [Client(self._world, server.port, seed) for seed in seeds]

        def enough() -> bool:
            done = not compacts or server.said("command log compacted")
            return history.replies >= goal and bool(done)

        lives = asyncio.gather(*(client.live(enough) for client in clients))
        await asyncio.wait_for(lives, PATIENCE_S)
        return enough()

    def _judge(self, server: Server, status: int) -> str:
        """How it ended, which must be one of the ways that are right."""
        fault = self._fault
        told = f"{fault}: exit code {status}, {server.lines}"
        assert not server.said("Traceback"), told
        if "(INJECTED)" not in self._output.read_text("latin-1"):
            assert status == 0, told
            return MISSED
        if not server.port:
            assert status == 3, told
            (line,) = server.said("^workq-server: ")
            assert str(self._log) in line, told
            return REFUSED
        if status == 0:
            assert server.said("shutting down"), told
            return STOPPED
        # A signal that comes when it has failed and is nearly gone may be what ends it.
        assert status in (4, -signal.SIGTERM), told
        (line,) = server.said("the command log has failed")
        assert line.count("has failed") == 1, told
        name = re.escape(str(self._log))
        assert re.search(
            rf"{name}/0\d+\.(log|snap)(\.tmp)?:? .*errno {fault.errno}\).*start again", line
        ), told
        return FAILED


async def run(program: str, fault: Fault) -> str:
    """Let a fault happen to a server of its own; the outcome."""
    with tempfile.TemporaryDirectory(prefix="workq-errors-") as path:
        return await Run(program, Path(path), fault).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="errors", description=__doc__.split("\n\n")[0])
    parser.add_argument("--calls", choices=(*CALLS, "all"), default="all")
    parser.add_argument("--phase", choices=(*PHASES, "all"), default="all")
    parser.add_argument("--first", type=int, default=1, help="N to begin with")
    parser.add_argument("--most", type=int, default=1000, help="N to end with")
    options = parser.parse_args(arguments)
    program = shutil.which("strace")
    if program is None:
        sys.exit("strace is not installed")
    for call in CALLS if options.calls == "all" else (options.calls,):
        for phase in PHASES if options.phase == "all" else (options.phase,):
            begun = time.monotonic()
            outcomes: Counter[str] = Counter()
            for number in range(options.first, options.most + 1):
                outcome = asyncio.run(run(program, Fault(phase, call, number)))
                outcomes[outcome] += 1
                if outcome == MISSED:
                    break
            found = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
            seconds = time.monotonic() - begun
            sys.stdout.write(f"{call} while {phase}: {found}; {seconds:.0f} s\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
