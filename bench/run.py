"""Compares workq with beanstalkd and Redis on this machine: speed, latency, memory.

    make -C bench
    python bench/run.py                          the standard set, three rounds
    python bench/run.py --rss                    bytes of memory per waiting job
    python bench/run.py --modes cycle --depths 1,4,64 --servers workq,beanstalkd
    python bench/run.py --variant "logged=workq-server --listen 127.0.0.1:{port} …{dir}…"

Every measurement gets a server of its own, started on a free port and pinned to one core, with the
load generator pinned to another. Rounds are interleaved: a slow minute of the machine falls on all
servers alike. The report is Markdown on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
BASE = "beanstalkd"  # what the others are compared with
SERVERS = ("workq", "beanstalkd", "redis")
MODES = ("cycle", "split", "add", "drain")


class BenchError(Exception):
    """A measurement that could not be made; the text says why."""


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    mode: str
    depth: int
    preload: int = 0

    def __str__(self) -> str:
        text = f"{self.mode} d{self.depth}"
        return f"{text}, {self.preload:,} waiting" if self.preload else text


SETS = {
    # servers that keep their jobs in memory only
    "memory": [
        Case("cycle", 1),
        Case("cycle", 16),
        Case("cycle", 1, 100_000),
        Case("cycle", 16, 100_000),
        Case("split", 1),
        Case("split", 16),
        Case("add", 16),
        Case("drain", 16),
    ],
    "quick": [Case("cycle", 1), Case("cycle", 16)],
}


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


@dataclass(frozen=True)
class Sample:
    """What one run of the load generator found."""

    server: str
    case: str
    round: int
    server_cpu: float  # of one core
    foreign_cpu: float  # of one core: what others burned meanwhile
    load: dict[str, Any]


# ---- the machine ---------------------------------------------------------------------------------


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
    return total / TICKS


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
    return (user + nice + system + irq + softirq + steal) / TICKS


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


# ---- servers -------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


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
def started(server: Server, core: int) -> Iterator[Running]:
    """The server, on its core, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="workq-bench-") as directory:
        port, said = free_port(), Path(directory) / "said"
        data = Path(directory) / "data"
        data.mkdir()
        words = [
            word.replace("{port}", str(port)).replace("{dir}", str(data))
            for word in shlex.split(server.command)
        ]
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


def choose_servers(args: argparse.Namespace) -> tuple[list[Server], dict[str, str]]:
    """The servers to measure, and those that cannot be, with the reason."""
    found: list[Server] = []
    missing: dict[str, str] = {}
    for name in args.servers:
        if name == "workq":
            command = args.workq or find_workq()
            if command:
                found.append(Server(name, name, command))
            else:
                missing[name] = "no workq-server beside this Python; name it with --workq"
        elif name == "beanstalkd":
            if shutil.which(name):
                found.append(Server(name, name, "beanstalkd -l 127.0.0.1 -p {port}"))
            else:
                missing[name] = "not installed (package beanstalkd)"
        elif shutil.which("redis-server"):
            command = "redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no"
            found.append(Server(name, name, command))
        else:
            missing[name] = "not installed (package redis-server)"
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
        except (OSError, subprocess.TimeoutExpired):
            said[server.name] = "unknown"
    return said


# ---- measuring -----------------------------------------------------------------------------------


