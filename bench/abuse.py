"""What bad clients do to a good one: a table of figures.

    make -C bench build/abuse
    python bench/abuse.py                        every scenario
    python bench/abuse.py --only idle,flood      some of them
    python bench/abuse.py --list                 what there is

Each scenario has a server of its own on one core; the good client and the abusers share the other.
The good client (`abuse good`: paced, every reply checked) is measured alone and then under abuse.
The report is Markdown on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abuse_clock import step_clock
from run import HERE, busy, cpu_of, find_workq, free_port, machine, memory_of, say, table

MIB = 1024 * 1024
ABUSE = HERE / "build" / "abuse"
SETTLE_S = 1.0
RATIO_MAX = 2.0
SHARE_MAX = 0.5


class AbuseError(Exception):
    """A scenario that could not be played; the text says why."""


@dataclass
class Spam:
    """One crowd of abusers: what each connection sends, and how."""

    text: bytes
    connections: int
    options: list[str] = field(default_factory=list)


@dataclass
class Scenario:
    """What is done to a server.

    Attributes:
        title: as the table has it.
        crowds: the abusers.
        flags: of the server.
        prepare: is called with a connection before anything else.
        meanwhile: is called once the abusers stand, and returns when the good client is over.
        memory_mib_max: what the server may grow by.
        check: is called with what `stats` tells at the end; returns what is wrong.
    """

    title: str
    crowds: list[Spam]
    flags: list[str] = field(default_factory=list)
    prepare: Callable[[Client], None] | None = None
    meanwhile: Callable[[int, int, Callable[[], bool]], None] | None = None
    memory_mib_max: float = 64
    judged: bool = True
    alone_too: bool = False  # `meanwhile` also while the good client is measured alone


def job(number: int) -> str:
    """An id that no good client uses."""
    return f"bad00000-0000-4000-8000-{number:012x}"


class Client:
    """A connection for what a scenario has to prepare."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.sock.makefile("rb")

    def ask(self, text: bytes | str) -> bytes:
        """Send a request; return the first line of its answer."""
        self.sock.sendall(text.encode() if isinstance(text, str) else text)
        return self.file.readline()

    def stats(self) -> dict[str, str]:
        """What `stats` tells."""
        assert self.ask("stats\r\n") == b"+OK 1\r\n"
        count = int(self.file.readline().split()[1])
        lines = [self.file.readline().decode().split(" ", 1) for _ in range(count)]
        return {key: value.strip() for key, value in lines}

    def add(self, number: int, payload: bytes, queue: str = "bad") -> None:
        """Add a job."""
        head = f"add {job(number)} {queue} 60000 3600000 {len(payload)}\r\n".encode()
        assert self.ask(head + payload + b"\r\n").startswith((b"+OK", b"-CLIENT-ERROR Dup"))

    def finish(self, number: int, result: bytes) -> None:
        """Complete a job."""
        head = f"complete {job(number)} {len(result)}\r\n".encode()
        assert self.ask(head + result + b"\r\n") == b"+OK\r\n"


# ---- the scenarios -------------------------------------------------------------------------------


def one_large_result(client: Client) -> None:
    """A job of a result of 64 KiB, and one of a megabyte."""
    for number, size in ((1, 65536), (2, MIB)):
        client.add(number, b"x")
        client.finish(number, b"r" * size)


def pour_results(port: int, _pid: int, over: Callable[[], bool]) -> None:
    """Finish jobs for which a thousand wait, one after the other."""
    client = Client(port)
    number = 1000
    while not over():
        with suppress(AssertionError):  # the last one
            client.finish(number, b"r" * 4096)
        number += 1
        time.sleep(0.05)


def many_jobs(client: Client) -> None:
    """The jobs whose results pour in."""
    for number in range(1000, 1600):
        client.add(number, b"x")


def hundred_thousand(client: Client) -> None:
    """Jobs to list."""
    for first in range(10_000, 110_000, 1000):
        adds = [
            f"add {job(n)} listed 60000 3600000 64\r\n{'x' * 64}\r\n"
            for n in range(first, first + 1000)
        ]
        client.sock.sendall("".join(adds).encode())
        for _ in adds:
            assert client.file.readline() == b"+OK\r\n"


def stop_and_go(_port: int, pid: int, over: Callable[[], bool]) -> None:
    """Stop the server for half a second, and let it go on, over and over."""
    while not over():
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(pid, signal.SIGCONT)
        time.sleep(1)


LONG_LEASE = ("lease " + " ".join(f"{i:03}" + "n" * 252 for i in range(255)) + " 0\r\n").encode()


def block(command: str, size: int, tail: str = "") -> bytes:
    """A request with a block of a size."""
    return f"{command} {size}{tail}\r\n".encode() + b"x" * size + b"\r\n"


