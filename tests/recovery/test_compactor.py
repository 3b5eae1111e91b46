"""The process that compacts: who it obeys, what it has, how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.recovery.histories import Life, read_back
from tests.recovery.processes import PATIENCE_SECONDS, descriptors, laid_out, until
from workq import __version__
from workq.cmdlog.files import RealDisk
from workq.cmdlog.segment import segment_name
from workq.cmdlog.snapshot import publish
from workq.engine import dump
from workq.recovery import compactor


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The process, started as a server starts it."""
    command = [sys.executable, "-P", "-m", compactor.__name__, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The status and the complaint of a process that ends by itself."""
    status = process.wait(PATIENCE_SECONDS)
    assert process.stderr is not None
    return status, process.stderr.read()


@pytest.fixture(scope="module")
def life() -> Life:
    """A log that can be compacted."""
    life = Life()
    life.live(60, seed=4)
    life.fill_segment()
    return life


@pytest.fixture
def path(life, tmp_path) -> str:
    """The directory it is in."""
    return laid_out(life.disk, tmp_path / "log")


@pytest.fixture
def stuck(tmp_path) -> str:
    """A directory in which it stands still as soon as it has begun: at the first segment, a pipe
    into which nobody writes."""
    path = tmp_path / "stuck"
    path.mkdir()
    os.mkfifo(path / segment_name(1))
    return str(path)


def begun(process: subprocess.Popen[str], path: str) -> None:
    """Wait until it has come as far as the directory."""
    until(lambda: path in descriptors(process.pid))


def test_it_writes_the_snapshot_and_nothing_else(life, path):
    """As a `.tmp`, for its owner only; the lock of the directory is the server's."""
    disk = RealDisk(path)
    disk.lock()
    before = disk.names()
    with running(__version__, path, life.number, life.position) as process:
        assert ended(process) == (compactor.DONE, "")
    name = f"{life.number:09d}.snap.tmp"
    assert disk.names() == sorted([*before, name])
    assert (Path(path) / name).stat().st_mode & 0o777 == 0o600
    publish(disk, life.number)
    state = read_back(disk)
    assert dump.digest(state) == dump.digest(life.engine)


def test_another_version_is_refused_in_one_line(life, path):
    """And nothing is written: the code on disk was replaced while the server ran."""
    before = set(Path(path).iterdir())
    with running("0.0.1", path, life.number, life.position) as process:
        status, complaint = ended(process)
    assert status == compactor.FAILED
    assert complaint == f"the server is workq 0.0.1, but installed is now {__version__}\n"
    assert set(Path(path).iterdir()) == before


def test_damage_is_told_in_one_line(life, path):
    """With the file and the byte, and a status of its own."""
    file = Path(path) / segment_name(1)
    data = bytearray(file.read_bytes())
    data[300] ^= 1
    file.write_bytes(data)
    with running(__version__, path, life.number, life.position) as process:
        status, complaint = ended(process)
    assert status == compactor.DAMAGED
    assert complaint.startswith(f"{file}, byte ")
    assert complaint.count("\n") == 1


def test_an_error_of_the_system_is_told_in_one_line(stuck):
    """With its number."""
    (Path(stuck) / segment_name(1)).unlink()
    (Path(stuck) / segment_name(1)).symlink_to(segment_name(1))
    with running(__version__, stuck, 2, 5) as process:
        status, complaint = ended(process)
    assert status == compactor.FAILED
    assert complaint.startswith(f"{stuck}: Too many levels of symbolic links (errno ")
    assert complaint.count("\n") == 1


def test_it_ends_with_its_server_whatever_it_is_at(stuck):
    """The end of the pipe is all it takes."""
    with running(__version__, stuck, 2, 5) as process:
        begun(process, stuck)
        assert process.stdin is not None
        process.stdin.close()
        assert ended(process) == (compactor.ALONE, "")


def test_it_makes_way_for_everybody(stuck):
    """A low priority, and the first to go when memory runs out."""
    expected = min(os.getpriority(os.PRIO_PROCESS, 0) + compactor.NICENESS, 19)
    with running(__version__, stuck, 2, 5) as process:
        begun(process, stuck)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == expected
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"


#: Steps aside, works for 50 ms, and tells its timer, whether Python would hear the signal, and
#: whether anything else does.
_ASIDE = """
import re, signal, time
from pathlib import Path
from workq.recovery import compactor
compactor.step_aside()
while time.process_time() < 0.05:
    pass
caught = int(re.search("SigCgt:\\s*(\\w+)", Path("/proc/self/status").read_text())[1], 16)
print(signal.getitimer(signal.ITIMER_REAL)[1], signal.getsignal(signal.SIGALRM).name)
print(bool(caught >> (signal.SIGALRM - 1) & 1))
"""


def test_it_lets_others_go_first_again_and_again_while_it_works():
    """After a fraction of a millisecond, not of a tick; and wherever it is: it is not for Python to
    hear of. What hears of it does no harm, as long as it works nor when it ends."""
    command = [sys.executable, "-P", "-c", _ASIDE]
    found = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
    every_s, heard, caught = found.stdout.decode().split()
    assert float(every_s) == compactor.YIELD_US / 1_000_000
    assert (heard, caught) == ("SIG_DFL", "True")


def test_it_asks_for_little_at_a_time(stuck):
    """The system says so, where it tells of slices at all."""
    with running(__version__, stuck, 2, 5) as process:
        begun(process, stuck)
        told = Path(f"/proc/{process.pid}/sched")
        slices = re.findall(r"se\.slice +: +(\d+)", told.read_text() if told.exists() else "")
    assert slices in ([str(compactor.SLICE_NS)], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_stop_a_server_do_not_stop_it(number, stuck):
    """They go to all processes of a terminal or a service; the server decides."""
    with running(__version__, stuck, 2, 5) as process:
        begun(process, stuck)
        process.send_signal(number)
        assert process.stdin is not None
        process.stdin.close()
        assert ended(process)[0] == compactor.ALONE
