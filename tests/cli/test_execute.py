"""`workq exec`: what a command does is what becomes of its job."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from workq_client import NotFound, State, limits

from tests.cli.making import ID, OTHER
from workq.cli import command, execute, statuses
from workq.limits import BLOCK_BYTES_MAX, EXEC_ERROR_BYTES_MAX, EXEC_JOBS_MAX
from workq.server import process as process_module


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    """Nobody has to wait for what is only patience."""
    monkeypatch.setattr(command, "EXEC_KILL_MS", 50)
    monkeypatch.setattr(execute, "EXEC_PAUSE_MS", 0)


def shell(script):
    """A command for a shell."""
    return ["--", "sh", "-c", script]


def until(true, seconds=10):
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def is_gone(pid):
    """Whether a process has ended, and is no zombie of ours either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_payload_is_read_and_the_output_is_the_result(cli, client):
    """And the environment tells what else a command may want to know."""
    client.add("nums", b"20\n\x00", id=ID)
    client.add("nums", b"21", id=OTHER)
    script = 'tr -d "\\0\\n"; echo " $WORKQ_JOB_ID $WORKQ_QUEUE $WORKQ_ATTEMPT $WORKQ_URL"'
    assert cli("exec", "nums", "--wait", 0, *shell(script)) == (statuses.OK, "", "")
    assert client.result(ID).data.decode() == f"20 {ID} nums 1 {client.url}\n"
    assert client.result(OTHER).data.startswith(b"21 ")


def test_programs_are_told_of_each_job(cli, client):
    """When it is done."""
    client.add("nums", b"0", id=ID)
    client.add("nums", b"1", id=OTHER)
    said = cli("exec", "nums", "--wait", 0, "--json", *shell("exit $(cat)"))
    assert said.status == statuses.OK
    assert said.lines == [
        {"id": ID, "queue": "nums", "attempt": 1, "done": "completed"},
        {"id": OTHER, "queue": "nums", "attempt": 1, "done": "failed"},
    ]


@pytest.mark.parametrize(
    "script, told",
    [
        ("echo no disk >&2; exit 3", b"exit status 3\nno disk\n"),
        ("exit 1", b"exit status 1"),
        ("kill -9 $$", b"killed by SIGKILL"),
        ("kill -40 $$", b"killed by signal 40"),  # one that has no name
    ],
)
def test_a_command_that_fails_says_why(script, told, cli, client):
    """What it said is seen here too; the job comes back, as long as it may."""
    client.add("nums", id=ID, max_fails=2)
    said = cli("exec", "nums", "--once", *shell(script))
    assert said.status == statuses.WRONG
    assert said.err.encode() == told.partition(b"\n")[2]
    assert client.inspect_job(ID).state == State.PENDING
    cli("exec", "nums", "--once", *shell(script))
    result = client.result(ID)
    assert (result.success, result.data) == (False, told)


def test_only_the_end_of_what_it_complains_is_reported(cli, client):
    """A result has a bound."""
    client.add("nums", id=ID)
    cli(
        "exec",
        "nums",
        "--once",
        *shell(f"yes | head -c {EXEC_ERROR_BYTES_MAX} >&2; echo z >&2; false"),
    )
    data = client.result(ID).data
    assert len(data) == len(b"exit status 1\n") + EXEC_ERROR_BYTES_MAX
    assert data.endswith(b"\nz\n")


def test_a_job_that_is_to_be_tried_again_is_given_back(cli, client):
    """As if nothing had been."""
    client.add("nums", id=ID)
    assert cli("exec", "nums", "--once", *shell("exit 75")).status == statuses.WRONG
    info = client.inspect_job(ID)
    assert (info.state, info.attempts, info.fails) == (State.NEW, 0, 0)


def test_a_job_that_makes_no_sense_is_not_tried_again(cli, client):
    """However often it might."""
    client.add("nums", id=ID, max_fails=9)
    assert cli("exec", "nums", "--once", *shell("exit 65")).status == statuses.WRONG
    assert client.result(ID).data == b"exit status 65"


@pytest.mark.parametrize("more", [0, 1])
def test_the_output_has_the_bound_of_a_result(more, cli, client):
    """Beyond it the job has failed, for nobody wants half a result."""
    client.add("nums", id=ID)
    size = BLOCK_BYTES_MAX + more
    cli("exec", "nums", "--once", *shell(f"head -c {size} /dev/zero && head -c {more} /dev/zero"))
    result = client.result(ID)
    assert result.success == (not more)
    assert len(result.data) == BLOCK_BYTES_MAX or b"more than 1048576 bytes" in result.data


@pytest.mark.parametrize("script", ["yes", "trap '' TERM; yes", "(yes; exit 75); exit 75"])
def test_a_command_that_writes_without_end_is_ended(script, cli, client):
    """With all that it has started, and whatever it makes of SIGTERM."""
    client.add("nums", id=ID)
    said = cli("exec", "nums", "--once", "--json", *shell(script))
    assert (said.status, said.json["done"]) == (statuses.WRONG, "failed")
    assert client.result(ID).data.startswith(b"more than 1048576 bytes of output")