class Bench:
    """The settings of a comparison, and the ways to measure."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def load(self, server: Server, port: int, *options: str) -> dict[str, Any]:
        """Runs the load generator once; its result."""
        args = self.args
        words = ["taskset", "-c", str(args.load_core), str(args.load)]
        words += ["--protocol", server.protocol, "--port", str(port), "-c", str(args.connections)]
        words += ["--payload", str(args.payload), *options]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        if run.returncode:
            why = run.stderr.strip().splitlines() or [f"status {run.returncode}"]
            raise BenchError(why[-1])
        result: dict[str, Any] = json.loads(run.stdout)
        return result

    def measure_once(self, server: Server, case: Case, number: int) -> Sample:
        """One measurement with a server of its own."""
        args = self.args
        with started(server, args.server_core) as running:
            options = ["--mode", case.mode, "-d", str(case.depth), "--seed", str(number + 1)]
            if case.mode == "drain":
                fill = ["--mode", "add", "-d", "64", "--jobs", str(args.drain_jobs)]
                self.load(server, running.port, *fill, "--ttl", "3600000")
            else:
                options += ["--seconds", str(args.seconds), "--warmup", str(args.warmup)]
                options += ["--preload", str(case.preload)]
            all_before, cpu_before = busy(), cpu_of(running.pid)
            mine_before, start = os.times(), time.monotonic()
            result = self.load(server, running.port, *options)
            elapsed = time.monotonic() - start
            mine = os.times()
            own = cpu_of(running.pid) - cpu_before
            ours = own + sum(mine[:4]) - sum(mine_before[:4])
            foreign = max(0.0, busy() - all_before - ours) / elapsed
            if case.mode == "drain":  # it ends by waiting in vain, which is not part of the work
                elapsed = result["seconds"]
            return Sample(server.name, str(case), number, own / elapsed, foreign, result)

    def measure(self, server: Server, case: Case, number: int) -> Sample:
        """The least disturbed of a few measurements; mostly the first will do."""
        best: Sample | None = None
        for _ in range(1 + self.args.retries):
            wait_for_quiet(self.args.quiet)
            sample = self.measure_once(server, case, number)
            if best is None or sample.foreign_cpu < best.foreign_cpu:
                best = sample
            if best.foreign_cpu < 0.1:
                break
        assert best is not None
        return best

    def measure_memory(self, server: Server) -> dict[str, Any]:
        """Resident bytes per waiting job."""
        jobs = self.args.rss_jobs
        with started(server, self.args.server_core) as running:
            time.sleep(1)
            before = memory_of(running.pid)
            options = ["--mode", "add", "-d", "16", "--jobs", str(jobs), "--ttl", "3600000"]
            result = self.load(server, running.port, *options)
            time.sleep(1)
            after = memory_of(running.pid)
        return {
            "server": server.name,
            "jobs": jobs,
            "before": before,
            "after": after,
            "per_job": (after - before) / jobs,
            "load": result,
        }


# ---- the report ----------------------------------------------------------------------------------


def summarise(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Medians for each case and server, in the order of the samples."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.case, sample.server), []).append(sample)
    rows = []
    keys = ("jobs_per_s", "commands_per_s", "p50_us", "p99_us", "p999_us", "max_us", "load_cpu")
    for (case, server), group in groups.items():
        row: dict[str, Any] = {"case": case, "server": server, "rounds": len(group)}
        for key in keys:
            row[key] = statistics.median(sample.load[key] for sample in group)
        rates = [sample.load["jobs_per_s"] for sample in group]
        row["slowest"], row["fastest"] = min(rates), max(rates)
        row["server_cpu"] = statistics.median(sample.server_cpu for sample in group)
        row["foreign_cpu"] = statistics.median(sample.foreign_cpu for sample in group)
        rows.append(row)
    base = {row["case"]: row["jobs_per_s"] for row in rows if row["server"] == BASE}
    for row in rows:
        reference = base.get(row["case"])
        row["ratio"] = row["jobs_per_s"] / reference if reference else None
    return rows


def table(head: list[str], rows: Iterable[list[str]], text_columns: int) -> str:
    """A Markdown table; the first columns are text, the others numbers."""
    marks = ["---" if i < text_columns else "---:" for i in range(len(head))]
    lines = [head, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def speed_table(rows: Iterable[dict[str, Any]]) -> str:
    """The summary as Markdown."""
    head = ["case", "server", "jobs/s", "slowest to fastest", "commands/s", "p50 µs", "p99 µs"]
    head += ["p99.9 µs", "max µs", "server CPU", "load CPU", f"of {BASE}"]
    lines = []
    seen = ""
    for row in rows:
        ratio = row["ratio"]
        lines.append(
            [
                row["case"] if row["case"] != seen else "",
                row["server"],
                f"{row['jobs_per_s']:,.0f}",
                f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
                f"{row['commands_per_s']:,.0f}",
                *(f"{row[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")),
                f"{row['server_cpu']:.0%}",
                f"{row['load_cpu']:.0%}",
                "-" if ratio is None else f"{ratio:.2f}",
            ]
        )
        seen = row["case"]
    return table(head, lines, 2)


def memory_table(rows: Iterable[dict[str, Any]]) -> str:
    """The memory figures as Markdown."""
    head = ["server", "jobs", "before MiB", "after MiB", "bytes per job", "jobs/s meanwhile"]
    lines = [
        [
            row["server"],
            f"{row['jobs']:,}",
            f"{row['before'] / 2**20:.1f}",
            f"{row['after'] / 2**20:.1f}",
            f"{row['per_job']:.0f}",
            f"{row['load']['jobs_per_s']:,.0f}",
        ]
        for row in rows
    ]
    return table(head, lines, 1)


def report(found: dict[str, Any]) -> str:
    """All of it as Markdown."""
    box, settings = found["machine"], found["settings"]
    setting = (
        f"{found['when']}: {box['processor']}, {box['cores']} cores, Linux {box['kernel']}, "
        f"Python {box['python']}. {settings['connections']} connections, "
        f"payload {settings['payload']} bytes, "
        + ("" if settings["rss"] else f"{settings['rounds']} x {settings['seconds']:g} s, ")
        + f"server on core {settings['server_core']}, "
        f"load on core {settings['load_core']}."
    )
    parts = [
        setting,
        "\n".join(f"* {name}: {text}" for name, text in found["versions"].items()),
    ]
    if found["summary"]:
        parts.append(speed_table(found["summary"]))
    if found["memory"]:
        parts.append(memory_table(found["memory"]))
    notes = [f"* not measured: {name}: {why}" for name, why in found["missing"].items()]
    notes += [f"* FAILED: {text}" for text in found["failures"]]
    for row in found["summary"]:
        if row["foreign_cpu"] >= 0.1:
            share = f"{row['foreign_cpu']:.0%} of a core"
            notes.append(f"* disturbed: {row['case']}, {row['server']}: others used {share}")
        if row["load_cpu"] >= 0.95:
            text = "the load generator was the limit"
            notes.append(f"* {row['case']}, {row['server']}: {text}")
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts)


# ---- the command line ----------------------------------------------------------------------------


def names(text: str) -> list[str]:
    """A list with commas."""
    return [part for part in text.split(",") if part]


def numbers(text: str) -> list[int]:
    """A list of numbers with commas."""
    return [int(part) for part in names(text)]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare workq with beanstalkd and Redis.")
    add = parser.add_argument
    add("--set", choices=sorted(SETS), default="memory", help="a named set of cases (memory)")
    add("--modes", type=names, help=f"instead of a set: some of {','.join(MODES)}")
    add("--depths", type=numbers, default=[1, 16], help="with --modes (1,16)")
    add("--preloads", type=numbers, default=[0], help="with --modes: jobs that wait (0)")
    add("--servers", type=names, default=list(SERVERS), help="which of the three")
    add("--workq", metavar="CMD", help="the command of workq-server, with {port}")
    add("--variant", metavar="NAME=CMD", action="append", default=[],
        help="one more server of the workq protocol, with {port} and perhaps {dir}")  # fmt: skip
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=3.0, help="of each measurement (3)")
    add("--warmup", type=float, default=0.5, help="before each, not counted (0.5)")
    add("--connections", type=int, default=50)
    add("--payload", type=int, default=64)
    add("--drain-jobs", type=int, default=200_000, help="how many jobs drain begins with")
    add("--rss", action="store_true", help="memory per waiting job, instead of speed")
    add("--rss-jobs", type=int, default=1_000_000)
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    add("--quiet", type=float, default=20.0, metavar="S",
        help="wait up to S seconds for a quiet machine before each measurement")  # fmt: skip
    add("--retries", type=int, default=1, help="of a measurement others disturbed")
    add("--load", type=Path, default=HERE / "build" / "load", help="the load generator")
    add("--json", type=Path, help="write every measurement to this file")
    args = parser.parse_args(argv)
    for name in args.servers:
        if name not in SERVERS:
            parser.error(f"--servers: {name!r} is unknown")
    for name in args.modes or []:
        if name not in MODES:
            parser.error(f"--modes: {name!r} is unknown")
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


def choose_cases(args: argparse.Namespace) -> list[Case]:
    """What to measure."""
    if not args.modes:
        return SETS[args.set]
    return [
        Case(mode, depth, preload)
        for preload in args.preloads
        for mode in args.modes
        for depth in args.depths
        if mode != "drain" or not preload
    ]


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def check_tools(args: argparse.Namespace) -> None:
    """What has to be there before anything can be measured."""
    if not args.load.exists():
        raise BenchError("the load generator is not built: make -C bench")
    if not shutil.which("taskset"):
        raise BenchError("taskset is not installed (package util-linux)")
    cores = os.sched_getaffinity(0)
    if not {args.server_core, args.load_core} <= cores:
        raise BenchError(f"of the cores asked for only {sorted(cores)} are there")


def measure_speed_of_all(
    bench: Bench, servers: list[Server], samples: list[Sample], failures: list[str]
) -> None:
    """All rounds, cases and servers; what was found is added to the lists as it comes."""
    rounds = bench.args.rounds
    for number in range(rounds):
        for case in choose_cases(bench.args):
            turn = number % len(servers) if servers else 0
            for server in servers[turn:] + servers[:turn]:
                try:
                    sample = bench.measure(server, case, number)
                except BenchError as error:
                    failures.append(f"round {number + 1}, {case}: {error}")
                    say(failures[-1])
                    continue
                samples.append(sample)
                rate = f"{sample.load['jobs_per_s']:12,.0f} jobs/s"
                say(f"{number + 1}/{rounds}  {case!s:28}{server.name:14}{rate}")


def measure_memory_of_all(
    bench: Bench, servers: list[Server], memory: list[dict[str, Any]], failures: list[str]
) -> None:
    """The memory figure of every server."""
    for server in servers:
        try:
            memory.append(bench.measure_memory(server))
        except BenchError as error:
            failures.append(f"memory: {error}")
            say(failures[-1])
            continue
        say(f"{server.name:14}{memory[-1]['per_job']:8.0f} bytes per job")


def main() -> int:
    """Measures and reports."""
    args = parse_args()
    try:
        check_tools(args)
        servers, missing = choose_servers(args)
    except BenchError as error:
        say(f"run.py: {error}")
        return 1
    for name, why in missing.items():
        say(f"not measured: {name}: {why}")
    samples: list[Sample] = []
    memory: list[dict[str, Any]] = []
    failures: list[str] = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.rss:
            measure_memory_of_all(Bench(args), servers, memory, failures)
        else:
            measure_speed_of_all(Bench(args), servers, samples, failures)
    except KeyboardInterrupt:
        failures.append("interrupted: the report holds what was done by then")
    order = {server.name: i for i, server in enumerate(servers)}
    cases = {str(case): i for i, case in enumerate(choose_cases(args))}
    samples.sort(key=lambda sample: (cases[sample.case], order[sample.server], sample.round))
    found = {
        "when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(servers),
        "settings": {
            key: value
            for key, value in vars(args).items()
            if key not in ("json", "load", "workq", "variant")
        },
        "missing": missing,
        "failures": failures,
        "summary": summarise(samples),
        "memory": memory,
        "samples": [asdict(sample) for sample in samples],
    }
    print(report(found))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if failures or not servers else 0


if __name__ == "__main__":
    sys.exit(main())
