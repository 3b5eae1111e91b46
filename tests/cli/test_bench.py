"""`workq bench`: it measures, and leaves nothing behind."""

import signal
import threading
import time
from argparse import Namespace

import pytest

from workq.cli import bench, statuses


def test_each_part_is_measured_and_no_job_is_left(cli, client):
    """In as many threads as is said."""
    options = ["--count", 25, "--size", 10, "--threads", 3, "--queue", "here", "--json"]
    told = cli("bench", *options).lines
    assert [one["what"] for one in told] == ["add", "many", "cycle"]
    assert all(one["calls"] == 25 and one["calls_per_s"] > 0 for one in told)
    assert told[0]["p50"] <= told[0]["p99"] and told[1]["p50"] is None
    stats = client.stats()
    assert stats["jobs"] == 0
    assert (stats["total-added"], stats["total-completed"]) == (75, 25)
    assert client.inspect_queue("here").ready == 0


def test_people_get_a_table(cli):
    """Of what they asked for."""
    lines = cli("bench", "cycle", "--count", 5).out.splitlines()
    assert lines[0].split() == ["what", "calls", "calls/s", "p50", "ms", "p99", "ms"]
    assert [line.split()[0] for line in lines[1:]] == ["cycle"]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["--count", "0"],
        ["--threads", "0"],
        ["--count", "1", "--threads", "2"],
        ["--size", "-1"],
    ],
)
def test_what_cannot_be_measured_is_told(words, cli):
    """Before anything is."""
    assert cli("bench", *words).status == statuses.BAD_USAGE


def test_what_goes_wrong_while_it_measures_is_told(cli, client):
    """Also in a thread."""
    said = cli("bench", "add", "--size", 2_000_000, "--count", 1)
    assert said.status == statuses.BAD_USAGE
    assert "the server takes 1048576" in said.err


def test_ctrl_c_leaves_no_job_behind(process, client):
    """Not one that is added at that moment either."""
    program = process("bench", "add", "--count", 1_000_000, "--threads", 2)
    end = time.monotonic() + 10
    while not client.stats()["total-added"]:
        assert time.monotonic() < end
    program.send_signal(signal.SIGINT)
    assert program.wait(10) == statuses.INTERRUPTED
    assert client.stats()["jobs-ready"] == 0


def test_ctrl_c_while_threads_begin_lets_none_go_on(monkeypatch):
    """One that went on would add what nobody deletes: it was seen on a busy machine."""
    acting = threading.Event()
    start = threading.Thread.start

    def begin(thread):
        if acting.is_set():
            raise KeyboardInterrupt
        start(thread)
        assert acting.wait(10)

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", begin)
    with pytest.raises(KeyboardInterrupt):
        bench._timed(Namespace(count=10**9, threads=2), acting.set)
    assert threading.active_count() == before
