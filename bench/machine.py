"""The machine that benchmarks run on: who uses it, how much, and what it is."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

#: Where the benchmarks are.
HERE = Path(__file__).resolve().parent

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:  # grows while it is read
        found.extend(children.get(parent, []))
    return found


def cpu_of(pid: int) -> float:
    """Seconds of CPU that the process and its descendants have used."""
    total = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory_of(pid: int) -> int:
    """Resident bytes of the process and its descendants."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def busy() -> float:
    """Seconds of CPU that all cores have used, with what the hypervisor took away."""
    names = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, names)
    return (user + nice + system + irq + softirq + steal) / _TICKS


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def wait_for_quiet(limit: float) -> None:
    """Waits, up to the limit, until the rest of the machine leaves us both cores."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before, start = busy(), time.monotonic()
        time.sleep(0.4)
        if (busy() - before) / (time.monotonic() - start) < 0.1:
            return


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def first() -> list[str]:
    """What lets who measures come before everybody else on a core that it shares with them, at
    once: what it waits there is not the server's doing. Nothing where that is not allowed."""
    words = ["chrt", "--fifo", "1"]
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return words
