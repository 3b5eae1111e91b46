"""Workers end to end: workq beside RQ, Celery, Dramatiq and Huey, each with one worker process.

    make bench-workers
    python bench/clients/run.py --jobs 5000 --rounds 3 --only workq,huey

Each is used as its documents advise, with one worker process and a concurrency of 10 (RQ has no
threads: its worker forks for each job, and its SimpleWorker does one job after the other). Jobs do
nothing but leave a mark (marks.py). Per system and round: a fresh server on one core, its clients
on the other; so many jobs are handed in while no worker runs (enqueue/s), then a worker is started,
and the time from its first job to its last one counts (processed/s); then it idles, and single jobs
are handed in every few milliseconds (latency from just before the call that hands in to the first
line of the handler); then the memory of all its processes is looked at. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

sys.path.insert(0, str(Path(__file__).parent))

import marks
from servers import Server, find_workq, started

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
CONCURRENCY = 10
PATIENCE_S = 120

REDIS = "redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no"


@dataclass(frozen=True)
class System:
    """What is measured.

    Attributes:
        name: in the table.
        app: the module with `enqueue`.
        worker: the command of its worker.
        logged: what workq is told besides.
        pool: of workq's worker; the server is Redis where there is none.
        jobs: how many at a time, at the most.
        gap_s: between single jobs; longer than it takes to do one.
        singles: how many of these.
    """

    name: str
    app: str
    worker: tuple[str, ...]
    logged: str = ""
    pool: str = ""
    jobs: int = 1_000_000
    gap_s: float = 0.005
    singles: int = 300


_PYTHON = str(BIN / "python")
_CELERY = ("-A", "app_celery", "worker", "--pool", "threads", "--concurrency", str(CONCURRENCY))
SYSTEMS = (
    System("workq, threads", "app_workq", (_PYTHON, "app_workq.py"), pool="threads"),
    System("workq, asyncio", "app_workq", (_PYTHON, "app_workq.py"), pool="tasks"),
    System(
        "workq, threads, every write synced",
        "app_workq",
        (_PYTHON, "app_workq.py"),
        "--cmdlog-path {dir} --cmdlog-sync always",
        "threads",
    ),
    System(
        "RQ",
        "app_rq",
        (str(BIN / "rq"), "worker", "-q", "-u", "redis://127.0.0.1:{port}", "bench"),
        jobs=300,
        gap_s=0.2,
        singles=50,
    ),
    System(
        "RQ, SimpleWorker",
        "app_rq",
        (
            *(str(BIN / "rq"), "worker", "-q", "-u", "redis://127.0.0.1:{port}"),
            *("-w", "rq.worker.SimpleWorker", "bench"),
        ),
        jobs=2000,
        gap_s=0.03,
        singles=100,
    ),
    System("Celery, threads", "app_celery", (str(BIN / "celery"), *_CELERY, "-l", "ERROR")),
    System(
        "Dramatiq, threads",
        "app_dramatiq",
        (str(BIN / "dramatiq"), "app_dramatiq", "-p", "1", "-t", str(CONCURRENCY)),
    ),
    System(
        "Huey, threads",
        "app_huey",
        (str(BIN / "huey_consumer"), "app_huey.huey", "-w", str(CONCURRENCY), "-k", "thread", "-q"),
    ),
)


@dataclass
class Figures:
    """What was measured of one system, by round."""

    enqueued: list[float] = field(default_factory=list)
    processed: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)


def resident_mib(pid: int) -> float:
    """The memory of a process and all its children."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        own = int(status.split("VmRSS:")[1].split()[0]) / 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0.0
    return own + sum(resident_mib(int(child)) for child in children)


def count(path: Path) -> int:
    """How many marks there are."""
    try:
        return path.stat().st_size // 16
    except FileNotFoundError:
        return 0


