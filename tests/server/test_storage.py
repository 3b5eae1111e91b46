"""Starting from a command log: what is told, what is refused, what comes back."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from tests.engine.making import job_in, running
from workq.cmdlog.frames import COMMIT
from workq.engine import dump
from workq.engine.engine import Engine
from workq.errors import CorruptionError, DirectoryError
from workq.recovery.records import bodies
from workq.server import storage
from workq.server.notify import Notifier
from workq.server.settings import load
from workq.server.storage import DirectoryStorage, Storage
from workq.server.writer import ALWAYS, INTERVAL

HOUR_MS = 3_600_000


class Deaf:
    """Hears the log's reports, and does nothing."""

    def written(self, position: int) -> None:
        """So far written."""

    def synced(self, position: int) -> None:
        """So far synced."""

    def full(self, full: bool) -> None:
        """No room, or room again."""

    def failed(self, reason: str) -> None:
        """The end."""
        raise AssertionError(reason)


def opened(path, *flags: str) -> Storage:
    """What a server starts from."""
    return storage.load(load([f"--cmdlog-path={path}", *flags], {}), Notifier({}))


def keep(path, commit, time_ms: int) -> None:
    """Have a commit kept by a server that is there for nothing else."""

    async def serve() -> None:
        one = opened(path, "--accept-clock")
        log = one.open(Deaf(), time_ms)
        for records, body in bodies(commit) if commit else ():
            log.append(COMMIT, time_ms, records, body)
        closed = asyncio.Event()
        log.close(time_ms, closed.set)
        await closed.wait()
        one.close()

    asyncio.run(serve())


def test_without_a_path_nothing_is_kept():
    """The state is empty, and every frame is at once as safe as it will ever be."""
    one = storage.load(load([], {}), Notifier({}))
    assert not isinstance(one, DirectoryStorage)
    assert one.engine.size == 0
    assert not one.open(Deaf(), 1).keeps


def test_the_state_comes_back(tmp_path, caplog):
    """With what became of it told in two lines."""
    caplog.set_level(logging.INFO, "workq")
    engine = running()
    for number, situation in enumerate(("ready", "leased", "completed"), 1):
        job_in(engine, situation, number)
    keep(tmp_path, engine.commit, engine.now_ms)
    caplog.clear()
    one = opened(tmp_path, "--cmdlog-sync=always")
    assert dump.digest(one.engine) == dump.digest(engine)
    assert one.clock.now_ms() >= engine.now_ms
    assert one.policy.name == ALWAYS
    read, policy = caplog.records
    assert read.getMessage() == "command log read"
    assert read.fields["jobs"] == 3
    assert policy.getMessage() == "command log"
    assert "nothing" in policy.fields["lost_if_the_machine_goes_down"]


def test_each_start_gives_tokens_that_none_before_has_given(tmp_path):
    """The high part of a token is the number of the start."""
    tokens = []
    for _ in range(3):

        async def start() -> None:
            one = opened(tmp_path)
            log = one.open(Deaf(), 1)
            job = job_in(one.engine, "ready", 1)
            tokens.append(one.engine.lease(job))
            closed = asyncio.Event()
            log.close(1, closed.set)
            await closed.wait()
            one.close()

        asyncio.run(start())
    assert tokens == sorted(set(tokens))
    assert [token >> 40 for token in tokens] == [1, 2, 3]


def test_a_clock_far_behind_the_log_is_refused(tmp_path):
    """Unless the operator says that it is meant."""
    now_ms = time.time_ns() // 1_000_000
    keep(tmp_path, [], now_ms + 2 * HOUR_MS)
    with pytest.raises(DirectoryError, match=r"119 minutes ahead.*--accept-clock"):
        opened(tmp_path)
    assert opened(tmp_path, "--accept-clock").clock.now_ms() >= now_ms + 2 * HOUR_MS


@pytest.mark.parametrize("step_ms", [2 * HOUR_MS, -2 * HOUR_MS])
def test_a_clock_set_right_while_the_server_ran_ages_nothing(tmp_path, step_ms):
    """Found from outside: after a step by two hours and a restart, jobs with an hour to live were
    gone, and after one back the server did not start. It goes on where time had come to."""
    wall_ms = time.time_ns() // 1_000_000
    engine = Engine()
    engine.advance(wall_ms - step_ms, 0)  # the clock was wrong
    job_in(engine, "leased")
    engine.advance(wall_ms - step_ms, step_ms)  # and is right
    keep(tmp_path, engine.commit, engine.now_ms)
    one = opened(tmp_path)
    assert 0 <= one.clock.now_ms() - engine.now_ms < 60_000
    assert one.engine.offset_ms == step_ms


