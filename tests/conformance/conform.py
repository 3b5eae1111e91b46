#!/usr/bin/env python3
r"""Play protocol transcripts against a job server that speaks the Workq text protocol.

    conform.py --server 'workq-server --listen 127.0.0.1:{port} --cmdlog-path {dir}' FILE...
    conform.py --connect 127.0.0.1:9922 FILE...      (also [::1]:9922 and unix:/path)
    options: -k TEXT (only cases whose head line holds TEXT), -v (name the passing cases too)

With --server the player starts the server itself on a free port and an empty directory; a case that
restarts or kills it gets a process and a directory of its own. With --connect those are skipped.

A case starts with `== ID | title`; each uses fresh connections, ids and queue names. Its lines:

    A> text          send the bytes on connection A (opened at first use; A, B, C … are separate)
    A< text          the next bytes received on A are exactly these (patience 4 s)
    A<? regex        everything received on A matches the whole regex; {x} is (?P<x>…) from then on
    A<[lo,hi] text   as A<, and it arrives lo … hi ms after the last send on A
    A<EOF            the server closes A, with no more bytes (a reset counts)
    A-- n            nothing arrives on A for n ms, and it stays open
    A!close          close A            A!shut   half-close A (we send no more)
    sleep n          wait n ms
    oneof A B < x | y   A and B got x and y, in either order
    @restart         stop the server with SIGTERM and start it again on the same directory
    @kill            the same with SIGKILL
    @stop            stop it with SIGTERM and leave it stopped; @dead does so with SIGKILL
    @start           start it again
    @start! regex    it must refuse to start: it exits, not with 0, and what it printed matches
    @cut n           (stopped) take n bytes off the end of the newest *.log file of its directory
    @flip n          (stopped) flip the lowest bit of the byte n from the end of the newest *.log
                     file (n < 0: from its start)

At the end of a case no unread bytes may be left. Escapes: \r \n \t \xNN \{ \}. Variables:
{a} … {d} fresh version-4 ids ({a:upper}, {a:nodash}, {a:35} = its first 35 characters);
{q} {r} {s} fresh queue names; {t+2} and {t-20} UTC times relative to the start of the case;
{rep:x:n} n times x; {pad4097:head} = head, a size, CRLF, that many `p`, CRLF, the size chosen so
that the whole is 4097 bytes.

Prints a line for each failing case, then 'N passed, N failed'; exit status 1 if any failed, 2 if
none was played.
"""

import argparse
import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 4.0
START_S, STOP_S = 20.0, 15.0

Address = tuple[str, int] | str  # host and port, or the path of a Unix socket


class Failed(Exception):
    """A case did not hold; the text says where."""


@dataclass(frozen=True, slots=True)
class Case:
    """One transcript."""

    head: str
    steps: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.head.partition(" | ")[0]

    @property
    def alone(self) -> bool:
        """Whether the case stops or starts its server, and so cannot share it."""
        return any(step.startswith("@") for step in self.steps)


def load(path: Path) -> list[Case]:
    """Read the cases of a file, in order."""
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            found.append((line[3:].strip(), []))
        elif line.strip() and not line.startswith("#"):
            found[-1][1].append(line)
    return [Case(head, tuple(steps)) for head, steps in found]


def unescape(text: str) -> bytes:
    """Turn the text of a step into the bytes it stands for."""

    def one(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) == 3:
            return chr(int(code[1:], 16))
        return {"r": "\r", "n": "\n", "t": "\t"}.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", one, text).encode("latin-1")


