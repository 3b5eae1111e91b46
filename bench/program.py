"""A workq-server with a command log: started, loaded, killed, started anew where it was."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

from machine import HERE, first
from servers import BenchError

LISTENING = "Listening on "
_POLL_S = 0.005


def without_placeholder(command: str) -> list[str]:
    """The words of a command of workq-server, on any port."""
    return [word.replace("{port}", "0") for word in shlex.split(command)]


def read_bytes(directory: Path) -> int:
    """The length of what a server that has just started has read: all but its own two segments."""
    segments = sorted(directory.glob("*.log"), key=lambda path: int(path.stem))
    files = [*segments[:-2], *directory.glob("*.snap")]
    return sum(each.stat().st_size for each in files)


class Program:
    """A server that runs.

    Args:
        command: of workq-server, with {port}.
        directory: of its command log.
        said: the file that gets its log lines, made anew.
        core: its core, or a list of them as for taskset.
        options: further ones.
        limit_s: how long it may take to listen.

    Attributes:
        took_s: from exec to the line that it listens.
    """

    def __init__(
        self,
        command: str,
        directory: Path,
        said: Path,
        core: int | str,
        options: list[str],
        limit_s: float = 120,
    ) -> None:
        words = ["taskset", "-c", str(core), *without_placeholder(command)]
        words += ["--cmdlog-path", str(directory), "--log", "json", *options]
        self.said = said
        self.directory = directory
        with said.open("wb") as output:
            begun = time.monotonic()
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=output)
        self.pid = self._process.pid
        try:
            self.port = self._await_listening(begun + limit_s)
        except BenchError:
            self.kill()
            raise
        self.took_s = time.monotonic() - begun

    def _await_listening(self, end: float) -> int:
        while True:
            text = self.said.read_text(errors="replace")
            if found := re.search(rf"{LISTENING}[^\"\s]*:(\d+)", text):
                return int(found[1])
            if self._process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"the server did not start: {text.strip()[-500:]}")
            time.sleep(_POLL_S)

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Its log lines that have this message."""
        text = self.said.read_text(errors="replace")
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in found if line["message"] == message]

    def compacted(self) -> list[dict[str, Any]]:
        """Its log lines of compactions that are done, or have failed."""
        failed = self.lines("compaction of the command log failed")
        if failed:
            raise BenchError(f"compaction failed: {failed[0]['reason']}")
        return self.lines("command log compacted")

    def problems(self) -> list[str]:
        """Its log lines that are warnings or worse."""
        text = self.said.read_text(errors="replace")
        return [line for line in text.splitlines() if '"level":"info"' not in line]

    def check_alive(self) -> None:
        """Raises a BenchError if it has ended."""
        if self._process.poll() is not None:
            last = self.said.read_text(errors="replace").strip()[-500:]
            raise BenchError(f"the server died with status {self._process.returncode}: {last}")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not help."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def snapshots(self) -> list[str]:
        """The names of the snapshots that are there."""
        return sorted(each.name for each in self.directory.glob("*.snap"))


def load(port: int, core: int, *options: str) -> dict[str, Any]:
    """One run of the load generator; its result."""
    words = ["taskset", "-c", str(core), *first(), str(HERE / "build" / "load")]
    words += ["--protocol", "workq"]
    run = subprocess.run(
        [*words, "--port", str(port), *options], capture_output=True, text=True, check=False
    )
    if run.returncode:
        why = run.stderr.strip().splitlines() or [f"status {run.returncode}"]
        raise BenchError(why[-1])
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def check_tools(cores: set[int]) -> None:
    """What has to be there before anything can be measured."""
    if not (HERE / "build" / "load").exists():
        raise BenchError("the load generator is not built: make -C bench")
    if not cores <= os.sched_getaffinity(0):
        raise BenchError(f"of the cores asked for only {sorted(os.sched_getaffinity(0))} are there")