def await_marks(path: Path, wanted: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until there are so many marks."""
    end = time.monotonic() + PATIENCE_S
    while count(path) < wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"{count(path)} of {wanted} jobs were done in {PATIENCE_S} s")
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the worker ended with status {process.returncode}")
        time.sleep(0.01)


@contextmanager
def worker(system: System, environment: dict[str, str], port: int, said: Path) -> Iterator[int]:
    """A worker of a system, for as long as it is needed; its process id."""
    command = [word.replace("{port}", str(port)) for word in system.worker]
    with said.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=HERE,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def enqueue(system: System, environment: dict[str, str], jobs: int, gap_s: float = 0.0) -> float:
    """Have jobs handed in by a process of their own; return how many a second."""
    code = (
        f"import time, {system.app} as app\n"
        "app.enqueue(1)\n"  # connects
        "begun = time.perf_counter()\n"
        + (f"app.enqueue({jobs})\n" if not gap_s else "")
        + (f"for _ in range({jobs}):\n app.enqueue(1)\n time.sleep({gap_s})\n" if gap_s else "")
        + f"print({jobs} / (time.perf_counter() - begun))\n"
    )
    done = subprocess.run(
        [_PYTHON, "-c", code], cwd=HERE, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.strip().splitlines()[-1])


def measure(system: System, jobs: int, cores: tuple[int, int], figures: Figures) -> None:
    """One round of one system."""
    command = f"{find_workq()} {system.logged}" if system.pool else REDIS
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HERE.parent / "build") as folder:
        path, said = Path(folder, "marks"), Path(folder, "said")
        server = Server(system.name, "workq" if system.pool else "redis", command)
        with started(server, cores[0], HERE.parent / "build") as running:
            environment = os.environ | {
                "BENCH_PORT": str(running.port),
                "BENCH_MARKS": str(path),
                "BENCH_POOL": system.pool,
                "BENCH_CONCURRENCY": str(CONCURRENCY),
                "PYTHONPATH": str(HERE),
            }
            figures.enqueued.append(enqueue(system, environment, jobs))
            with worker(system, environment, running.port, said) as pid:
                try:
                    await_marks(path, jobs + 1)
                    began = sorted(begun for _, begun in marks.read(path))
                    figures.processed.append(jobs / ((began[-1] - began[0]) / 1e9))
                    time.sleep(0.5)
                    enqueue(system, environment, system.singles, system.gap_s)
                    await_marks(path, jobs + 1 + system.singles + 1)
                except (TimeoutError, RuntimeError) as error:
                    last = said.read_text(errors="replace").strip().splitlines()[-3:]
                    raise SystemExit(f"{system.name}: {error}; it said: {last}") from None
                left = marks.read(path)[-system.singles :]
                late = sorted((begun - sent) / 1e6 for sent, begun in left)
                figures.p50_ms.append(late[len(late) // 2])
                figures.p99_ms.append(late[int(len(late) * 0.99)])
                figures.memory_mib.append(resident_mib(pid))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names that begin so, with commas between")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    options = parser.parse_args()
    (HERE.parent / "build").mkdir(exist_ok=True)
    os.sched_setaffinity(0, {options.load_core})
    wanted = [name.strip().lower() for name in options.only.split(",") if name]
    systems = [
        system
        for system in SYSTEMS
        if not wanted or any(system.name.lower().startswith(name) for name in wanted)
    ]
    found = {system.name: Figures() for system in systems}
    for _ in range(options.rounds):
        for system in systems:
            jobs = min(system.jobs, options.jobs)
            measure(system, jobs, (options.server_core, options.load_core), found[system.name])
    print("| | enqueue/s | processed/s | p50 ms | p99 ms | MiB |\n|---|---|---|---|---|---|")
    for name, figures in found.items():
        rates = [statistics.median(each) for each in (figures.enqueued, figures.processed)]
        late = [statistics.median(each) for each in (figures.p50_ms, figures.p99_ms)]
        memory = statistics.median(figures.memory_mib)
        print(
            f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {late[0]:.2f} | {late[1]:.2f} "
            f"| {memory:.0f} |"
        )


if __name__ == "__main__":
    main()
