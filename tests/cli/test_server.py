"""The program as an operator meets it: started, talked to with plain `nc`, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workq import __version__
from workq.cli.server import BAD_SETTING, CANNOT_START, FAILED, LOG_FAILED, STOPPED

SERVER = Path(sys.executable).with_name("workq-server")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WORKQ_")}
JOB = "00000000-0000-4000-8000-000000000001"

#: No test here takes longer unless something hangs.
PATIENCE_SECONDS = 20


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, run to its end."""
    return subprocess.run(
        [SERVER, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Running:
    """A server that listens.

    Attributes:
        listening: the addresses it says it listens on.
    """

    def __init__(self, *arguments: str, addresses: int = 1) -> None:
        self.process = subprocess.Popen(
            [SERVER, *arguments], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        guard = threading.Timer(PATIENCE_SECONDS, self.process.kill)  # until it listens
        guard.start()
        self.listening: list[str] = []
        stderr = self.process.stderr
        assert stderr is not None
        for line in stderr:
            found = re.search(r"Listening on ([^\s\"]+)", line)
            if found:
                self.listening.append(found[1])
            if len(self.listening) == addresses:
                break
        guard.cancel()
        if len(self.listening) < addresses:
            self.end()
            raise AssertionError("the server did not start")

    @property
    def port(self) -> int:
        """The port of its first address."""
        return int(self.listening[0].rpartition(":")[2])

    def asked(self, text: str, host: str = "127.0.0.1") -> str:
        """What it answers on a connection that says one thing and half-closes."""
        with socket.create_connection((host, self.port), timeout=PATIENCE_SECONDS) as peer:
            peer.sendall(text.encode())
            peer.shutdown(socket.SHUT_WR)
            data = b""
            while piece := peer.recv(65536):
                data += piece
        return data.decode()

    def stopped(self, number: int) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Let nothing of it be left."""
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start() -> Iterator[type[Running]]:
    """Starts servers that end with the test."""
    started: list[Running] = []

    class Noted(Running):
        def __init__(self, *arguments: str, addresses: int = 1) -> None:
            super().__init__(*arguments, addresses=addresses)
            started.append(self)

    yield Noted
    for one in started:
        one.end()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """One server for the tests that only talk to one."""
    one = Running("--listen", "127.0.0.1:0")
    yield one
    one.end()


# --- the command line -----------------------------------------------------------------------


def test_the_program_tells_its_version():
    """And does nothing else."""
    done = called("--version")
    assert (done.returncode, done.stdout) == (0, f"workq-server {__version__}\n")


def test_the_program_explains_itself():
    """Every flag is in the help."""
    done = called("--help")
    assert done.returncode == 0
    for flag in ("--listen", "--insecure", "--version"):
        assert flag in done.stdout


def test_the_package_is_the_program():
    """As it is where nobody has installed it."""
    command = [sys.executable, "-m", "workq", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout == f"workq-server {__version__}\n"


@pytest.mark.parametrize("flag", ["--listne=x", "--list=127.0.0.1:0", "--unknown"])
def test_an_unknown_flag_is_refused(flag):
    """Also one that is only the beginning of a flag; the error names it."""
    done = called(flag)
    assert done.returncode == 2
    assert flag.partition("=")[0] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "127.0.0.1:0"),
        ("--listen=127.0.0.1:0",),
        ("-listen", "127.0.0.1:0"),
        ("-listen=127.0.0.1:0",),
    ],
)
def test_a_flag_is_written_in_four_ways(start, arguments):
    """With one dash or two, with an equals sign or without; port 0 prints the port it got."""
    one = start(*arguments)
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", one.listening[0])
    assert one.asked("ping\r\n") == "+OK\r\n"


@pytest.mark.usefixtures("ipv6")
def test_several_addresses_are_all_listened_on(start):
    """IPv6 among them, shown in brackets."""
    one = start("--listen", "[::1]:0", "--listen", "127.0.0.1:0", addresses=2)
    assert one.listening[0].startswith("[::1]:")
    assert one.listening[1].startswith("127.0.0.1:")
    assert one.asked("ping\r\n", "::1") == "+OK\r\n"


@pytest.mark.parametrize("more", [(), ("--check-config",)])
@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0"])
def test_what_other_machines_can_reach_is_refused(address, more):
    """Unless it is meant; the error says how to mean it, and --check-config says the same."""
    done = called("--listen", address, *more)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"workq-server: --listen: {address} can be reached from other machines, "
        "and there is no authentication yet; say --insecure if that is meant\n"
    )


def test_check_config_opens_no_socket(server):
    """What is in use already is no mistake of the settings."""
    done = called("--listen", f"127.0.0.1:{server.port}", "--check-config")
    assert done.returncode == 0
    assert f"127.0.0.1:{server.port}" in done.stdout


def test_what_is_meant_is_done(start):
    """With --insecure the server listens everywhere."""
    one = start("--listen", "0.0.0.0:0", "--insecure")
    assert one.asked("ping\r\n") == "+OK\r\n"


def test_a_port_that_is_in_use_is_named(server):
    """And the server does not start."""
    done = called("--listen", f"127.0.0.1:{server.port}")
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{server.port}: " in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("address", ["9922", "127.0.0.1:99999", "::1:9922"])
def test_a_wrong_address_is_a_wrong_setting(address):
    """The exit status is that of a wrong command line, and the error says what would be right."""
    done = called("--listen", address)
    assert "is not like 127.0.0.1:9922" in done.stderr
    assert done.returncode == 2


# --- the end --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_server(start, number):
    """In order, and at once: a client that waits is no reason to stay."""
    one = start("--listen", "127.0.0.1:0")
    assert one.asked("ping\r\n") == "+OK\r\n"
    with socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(b"ping\r\nlease q 80000000\r\n")
        assert peer.recv(5) == b"+OK\r\n"
        assert one.stopped(number) == 0
        peer.recv(65536)


def test_the_server_says_how_long_stopping_takes(start):
    """At most; and what to do about it."""
    one = start("--listen", "127.0.0.1:0", "--shutdown-timeout", "1s", "--log", "json")
    one.process.send_signal(signal.SIGHUP)
    assert one.process.stderr is not None
    told = json.loads(one.process.stderr.readline())
    del told["time"]
    assert told == {
        "level": "info",
        "message": "shutting down",
        "signal": "SIGHUP",
        "clients": 0,
        "timeout_ms": 1000,
        "hint": "a second signal ends it at once",
    }


def test_a_server_under_nohup_outlives_its_terminal(start):
    """Who starts it so does not want it to hear that signal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        one = start("--listen", "127.0.0.1:0")
    finally:
        signal.signal(signal.SIGHUP, before)
    one.process.send_signal(signal.SIGHUP)
    assert one.asked("ping\n") == "+OK\r\n"
    assert one.stopped(signal.SIGTERM) == 0


def test_every_exit_status_is_documented():
    """In the table of docs/settings.md."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    told = set(map(int, re.findall(r"^\| (\d+) \|", page, re.MULTILINE)))
    assert told == {STOPPED, FAILED, BAD_SETTING, CANNOT_START, LOG_FAILED}


def test_a_refused_connection_is_in_the_log(start):
    """A second later at most, with how many there were."""
    one = start("--listen", "127.0.0.1:0", "--max-connections", "1", "--log", "json")
    with socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(b"ping\r\n")
        assert peer.recv(5) == b"+OK\r\n"
        assert one.asked("") == "-SERVER-ERROR Too many connections\r\n"
        assert one.process.stderr is not None
        lines = map(json.loads, one.process.stderr)
        told = next(line for line in lines if line["message"] == "connections refused")
    assert (told["level"], told["count"]) == ("warning", 1)


def test_who_waits_is_answered_when_the_server_stops(start):
    """As at the end of a client: every wait is 0 then."""
    one = start("--listen", "127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(b"ping\r\nlease q 80000000\r\n")
        assert peer.recv(5) == b"+OK\r\n"
        assert one.stopped(signal.SIGTERM) == 0
        data = b""
        while piece := peer.recv(65536):
            data += piece
        assert data.startswith(b"-TIMEOUT\r\n")


def test_a_port_can_be_listened_on_again_at_once(start):
    """Although connections to it have just been closed by the server."""
    one = start("--listen", "127.0.0.1:0")
    assert one.asked("quit\n") == "+OK\r\n"
    assert one.stopped(signal.SIGTERM) == 0
    again = start("--listen", one.listening[0])
    assert again.asked("ping\n") == "+OK\r\n"


# --- plain netcat ---------------------------------------------------------------------------


def typed(nc: str, port: int, text: str) -> str:
    """What somebody sees who types lines into `nc`, and then Control-D."""
    return subprocess.run(
        [nc, "-N", "127.0.0.1", str(port)],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
        # As bytes come: universal newlines would hide the CR.
        encoding="latin-1",
    ).stdout


def test_a_session_typed_into_netcat(server, program):
    """Lines end in a bare LF, and every answer is as documented."""
    nc = program("nc")
    shown = typed(
        nc,
        server.port,
        f"ping\n"
        f"add {JOB} netcat 60000 600000 5 -priority=3\n"
        f"hello\n"
        f"inspect queue netcat\n"
        f"lease netcat 1000\n"
        f"complete {JOB} 2\n"
        f"ok\n"
        f"result {JOB} 1000\n"
        f"delete {JOB}\n"
        f"delete {JOB}\n"
        f"lease netcat 1000\n"
        f"what\n",
    )
    assert shown.splitlines() == [
        "+OK",
        "+OK",
        "+OK 1",
        "netcat 2",
        "ready-len 1",
        "scheduled-len 0",
        "+OK 1",
        f"{JOB} netcat 60000 5",
        "hello",
        "+OK",
        "+OK 1",
        f"{JOB} 1 2",
        "ok",
        "+OK",
        "-NOT-FOUND",
        "-TIMEOUT",
        "-CLIENT-ERROR Unknown command",
    ]


def test_a_web_page_can_do_nothing(server, program):
    """What a browser sends closes the connection, before anything in it is executed."""
    nc = program("nc")
    page = f"POST / HTTP/1.1\r\nHost: x\r\n\r\nadd {JOB} web 1000 1000 0\r\n\r\n"
    assert typed(nc, server.port, page) == ""
    assert typed(nc, server.port, "inspect queue web\n").strip() == "-NOT-FOUND"
