"""The servers that are compared: what starts them, and each started for a measurement."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from machine import HERE, free_port

SERVERS = ("workq", "beanstalkd", "redis")

#: The servers of the set `logged`: the program, and what it is told besides.
LOGGED = {
    "workq-memory": ("workq", ""),
    "workq-interval": ("workq", "--cmdlog-path {dir} --cmdlog-sync interval"),
    "workq-always": ("workq", "--cmdlog-path {dir} --cmdlog-sync always"),
    "workq-os": ("workq", "--cmdlog-path {dir} --cmdlog-sync os"),
    "beanstalkd-f1000": ("beanstalkd", "-b {dir} -f 1000"),
    "beanstalkd-f0": ("beanstalkd", "-b {dir} -f 0"),
    "redis-everysec": ("redis", "--appendonly yes --appendfsync everysec"),
    "redis-always": ("redis", "--appendonly yes --appendfsync always"),
}

#: What makes a disk slower than it is (slowdisk.c).
SLOW_DISK = HERE / "build" / "slowdisk.so"

_BEANSTALKD = "beanstalkd -l 127.0.0.1 -p {port}"
_REDIS = "redis-server --bind 127.0.0.1 --port {port} --save ''"
_REDIS_LOGGED = f"{_REDIS} --dir {{dir}} --auto-aof-rewrite-percentage 0"


class BenchError(Exception):
    """A measurement that could not be made; the text says why."""


@dataclass(frozen=True)
class Server:
    """What to start. The command may hold {port} and {dir}, an empty directory."""

    name: str
    protocol: str
    command: str


@dataclass(frozen=True)
class Running:
    """A started server."""

    pid: int
    port: int


def await_port(process: subprocess.Popen[bytes], port: int, limit: float = 15) -> None:
    """Returns when the server accepts a connection."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BenchError(f"ended at once with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise BenchError(f"did not listen on its port within {limit:.0f} s")


@contextmanager
def started(
    server: Server, core: int, place: Path | None = None, sync_us: int = 0
) -> Iterator[Running]:
    """The server, on its core, for as long as it is needed.

    Args:
        server: what to start.
        core: its core.
        place: where its directory is made, instead of the usual place for temporary files.
        sync_us: how much longer each of its syncs shall take.
    """
    with tempfile.TemporaryDirectory(prefix="workq-bench-", dir=place) as directory:
        port, said = free_port(), Path(directory) / "said"
        data = Path(directory) / "data"
        data.mkdir()
        words = [
            word.replace("{port}", str(port)).replace("{dir}", str(data))
            for word in shlex.split(server.command)
        ]
        if sync_us:
            words = ["env", f"LD_PRELOAD={SLOW_DISK}", f"SLOWDISK_US={sync_us}", *words]
        with said.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(core), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            await_port(process, port)
            yield Running(process.pid, port)
            if process.poll() is not None:
                raise BenchError(f"died meanwhile with status {process.returncode}")
        except BenchError as error:
            lines = said.read_text(errors="replace").strip().splitlines()
            last = f" (its last line: {lines[-1]})" if lines else ""
            raise BenchError(f"{server.name}: {error}{last}") from None
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def find_workq() -> str | None:
    """The command of workq-server: beside this interpreter, on the path, or in the checkout."""
    beside = Path(sys.executable).parent / "workq-server"
    checkout = HERE.parent / ".venv" / "bin" / "workq-server"
    for candidate in (str(beside), shutil.which("workq-server"), str(checkout)):
        if candidate and os.access(candidate, os.X_OK):
            return f"{shlex.quote(candidate)} --listen 127.0.0.1:{{port}}"
    return None


def _command(program: str, options: str, workq: str | None) -> str:
    """What starts one of the three programs.

    Raises:
        LookupError: it is not there; the text says what to do.
    """
    if program == "workq":
        command = workq or find_workq()
        if not command:
            raise LookupError("no workq-server beside this Python; name it with --workq")
    elif program == "beanstalkd":
        if not shutil.which(program):
            raise LookupError("not installed (package beanstalkd)")
        command = _BEANSTALKD
    else:
        if not shutil.which("redis-server"):
            raise LookupError("not installed (package redis-server)")
        command = _REDIS_LOGGED if options else f"{_REDIS} --appendonly no"
    return f"{command} {options}".rstrip()


def choose_servers(args: argparse.Namespace) -> tuple[list[Server], dict[str, str]]:
    """The servers to measure, and those that cannot be, with the reason."""
    found: list[Server] = []
    missing: dict[str, str] = {}
    for name in args.servers:
        program, options = LOGGED.get(name, (name, ""))
        try:
            found.append(Server(name, program, _command(program, options, args.workq)))
        except LookupError as error:
            missing[name] = str(error)
    for variant in args.variant:
        name, equals, command = variant.partition("=")
        if not equals or not name or "{port}" not in command:
            raise BenchError(f"--variant needs NAME=COMMAND with {{port}}, not {variant!r}")
        found.append(Server(name, "workq", command))
    if args.workq and "{port}" not in args.workq:
        raise BenchError("--workq needs {port} in the command")
    for server in list(found):
        program = shlex.split(server.command)[0]
        if not shutil.which(program):
            missing[server.name] = f"there is no program {Path(program).name}"
            found.remove(server)
    return found, missing


def versions(servers: Iterable[Server]) -> dict[str, str]:
    """What the servers say of themselves."""
    said = {}
    for server in servers:
        flag = "-v" if server.protocol == "beanstalkd" else "--version"
        words = [*shlex.split(server.command)[:1], flag]
        try:
            answer = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
            lines = (answer.stdout or answer.stderr).strip().splitlines()
            said[server.name] = lines[-1] if lines and not answer.returncode else "unknown"
            if server.name in LOGGED:
                said[server.name] += f": {LOGGED[server.name][1] or 'no log'}"
        except (OSError, subprocess.TimeoutExpired):
            said[server.name] = "unknown"
    return said
