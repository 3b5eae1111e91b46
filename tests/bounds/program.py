"""The installed server as a process, and peers on real sockets.

What a process logs is kept as it comes, so that a test can wait for a line and look for those that
must not be there.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.talk import MIB, OK, Side

SERVER = Path(sys.executable).with_name("workq-server")
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("WORKQ_", "NOTIFY_", "WATCHDOG_"))
}

#: No test here takes longer unless something hangs.
PATIENCE_SECONDS = 20


def until(holds: Callable[[], Any], what: str = "") -> Any:
    """Ask again and again until something is so, and return what was said then; asking should
    take a little time itself."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (answer := holds()):
        assert time.monotonic() < end, f"it did not become so: {what}"
        time.sleep(0.001)
    return answer


class Peer(Side):
    """The client's side of a connection: nothing is read unasked."""

    def send(self, text: str) -> None:
        """Send all of a text."""
        self.sock.sendall(text.encode("latin-1"))

    def send_what_goes(self, text: str) -> int:
        """Send until the system takes no more for a while; return how much went."""
        data = memoryview(text.encode("latin-1"))
        sent = 0
        self.sock.settimeout(0.05)
        try:
            while sent < len(data):
                sent += self.sock.send(data[sent:])
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(PATIENCE_SECONDS)
        return sent

    def read(self, size: int) -> str:
        """Read just as much."""
        data = bytearray()
        while len(data) < size:
            piece = self.sock.recv(min(size - len(data), MIB))
            assert piece, f"the end came after {bytes(data[-200:])!r}"
            data += piece
        return data.decode("latin-1")

    def line(self) -> str:
        """Read a line; return it without its end."""
        text = ""
        while not text.endswith("\r\n"):
            text += self.read(1)
        return text[:-2]

    def expect(self, text: str) -> None:
        """Read a text, and nothing else."""
        assert self.read(len(text)) == text

    def ask(self, text: str, answer: str) -> None:
        """Send a text and read the answer."""
        self.send(text)
        self.expect(answer)

    def rest(self) -> str:
        """Read to the end."""
        data = bytearray()
        while piece := self.sock.recv(MIB):
            data += piece
        return data.decode("latin-1")


class Listener:
    """A server to connect to.

    Attributes:
        port: its port.
    """

    port: int

    def __init__(self) -> None:
        self._peers: list[Peer] = []

    def peer(self, *, receive_bytes: int = 0) -> Peer:
        """A new connection, perhaps with a small window."""
        sock = socket.socket()
        sock.settimeout(PATIENCE_SECONDS)
        peer = Peer(sock)
        self._peers.append(peer)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(("127.0.0.1", self.port))
        return peer

    def peers(self, count: int) -> list[Peer]:
        """So many new connections, all of them accepted."""
        made = [self.peer() for _ in range(count)]
        for one in made:
            one.send("ping\r\n")
        for one in made:
            one.expect(OK)
        return made

    def stats(self, peer: Peer) -> dict[str, int]:
        """What `stats` tells to a peer."""
        peer.send("stats\r\n")
        return self.told_stats(peer)

    def told_stats(self, peer: Peer) -> dict[str, int]:
        """What `stats` tells to a peer that has asked."""
        peer.expect("+OK 1\r\n")
        count = int(peer.line().split(" ")[1])
        pairs = [peer.line().split(" ", 1) for _ in range(count)]
        return {key: int(value) for key, value in pairs if key != "version"}

    def hang_up(self) -> None:
        """Close all connections to it."""
        for peer in self._peers:
            peer.close()


class Program(Listener):
    """A server that listens.

    Args:
        arguments: its flags; without `--listen`, it listens on a free port.
        environ: variables beside those of this process.
        descriptors: how many files it may have open; 0 for as many as this process.

    Attributes:
        listening: the addresses it says it listens on.
        lines: what it has logged.
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        descriptors: int = 0,
        form: str = "json",
    ) -> None:
        super().__init__()
        if "--listen" not in arguments:
            arguments = ("--listen", "127.0.0.1:0", *arguments)
        command = [str(SERVER), *arguments, "--log", form]
        if descriptors:
            limit = 'ulimit -n "$0" && exec "$@"'
            command = ["/bin/sh", "-c", limit, str(descriptors), *command]
        self.process = subprocess.Popen(
            command, env=ENVIRONMENT | dict(environ or {}), stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self.listening: list[str] = []
        self._wanted = arguments.count("--listen")
        self._heard = threading.Thread(target=self._listen, daemon=True)
        self._heard.start()
        until(lambda: len(self.listening) == self._wanted or self.process.poll() is not None)
        if self.process.poll() is not None:
            self._heard.join()
            raise AssertionError(f"the server did not start: {self.log}")
        first = self.listening[0].rpartition(":")[2]
        self.port = int(first) if first.isdigit() else 0

    def _listen(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        for line in stderr:
            self.lines.append(line)
            if found := re.search(r"Listening on ([^\s\"]+)", line):
                self.listening.append(found[1])

    @property
    def log(self) -> str:
        """All that it has logged."""
        return "".join(self.lines)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All that it has logged, read as JSON."""
        return [json.loads(line) for line in list(self.lines)]

    def cpu_seconds(self) -> float:
        """How much of a processor it has used."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        status = self.process.wait(PATIENCE_SECONDS)
        self._heard.join(PATIENCE_SECONDS)
        return status

    def logged(self, message: str) -> dict[str, Any]:
        """Wait for a line with a message; return it."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [one for one in self.records if one["message"].startswith(message)]
            return bool(found)

        until(look, message)
        return found[0]

    def end(self) -> None:
        """Let nothing of it be left."""
        self.hang_up()
        self.process.kill()
        self.process.wait()
        self._heard.join(PATIENCE_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