def test_time_that_no_server_saw_has_passed_all_the_same(tmp_path):
    """By the wall clock, which is all there is to go by."""
    wall_ms = time.time_ns() // 1_000_000
    engine = Engine()
    engine.advance(wall_ms - 5000, 0)
    job_in(engine, "ready")
    keep(tmp_path, engine.commit, engine.now_ms)
    assert opened(tmp_path).clock.now_ms() >= wall_ms


def test_no_time_is_lost_between_reading_the_log_and_serving(tmp_path):
    """The kill loop found it: each start lost the milliseconds until its clock began to run, so
    that jobs added afterwards came before others that had been due when they came."""
    engine = Engine()
    engine.advance(time.time_ns() // 1_000_000, 0)
    job_in(engine, "ready")
    keep(tmp_path, engine.commit, engine.now_ms)
    clock = opened(tmp_path).clock
    for _ in range(3):
        clock.sample()
        assert -1 <= clock.offset_ms <= 0  # whole milliseconds, cut off


def test_a_clock_a_little_behind_the_log_goes_on_from_there(tmp_path):
    """Time never steps back, and half an hour is no reason to refuse."""
    now_ms = time.time_ns() // 1_000_000
    keep(tmp_path, [], now_ms + HOUR_MS // 2)
    assert opened(tmp_path).clock.now_ms() >= now_ms + HOUR_MS // 2


def test_the_interval_is_no_setting_of_the_other_policies(tmp_path):
    """As in the documents of the original."""
    assert opened(tmp_path / "a", "--cmdlog-sync-int=250").policy == (INTERVAL, 250)
    assert opened(tmp_path / "b", "--cmdlog-sync-int=250", "--cmdlog-sync=os").policy == ("os", 0)


def test_a_small_segment_is_raised_and_told(tmp_path, caplog):
    """The original's users give small numbers."""
    opened(tmp_path, "--cmdlog-seg-size=8")
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage() == "cmdlog-seg-size is too small: raised"


def test_a_directory_that_another_has_is_refused(tmp_path):
    """Two servers would write over each other."""
    held = opened(tmp_path)
    with pytest.raises(DirectoryError, match="another workq-server uses this directory"):
        opened(tmp_path)
    assert held.policy.name == INTERVAL


def test_a_file_is_no_directory(tmp_path):
    """The error names it."""
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DirectoryError, match=f"{file}: Not a directory"):
        opened(file)


def test_a_damaged_log_is_refused(tmp_path):
    """With the file; nothing is changed."""
    keep(tmp_path, [], 1)
    segment = tmp_path / "000000001.log"
    data = bytearray(segment.read_bytes())
    data[30] ^= 1
    segment.write_bytes(data)
    with pytest.raises(CorruptionError, match=r"000000001\.log"):
        opened(tmp_path)
    assert segment.read_bytes() == data


class Slow:
    """A clock that goes on a second each time one looks."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        """The time."""
        self.now_ns += 1_000_000_000
        return self.now_ns


class Reading:
    """Half of a log has been read."""

    bytes_done, bytes_in_all = 50, 100


def test_a_long_start_says_how_far_it_is(caplog):
    """In lines, where nobody looks; and to systemd, which would give it up."""
    caplog.set_level(logging.INFO, "workq")
    told = []

    class Manager(Notifier):
        def extend_timeout(self, time_ms: int) -> bool:
            told.append(time_ms)
            return True

    progress = storage._Progress("dir", Reading(), Manager({}), Slow())
    for _ in range(10):
        progress.step()
    progress.end()
    lines = [record for record in caplog.records if "reading" in record.getMessage()]
    assert 4 <= len(lines) == len(told) <= 6
    assert {line.fields["percent"] for line in lines} == {50}


def test_a_long_start_shows_a_bar_on_a_terminal(monkeypatch, capsys):
    """And wipes it away in the end."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = storage._Progress("dir", Reading(), Notifier({}), Slow())
    for _ in range(5):
        progress.step()
    progress.end()
    shown = capsys.readouterr().err
    assert "[############             ]  50 %" in shown
    assert shown.endswith("\r\x1b[K")
