"""Handlers in child processes: how these begin, end and are replaced."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from workq_client import Client, Worker
from workq_client.testing import Server
from workq_client.worker.jobs import Why
from workq_client.worker.pools import processes
from workq_client.worker.pools.child import Recruits, how_it_ended
from workq_client.worker.pools.frames import Unpacker, packed
from workq_client.worker.settings import Settings

from tests.client.worker import handlers
from tests.client.worker.conftest import PATIENCE_S

OTHER = Worker()
OTHER.job("there")(lambda payload: payload)

#: A program that is a worker itself.
PROGRAM = """
import sys
from workq_client import Worker
worker = Worker(sys.argv[1], pool="processes", concurrency=1)

@worker.job("q")
def handle(payload: bytes) -> bytes:
    return __name__.encode() + payload

if __name__ == "__main__":
    sys.exit(worker.run())
"""


@pytest.fixture(scope="module")
def served():
    """A server for most of these tests, and a client."""
    with Server() as server, Client(server.url) as client:
        yield server, client


@pytest.fixture(scope="module")
def working(served):
    """A worker with one process, for most of these tests: starting one takes a while."""
    with handlers.processes.running(url=served[0].url):
        yield served[1]


def told(client, queue, payload=b"", **options):
    """Whether a job succeeds, and its result."""
    result = client.result(client.add(queue, payload, **options), wait=PATIENCE_S)
    return result.success, result.data


def runs(pid):
    """Whether a process does, be it that nobody has asked how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_handlers_run_in_a_process_of_their_own(working):
    """The same one, as long as nothing happens; the hooks were called there."""
    first, second = told(working, "pid"), told(working, "pid")
    assert first == second
    assert first[0]
    assert int(first[1]) != os.getpid()


def test_middleware_and_async_handlers_are_the_same_there(working):
    """The child imports what the parent has."""
    assert told(working, "marked", b"x") == (True, b"x!")
    assert told(working, "task", b"x") == (True, b"1 b'x'")


def test_an_exception_comes_with_its_traceback(working, caplog):
    """Which was made in the child, and is logged here, with the job's id."""
    job_id = working.add("raise")
    assert working.result(job_id, wait=PATIENCE_S).data == b"ValueError: no such photo"
    assert job_id in caplog.text
    assert 'raise ValueError("no such photo")' in caplog.text


@pytest.mark.parametrize(
    "queue, payload, text",
    [
        ("kill", b"9", b"its process was killed by SIGKILL"),
        ("kill", b"11", b"its process was killed by SIGSEGV"),
        ("exit", b"3", b"its process ended with exit status 3"),
    ],
)
def test_a_process_that_dies_is_a_failure_of_its_job_at_once(working, queue, payload, text):
    """And not only when the lease is over. Another process takes its place."""
    assert told(working, queue, payload, ttr=3600) == (False, text)
    assert told(working, "marked", b"x") == (True, b"x!")


def test_a_lease_is_renewed_while_a_handler_holds_the_interpreter(working):
    """It is not that of the thread that renews."""
    job_id = working.add("hold", b"60000000", ttr=0.3)
    assert working.result(job_id, wait=PATIENCE_S).data == b"held"
    assert working.inspect_job(job_id).timeouts == 0


def test_a_time_limit_kills_the_process(working):
    """Whatever its handler does."""
    assert told(working, "hang", ttr=3600) == (False, b"TimeLimit: not done within 0.2 s")
    assert told(working, "marked", b"x") == (True, b"x!")


def test_a_lost_lease_interrupts_the_handler(served, working):
    """Which goes on with the next attempt in the same process."""
    server, client = served
    before = told(client, "pid")
    job_id = client.add("slow", ttr=0.6)
    while client.inspect_job(job_id).attempts == 0:
        time.sleep(0.005)
    server.advance(seconds=2)
    assert client.result(job_id, wait=PATIENCE_S).data == b"at attempt 2"
    assert told(client, "pid") == before


def test_a_result_that_cannot_be_sent_is_a_failure(working):
    """Be it more than the server takes, or more than is taken from a child."""
    assert not told(working, "huge", b"2000000")[0]
    assert not told(working, "huge", b"20000000")[0]


def test_programs_that_handlers_run_take_signals_as_ever(working):
    """Though the child leaves them to its parent."""
    assert told(working, "shell") == (True, b"True\n")


def test_signals_to_a_child_are_left_to_its_parent(working):
    """A terminal sends them to all."""
    before = told(working, "pid")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(int(before[1]), number)
    assert told(working, "pid") == before


