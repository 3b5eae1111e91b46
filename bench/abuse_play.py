"""A scenario of `abuse.py` played: a server, the good client, the bad ones, and the verdict."""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from abuse_scenarios import MIB, Client, Scenario
from machine import HERE, busy, cpu_of, first, free_port, memory_of

#: The good client and the bad ones.
ABUSE = HERE / "build" / "abuse"

#: How long a crowd is left alone before anything is measured.
SETTLE_S = 1.0

#: What the good client's p99 may become, as a multiple, and what abusers may use of a core.
RATIO_MAX = 2.0
SHARE_MAX = 0.5


class AbuseError(Exception):
    """A scenario that could not be played; the text says why."""


@contextmanager
def started(
    program: str, flags: list[str], core: int, nice: int
) -> Iterator[tuple[int, int, Path]]:
    """A server on its core: its process, its port, its log."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="workq-abuse-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), "nice", "-n", str(nice), program,
                 "--listen", f"127.0.0.1:{port}", "--log", "json", *flags],
                stderr=output,
            )  # fmt: skip
        try:
            end = time.monotonic() + 15
            while "Listening on" not in log.read_text():
                if process.poll() is not None or time.monotonic() > end:
                    raise AbuseError(f"the server did not start: {log.read_text()}")
                time.sleep(0.02)
            yield process.pid, port, log
            if process.poll() is not None:
                raise AbuseError(f"the server died: {log.read_text()[-2000:]}")
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AbuseError("the server did not stop in 15 s") from None


def abuse(core: int, priority: list[str], *words: str) -> subprocess.Popen[str]:
    """The C program, on its core."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), *priority, str(ABUSE), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ready(process: subprocess.Popen[str], limit_s: float) -> None:
    """Return when all connections of a crowd stand, or the time is over."""
    assert process.stderr is not None
    select.select([process.stderr], [], [], limit_s)


class Play:
    """The settings, and a scenario played with them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def connected(self, port: int) -> subprocess.Popen[str]:
        """The good client, connected, and ready to begin."""
        args = self.args
        process = abuse(
            args.load_core, first(), "good", "--port", str(port), "-c", str(args.connections),
            "--rate", str(args.rate), "--seconds", str(args.seconds), "--hold",
        )  # fmt: skip
        ready(process, 10)
        return process

    def good(
        self, process: subprocess.Popen[str],
        beside: Callable[[Callable[[], bool]], None] | None = None,
    ) -> Any:  # fmt: skip
        """What the good client finds."""
        process.send_signal(signal.SIGUSR1)
        if beside is not None:
            beside(lambda: process.poll() is not None)
        out, problem = process.communicate(timeout=self.args.seconds + 60)
        if not out:
            raise AbuseError(f"the good client: {problem.strip()}")
        return json.loads(out)

    def play(self, scenario: Scenario) -> dict[str, Any]:
        """The row of a scenario."""
        args = self.args
        with (
            started(args.workq, scenario.flags, args.server_core, args.nice) as (pid, port, log),
            tempfile.TemporaryDirectory(prefix="workq-abuse-") as directory,
        ):
            client = Client(port)
            if scenario.prepare:
                scenario.prepare(client)
            self.good(self.connected(port))  # to warm up
            good = self.connected(port)
            foreign = _Foreign(pid)
            alone = self.good(good)
            foreign_alone = foreign.share(args.server_core, alone)
            before = memory_of(pid)
            crowds = []
            good = self.connected(port)
            for index, spam in enumerate(scenario.crowds):
                path = Path(directory) / str(index)
                path.write_bytes(spam.text)
                crowds.append(
                    abuse(
                        args.load_core, [], "spam", "--port", str(port),
                        "-c", str(spam.connections), "--file", str(path),
                        "--cpu", str(args.cpu), "--seconds", "600", *spam.options,
                    )
                )  # fmt: skip
            for process in crowds:
                ready(process, 20)
            if crowds:
                time.sleep(SETTLE_S)
            cpu = [cpu_of(process.pid) for process in crowds]
            server_cpu, begun = cpu_of(pid), time.monotonic()
            beside = None
            if scenario.meanwhile:
                meanwhile = scenario.meanwhile

                def beside(over: Callable[[], bool]) -> None:
                    meanwhile(port, pid, over)

            foreign = _Foreign(pid)
            under = self.good(good, beside)
            took = time.monotonic() - begun
            share = (
                sum(cpu_of(process.pid) - one for process, one in zip(crowds, cpu, strict=True))
                / took
            )
            memory = memory_of(pid)
            server_share = (cpu_of(pid) - server_cpu) / took
            stats = client.stats()
            spammed = []
            for process in crowds:
                process.terminate()
                out, _ = process.communicate(timeout=30)
                spammed.append(json.loads(out))
            after = memory_of(pid)
            text = log.read_text()
        return self.row(
            scenario, alone, under, share, server_share, before, memory, after, stats, spammed,
            text, foreign_alone,
        )  # fmt: skip

    def row(
        self, scenario: Scenario, alone: Any, under: Any, share: float, server_share: float,
        before: int, memory: int, after: int, stats: dict[str, str], spammed: list[Any], log: str,
        foreign: float,
    ) -> dict[str, Any]:  # fmt: skip
        """What came of a scenario, and whether it is what must be."""
        ratio = under["p99_us"] / max(alone["p99_us"], 1)
        grown = max(memory - before, 0) / MIB
        wrong = []
        if scenario.judged and ratio > RATIO_MAX:
            wrong.append(f"p99 {ratio:.1f} times")
        if share >= SHARE_MAX:
            wrong.append(f"abusers used {share:.0%}")
        if under["errors"] or alone["errors"]:
            wrong.append("errors: " + (under["first_error"] or alone["first_error"]))
        if grown > scenario.memory_mib_max:
            wrong.append(f"memory grew by {grown:.0f} MiB")
        faults = [line for line in log.splitlines() if re.search(r'"level":"(error|crit)', line)]
        if "Traceback" in log or faults:
            wrong.append(f"the log: {(faults or [log])[0][:300]}")
        return {
            "title": scenario.title,
            "alone": alone,
            "under": under,
            "ratio": ratio,
            "before": before / MIB,
            "memory": memory / MIB,
            "after": after / MIB,
            "share": share,
            "server_share": server_share,
            "stats": stats,
            "spam": spammed,
            "foreign": foreign,
            "log_lines": log.count("\n"),
            "wrong": wrong,
        }


class _Foreign:
    """What others than the server use of the machine, from now on."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.start = (time.monotonic(), busy(), cpu_of(pid))

    def share(self, _core: int, good: Any) -> float:
        """Of one core, until now, the good client left out."""
        began, all_before, own = self.start
        took = time.monotonic() - began
        ours = cpu_of(self.pid) - own + good["cpu"] * good["seconds"]
        return max(0.0, busy() - all_before - ours) / took