LARGEST_LEGAL = b"".join(
    [
        block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ large 1000 2000", MIB),
        LONG_LEASE,
        b"ping" + b" " * 65530 + b"\r\n",
        b"inspect jobs large 0 100\r\n",
        b"lease large 0\r\n",
        b"inspect queues 0 100\r\n",
        block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ large 1 18446744073709551615", 0),
    ]
)
LARGEST_ILLEGAL = b"".join(
    [
        block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ large 1000 2000", MIB + 1),
        block("complete bad00000-0000-4000-8000-@@@@@@@@@@@@", 2 * MIB),
        b"lease " + b"n " * 300 + b"0\r\n",
        b"lease q " + b"9" * 65000 + b"\r\n",
        b"add " + b"-a=b " * 13000 + b"\r\n",
        b"inspect jobs q 99999999999999999999999 101\r\n",
        b"ping" + b" " * 65540 + b"\r\n",
    ]
)

SCENARIOS = {
    "none": Scenario("nobody: the noise of the measurement", []),
    "idle": Scenario(
        "10,000 idle connections",
        [Spam(b"", 9980)],
        memory_mib_max=160,
    ),
    "unread": Scenario(
        "1,000 that never read, each asking for 400 results of 64 KiB",
        [Spam(f"result {job(1)} 0\r\n".encode() * 400, 1000,
              ["--no-read", "--receive", "4096", "--once"])],
        prepare=one_large_result,
        memory_mib_max=400,
    ),
    "unread-large": Scenario(
        "1,000 that never read, each asking for 20 results of 1 MiB",
        [Spam(f"result {job(2)} 0\r\n".encode() * 20, 1000,
              ["--no-read", "--receive", "4096", "--once"])],
        prepare=one_large_result,
        memory_mib_max=1500,
    ),
    "pour": Scenario(
        "1,000 that never read and wait for results of 4 KiB, which come 20 times a second",
        [Spam("".join(f"result {job(n)} 80000000\r\n" for n in range(1000, 1600)).encode(), 1000,
              ["--no-read", "--receive", "4096", "--once"])],
        prepare=many_jobs,
        meanwhile=pour_results,
        memory_mib_max=200,
    ),
    "dribble": Scenario(
        "1,000 that dribble a byte a second",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ slow 1000 2000", 1000), 1000,
              ["--rate", "1"])],
    ),
    "dribble-block": Scenario(
        "1,000 that dribble 100 bytes a second of a megabyte",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ slow 1000 2000", MIB - 9), 200,
              ["--rate", "100"])],
    ),
    "flood": Scenario(
        "flood: 10 connections ping as fast as they can",
        [Spam(b"ping\r\n" * 1000, 10)],
    ),
    "flood-errors": Scenario(
        "flood: 100 connections of wrong requests",
        [Spam((b"what\r\nlease -x=1 q 0\r\nadd 1 2 3 4 1\r\nx\r\ninspect queue ?\r\n") * 100, 100)],
    ),
    "flood-lists": Scenario(
        "flood: 10 connections list 100 jobs of 100,000, over and over",
        [Spam(b"inspect jobs listed 50000 100\r\n" * 100, 10)],
        prepare=hundred_thousand,
        memory_mib_max=100,
    ),
    "flood-leases": Scenario(
        "flood: 10 connections lease of 256 empty queues, over and over",
        [Spam(("lease " + " ".join(f"e{i}" for i in range(256)) + " 0\r\n").encode() * 20, 10)],
    ),
    "flood-jobs": Scenario(
        "flood: 20 connections add jobs beyond --max-memory 64MiB",
        [Spam(block("add bad00000-0000-4000-8000-@@@@@@@@@@@@ grow 1000 5000", 64) * 100, 20)],
        flags=["--max-memory", "64MiB"],
        memory_mib_max=140,
    ),
    "flood-connections": Scenario(
        "flood: 200 connections at a time beyond --max-connections 100, over and over",
        [Spam(b"ping\r\n", 200, ["--churn", "--once"])],
        flags=["--max-connections", "100"],
    ),
    "churn": Scenario(
        "churn: connect, ping, close, 50 at a time",
        [Spam(b"ping\r\n", 50, ["--churn", "--once"])],
    ),
    "flood-behind": Scenario(
        "flood: 20 connections send more than 2 MiB behind a wait, over and over",
        [Spam(b"lease never 80000000\r\n" + b"ping\r\n" * 400_000, 20, ["--churn", "--once"])],
        memory_mib_max=200,
    ),
    "largest-legal": Scenario(
        "the largest legal everything, 10 connections",
        [Spam(LARGEST_LEGAL, 10)],
        flags=["--max-memory", "256MiB"],
        memory_mib_max=600,
    ),
    "largest-illegal": Scenario(
        "the largest illegal everything, 10 connections",
        [Spam(LARGEST_ILLEGAL, 10)],
        memory_mib_max=200,
    ),
    "waiters": Scenario(
        "1,000 that wait for 256 queues each, and give up every 100 ms",
        [Spam(("lease " + " ".join(f"w{i}" for i in range(256)) + " 100\r\n").encode(), 1000,
              ["--rate", "15000"])],
        memory_mib_max=200,
    ),
    "stop": Scenario(
        "SIGSTOP for 500 ms and SIGCONT, every 1.5 s",
        [],
        meanwhile=stop_and_go,
        judged=False,
    ),
}  # fmt: skip


