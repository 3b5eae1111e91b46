"""Test of the load generator against toy servers that cut, delay, refuse and die.

    python3 bench/selftest.py bench/build/load

The toys speak just enough of the workq, beanstalkd and Redis protocols to be loaded. They are slow
and simple on purpose: what is tested is that `load` reads every reply, however it is cut, counts
right, and ends with a clear error when something is wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass
class Toy:
    """A job server of one process, with the faults asked for."""

    protocol: str = "workq"
    cut: int = 0  # send replies in pieces of 1 to this many bytes; 0: whole
    die_after: int = 0  # close every connection after so many commands
    pause_s: float = 0  # before each reply
    silent_after: int = 0  # stop answering after so many commands
    refuse_add: int = 0  # refuse every so-many-th add
    corrupt: bool = False  # change a byte of each payload
    shorten: bool = False  # leave out the last byte of each payload
    commands: int = 0
    serial: int = 0
    ids: set[bytes] = field(default_factory=set)
    leased: set[bytes] = field(default_factory=set)
    queues: dict[bytes, list[deque[tuple[bytes, bytes]]]] = field(default_factory=dict)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    low_leased: int = 0
    sizes: list[int] = field(default_factory=list)
    priorities: set[int] = field(default_factory=set)

    def put(self, name: bytes, job: bytes, payload: bytes, low: bool = False) -> None:
        """Adds a job; those of lower priority have a line of their own."""
        self.sizes.append(len(payload))
        if job in self.ids:
            raise AssertionError("an id came twice")
        self.ids.add(job)
        self.queues.setdefault(name, [deque(), deque()])[low].append((job, payload))
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def take(self, name: bytes, seconds: float) -> tuple[bytes, bytes] | None:
        """Leases a job, waiting for one if need be."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            for low, line in enumerate(self.queues.get(name, [])):
                if line:
                    self.low_leased += low
                    job, payload = line.popleft()
                    self.leased.add(job)
                    if self.corrupt:
                        payload = payload[:-1] + b"#"
                    if self.shorten:
                        payload = payload[:-1]
                    return job, payload
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(waiter)
            await asyncio.wait([waiter], timeout=left)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        serve = {"workq": self.workq, "beanstalkd": self.beanstalkd, "redis": self.redis}
        try:
            async for reply in serve[self.protocol](reader):
                self.commands += 1
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)
                if self.die_after and self.commands > self.die_after:
                    break
                if self.silent_after and self.commands > self.silent_after:
                    continue
                while self.cut and reply:
                    n = random.randint(1, self.cut)
                    writer.write(reply[:n])
                    reply = reply[n:]
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def workq(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """The workq protocol: one reply for each command."""
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].split(b" ")
            if line[0] == b"add":
                _, job, name, ttr, ttl, size, *flags = line
                payload = (await reader.readexactly(int(size) + 2))[:-2]
                assert UUID4.fullmatch(job) and int(ttr) == 60000 and int(ttl) == 600000
                assert flags == [] or (len(flags) == 1 and flags[0].startswith(b"-priority="))
                self.serial += 1
                if self.refuse_add and self.serial % self.refuse_add == 0:
                    yield b"-SERVER-ERROR Disk full\r\n"
                    continue
                priority = int(flags[0].partition(b"=")[2]) if flags else 0
                self.priorities.add(priority)
                self.put(name, job, payload, priority < 0)
                yield b"+OK\r\n"
            elif line[0] == b"lease":
                got = await self.take(line[1], int(line[2]) / 1e3)
                if got is None:
                    yield b"-TIMEOUT\r\n"
                else:
                    head = b"+OK 1\r\n%s %s 60000 %d\r\n" % (got[0], line[1], len(got[1]))
                    yield head + got[1] + b"\r\n"
            elif line[0] != b"complete":
                return  # not the protocol: close
            else:
                await reader.readexactly(int(line[2]) + 2)
                self.leased.remove(line[1])
                yield b"+OK\r\n"

    async def beanstalkd(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """The beanstalkd protocol."""
        used = watched = b"default"
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].split(b" ")
            if line[0] == b"use":
                used = line[1]
                yield b"USING %s\r\n" % used
            elif line[0] == b"watch":
                watched = line[1]
                yield b"WATCHING 2\r\n"
            elif line[0] == b"ignore":
                yield b"WATCHING 1\r\n"
            elif line[0] == b"put":
                payload = (await reader.readexactly(int(line[4]) + 2))[:-2]
                self.priorities.add(int(line[1]) - 1000)
                self.serial += 1
                self.put(used, b"%d" % self.serial, payload, line[1] == b"2000")
                yield b"INSERTED %d\r\n" % self.serial
            elif line[0] == b"reserve-with-timeout":
                got = await self.take(watched, int(line[1]))
                if got is None:
                    yield b"TIMED_OUT\r\n"
                else:
                    yield b"RESERVED %s %d\r\n%s\r\n" % (got[0], len(got[1]), got[1])
            else:
                assert line[0] == b"delete"
                self.leased.remove(line[1])
                yield b"DELETED\r\n"

    async def redis(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """LPUSH and BRPOP."""
        while True:
            parts = []
            for _ in range(int((await reader.readuntil(b"\r\n"))[1:])):
                size = int((await reader.readuntil(b"\r\n"))[1:])
                parts.append((await reader.readexactly(size + 2))[:-2])
            if parts[0] == b"LPUSH":
                self.serial += 1
                self.put(parts[1], b"%d" % self.serial, parts[2])
                yield b":%d\r\n" % self.serial
            else:
                got = await self.take(parts[1], float(parts[2]))
                if got is None:
                    yield b"*-1\r\n"
                else:
                    self.leased.remove(got[0])
                    name, payload = parts[1], got[1]
                    yield b"*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
                        len(name), name, len(payload), payload,
                    )  # fmt: skip


