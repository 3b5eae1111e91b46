"""The process in which a log is compacted, as the server starts, waits for and ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.recovery.histories import Life
from tests.recovery.processes import descriptors, laid_out
from tests.recovery.processes import until as until_now
from tests.server.served import PATIENCE_SECONDS
from workq import __version__
from workq.cmdlog.segment import segment_name
from workq.errors import CompactionError
from workq.server.compaction import Child, SealedDamage


def sealed_life() -> Life:
    """A log with some sealed segments."""
    life = Life()
    for _ in range(2):
        life.fill_segment()
    return life


@pytest.fixture
def stuck(tmp_path) -> str:
    """A directory in which the process stands still: its first segment is a pipe."""
    path = tmp_path / "stuck"
    path.mkdir()
    os.mkfifo(path / segment_name(1))
    return str(path)


class Waiting:
    """A child that is waited for in a thread, as a server does.

    Attributes:
        failures: what its run has raised.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self.failures: list[CompactionError] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.child.run()
        except CompactionError as error:
            self.failures.append(error)

    def begun(self, path: str) -> int:
        """Wait until the process has come as far as the directory; its number."""
        until_now(lambda: self.child.pid)
        until_now(lambda: path in descriptors(self.child.pid))
        return self.child.pid

    def ended(self) -> str:
        """Why it has failed, empty if it has not."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        return str(self.failures[0]) if self.failures else ""


def test_the_process_does_what_a_server_would(tmp_path):
    """It writes the snapshot of this log."""
    life = sealed_life()
    path = laid_out(life.disk, tmp_path / "log")
    assert Waiting(Child(path, life.number, life.position)).ended() == ""
    assert f"{life.number:09d}.snap.tmp" in {one.name for one in Path(path).iterdir()}


def test_damage_that_the_process_finds_is_told_as_such(tmp_path):
    """With its place."""
    life = sealed_life()
    path = laid_out(life.disk, tmp_path / "log")
    file = Path(path) / segment_name(1)
    data = bytearray(file.read_bytes())
    data[300] ^= 1
    file.write_bytes(data)
    waiting = Waiting(Child(path, life.number, life.position))
    assert waiting.ended().startswith(f"{file}, byte ")
    assert isinstance(waiting.failures[0], SealedDamage)


def test_a_process_that_is_killed_is_told_so(stuck):
    """By whom is not known, but how."""
    waiting = Waiting(Child(stuck, 2, 5))
    os.kill(waiting.begun(stuck), signal.SIGKILL)
    assert waiting.ended() == "the process was ended by SIGKILL"


def test_a_process_is_ended_whatever_it_is_at(stuck):
    """When the server ends."""
    waiting = Waiting(Child(stuck, 2, 5))
    waiting.begun(stuck)
    waiting.child.end()
    assert waiting.ended() == "the process was ended by SIGKILL"


def test_a_process_that_is_ended_before_it_is_started_does_nothing(stuck):
    """The thread may come to it late."""
    child = Child(stuck, 2, 5)
    child.end()
    assert Waiting(child).ended() == "the process was ended by SIGKILL"


def test_the_process_refuses_to_work_for_another_version(stuck):
    """The reason is its own line."""
    reason = Waiting(Child(stuck, 2, 5, version="0.0.1")).ended()
    assert reason == f"the server is workq 0.0.1, but installed is now {__version__}"


def test_a_process_that_cannot_be_started_is_no_harm(stuck, monkeypatch):
    """It is tried again, as everything is."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert Waiting(Child(stuck, 2, 5)).ended().startswith("no process could be started: ")


def test_the_process_has_nothing_of_the_server(stuck):
    """No socket of a client above all: its end would not be seen while two have it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0],
    ):
        waiting = Waiting(Child(stuck, 2, 5))
        pid = waiting.begun(stuck)
        found = sorted(one.partition(":")[0] for one in descriptors(pid))
        waiting.child.end()
        waiting.ended()
    assert found == sorted(["/dev/null", "pipe", "pipe", stuck])


@pytest.mark.parametrize("stopped", [False, True])
def test_the_process_does_not_outlive_its_server(stopped, stuck):
    """Though that was killed and could tell nobody; and though the process stands still."""
    program = (
        "import sys, threading\n"
        "from workq.server.compaction import Child\n"
        "child = Child(sys.argv[1], 2, 5)\n"
        "threading.Thread(target=child.run, daemon=True).start()\n"
        "while not child.pid: pass\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, stuck]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        until_now(lambda: stuck in descriptors(pid))
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        server.kill()
        server.wait()
    stat = Path(f"/proc/{pid}/stat")
    until_now(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")