class Variables:
    """What {…} stands for in one case."""

    IN_TEXT = re.compile(r"(?<!\\)\{((?:pad\d+:(?:[^{}]|\{[a-z]\})*)|[a-z][^{}]*)\}")
    IN_REGEX = re.compile(r"(?<!\\)\{([a-z][^{}]*)\}")

    def __init__(self) -> None:
        tag = secrets.token_hex(4)
        self.values = {name: str(uuid.uuid4()) for name in "abcd"}
        self.values |= {name: f"cf-{name}-{tag}" for name in "qrs"}
        self.start = time.time()

    def fill(self, text: str) -> str:
        return self.IN_TEXT.sub(lambda match: self.value(match.group(1)), text)

    def fill_regex(self, text: str) -> str:
        return self.IN_REGEX.sub(lambda match: re.escape(self.value(match.group(1))), text)

    def value(self, key: str) -> str:
        if key in self.values:
            return self.values[key]
        if re.fullmatch(r"t[+-]\d+", key):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.start + int(key[1:])))
        name, _, argument = key.partition(":")
        if name == "rep":
            what, _, count = argument.partition(":")
            return what * int(count)
        if re.fullmatch(r"pad\d+", name):
            return self.padded(int(name[3:]), self.fill(argument))
        if name in self.values and argument == "upper":
            return self.values[name].upper()
        if name in self.values and argument == "nodash":
            return self.values[name].replace("-", "")
        if name in self.values and argument.isdigit():
            return self.values[name][: int(argument)]
        raise Failed(f"unknown variable {{{key}}}")

    @staticmethod
    def padded(want: int, head: str) -> str:
        for size in range(want):
            if len(head) + len(str(size)) + 2 + size + 2 == want:
                return head + str(size) + "\\r\\n" + "p" * size + "\\r\\n"
        raise Failed(f"no payload makes this {want} bytes long")


class Connection:
    """A client's connection: what it received and nobody has read yet, and when it last sent."""

    def __init__(self, address: Address) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(5)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout=5)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = False
        self.sent_at = time.monotonic()

    def send(self, data: bytes) -> None:
        self.sent_at = time.monotonic()
        try:
            self.sock.settimeout(10)
            self.sock.sendall(data)
        except OSError:
            self.ended = True

    def receive(self, wait_s: float) -> None:
        if self.ended:
            return
        self.sock.settimeout(max(wait_s, 0.001))
        try:
            data = self.sock.recv(1 << 16)
        except TimeoutError:
            return
        except OSError:
            data = b""
        self.ended = not data
        self.buffer += data

    def until(self, done: Callable[[], object], wait_s: float) -> None:
        """Receive until *done* or the end of the connection, but no longer than *wait_s*."""
        deadline = time.monotonic() + wait_s
        while not done() and not self.ended and (left := deadline - time.monotonic()) > 0:
            self.receive(left)

    def until_some(self, wait_s: float) -> None:
        """Receive until something has come, but no longer than *wait_s*."""
        self.until(lambda: self.buffer, wait_s)

    def until_quiet(self, quiet_s: float) -> None:
        """Receive until nothing has come for *quiet_s*."""
        before = None
        while before != self.buffer:
            before = self.buffer
            self.receive(quiet_s)


