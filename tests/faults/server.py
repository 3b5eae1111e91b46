"""The installed server as a process with a log, for those who kill it, trace it and starve it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

SERVER = Path(sys.executable).with_name("workq-server")
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("WORKQ_")}

#: Nothing takes longer unless it hangs.
PATIENCE_S = 30.0


class Server:
    """A server that was started.

    Args:
        path: the directory of its log; empty for none.
        settings: further flags.
        prefix: a program under which it runs, with its arguments.

    Attributes:
        port: where it listens; 0 if it does not.
        lines: what it has said so far.
        reading: ends when it has closed its error output.
    """

    def __init__(self, path: Path | str, *settings: str, prefix: Sequence[str] = ()) -> None:
        self.path = path
        self._command = [*prefix, str(SERVER), "--listen", "127.0.0.1:0", *settings]
        self._command += ["--log", "human"]
        if path:
            self._command += ["--cmdlog-path", str(path)]
        self._traced = bool(prefix)
        self.port = 0
        self.lines: list[str] = []

    async def begin(self) -> None:
        """Start it, and wait for nothing."""
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            env=ENVIRONMENT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._told = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def start(self) -> Server:
        """Start it, and wait until it listens or has ended."""
        await self.begin()
        await self.listening()
        return self

    async def listening(self) -> bool:
        """Wait until it listens or has ended; whether it listens."""
        await asyncio.wait_for(self._told.wait(), PATIENCE_S)
        return bool(self.port)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            self.lines.append(text)
            if found := re.search(r"Listening on 127\.0\.0\.1:(\d+)", text):
                self.port = int(found[1])
                self._told.set()
        self._told.set()

    @property
    def pid(self) -> int:
        """Of the server itself, even if it runs under another program."""
        if not self._traced:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    async def signal(self, number: signal.Signals) -> int:
        """Send it a signal, if it has not ended; its exit status."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError, IndexError, FileNotFoundError):  # it has just ended
                os.kill(self.pid, number)
        return await self.ended()

    async def ended(self) -> int:
        """Its exit status, once it has ended."""
        status = await asyncio.wait_for(self.process.wait(), PATIENCE_S)
        await asyncio.wait_for(self.reading, PATIENCE_S)
        return status

    async def kill(self) -> None:
        """Let nothing of it be left."""
        await self.signal(signal.SIGKILL)

    def said(self, pattern: str) -> list[str]:
        """The lines that match a pattern."""
        return [line for line in self.lines if re.search(pattern, line)]
