"""How long the server's loop stands still while a million jobs come, are held, listed and go.

    make -C bench
    python bench/pauses.py                 a million jobs
    python bench/pauses.py --jobs 100000   a first look

After each phase: the turns of over 10 ms and the longest, as the server's own `stats` counts them,
by the clock; and the same by the processor time of the server's thread, which other programs on
the machine do not inflate; and how long the server was ready to run and was not let (schedstat).
Memory after churn of connections and of names is told too. Needs build/load and build/abuse.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
LONG_NS = 10_000_000
BOOK = struct.Struct("6q")  # turns; long and longest by the clock; long and longest by CPU; spare
TTL_MS = 3_600_000


def serve(book_path: str, arguments: list[str]) -> int:
    """The server with a book of its turns: what `--serve` runs."""
    from workq.cli.server import main
    from workq.server.ring import Ring

    with open(book_path, "r+b") as file:  # noqa: PTH123
        book = mmap.mmap(file.fileno(), BOOK.size)
    turn = Ring._turn
    wall_ns, cpu_ns = time.monotonic_ns, time.thread_time_ns

    def measured(ring: Ring) -> None:
        wall, cpu = wall_ns(), cpu_ns()
        turn(ring)
        cpu = cpu_ns() - cpu
        wall = wall_ns() - wall
        turns, long_wall, most_wall, long_cpu, most_cpu, _ = BOOK.unpack_from(book)
        long_wall += wall > LONG_NS
        long_cpu += cpu > LONG_NS
        BOOK.pack_into(
            book, 0, turns + 1, long_wall, max(most_wall, wall), long_cpu, max(most_cpu, cpu), 0
        )

    Ring._turn = measured  # type: ignore[method-assign]
    return main(arguments)


class Client:
    """A connection that pipelines."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.file = self.sock.makefile("rb", buffering=1 << 20)

    def ask_many(self, requests: list[str]) -> dict[bytes, int]:
        """Send requests whose answers have one line; count the answers."""
        found: dict[bytes, int] = {}
        for first in range(0, len(requests), 2000):
            part = requests[first : first + 2000]
            self.sock.sendall("".join(part).encode())
            for _ in part:
                line = self.file.readline()
                found[line] = found.get(line, 0) + 1
        return found

    def stats(self) -> dict[str, int]:
        """What `stats` tells."""
        self.sock.sendall(b"stats\r\n")
        assert self.file.readline() == b"+OK 1\r\n"
        count = int(self.file.readline().split()[1])
        lines = [self.file.readline().decode().split() for _ in range(count)]
        return {key: int(value) for key, value in lines if key != "version"}

    def listed(self, request: str) -> int:
        """Send a request for a list; return how many bytes came."""
        self.sock.sendall(f"{request}\r\nping\r\n".encode())
        size = 0
        while (line := self.file.readline()) != b"+OK\r\n":
            size += len(line)
        return size


def job(number: int) -> str:
    """The id of the n-th job."""
    return f"00000000-0000-4000-8000-{number:012x}"