class Server:
    """A server process of our own, on a free port, with an empty directory for its log."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.dir = Path(tempfile.mkdtemp(prefix="conform-"))
        self.log = self.dir / "log"
        self.log.mkdir()
        self.output = self.dir / "output"
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address: tuple[str, int] = probe.getsockname()
        try:
            self.start()
        except BaseException:
            self.discard()
            raise

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def start(self) -> None:
        command = self.template.format(port=self.address[1], dir=self.log)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(shlex.split(command), stdout=output, stderr=output)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.status is None:
            try:
                socket.create_connection(self.address, timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"the server did not come up: {self.output.read_bytes()[-400:]!r}")

    def stop(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"the server did not stop within {STOP_S:.0f} s") from None

    def refuses(self, regex: str) -> None:
        """Check that it does not start and says why."""
        at = self.output.stat().st_size
        with contextlib.suppress(Failed):
            self.start()
        if self.status in (None, 0):
            raise Failed(f"it started, or ended with 0 ({self.status})")
        said = self.output.read_bytes()[at:].decode("utf-8", "replace")
        if not re.search(regex, said):
            raise Failed(f"it refused, but said {said[-300:]!r}")

    def newest(self) -> Path:
        names = sorted(self.log.glob("*.log"))
        if not names:
            raise Failed(f"no *.log file in {sorted(path.name for path in self.log.iterdir())}")
        return names[-1]

    def cut(self, count: int) -> None:
        newest = self.newest()
        os.truncate(newest, newest.stat().st_size - count)

    def flip(self, place: int) -> None:
        with self.newest().open("r+b") as log:
            if place > 0:
                log.seek(-place, os.SEEK_END)
            else:
                log.seek(-place - 1)
            byte = log.read(1)
            log.seek(-1, os.SEEK_CUR)
            log.write(bytes([byte[0] ^ 1]))

    def discard(self) -> None:
        """Kill it if it runs, and remove its directory."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Play:
    """One playing of a case. *server* is given where the case may stop and start it."""

    def __init__(self, case: Case, address: Address, server: Server | None = None) -> None:
        self.case = case
        self.address = address
        self.server = server
        self.variables = Variables()
        self.connections: dict[str, Connection] = {}

    def run(self) -> None:
        """Play all steps; raise Failed at the first that does not hold."""
        try:
            for step in self.case.steps:
                try:
                    self.step(step)
                except (Failed, OSError) as why:
                    raise Failed(f"{step[:90]} … {why}") from None
            for name, connection in self.connections.items():
                connection.receive(0.03)
                if connection.buffer:
                    raise Failed(f"unread on {name}: {connection.buffer[:120]!r}")
        finally:
            self.drop()

    def drop(self) -> None:
        for connection in self.connections.values():
            connection.sock.close()
        self.connections.clear()

    def on(self, name: str) -> Connection:
        if name not in self.connections:
            self.connections[name] = Connection(self.address)
        return self.connections[name]

    def filled(self, text: str) -> bytes:
        return unescape(self.variables.fill(text))

    def step(self, line: str) -> None:
        if line.startswith("sleep "):
            time.sleep(int(line[6:]) / 1000)
        elif line.startswith("@"):
            self.serve(*line[1:].split(" ", 1))
        elif match := re.fullmatch(r"oneof (\w) (\w) < (.*) \| (.*)", line):
            self.either(*match.groups())
        else:
            self.talk(line[0], line[1:])

    def talk(self, name: str, rest: str) -> None:
        connection = self.on(name)
        if rest == "!close":
            connection.sock.close()
            del self.connections[name]
        elif rest == "!shut":
            connection.sock.shutdown(socket.SHUT_WR)
        elif rest.startswith("> "):
            connection.send(self.filled(rest[2:]))
        elif rest.startswith("-- "):
            connection.until_some(int(rest[3:]) / 1000)
            if connection.buffer or connection.ended:
                got = f"{connection.buffer[:120]!r}, closed: {connection.ended}"
                raise Failed(f"wanted silence, got {got}")
        elif rest == "<EOF":
            self.expect_end(connection)
        elif rest.startswith("<? "):
            self.expect_match(connection, rest[3:])
        elif match := re.fullmatch(r"<(?:\[(\d+),(\d+)\])? (.*)", rest):
            low, high, text = match.groups()
            self.expect(connection, text, float(high) / 1000 + 0.3 if high else PATIENCE_S)
            took_ms = (time.monotonic() - connection.sent_at) * 1000
            if low and not int(low) <= took_ms <= int(high):
                raise Failed(f"came after {took_ms:.0f} ms")
        else:
            raise Failed("not a step")

    def expect(self, connection: Connection, text: str, patience_s: float) -> None:
        want = self.filled(text)

        def settled() -> bool:
            got = connection.buffer
            return len(got) >= len(want) or not want.startswith(got)

        connection.until(settled, patience_s)
        if not connection.buffer.startswith(want):
            raise Failed(f"wanted {want[:120]!r}, got {connection.buffer[:160]!r}")
        connection.buffer = connection.buffer[len(want) :]

    def expect_match(self, connection: Connection, text: str) -> None:
        regex = re.compile(self.variables.fill_regex(text).encode("latin-1"))
        connection.until(lambda: regex.fullmatch(connection.buffer), PATIENCE_S)
        connection.until_quiet(0.02)  # a reply may match before its last piece has come
        if (match := regex.fullmatch(connection.buffer)) is None:
            raise Failed(f"no match: {connection.buffer[:300]!r}")
        self.variables.values |= {key: value.decode() for key, value in match.groupdict().items()}
        connection.buffer = b""

    def expect_end(self, connection: Connection) -> None:
        connection.until(lambda: False, PATIENCE_S / 2)
        if connection.buffer or not connection.ended:
            got = f"{connection.buffer[:120]!r}, closed: {connection.ended}"
            raise Failed(f"wanted the end, got {got}")

    def either(self, first: str, second: str, one: str, other: str) -> None:
        got = []
        for name in (first, second):
            connection = self.on(name)
            connection.until_some(3)
            connection.until(lambda: False, 0.1)
            got.append(connection.buffer)
            connection.buffer = b""
        if sorted(got) != sorted((self.filled(one), self.filled(other))):
            raise Failed(f"got {got!r}")

    def serve(self, verb: str, argument: str = "") -> None:
        if self.server is None:
            raise Failed("this case needs a server of its own")
        if verb in ("restart", "kill", "stop", "dead"):
            gently = verb in ("restart", "stop")
            self.server.stop(signal.SIGTERM if gently else signal.SIGKILL)
            self.drop()
        if verb in ("restart", "kill", "start"):
            self.server.start()
        elif verb == "start!":
            self.server.refuses(argument)
        elif verb == "cut":
            self.server.cut(int(argument))
        elif verb == "flip":
            self.server.flip(int(argument))
        elif verb not in ("stop", "dead"):
            raise Failed("not a step")