Result = tuple[int, dict[str, Any], str]


async def run(load: str, port: int, protocol: str, *args: str) -> Result:
    """Runs the load generator; its exit status, result and what it said."""
    command = [load, "--protocol", protocol, "--port", str(port), *args]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        raise AssertionError(f"{protocol} {args}: hangs") from None
    text = out.decode()
    if text.count("\n") != 1 or process.returncode is None:
        raise AssertionError(f"{args}: not one line: {text!r} {err.decode()}")
    return process.returncode, json.loads(text), err.decode()


async def with_toy(load: str, toy: Toy, *args: str) -> Result:
    """One run against one toy."""
    server = await asyncio.start_server(toy.handle, "127.0.0.1", 0, limit=1 << 22)
    port = server.sockets[0].getsockname()[1]
    try:
        return await run(load, port, toy.protocol, *args)
    finally:
        server.close()


def expect(what: str, holds: bool, got: object) -> None:
    """Fails with what was got."""
    if not holds:
        raise AssertionError(f"{what}: {got}")


async def test_modes(load: str) -> None:
    """Every protocol, mode and depth, with replies cut in pieces."""
    for protocol in ("workq", "beanstalkd", "redis"):
        steps = 2 if protocol == "redis" else 3
        for depth in ("1", "7", "100"):
            for cut in (0, 1, 9):
                args = ["-c", "4", "-d", depth, "--jobs", "400"]
                toy = Toy(protocol, cut)
                status, result, err = await with_toy(load, toy, *args)
                fine = status == 0 and result["jobs"] == 400 and not err
                fine = fine and result["commands"] == 400 * steps and not toy.leased
                expect(f"cycle {protocol} {depth} {cut}", fine, (status, result, err))

                args = [*args, "--mode", "split", "--queues", "2", "--backlog", "150"]
                toy = Toy(protocol, cut)
                status, result, err = await with_toy(load, toy, *args)
                fine = status == 0 and result["jobs"] == 400 and not err and not toy.leased
                fine = fine and len(toy.ids) == 400
                expect(f"split {protocol} {depth} {cut}", fine, (status, result, err))

                toy = Toy(protocol, cut)
                server = await asyncio.start_server(toy.handle, "127.0.0.1", 0, limit=1 << 22)
                port = server.sockets[0].getsockname()[1]
                args = ["-c", "4", "-d", depth]
                added = await run(load, port, protocol, *args, "--mode", "add", "--jobs", "300")
                drained = await run(load, port, protocol, *args, "--mode", "drain")
                server.close()
                fine = added[0] == drained[0] == 0 and added[1]["commands"] == 300
                fine = fine and added[1]["jobs"] == drained[1]["jobs"] == 300 and not toy.leased
                expect(f"add, drain {protocol} {depth} {cut}", fine, (added, drained))