# ---- playing them --------------------------------------------------------------------------------


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


def abuse(core: int, nice: int, *words: str) -> subprocess.Popen[str]:
    """The C program, on its core."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), "nice", "-n", str(nice), str(ABUSE), *words],
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
            args.load_core, args.nice, "good", "--port", str(port), "-c", str(args.connections),
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
                        args.load_core, 0, "spam", "--port", str(port),
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


# ---- the report ----------------------------------------------------------------------------------


def report(rows: list[dict[str, Any]], steps: list[str], args: argparse.Namespace) -> str:
    """All of it as Markdown."""
    box = machine()
    head = ["scenario", "p50 alone µs", "p99 alone µs", "p50 µs", "p99 µs", "max µs", "p99 ratio"]
    head += ["server MiB before, under, after", "server CPU", "abusers' CPU", "errors"]
    head += ["long turns", "verdict"]
    lines = []
    for row in rows:
        alone, under = row["alone"], row["under"]
        lines.append(
            [
                row["title"],
                f"{alone['p50_us']:,}",
                f"{alone['p99_us']:,}",
                f"{under['p50_us']:,}",
                f"{under['p99_us']:,}",
                f"{under['max_us']:,}",
                f"{row['ratio']:.2f}",
                f"{row['before']:.0f}, {row['memory']:.0f}, {row['after']:.0f}",
                f"{row['server_share']:.0%}",
                f"{row['share']:.0%}",
                f"{under['errors']}",
                row["stats"]["long-turns"],
                "; ".join(row["wrong"]) or "good",
            ]
        )
    setting = (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {box['processor']}, "
        f"{box['cores']} cores, Linux {box['kernel']}, Python {box['python']}, load average "
        f"{box['load_average']:.1f}. The good client: {args.connections} connections, "
        f"{args.rate:g} cycles (add, lease, complete) a second each, {args.seconds:g} s. "
        f"Server on core {args.server_core}, good client and abusers on core {args.load_core}, "
        f"abusers held to {args.cpu:.0%} of it. Server and good client at nice {args.nice}, "
        "abusers at 0."
    )
    parts = [setting]
    if lines:
        parts.append(table(head, lines, 1))
    noisy = [row for row in rows if row["foreign"] > 0.1]
    if noisy:
        parts.append(
            "Disturbed while the good client was alone: "
            + ", ".join(f"{row['title'].split(':')[0]} ({row['foreign']:.0%})" for row in noisy)
        )
    if steps:
        parts.append("\n".join(steps))
    return "\n\n".join(parts)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure what bad clients do to a good one.")
    add = parser.add_argument
    add("--only", help="some scenarios, with commas; `clock` is one")
    add("--list", action="store_true", help="tell the names of the scenarios")
    add("--seconds", type=float, default=5.0, help="of each measurement (5)")
    add("--connections", type=int, default=20, help="of the good client (20)")
    add("--rate", type=float, default=10.0, help="cycles a second of each of them (10)")
    add("--cpu", type=float, default=0.4, help="of the load core that abusers may use (0.4)")
    add("--nice", type=int, default=-15 if os.geteuid() == 0 else 0,
        help="of server and good client, against what else runs here (root: -15)")  # fmt: skip
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--workq", default=(find_workq() or "").split(" ")[0], help="the program workq-server")
    add("--json", type=Path, help="write everything to this file")
    return parser.parse_args()


def main() -> int:
    """Play and report."""
    args = parse_args()
    if args.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:20}{scenario.title}")
        print(f"{'clock':20}the wall clock stepped with every kind of deadline pending")
        return 0
    if not ABUSE.exists() or not shutil.which("taskset"):
        say("abuse.py: make -C bench build/abuse; taskset is of package util-linux")
        return 1
    if not args.workq:
        say("abuse.py: no workq-server beside this Python; name it with --workq")
        return 1
    chosen = args.only.split(",") if args.only else [*SCENARIOS, "clock"]
    rows, steps, failed = [], [], False
    for name in chosen:
        try:
            if name == "clock":
                steps, good = step_clock(args.workq, say)
                failed |= not good
                continue
            row = Play(args).play(SCENARIOS[name])
            rows.append(row)
            failed |= bool(row["wrong"])
            say(f"{name:20}p99 {row['alone']['p99_us']:7} {row['under']['p99_us']:7}  "
                f"{'; '.join(row['wrong']) or 'good'}")  # fmt: skip
        except (AbuseError, OSError, AssertionError) as error:
            say(f"{name}: {error!r}")
            steps.append(f"* FAILED: {name}: {error!r}")
            failed = True
    print(report(rows, steps, args))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
