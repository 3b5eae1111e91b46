"""A worker as a program: what signals do to it, and its exit status."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from workq_client import State

from tests.client.worker.conftest import PATIENCE_S

PROGRAM = """
import asyncio, logging, sys, time
from workq_client import Worker

logging.basicConfig(level=logging.INFO, format="%(message)s")
worker = Worker(sys.argv[1], pool=sys.argv[2], concurrency=1, shutdown_timeout=float(sys.argv[3]))

if sys.argv[2] == "tasks":
    @worker.job("q")
    async def task(payload: bytes) -> bytes:
        await asyncio.sleep(float(payload))
        return payload
else:
    @worker.job("q")
    def plain(payload: bytes) -> bytes:
        until = time.monotonic() + float(payload)
        while time.monotonic() < until:
            time.sleep(0.01)
        return payload

if __name__ == "__main__":
    sys.exit(worker.run())
"""


@pytest.fixture(params=["threads", "tasks", "processes"])
def program(request, tmp_path, server):
    """Starts it."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, "utf-8")
    started = []

    def start(shutdown_s):
        command = [sys.executable, path, server.url, request.param, str(shutdown_s)]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def begun(client, payload):
    """A job that runs."""
    job_id = client.add("q", payload, ttr=600)
    until = time.monotonic() + PATIENCE_S
    while client.inspect_job(job_id).state is not State.LEASED:
        assert time.monotonic() < until
        time.sleep(0.005)
    time.sleep(0.05)  # from its lease to its handler
    return job_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_has_it_finish_what_runs(program, client, number):
    """And end with 0."""
    process = program(600)
    job_id = begun(client, b"0.3")
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 0
    assert client.result(job_id).data == b"0.3"


def test_a_second_signal_ends_it_now(program, client):
    """What ran is given back, and the status is 1."""
    process = program(600)
    job_id = begun(client, b"600")
    process.send_signal(signal.SIGTERM)
    while "SIGTERM" not in process.stderr.readline():
        pass
    assert client.inspect_job(job_id).state is State.LEASED
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 1
    assert client.inspect_job(job_id).state is State.NEW


#: A stream as strict as a file's: it cannot be written to by who is writing to it. While it writes
#: the first line about a signal, the next signal comes.
STRICT = """
import os, signal

class Strict:
    writing = told = False

    def write(self, text):
        if self.writing:
            raise RuntimeError("reentrant call")
        self.writing = True
        if "SIGTERM:" in text and not self.told:
            self.told = True
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)  # in which it is taken
        self.writing = False

    def flush(self):
        pass

sys.stderr = Strict()
logging.basicConfig(level=logging.INFO)
"""


def test_a_second_signal_is_heard_while_the_first_is_told_of(program, client, tmp_path):
    """Whoever sends both quickly, or to a busy machine, does not wait until all has finished."""
    path = tmp_path / "program.py"
    before, _, after = path.read_text("utf-8").partition("logging.basicConfig")
    _, _, after = after.partition("\n")
    path.write_text(before + STRICT + after, "utf-8")
    process = program(600)
    job_id = begun(client, b"600")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 1
    assert client.inspect_job(job_id).state is State.NEW


def test_a_third_signal_kills_it_though_nobody_reads_its_log(program, client, tmp_path):
    """SAY_S later: a stream that takes nothing must not keep it alive."""
    path = tmp_path / "program.py"
    stuck = STRICT.replace('if "SIGTERM:" in text and not self.told:', 'while "SIGTERM" in text:')
    stuck = stuck.replace("os.kill(os.getpid(), signal.SIGTERM)", "time.sleep(60)")
    before, _, after = path.read_text("utf-8").partition("logging.basicConfig")
    _, _, after = after.partition("\n")
    after = after.replace("await asyncio.sleep", "time.sleep")  # which does not let go
    path.write_text(before + stuck + after, "utf-8")
    process = program(600)
    begun(client, b"600")
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # in which it is taken
    assert process.wait(PATIENCE_S) in (1, -signal.SIGTERM)


def test_what_does_not_finish_in_time_is_given_back(program, client):
    """After one signal."""
    process = program(0.1)
    job_id = begun(client, b"600")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 1
    assert client.inspect_job(job_id).state is State.NEW


def test_it_is_paused_and_resumed(program, client):
    """By SIGUSR1 and SIGUSR2."""
    process = program(600)
    client.result(client.add("q", b"0"), wait=PATIENCE_S)
    process.send_signal(signal.SIGUSR1)
    while "SIGUSR1" not in process.stderr.readline():
        pass
    quiet = 0
    while quiet < 20:  # what it has asked for before may still be on its way
        quiet = 0 if client.stats()["waiting"] else quiet + 1
        time.sleep(0.005)
    job_id = client.add("q", b"0")
    time.sleep(0.02)
    assert client.inspect_job(job_id).state is State.NEW
    process.send_signal(signal.SIGUSR2)
    assert client.result(job_id, wait=PATIENCE_S).data == b"0"


HOOKED = """
import logging, sys, time
from workq_client import Worker

logging.basicConfig(level=logging.INFO)
worker = Worker(sys.argv[1], pool=sys.argv[2])

def ask() -> None:
    global seen
    seen = ""
    print("asking", flush=True)
    until = time.monotonic() + 20
    while "SIGUSR1" not in seen and time.monotonic() < until:
        time.sleep(0.005)

seen = ""

class Seen(logging.Handler):
    def emit(self, record):
        global seen
        seen += record.getMessage()

logging.getLogger().addHandler(Seen())

@worker.job("q")
async def handle(payload: bytes) -> bytes:
    return payload

worker.on_start(ask)
worker.on_stop(ask)
sys.exit(worker.run())
"""


@pytest.mark.parametrize("pool", ["threads", "tasks"])
def test_a_pause_while_a_hook_runs_is_obeyed_and_kills_nothing(pool, server, client, tmp_path):
    """Be the worker not begun yet, or nearly over."""
    path = tmp_path / "program.py"
    path.write_text(HOOKED, "utf-8")
    command = [sys.executable, path, server.url, pool]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        process.send_signal(signal.SIGUSR1)
        job_id = client.add("q")
        while not client.inspect_server().active_clients > 1:  # it has come
            assert process.poll() is None
            time.sleep(0.005)
        assert client.inspect_job(job_id).state is State.NEW
        process.send_signal(signal.SIGUSR2)
        client.result(job_id, wait=PATIENCE_S)
        process.terminate()
        assert process.stdout.readline() == "asking\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(PATIENCE_S) == 0
