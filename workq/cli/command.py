"""A command that works on one job: its processes, what it says, and how it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Final

from workq.limits import BLOCK_BYTES_MAX, EXEC_ERROR_BYTES_MAX, EXEC_KILL_MS

_READ_BYTES: Final = 64 * 1024

#: Why a command was ended that wrote more than a result may have: some write for ever.
TOO_MUCH: Final = "too much output"


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; of a signal its number, negative.
        output: what it wrote to standard output, as much as a result may have.
        too_much: whether it wrote more.
        errors: the last of what it wrote to standard error.
        killed: why we ended it, if we did: what `kill` was told, or that it wrote too much.
    """

    status: int
    output: bytes
    too_much: bool
    errors: bytes
    killed: str

    def failure(self) -> bytes:
        """What is reported of its failure."""
        if self.too_much:
            line = f"more than {BLOCK_BYTES_MAX} bytes of output, and no result may have more"
        elif self.status < 0:
            line = f"killed by {_signal_name(-self.status)}"
        else:
            line = f"exit status {self.status}"
        return line.encode() + (b"\n" + self.errors if self.errors else b"")


class Command:
    """One run of a command, in a process group of its own: signals that are for us are not for it,
    and what it starts ends with it.

    Args:
        words: the program and its arguments.
        environment: for it.
        payload: what it reads on standard input.
    """

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], payload: bytes
    ) -> None:
        self._words = words
        self._environment = environment
        self._payload = payload
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()  # a signal may come while one is dealt with
        self._killed = ""
        self._ended = threading.Event()

    def run(self) -> Ended:
        """Run it to its end.

        Raises:
            OSError: it cannot be started.
        """
        ended, end = os.pipe()  # first: if there is none, there is no command left behind
        try:
            process = self._start()
        except BaseException:
            os.close(end)
            os.close(ended)
            raise
        assert process.stdout is not None and process.stderr is not None
        output = _Head(process.stdout, ended, partial(self.kill, TOO_MUCH))
        errors = _Tail(process.stderr, ended)
        status = process.wait()
        self._ended.set()
        self._signal(signal.SIGKILL)  # what it has left behind
        os.close(end)
        for reader in (output, errors):
            reader.join()
        os.close(ended)
        return Ended(status, output.data, output.too_much, errors.data, self._killed)

    def _start(self) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as payload:  # no pipe: it need not be read
            payload.write(self._payload)
            payload.seek(0)
            with self._lock:
                self._process = process = subprocess.Popen(
                    self._words,
                    stdin=payload,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self._environment,
                    process_group=0,
                )
        if self._killed:  # before it began
            self._begin_to_kill()
        return process

    def kill(self, why: str) -> None:
        """End it: SIGTERM, and SIGKILL if it does not obey.

        Args:
            why: for `Ended`; the first holds.
        """
        with self._lock:
            if self._killed or self._ended.is_set():
                return
            self._killed = why
            if self._process is None:
                return
        self._begin_to_kill()

    def _begin_to_kill(self) -> None:
        self._signal(signal.SIGTERM)
        threading.Thread(target=self._kill_soon, daemon=True).start()

    def _kill_soon(self) -> None:
        if not self._ended.wait(EXEC_KILL_MS / 1000):
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # none of the group is left


def _signal_name(number: int) -> str:
    """What a signal is called; most of those for real time have a number only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Reader(threading.Thread, ABC):
    """Reads a pipe as long as the command runs, so that it can always write; and then what is left
    in it. Not to its end, for somebody whom the command has started and let go may hold it open.

    Args:
        pipe: to be read.
        ended: a descriptor at whose end the command has ended.
    """

    def __init__(self, pipe: IO[bytes], ended: int) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._ended = ended
        self.data = b""
        self.start()

    def run(self) -> None:
        """Read."""
        with self._pipe:
            number = self._pipe.fileno()
            either = select.poll()
            either.register(number, select.POLLIN)
            either.register(self._ended, select.POLLIN)
            while self._ended not in [ready for ready, _ in either.poll()]:
                if not self._read(number):
                    return
            left = select.poll()
            left.register(number, select.POLLIN)
            for _ in range(BLOCK_BYTES_MAX // _READ_BYTES):  # others might write for ever
                if not left.poll(0) or not self._read(number):
                    return

    def _read(self, number: int) -> bool:
        data = os.read(number, _READ_BYTES)
        self.take(data)
        return bool(data)

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Do something with what came."""


class _Head(_Reader):
    """Keeps the beginning, as much as a result may have.

    Args:
        pipe, ended: see `_Reader`.
        overflow: is called when more has come.
    """

    too_much = False

    def __init__(self, pipe: IO[bytes], ended: int, overflow: Callable[[], None]) -> None:
        self._overflow = overflow
        super().__init__(pipe, ended)

    def take(self, data: bytes) -> None:
        """Keep it, if there is room."""
        room = BLOCK_BYTES_MAX - len(self.data)
        self.data += data[:room]
        if len(data) > room and not self.too_much:
            self.too_much = True
            self._overflow()


class _Tail(_Reader):
    """Keeps the end, and hands all on to our own standard error."""

    def take(self, data: bytes) -> None:
        """Keep it, and hand it on."""
        self.data = (self.data + data)[-EXEC_ERROR_BYTES_MAX:]
        with suppress(OSError):  # nobody reads ours: that is no reason to stop reading
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