async def test_preload(load: str) -> None:
    """Jobs that wait stay where they are, and are not counted."""
    for protocol in ("workq", "beanstalkd"):
        toy = Toy(protocol)
        args = ["-c", "3", "-d", "2", "--jobs", "50", "--preload", "500"]
        status, result, err = await with_toy(load, toy, *args)
        fine = status == 0 and result["jobs"] == 50 and result["commands"] == 150 and not err
        expect(f"preload {protocol}", fine, (status, result, err))
        expect("the preload is left alone", toy.low_leased == 0, toy.low_leased)
        expect("the preload is there", len(toy.ids) == 550, len(toy.ids))


async def test_sizes(load: str) -> None:
    """Payloads from nothing to more than any buffer."""
    for size in ("0", "1", "4000", "70000", "1048576"):
        toy = Toy(cut=0 if int(size) > 5000 else 500)
        args = ["-c", "2", "-d", "3", "--jobs", "12", "--payload", size, "--result", size]
        status, result, err = await with_toy(load, toy, *args)
        expect(f"payload {size}", status == 0 and result["jobs"] == 12, (status, result, err))


async def test_mixed_sizes(load: str) -> None:
    """Of every job another size, the ends of the range among them, and every priority."""
    for protocol in ("workq", "beanstalkd", "redis"):
        many = [] if protocol == "redis" else ["--priorities", "5"]
        for mode in ("cycle", "split"):
            toy = Toy(protocol, 9)
            args = ["-c", "4", "-d", "7", "--jobs", "600", "--sizes", "3-40", "--mode", mode]
            status, result, err = await with_toy(load, toy, *args, *many)
            fine = status == 0 and result["jobs"] == 600 and not err and not toy.leased
            fine = fine and (result["payload_min"], result["payload"]) == (3, 40)
            expect(f"mixed {protocol} {mode}", fine, (status, result, err))
            expect("all sizes", set(toy.sizes) == set(range(3, 41)), sorted(set(toy.sizes)))
            wanted = set(range(5)) if many else set()
            expect("all priorities", toy.priorities == wanted, toy.priorities)
        for fault in ({"corrupt": True}, {"shorten": True}):
            args = ["-c", "2", "--jobs", "30", "--sizes", "7-2000"]
            status, result, err = await with_toy(load, Toy(protocol, **fault), *args)
            fine = status == 4 and "payload" in result["first_error"]
            expect(f"mixed {protocol} {fault}", fine, (status, result, err))
    toy = Toy()
    args = ["-c", "2", "--jobs", "20", "--preload", "100", "--sizes", "1-9", "--priorities", "3"]
    status, result, err = await with_toy(load, toy, *args)
    expect("a mixed preload waits", status == 0 and toy.low_leased == 0, (status, result, err))