def test_a_child_whose_parent_is_gone_ends(served, tmp_path):
    """Nobody would report what it does."""
    server, client = served
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("__name__.encode()", "str(os.getpid()).encode()"), "utf-8")
    program.write_text("import os\n" + program.read_text("utf-8"), "utf-8")
    with subprocess.Popen([sys.executable, program, server.url]) as process:
        child = int(told(client, "q")[1])
        process.kill()
    until = time.monotonic() + PATIENCE_S
    while runs(child):
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_child_whose_parent_is_gone_before_it_has_come_up_ends(tmp_path):
    """Be its `on_start` without an end."""
    program = tmp_path / "program.py"
    hook = "@worker.on_start\ndef wait():\n    print(os.getpid(), flush=True)\n    time.sleep(99)\n"
    start, end = PROGRAM.split('if __name__ == "__main__"')
    program.write_text(f"import os, time\n{start}{hook}\nif __name__ == '__main__'{end}", "utf-8")
    with subprocess.Popen(
        [sys.executable, program, "workq://127.0.0.1:1"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        until = time.monotonic() + PATIENCE_S
        while runs(child):
            assert time.monotonic() < until
            time.sleep(0.005)


def test_a_process_that_has_just_ended_by_itself_is_killed_no_more():
    """Its time limit may be over before the conductor has heard of it: no reason to end as well."""

    async def both() -> None:
        nobody: Any = None
        process: Any = multiprocessing.get_context("spawn").Process()
        process.close()
        child = processes._Child(nobody, process)
        child.ended.set_result(None)
        held: Any = SimpleNamespace(runner=child, why=Why.LIMIT)
        processes.Processes.interrupt(nobody, held)
        processes.Processes.abandon(nobody, held)

    asyncio.run(both())


@pytest.mark.parametrize(
    "limit, payload",
    [({"max_jobs_per_child": 2}, b"0"), ({"max_bytes_per_child": 60_000_000}, b"20000000")],
)
def test_a_process_is_replaced_after_so_many_jobs_or_so_much_memory(limit, payload):
    """Behind the job with which it was enough."""
    with Server() as server, Client(server.url) as client:
        worker = handlers.replaced
        with worker.running(url=server.url, **limit):
            pids = [told(client, "fat", payload)[1] for _ in range(4)]
    assert len(set(pids)) > 1
    if "max_jobs_per_child" in limit:
        assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_program_may_be_the_worker_itself(served, tmp_path):
    """Its children import it under another name. SIGTERM ends it, with all of its children."""
    server, client = served
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    with subprocess.Popen([sys.executable, program, server.url]) as process:
        assert told(client, "q", b"!") == (True, b"__mp_main__!")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_while_children_start_shows_no_traces(served, tmp_path, number):
    """As Ctrl-C in a terminal is, which reaches them before they have said what it means."""
    program = tmp_path / "program.py"
    slow = "if __name__ == '__mp_main__':\n    print(1, flush=True)\n    time.sleep(0.3)\n"
    program.write_text(f"import time\n{slow}{PROGRAM}", "utf-8")
    with subprocess.Popen(
        [sys.executable, program, served[0].url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, "")


def test_a_child_whose_start_takes_longer_than_its_worker_finds_its_socket_open(monkeypatch):
    """The start goes on in its thread; and none begins after the end."""
    begun, go_on = threading.Event(), threading.Event()
    found = []

    class Slow:
        def __init__(self, args: tuple[Any, ...], **more: object) -> None:
            self.sock = args[0]

        def start(self) -> None:
            begun.set()
            go_on.wait(PATIENCE_S)
            found.append(self.sock.fileno() >= 0)

    context = SimpleNamespace(Process=Slow)
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)

    async def end_while_it_starts() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        nobody: Any = None
        settings = Settings(pool="processes", concurrency=2)
        pool = processes.Processes(settings, nobody, nobody, nobody, nobody)
        while not begun.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.002)
        await pool.close()
        go_on.set()

    asyncio.run(end_while_it_starts())
    assert found == [True]


def test_a_child_that_finds_other_handlers_says_so():
    """They were made after the import."""
    recruits = Recruits(__name__, "OTHER", (), ("there", "missing"), {})
    with pytest.raises(RuntimeError, match="no handlers for missing"):
        recruits.found()


def test_children_that_do_not_come_up_are_told_of_and_tried_again(served, tmp_path):
    """And the worker takes no jobs meanwhile."""
    server, client = served
    program = tmp_path / "program.py"
    told_of = "import logging\nlogging.basicConfig()\n" + PROGRAM
    wrong = "if __name__ == '__mp_main__': raise OSError('no database')\n"
    program.write_text(told_of.replace("worker = ", f"{wrong}worker = "), "utf-8")
    job_id = client.add("q")
    with subprocess.Popen(
        [sys.executable, program, server.url], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for _ in range(2):
            for line in process.stderr:
                if "has not come up: it ended with exit status 1" in line:
                    break
        assert client.inspect_job(job_id).attempts == 0
        process.terminate()
        process.stderr.read()
        assert process.wait(PATIENCE_S) == 0
    client.delete(job_id)


def test_messages_are_cut_out_of_whatever_pieces_come():
    """One byte at a time, or all at once."""
    data = packed("job", b"x" * 300) + packed("end")
    unpacker = Unpacker()
    pieces = [unpacker.feed(data[at : at + 1]) for at in range(len(data))]
    assert [one for piece in pieces for one in piece] == [("job", b"x" * 300), ("end",)]
    assert Unpacker().feed(data) == [("job", b"x" * 300), ("end",)]


@pytest.mark.parametrize(
    "status, text",
    [
        (0, "ended with exit status 0"),
        (-9, "was killed by SIGKILL"),
        (-77, "was killed by signal 77"),
        (None, "is gone"),
    ],
)
def test_how_a_process_ended_is_told_in_words(status, text):
    """By its signal's name, if it has one."""
    assert how_it_ended(status) == text