def test_a_result_is_reported_when_the_server_is_back(cli, client, server, tmp_path):
    """Though it was away for longer than a call may take."""
    client.add("nums", id=ID, ttr=600)

    def go_away():
        until((tmp_path / "began").exists)
        with server.away():
            (tmp_path / "go").touch()
            time.sleep(0.6)

    away = threading.Thread(target=go_away)
    away.start()
    script = f"touch {tmp_path}/began; until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo done"
    said = cli("exec", "nums", "--once", "--timeout", "100ms", *shell(script))
    away.join()
    assert (said.status, said.err) == (statuses.OK, "")
    assert client.result(ID).data == b"done\n"


def test_a_result_is_not_tried_for_ever(cli, client, server, monkeypatch, tmp_path):
    """The end is loud."""
    monkeypatch.setattr(limits, "REPORT_PATIENCE_S", 0.2)
    client.add("nums", id=ID, ttr=600)
    over = threading.Event()

    def go_away():
        until((tmp_path / "began").exists)
        with server.away():
            (tmp_path / "go").touch()
            over.wait(10)

    away = threading.Thread(target=go_away)
    away.start()
    script = f"touch {tmp_path}/began; until [ -e {tmp_path}/go ]; do sleep 0.01; done"
    said = cli("exec", "nums", "--once", "--timeout", "100ms", *shell(script))
    over.set()
    away.join()
    assert said.status == statuses.UNUSABLE
    assert "that it completed could not be reported" in said.err


def test_a_lease_is_renewed_as_long_as_the_command_runs(cli, client):
    """Longer than it lasts."""
    client.add("nums", id=ID, ttr=0.9)
    assert cli("exec", "nums", "--once", *shell("sleep 1.5; echo done")).status == statuses.OK
    assert client.result(ID).data == b"done\n"
    assert client.inspect_job(ID).timeouts == 0
    assert client.stats()["total-touched"] >= 2


@pytest.mark.parametrize("before", ["", "trap '' TERM; "])
def test_a_lost_lease_ends_the_command_and_what_it_has_started(before, cli, client, tmp_path):
    """Also one that does not want to."""
    client.add("nums", id=ID, ttr=0.3)
    script = f"{before}echo $$ >{tmp_path}/pid; while :; do sleep 100; done"
    remover = threading.Thread(
        target=lambda: (until((tmp_path / "pid").exists), client.delete(ID)),
    )
    remover.start()
    said = cli("exec", "nums", "--once", "--json", *shell(script))
    remover.join()
    assert (said.status, said.json["done"]) == (statuses.WRONG, "lost")
    assert "the lease is lost" in said.err
    assert is_gone(int((tmp_path / "pid").read_text()))
    with pytest.raises(NotFound):
        client.inspect_job(ID)


def test_a_lease_that_cannot_be_renewed_ends_the_command_in_time(cli, client, server, tmp_path):
    """Before another worker may have the job."""
    client.add("nums", id=ID, ttr=0.4)
    ended = []

    def go_away():
        until((tmp_path / "began").exists)
        with server.away():
            time.sleep(0.6)
            ended.append((tmp_path / "ended").exists())

    away = threading.Thread(target=go_away)
    away.start()
    trap = f"trap 'touch {tmp_path}/ended; exit' TERM"
    script = f"{trap}; touch {tmp_path}/began; while :; do sleep 0.02; done"
    said = cli("exec", "nums", "--once", *shell(script))
    away.join()
    assert ended == [True]
    assert "the lease is lost" in said.err


def test_what_a_command_leaves_running_ends_with_it(cli, client):
    """Though it holds the pipe of the result."""
    client.add("nums", id=ID)
    assert cli("exec", "nums", "--once", *shell("sleep 100 & echo $!")).status == statuses.OK
    until(lambda: is_gone(int(client.result(ID).data)))


def test_what_runs_on_elsewhere_is_not_waited_for(cli, client, program):
    """Though it holds the pipe; what the command itself has written is all there."""
    client.add("nums", id=ID)
    script = f"{program('setsid')} sleep 3 & head -c 300000 /dev/zero"
    begun = time.monotonic()
    assert cli("exec", "nums", "--once", *shell(script)).status == statuses.OK
    assert time.monotonic() - begun < 3
    assert len(client.result(ID).data) == 300_000


def test_so_many_run_at_the_same_time_as_may(cli, client, tmp_path):
    """Each waits here until the other is there."""
    client.add("nums")
    client.add("nums")
    both = f'[ "$(ls {tmp_path} | wc -l)" = 2 ]'
    script = f"touch {tmp_path}/$WORKQ_JOB_ID; until {both}; do sleep 0.01; done"
    assert cli("exec", "nums", "--jobs", 2, "--wait", 0, *shell(script)).status == statuses.OK
    assert client.stats()["jobs-completed"] == 2


