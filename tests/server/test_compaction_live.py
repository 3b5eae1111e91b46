"""A real server whose log is compacted while it works: the room it takes, what a kill leaves, a
backup."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bounds.program import Peer, Program, until
from tests.talk import OK, TIMEOUT, add, job_id, told
from workq.cmdlog.files import RealDisk
from workq.cmdlog.scan import Reading
from workq.engine.state import State
from workq.recovery.replay import replay

SEGMENT_BYTES = 64 * 1024
FLAGS = ("--cmdlog-seg-size", "64KiB", "--cmdlog-clean-int", "100ms")
PAGE = Path(__file__).parents[2] / "docs" / "cmdlog.md"

#: Jobs that stay, from the first number on, and how long their payloads are.
STAYING = 1500
STAYING_BYTES = 2000
#: The numbers of those that come and go.
PASSING = 1_000_000


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[[], Program]]:
    """Starts servers that keep their log in one directory and end with the test."""
    started: list[Program] = []

    def begin(path: Path = tmp_path / "log") -> Program:
        started.append(Program("--cmdlog-path", str(path), *FLAGS))
        return started[-1]

    yield begin
    for one in started:
        one.end()
        assert "Traceback" not in one.log


def payload(number: int, size: int = STAYING_BYTES) -> str:
    """What a job carries, told from all others."""
    return f"{number:08d}" * (size // 8)


def fill(peer: Peer, count: int = STAYING) -> None:
    """Add the jobs that stay."""
    for first in range(0, count, 100):
        peer.send("".join(add(first + i, "stay", payload(first + i)) for i in range(100)))
        peer.expect(OK * 100)


#: What a turn of the churn adds to the log, at the most.
TURN_BYTES = 10 * (STAYING_BYTES + 500)


class Churn:
    """Lets jobs come and go, slowly enough that others get to work too.

    Args:
        peer: a connection of its own.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._number = PASSING

    def until(self, holds: Callable[[], object]) -> None:
        """Go on, with hardly a rest, until something is so."""

        def turned() -> object:
            self.turn(wait_ms=1)
            return holds()

        until(turned)

    def turn(self, wait_ms: int = 10) -> None:
        """Ten jobs, and a little rest on the server's side."""
        peer = self._peer
        numbers = range(self._number, self._number + 10)
        self._number += 10
        peer.send("".join(add(number, "pass", payload(number)) for number in numbers))
        peer.send("lease pass 0\r\n" * 10)
        peer.send("".join(f"delete {job_id(number)}\r\n" for number in numbers))
        peer.expect(OK * 10)
        for number in numbers:
            peer.expect(told(number, "pass", payload(number)))
        peer.expect(OK * 10)
        peer.ask(f"lease nobody {wait_ms}\r\n", TIMEOUT)


def begun(program: Program) -> int:
    """How many compactions have begun."""
    return sum(record["message"] == "compacting the command log" for record in program.records)


def compactions(program: Program) -> int:
    """How many have come to their end."""
    return sum(record["message"] == "command log compacted" for record in program.records)


def disk_bytes(path: Path) -> int:
    """What all files in a directory take."""
    taken = 0
    for one in path.iterdir():
        with suppress(FileNotFoundError):
            taken += one.stat().st_size
    return taken


def state_in(path: Path) -> State:
    """What the log in a directory amounts to."""
    state = State()
    replay(Reading(RealDisk(str(path))), state)
    return state


def staying(state: State) -> dict[bytes, bytes]:
    """The payloads of the jobs that stay."""
    return {job.id: job.payload for job in state.jobs.values() if job.queue.name == b"stay"}


EXPECTED = {job_id(number).encode(): payload(number).encode() for number in range(STAYING)}


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for one in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent = one.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(one.parent.name))
    return found


def test_under_churn_the_disk_is_bounded_and_a_kill_loses_nothing(start, tmp_path):
    """Three times what is kept and two segments; all that stays is there after kill -9."""
    path = tmp_path / "log"
    program = start()
    fill(program.peer())
    churn = Churn(program.peer())
    most = during = 0
    while compactions(program) < 2:
        # On a busy machine a compaction takes long, and who goes on and on meanwhile finds what he
        # writes on the disk: a quarter of what is kept is written at full speed.
        churn.turn(wait_ms=10 if during < STAYING * STAYING_BYTES // 4 else 1000)
        during = during + TURN_BYTES if begun(program) > compactions(program) else 0
        most = max(most, disk_bytes(path))
    kept = max(one.stat().st_size for one in path.glob("*.snap"))
    assert most > 1.5 * kept, "nothing was going on"
    assert most <= 3 * kept + 2 * SEGMENT_BYTES, f"{most / kept:.2f} times what is kept"
    program.signal(signal.SIGKILL)
    program.ended()
    state = state_in(path)
    assert staying(state) == EXPECTED
    assert state.size <= STAYING + 10
    again = start()
    assert again.stats(again.peer())["jobs"] == state.size


def test_a_kill_while_it_is_compacting_loses_nothing(start, tmp_path):
    """Neither of the process, which is then tried again, nor of the server."""
    program = start()
    fill(program.peer(), 300)
    churn = Churn(program.peer())
    churn.until(lambda: children(program.process.pid))
    for pid in children(program.process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    reason = program.logged("compaction of the command log failed")["reason"]
    assert reason == "the process was ended by SIGKILL"
    done = compactions(program)
    churn.until(lambda: compactions(program) > done)
    churn.until(lambda: children(program.process.pid))
    pids = children(program.process.pid)
    program.signal(signal.SIGKILL)
    program.ended()
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
    assert len(staying(state_in(tmp_path / "log"))) == 300
    again = start()
    assert again.stats(again.peer())["jobs"] >= 300
    assert not list((tmp_path / "log").glob("*.snap.tmp")) or children(again.process.pid)


def test_a_server_that_is_told_to_stop_does_not_wait_for_compaction(start, tmp_path):
    """It ends the process, and leaves nothing unfinished behind."""
    program = start()
    churn = Churn(program.peer())
    churn.until(lambda: children(program.process.pid))
    pids = children(program.process.pid)
    program.hang_up()
    program.signal(signal.SIGTERM)
    assert program.ended() == 0
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)
    assert not list((tmp_path / "log").glob("*.tmp"))
    assert state_in(tmp_path / "log").size <= 10


def test_a_backup_of_a_running_server_is_one_to_start_from(start, tmp_path):
    """Taken as the page says, while jobs come and go and compaction is busy."""
    script = tmp_path / "workq-backup"
    blocks = re.findall(r"```sh\n(#!/bin/sh\n# workq-backup .*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    script.write_text(blocks[0])
    program = start()
    fill(program.peer(), 300)
    churn = Churn(program.peer())

    def taken(number: int) -> tuple[Path, State]:
        before = compactions(program)
        churn.until(lambda: compactions(program) > before)
        copy = tmp_path / f"copy{number}"
        command = ["/bin/sh", str(script), str(tmp_path / "log"), str(copy)]
        with subprocess.Popen(command) as backup:
            churn.until(lambda: backup.poll() is not None)
        assert backup.returncode == 0
        return copy, state_in(copy)

    for _, state in map(taken, range(4)):
        assert not (tmp_path / "log" / "backup").exists()
        assert staying(state) == {job: EXPECTED[job] for job in list(EXPECTED)[:300]}
        assert state.size <= 300 + 10  # a moment of the server, not a mixture
    copy, state = taken(4)
    one = start(copy)
    assert one.stats(one.peer())["jobs"] == state.size
    peer = one.peer()
    peer.ask("lease stay 0\r\n", told(0, "stay", payload(0)))
