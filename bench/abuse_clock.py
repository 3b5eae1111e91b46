"""The wall clock stepped under a server that has every kind of deadline pending.

libfaketime (Debian's package of that name) shows the server a wall clock of our own; the clocks
that never step stay as they are. Used by `abuse.py` and by `tests/abuse`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)

#: Steps in seconds: each forth and back.
STEPS = (1, -1, 3600, -3600, 86400, -86400)

#: When each deadline is due, and by how much it may come late.
TTR_MS, TTL_MS, WAIT_MS, RUN_MS = 900, 1100, 1300, 1500
LATE_MS = 400


def library() -> str | None:
    """libfaketime, if it is installed."""
    return next((path for path in LIBRARIES if Path(path).exists()), None)


def job(number: int) -> str:
    """The id of the n-th job."""
    return f"00000000-0000-4000-8000-{number:012x}"


class Stepped:
    """A server whose wall clock can be stepped.

    Attributes:
        port: where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.log = directory / "log"
        self._rc = directory / "clock"
        self.port = 0

    def step(self, seconds: float) -> None:
        """Set the server's wall clock to so much ahead of ours."""
        new = self._rc.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.replace(self._rc)

    def connect(self) -> Client:
        """A connection."""
        return Client(self.port)


class Client:
    """A connection that notes when its answers come."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)

    def ask(self, text: str) -> str:
        """Send a request; return what comes at once."""
        self.sock.sendall(text.encode())
        return self.sock.recv(65536).decode()

    def answer_ms(self, text: str, found: dict[str, tuple[float, str]], name: str) -> None:
        """Send a request, and note what comes and after how many milliseconds."""
        start = time.monotonic()
        self.sock.sendall(text.encode())

        def read() -> None:
            answer = self.sock.recv(65536).decode()
            found[name] = ((time.monotonic() - start) * 1000, answer)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self.waiting = thread


@contextmanager
def stepped_server(program: str, *flags: str) -> Iterator[Stepped]:
    """A server with a wall clock of its own."""
    path = library()
    assert path is not None
    with tempfile.TemporaryDirectory(prefix="workq-clock-") as name:
        directory = Path(name)
        (directory / "clock").write_text("+0\n")
        environ = os.environ | {
            "LD_PRELOAD": path,
            "FAKETIME_TIMESTAMP_FILE": str(directory / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "--listen", "127.0.0.1:0", "--log", "json", *flags],
                stderr=output,
                env=environ,
            )
        server = Stepped(process, directory)
        try:
            end = time.monotonic() + 15
            while not (found := re.search(r"Listening on \S+:(\d+)", log.read_text())):
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.01)
            server.port = int(found[1])
            yield server
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def monotonic_is_not_faked() -> bool:
    """Whether, under the library, only the wall clock is moved."""
    path = library()
    assert path is not None
    script = (
        "import time;print(time.time(),time.clock_gettime(time.CLOCK_MONOTONIC),"
        "time.clock_gettime(time.CLOCK_BOOTTIME))"
    )
    environ = os.environ | {
        "LD_PRELOAD": path,
        "FAKETIME": "+86400",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    out = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, check=True
    )
    wall, monotonic, boot = map(float, out.stdout.split())
    return (
        86000 < wall - time.time() < 87000
        and abs(monotonic - time.clock_gettime(time.CLOCK_MONOTONIC)) < 60
        and abs(boot - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    )


def utc(time_s: float) -> str:
    """A time as the protocol has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def one_step(server: Stepped, from_s: float, to_s: float, base: int) -> dict[str, str]:
    """Step the clock with every kind of deadline pending; tell what was not as it must be.

    A lease, a wait, a call, a request timeout and a time to live are lengths: they end when they
    would have. A scheduled time is one of the wall clock: a step over it makes it due, and one
    away from it puts it off.
    """
    server.step(from_s)
    time.sleep(1.2)  # the server looks at the wall clock once a second
    names = {kind: f"{kind}-{base}" for kind in ("ttr", "ttl", "wait", "run", "soon", "late")}
    clients = {kind: server.connect() for kind in (*names, "half", "watch", "main")}
    main = clients["main"]
    wrong: dict[str, str] = {}
    found: dict[str, tuple[float, str]] = {}
    begun = time.monotonic()
    assert main.ask(f"add {job(base)} {names['ttr']} {TTR_MS} 600000 1\r\nx\r\n") == "+OK\r\n"
    assert main.ask(f"lease {names['ttr']} 0\r\n").startswith("+OK 1")
    assert main.ask(f"add {job(base + 1)} {names['ttl']} 1000 {TTL_MS} 1\r\nx\r\n") == "+OK\r\n"
    forth = max(to_s, from_s) + time.time()
    assert main.ask(
        f"schedule {job(base + 2)} {names['soon']} 1000 600000 {utc(forth - 0.2)} 1\r\nx\r\n"
    ) == "+OK\r\n"  # fmt: skip
    clients["ttr"].answer_ms(f"lease {names['ttr']} 20000\r\n", found, "ttr")
    clients["ttl"].answer_ms(f"result {job(base + 1)} 20000\r\n", found, "ttl")
    clients["wait"].answer_ms(f"lease {names['wait']} {WAIT_MS}\r\n", found, "wait")
    clients["run"].answer_ms(
        f"run {job(base + 3)} {names['run']} 1000 {RUN_MS} 1\r\nx\r\n", found, "run"
    )
    clients["half"].answer_ms("pi", found, "half")
    clients["soon"].answer_ms(f"lease {names['soon']} 4000\r\n", found, "soon")
    time.sleep(0.05)
    server.step(to_s)
    for kind, due_ms, answer in (
        ("ttr", TTR_MS, "+OK 1\r\n"),
        ("ttl", TTL_MS, "-NOT-FOUND\r\n"),
        ("wait", WAIT_MS, "-TIMEOUT\r\n"),
        ("run", RUN_MS, "-TIMEOUT\r\n"),
        ("half", 2000, "-CLIENT-ERROR Request timeout\r\n"),
    ):
        clients[kind].waiting.join(8)
        took_ms, told = found.get(kind, (-1.0, "nothing"))
        if not (due_ms - 50 <= took_ms <= due_ms + LATE_MS and told.startswith(answer)):
            wrong[kind] = f"{told[:30]!r} after {took_ms:.0f} ms instead of {due_ms}"
    # A step forth over the time of a scheduled job makes it due within the second in which the
    # server looks at the clock. A step back of more than the wait keeps it where it is.
    clients["soon"].waiting.join(8)
    took_ms, told = found.get("soon", (-1.0, "nothing"))
    due = to_s > from_s or from_s - to_s < 3
    expected = "+OK 1\r\n" if due else "-TIMEOUT\r\n"
    if to_s < from_s and took_ms < 900 and told.startswith("+OK"):
        pass  # it was due before the server looked at the clock
    elif not told.startswith(expected):
        wrong["scheduled"] = f"{told[:30]!r} after {took_ms:.0f} ms"
    for number in range(4):
        main.ask(f"delete {job(base + number)}\r\n")
    for client in clients.values():
        client.sock.close()
    del begun
    return wrong


def step_clock(
    program: str, say: Callable[[str], None], steps: tuple[float, ...] = STEPS
) -> tuple[list[str], bool]:
    """Step forth and back by each; return a table as Markdown, and whether all was well."""
    if library() is None:
        return ["* not played: clock: libfaketime is not installed"], False
    if not monotonic_is_not_faked():
        return ["* not played: clock: libfaketime moves the monotonic clocks too"], False
    lines = ["| step of the wall clock | verdict |", "| --- | --- |"]
    good = True
    with stepped_server(program, "--request-timeout", "2s") as server:
        for index, step in enumerate(steps):
            wrong = one_step(server, 0.0, float(step), 16 * index + 1)
            good &= not wrong
            verdict = "; ".join(f"{kind}: {text}" for kind, text in wrong.items()) or "good"
            say(f"clock {step:+} s: {verdict}")
            lines.append(f"| {step:+,} s | {verdict} |")
        log = server.log.read_text()
        if "Traceback" in log or '"error"' in log:
            good = False
            lines.append(f"| the log | {log[-300:]} |")
    return lines, good