async def test_time(load: str) -> None:
    """--seconds and --warmup."""
    for mode in ("cycle", "split", "add"):
        args = ["-c", "4", "--mode", mode, "--seconds", "0.5", "--warmup", "0.3"]
        status, result, err = await with_toy(load, Toy(), *args)
        fine = status == 0 and result["jobs"] > 0 and 0.45 < result["seconds"] < 0.8
        fine = fine and 0 < result["p50_us"] <= result["p99_us"] <= result["max_us"]
        expect(f"time {mode}", fine, (status, result, err))


async def test_rate(load: str) -> None:
    """--rate: as asked for; and what could not begin in time counts from when it was due."""
    for depth in ("1", "5"):
        for mode in ("cycle", "add"):
            args = ["-c", "4", "-d", depth, "--mode", mode, "--rate", "300", "--warmup", "0.3"]
            status, result, err = await with_toy(load, Toy(), *args, "--seconds", "1")
            fine = status == 0 and 270 < result["jobs_per_s"] < 330 and result["rate"] == 300
            expect(f"rate {mode} {depth}", fine and not err, (status, result, err))
            args = ["-c", "4", "-d", depth, "--mode", mode, "--rate", "500", "--jobs", "100"]
            status, result, err = await with_toy(load, Toy(), *args, "--preload", "300")
            fine = status == 0 and result["jobs"] == 100 and 0.1 < result["seconds"] < 2
            expect(f"rate, jobs {mode} {depth}", fine and not err, (status, result, err))
    # four connections, three commands of 10 ms: 133 jobs a second and no more
    slow = ["-c", "4", "--seconds", "1"]
    status, closed, err = await with_toy(load, Toy(pause_s=0.01), *slow)
    expect("slow", status == 0 and closed["p99_us"] < 200_000, (status, closed, err))
    status, paced, err = await with_toy(load, Toy(pause_s=0.01), *slow, "--rate", "800")
    fine = status == 0 and paced["latency"]["add"]["p99_us"] > 500_000
    fine = fine and paced["latency"]["lease"]["p99_us"] < 200_000
    expect("a rate that is too high", fine, (status, paced, err))


async def test_faults(load: str) -> None:
    """What is wrong is said, and ends the run."""
    cases: list[tuple[str, Toy, list[str], int, Callable[[dict[str, Any]], bool]]] = [
        ("the server dies", Toy(die_after=500), [], 2, lambda r: "lost" in r["fatal"]),
        ("the server is silent", Toy(silent_after=500), ["--wait", "0", "--stall", "5"], 3,
         lambda r: "no reply" in r["fatal"]),
        ("over time", Toy(silent_after=500), ["--timeout", "1"], 3,
         lambda r: "not done" in r["fatal"]),
        ("refusals", Toy(refuse_add=100), [], 4,
         lambda r: r["errors"] == 20 and r["first_error"] == "add: -SERVER-ERROR Disk full"),
        ("refusals in split", Toy(refuse_add=100), ["--mode", "split", "--wait", "500"], 4,
         lambda r: r["errors"] == 20 and r["jobs"] == 1980),
        ("corrupt payloads", Toy(corrupt=True), [], 4, lambda r: "payload" in r["first_error"]),
        ("another protocol", Toy("workq"), ["--protocol", "redis"], 2, lambda r: r["jobs"] == 0),
    ]  # fmt: skip
    for what, toy, args, wanted, check in cases:
        status, result, err = await with_toy(load, toy, "-c", "4", "--jobs", "2000", *args)
        fine = status == wanted and check(result) and err.startswith("load: ")
        expect(what, fine, (status, result, err))
    status, result, err = await run(load, 1, "workq")
    expect("nobody there", status == 2 and "cannot connect" in err, (status, result, err))


async def main(load: str) -> None:
    """All of it."""
    tests = [test_modes, test_preload, test_sizes, test_mixed_sizes]
    for test in [*tests, test_time, test_rate, test_faults]:
        await test(load)
        print(f"{test.__name__}: ok")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    random.seed(1)
    asyncio.run(main(sys.argv[1]))