class Pauses:
    """A server under measurement, and its phases."""

    def __init__(self, args: argparse.Namespace, pid: int, port: int, book: mmap.mmap) -> None:
        self.args = args
        self.pid = pid
        self.port = port
        self.book = book
        self.client = Client(port)
        self.rows: list[list[str]] = []

    def load(self, *words: str) -> dict[str, object]:
        """The load generator."""
        command = ["taskset", "-c", str(self.args.load_core), str(HERE / "build" / "load")]
        command += ["--protocol", "workq", "--port", str(self.port), "-c", "20", *words]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(run.stderr)
        return dict(json.loads(run.stdout))

    def waited_ns(self) -> int:
        """How long the server was ready to run and was not let."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1])

    def phase(self, name: str, act: Callable[[], object]) -> None:
        """Do something; note what it did to the turns."""
        time.sleep(1.1)  # `stats` looks at memory and turns once a second
        before = self.client.stats()
        BOOK.pack_into(self.book, 0, 0, 0, 0, 0, 0, 0)
        waited, start = self.waited_ns(), time.monotonic()
        act()
        took = time.monotonic() - start
        waited = self.waited_ns() - waited
        turns, _, wall, long_cpu, cpu, _ = BOOK.unpack_from(self.book)
        time.sleep(1.1)
        after = self.client.stats()
        self.rows.append(
            [
                name,
                f"{took:.1f}",
                f"{turns:,}",
                f"{after['long-turns'] - before['long-turns']}",
                f"{wall / 1e6:.1f}",
                f"{long_cpu}",
                f"{cpu / 1e6:.1f}",
                f"{waited / 1e9:.2f}",
                f"{after['longest-turn-us'] / 1000:.1f}",
                f"{after['jobs']:,}",
                f"{after['memory-bytes'] / 2**20:.0f}",
            ]
        )
        print(" | ".join(self.rows[-1]), file=sys.stderr, flush=True)

    # --- the phases -------------------------------------------------------------------------------

    def add(self) -> None:
        """A million jobs come."""
        jobs = str(self.args.jobs)
        self.load("--mode", "add", "-d", "16", "--jobs", jobs, "--ttl", str(TTL_MS))

    def hold(self) -> None:
        """They are held, while others work beside them."""
        self.load(
            "--mode", "cycle", "-d", "4", "--seconds", "5", "--queue", "beside", "--seed", "2"
        )

    def list_all(self) -> None:
        """They are listed, page by page, near and far."""
        jobs = self.args.jobs
        for offset in range(0, jobs, max(jobs // 300, 1)):
            assert self.client.listed(f"inspect jobs {self.args.queue} {offset} 100")
        for _ in range(100):
            self.client.listed("inspect queues 0 100")
            self.client.listed("inspect server")

    def drain(self) -> None:
        """They are leased and finished."""
        self.load("--mode", "drain", "-d", "16", "--seed", "3")

    def schedule(self) -> None:
        """A million jobs for one moment, who come to their end in one millisecond too."""
        jobs = self.args.jobs
        moment = int(time.time()) + 5 + jobs // 20_000
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
        found: dict[bytes, int] = {}
        for first in range(0, jobs, 10_000):
            part = [
                f"schedule {job(n)} at-once 60000 {self.ttl_ms} {when} 64\r\n{'x' * 64}\r\n"
                for n in range(first + 1, min(first + 10_000, jobs) + 1)
            ]
            for line, count in self.client.ask_many(part).items():
                found[line] = found.get(line, 0) + count
        assert found == {b"+OK\r\n": jobs}, found

    ttl_ms = 20_000

    def until(self, key: str, value: int) -> None:
        """Until `stats` tells so; asked for ten times a second."""
        end = time.monotonic() + 120
        while self.client.stats()[key] != value:
            assert time.monotonic() < end, key
            time.sleep(0.1)

    def become_ready(self) -> None:
        """Their time comes."""
        self.until("jobs-scheduled", 0)

    def expire(self) -> None:
        """Their end comes."""
        self.until("jobs", 0)

    def churn(self) -> None:
        """A hundred thousand connections."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"ping\r\n")
            file.flush()
            command = ["taskset", "-c", str(self.args.load_core), str(HERE / "build" / "abuse")]
            command += ["spam", "--port", str(self.port), "-c", "50", "--file", file.name]
            command += ["--churn", "--once", "--churns", str(self.args.churns)]
            subprocess.run([*command, "--seconds", "600"], check=True, capture_output=True)

    def name(self) -> None:
        """A million queues, each named once and never again."""
        for first in range(0, self.args.jobs, 20_000):
            found = self.client.ask_many(
                [f"lease once-{n} 0\r\n" for n in range(first, first + 20_000)]
            )
            assert list(found) == [b"-TIMEOUT\r\n"], found

    def name_with_jobs(self) -> None:
        """A queue each for a hundred thousand jobs that come and go."""
        for first in range(0, self.args.jobs // 10, 1000):
            adds, ends = [], []
            for n in range(first, first + 1000):
                adds.append(f"add {job(n + 1)} own-{n} 1000 60000 1\r\nx\r\n")
                ends.append(f"delete {job(n + 1)}\r\n")
            assert list(self.client.ask_many(adds + ends)) == [b"+OK\r\n"]


@contextmanager
def started(args: argparse.Namespace) -> Iterator[Pauses]:
    """A server with a book."""
    with tempfile.TemporaryDirectory(prefix="workq-pauses-") as name:
        path = Path(name) / "book"
        path.write_bytes(bytes(BOOK.size))
        log = Path(name) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "-c", str(args.server_core), "nice", "-n", str(args.nice),
                 sys.executable, __file__, "--serve", str(path), "--listen", "127.0.0.1:0"],
                stderr=output,
            )  # fmt: skip
        try:
            while "Listening on" not in log.read_text():
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
                time.sleep(0.05)
            port = int(log.read_text().rpartition("Listening on ")[2].split()[0].rpartition(":")[2])
            with path.open("r+b") as file:
                book = mmap.mmap(file.fileno(), BOOK.size)
            yield Pauses(args, process.pid, port, book)
            if "Traceback" in log.read_text():
                raise RuntimeError(log.read_text())
        finally:
            process.terminate()
            process.wait(60)


def main() -> int:
    """Measure and report."""
    if len(sys.argv) > 2 and sys.argv[1] == "--serve":
        return serve(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description="Measure the longest turns of the server.")
    add = parser.add_argument
    add("--jobs", type=int, default=1_000_000)
    add("--churns", type=int, default=100_000)
    add("--parts", default="steady,burst,churn", help="some of steady,burst,churn")
    add("--queue", default="bench", help="the queue of build/load")
    add("--nice", type=int, default=-15 if os.geteuid() == 0 else 0)
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    args = parser.parse_args()
    if not shutil.which("taskset"):
        parser.error("taskset is not installed (package util-linux)")
    jobs = f"{args.jobs:,}"
    rows: list[list[str]] = []
    if "steady" in args.parts:
        with started(args) as one:
            one.phase(f"{jobs} added", one.add)
            one.phase("held, others work", one.hold)
            one.phase("listed", one.list_all)
            one.phase("drained", one.drain)
            rows += one.rows
    if "burst" in args.parts:
        with started(args) as one:
            one.phase(f"{jobs} scheduled for one millisecond", one.schedule)
            one.phase("become ready in it", one.become_ready)
            one.phase("expire in one millisecond", one.expire)
            rows += one.rows
    if "churn" in args.parts:
        with started(args) as one:
            one.phase("at rest", lambda: None)
            one.phase(f"{args.churns:,} connections", one.churn)
            one.phase("the same again", one.churn)
            one.phase(f"{jobs} queues named once", one.name)
            one.phase(f"{args.jobs // 10:,} queues with a job", one.name_with_jobs)
            rows += one.rows
    head = ["phase", "s", "turns", "over 10 ms", "longest ms", "over 10 ms of CPU"]
    head += ["longest ms of CPU", "held off s", "`longest-turn-us` so far, ms", "jobs", "MiB"]
    marks = ["---", *["---:"] * (len(head) - 1)]
    print("\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