def parse_address(text: str) -> Address:
    """Read what --connect was given."""
    if text.startswith("unix:"):
        return text[5:]
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def play(case: Case, address: Address, shared: Server | None) -> None:
    """Play a case on the shared server, or on one of its own if it stops and starts it."""
    if shared and case.alone:
        server = Server(shared.template)
        try:
            Play(case, server.address, server).run()
        finally:
            server.discard()
    else:
        if shared and shared.status is not None:
            shared.start()  # it died in an earlier case
        Play(case, address).run()


def play_all(options: argparse.Namespace, address: Address, shared: Server | None) -> int:
    """Play the chosen cases of all files, print how they went, return the exit status."""
    passed = failed = skipped = 0
    for path in options.files:
        for case in load(path):
            if options.k not in case.head:
                continue
            if case.alone and not shared:
                skipped += 1
                continue
            try:
                play(case, address, shared)
            except (Failed, OSError) as why:
                failed += 1
                print(f"FAIL {path.name}: {case.head}: {why}", flush=True)
            else:
                passed += 1
                if options.v:
                    print(f"ok   {case.head}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if failed:
        return 1
    return 0 if passed else 2


def main() -> int:
    """Play the files named on the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server")
    parser.add_argument("--connect", type=parse_address)
    parser.add_argument("-k", default="")
    parser.add_argument("-v", action="store_true")
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    if bool(options.server) == bool(options.connect):
        parser.error("one of --server and --connect")
    if options.connect:
        return play_all(options, options.connect, None)
    try:
        shared = Server(options.server)
    except (Failed, OSError) as why:
        print(f"FAIL {why}\n0 passed, 1 failed")
        return 1
    try:
        return play_all(options, shared.address, shared)
    finally:
        shared.discard()


if __name__ == "__main__":
    sys.exit(main())