@pytest.mark.parametrize("number", [0, EXEC_JOBS_MAX + 1, "x"])
def test_how_many_has_a_bound(number, cli):
    """Told before anything is leased."""
    said = cli("exec", "nums", "--jobs", number, "--", "true")
    assert said.status == statuses.BAD_USAGE
    assert f"from 1 to {EXEC_JOBS_MAX}" in said.err


def test_one_job_only_and_none_is_an_end_too(cli):
    """Told by the status."""
    said = cli("exec", "nums", "--once", "--wait", "10ms", "--", "true")
    assert said == (statuses.WRONG, "", "workq exec: no job came from nums in time\n")


def test_a_command_that_is_not_there_takes_no_job(cli, client, monkeypatch):
    """Nor one that turns out not to be: that job is given back, and no other is spoilt."""
    client.add("nums", id=ID)
    said = cli("exec", "nums", "--", "no-such-program")
    assert said.status == statuses.UNUSABLE
    assert said.err == "workq: there is no program no-such-program that can be run\n"
    monkeypatch.setattr(shutil, "which", lambda name: name)
    said = cli("exec", "nums", "--", "no-such-program")
    assert said.status == statuses.UNUSABLE
    assert "no-such-program: No such file or directory; the job is given back" in said.err
    assert client.inspect_job(ID).state == State.NEW
    assert cli("exec", "nums").status == statuses.BAD_USAGE


def test_what_cannot_be_reported_is_said_loudly(cli, client):
    """And with the status for it."""
    client.add("nums", id=ID)
    script = f"{sys.executable} -m workq.cli.workq delete $WORKQ_JOB_ID"
    said = cli("exec", "nums", "--once", *shell(script))
    assert said.status == statuses.WRONG
    assert f"job {ID}: that it completed could not be reported: " in said.err


def test_the_first_signal_lets_what_runs_end(process, client, tmp_path):
    """And takes no more."""
    client.add("nums", id=ID)
    client.add("nums", id=OTHER)
    script = f"touch {tmp_path}/began; until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo done"
    worker = process("exec", "nums", *shell(script))
    until((tmp_path / "began").exists)
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(Exception, match="timed out"):
        worker.wait(0.2)
    (tmp_path / "go").touch()
    assert worker.wait(10) == statuses.OK
    assert client.result(ID).data == b"done\n"
    assert client.inspect_job(OTHER).state == State.NEW


def test_the_second_signal_ends_what_runs_and_gives_the_job_back(process, client, tmp_path):
    """Ctrl-C is for us alone: the command has a group of its own."""
    client.add("nums", id=ID)
    worker = process("exec", "nums", *shell(f"echo $$ >{tmp_path}/began; exec sleep 100"))
    until(lambda: (tmp_path / "began").exists() and (tmp_path / "began").read_text())
    worker.send_signal(signal.SIGHUP)
    time.sleep(0.2)  # two at once would be one
    worker.send_signal(signal.SIGINT)
    assert worker.wait(10) == statuses.OK
    assert is_gone(int((tmp_path / "began").read_text()))
    assert client.inspect_job(ID).state == State.NEW


def test_it_goes_on_when_the_server_is_back(process, client, server):
    """Told once."""
    worker = process("exec", "nums", "--timeout", "2s", "--", "cat")
    until(lambda: client.stats()["waiting"] == 1)
    with server.away():
        assert b"trying on" in worker.stderr.readline()
    client.add("nums", b"hello", id=ID)
    assert client.result(ID, wait=10).data == b"hello"
    worker.terminate()
    assert worker.wait(10) == statuses.OK
    assert worker.stderr.read() == b""


def test_nobody_hears_is_a_reason_to_end(process, client):
    """As for any program that writes into a pipe."""
    for _ in range(3):
        client.add("nums")
    reading, writing = os.pipe()
    os.close(reading)
    worker = process("exec", "nums", "--json", "--", "true", stdout=writing)
    os.close(writing)
    assert worker.wait(10) == statuses.OK
    assert worker.stderr.read() == b""
    assert client.stats()["jobs-completed"] < 3


def test_many_commands_may_have_many_files_open(cli, monkeypatch):
    """As many as the system lets us: the usual limit is too low for `--jobs 256`."""
    raised = []
    monkeypatch.setattr(process_module, "raise_descriptor_limit", lambda: raised.append(True))
    assert cli("exec", "nums", "--wait", 0, "--", "true").status == statuses.OK
    assert raised


def test_without_a_descriptor_left_no_command_is_begun(monkeypatch):
    """Nobody would wait for it."""

    def none_left():
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", none_left)
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **more: pytest.fail("begun"))
    with pytest.raises(OSError, match="Too many"):
        command.Command(["true"], {}, b"").run()
