"""Compaction beside a server: when it begins, what becomes of it, and the process it is done in."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.engine.making import added
from tests.recovery.histories import SEGMENT_BYTES, Life, read_back
from tests.recovery.processes import laid_out
from tests.server.served import PATIENCE_SECONDS, until
from tests.simulation.worker import StepWorker
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.files import RealDisk
from workq.cmdlog.scan import Reading, Sealed
from workq.cmdlog.snapshot import SnapshotWriter, verify
from workq.engine import dump
from workq.engine.job import Options
from workq.errors import CompactionError
from workq.limits import SNAPSHOT_BYTES_MIN
from workq.recovery.compact import compact
from workq.recovery.head import read_head
from workq.server import compaction as module
from workq.server.compaction import Compaction, SealedDamage
from workq.server.notify import Notifier
from workq.server.settings import load
from workq.server.storage import load as load_storage

HOUR_MS = 3_600_000
OPTIONS = Options(1000, 600_000)


class Inline:
    """A run in this process.

    Attributes:
        complaint: if there is one, the run fails with it, its work half done.
        ended: whether it was told to end.
    """

    def __init__(self, disk, number, position):
        self.disk, self.number, self.position = disk, number, position
        self.complaint = ""
        self.damaged = False
        self.ended = False
        self.pid = 4711

    def run(self):
        """Compact."""
        if self.complaint or self.ended:
            self.disk.close(self.disk.create(f"{self.number:09d}.snap.tmp"))
            error = SealedDamage if self.damaged else CompactionError
            raise error(self.complaint or "it was ended")
        compact(self.disk, self.number, self.position)

    def end(self):
        """Be told to end."""
        self.ended = True


class Beside:
    """A compaction beside a life.

    Attributes:
        runs: those that were begun.
        reasons: why the disk has failed.
        worker: takes the steps when the test says so.
    """

    def __init__(self, life: Life, clean_int_ms: int = 1, snapshot: Any = None) -> None:
        self.life = life
        self.runs: list[Inline] = []
        self.reasons: list[str] = []
        self.worker = StepWorker()
        self.complaint = ""
        self.damaged = False
        self.compaction = Compaction(
            life.disk,
            self.worker,
            life.opened.log,
            life.engine,
            snapshot,
            segment_bytes=SEGMENT_BYTES,
            clean_int_ms=clean_int_ms,
            failed=self.reasons.append,
            start=self._start,
        )

    def _start(self, number: int, position: int) -> Inline:
        run = Inline(self.life.disk, number, position)
        run.complaint, run.damaged = self.complaint, self.damaged
        self.runs.append(run)
        return run

    async def begun(self, count: int = 1) -> None:
        """Wait until so many runs have begun, the others done."""
        while len(self.runs) < count:
            self.worker.run()
            await asyncio.sleep(0)

    async def done(self) -> None:
        """Let what is under way come to its end."""
        self.worker.run()
        await until(lambda: self.compaction.run is None)


def play(body: Callable[[], Awaitable[None]]) -> None:
    """Run a test in a loop."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await body()

    asyncio.run(run())


@pytest.fixture
def told(caplog):
    """The lines so far, as message and fields."""
    caplog.set_level(logging.INFO, "workq")
    return lambda: [(one.getMessage(), one.fields) for one in caplog.records]


def churned(bytes_in_all: int) -> Life:
    """A log of so many bytes, in sealed segments, of jobs that are gone."""
    life = Life()
    churn(life, bytes_in_all)
    return life


def churn(life: Life, bytes_more: int) -> None:
    """Let so many bytes more become sealed, by jobs that come and go."""
    size = sum(sealed.size for sealed in life.opened.log.sealed)
    while sum(sealed.size for sealed in life.opened.log.sealed) < size + bytes_more:
        job = added(life.engine, life.fresh(), OPTIONS, payload=bytes(400))
        life.keep()
        life.engine.delete(job)
        life.keep()


# --- when -----------------------------------------------------------------------------------


def test_a_log_that_has_more_in_it_than_it_keeps_is_compacted_soon_after_the_start(told):
    """Everything before the segment that is being written, told in two lines."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)
    before = sum(sealed.size for sealed in life.opened.log.sealed)
    number = life.number

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        await beside.begun()
        assert told()[-1] == (
            "compacting the command log",
            {"bytes": before, "segments": len(life.opened.log.sealed)},
        )
        await beside.done()
        assert (beside.runs[0].number, life.opened.log.sealed) == (number, [])
        message, fields = told()[-1]
        took_ms = fields.pop("took_ms")
        assert took_ms >= 0
        after = beside.compaction.disk_bytes
        assert (message, fields) == (
            "command log compacted",
            {"bytes_before": before, "bytes_after": after, "records": 1},
        )
        assert after == len(life.disk.read_all(f"{number:09d}.snap")) < before / 10
        await beside.compaction.end()

    play(body)
    assert dump.digest(read_back(life.disk)) == dump.digest(life.engine)
    assert Reading(life.disk).numbers[0] == number


def test_a_log_that_is_mostly_live_is_left_alone():
    """To write all of it again would win little."""
    life = Life()
    for _ in range(6):
        life.fill_segment()

    async def body() -> None:
        compaction = Beside(life).compaction
        assert compaction.disk_bytes > SNAPSHOT_BYTES_MIN
        assert not compaction.is_due()
        await compaction.end()

    play(body)


def test_one_segment_alone_is_not_compacted():
    """It says little, and there is one more after each start."""
    life = churned(1)

    async def body() -> None:
        compaction = Beside(life).compaction
        assert len(life.opened.log.sealed) == 1
        life.engine.held_bytes -= 100_000  # however little it keeps
        assert compaction.disk_bytes > 2 * compaction.live_bytes
        assert not compaction.is_due()
        churn(life, 1)
        assert compaction.is_due()
        await compaction.end()

    play(body)


def test_between_looks_it_begins_only_when_the_promise_is_at_stake(monkeypatch):
    """Which the next segment would break: a long interval does not fill the disk."""
    monkeypatch.setattr(module, "COMPACTION_LOOK_MS", 1)
    looks: list[bool] = []
    real = Compaction.is_due

    def looked(self: Compaction, pressing: bool = False) -> bool:
        looks.append(pressing)
        return real(self, pressing)

    monkeypatch.setattr(Compaction, "is_due", looked)
    life = Life()
    for _ in range(400):
        added(life.engine, life.fresh(), OPTIONS, payload=bytes(100))
    life.keep()
    churn(life, 1)

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        await until(lambda: looks)
        assert not beside.runs
        compaction = beside.compaction
        while not real(compaction):
            churn(life, 1)
        assert not real(compaction, pressing=True)
        seen = len(looks)
        await until(lambda: len(looks) > seen + 3)
        assert not beside.runs
        while not real(compaction, pressing=True):
            churn(life, 1)
        # What is to come: as much again, the segment being written and the one made ahead.
        promise = 3 * compaction.live_bytes + 2 * SEGMENT_BYTES
        in_all = compaction.disk_bytes + compaction.live_bytes + 2 * SEGMENT_BYTES
        assert promise - 2 * SEGMENT_BYTES < in_all <= promise
        await beside.begun()
        assert looks[0] is False
        assert all(looks[1:])
        await beside.done()
        await beside.compaction.end()

    play(body)


def test_it_begins_earlier_by_twice_what_was_written_during_the_last_one():
    """So that as much can be written during the next, and more; half of what is kept at most."""
    life = Life()
    for _ in range(300):
        added(life.engine, life.fresh(), OPTIONS, payload=bytes(400))
        life.keep()
    churn(life, 100_000)

    async def body() -> None:
        beside = Beside(life)
        await beside.begun()
        churn(life, 20_000)
        await beside.done()
        compaction = beside.compaction
        while not compaction.is_due():
            churn(life, 1)
        sealed = sum(one.size for one in life.opened.log.sealed)
        assert abs(compaction.live_bytes - sealed - 2 * 20_000) < 3 * SEGMENT_BYTES
        await beside.compaction.end()

    play(body)


def test_a_snapshot_of_jobs_that_have_gone_counts_as_what_could_be_saved():
    """Little was written since, but it said that they are gone."""
    life = Life()
    for _ in range(300):
        added(life.engine, life.fresh(), OPTIONS, payload=bytes(4000))
        life.keep()
    churn(life, 1)

    async def body() -> None:
        beside = Beside(life)
        await beside.begun()
        await beside.done()
        assert not beside.compaction.is_due()
        for job in list(life.engine.jobs.values())[:200]:
            life.engine.delete(job)
        life.keep()
        churn(life, SEGMENT_BYTES + 1)
        assert sum(one.size for one in life.opened.log.sealed) < beside.compaction.live_bytes / 2
        assert beside.compaction.is_due()
        await beside.compaction.end()

    play(body)


def test_what_a_job_takes_is_measured_on_the_last_snapshot():
    """That of this run, or the one from which the server has started."""
    life = Life()
    for _ in range(300):
        added(life.engine, life.fresh(), OPTIONS, queue=b"n" * 250)
    life.keep()
    churn(life, 9 * 300 * 128)

    async def body() -> None:
        beside = Beside(life)
        guessed = beside.compaction.live_bytes
        await beside.begun()
        await beside.done()
        size = beside.compaction.disk_bytes
        assert guessed < 0.7 * size
        assert abs(beside.compaction.live_bytes - size) < 2 * SNAPSHOT_BYTES_MIN
        await beside.compaction.end()
        again = Beside(life, snapshot=Reading(life.disk).snapshot).compaction
        assert again.live_bytes == beside.compaction.live_bytes
        assert again.disk_bytes == size
        await again.end()

    play(body)


# --- what becomes of it ---------------------------------------------------------------------


def test_a_run_that_fails_is_told_once_and_tried_again_later_each_time(told):
    """After twice the time; what it left is removed, and the log is as it was."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)
    names = life.disk.names()

    async def body() -> None:
        beside = Beside(life)
        beside.complaint = "something is wrong"
        await beside.begun(3)
        beside.worker.run()
        assert life.disk.names() == names
        beside.complaint = ""
        await beside.begun(4)
        await beside.done()
        await beside.compaction.end()

    play(body)
    failures = [fields for message, fields in told() if message.endswith("failed")]
    assert failures == [
        {"reason": "something is wrong", "again_in_ms": delay_ms} for delay_ms in (2, 4, 8)
    ]
    assert told()[-1][0] == "command log compacted"


def test_waiting_for_the_next_try_has_a_bound(monkeypatch, told):
    """It is ten minutes, however often it has failed and however long the interval is."""
    monkeypatch.setattr(module, "COMPACTION_RETRY_MS_MAX", 3)
    life = churned(4 * SNAPSHOT_BYTES_MIN)

    async def body() -> None:
        beside = Beside(life)
        beside.complaint = "wrong"
        await beside.begun(5)
        beside.worker.run()
        await beside.compaction.end()

    play(body)
    waits = [fields["again_in_ms"] for _, fields in told() if "again_in_ms" in fields]
    assert waits == [2, 3, 3, 3, 3]


def test_a_failed_run_comes_again_as_soon_as_the_disk_has_room(monkeypatch):
    """That was the reason, most likely; and the log has grown meanwhile."""
    monkeypatch.setattr(module, "COMPACTION_LOOK_MS", 1)
    life = churned(4 * SEGMENT_BYTES)
    log = life.opened.log
    full = False

    def fill(name: str, _: int) -> None:
        if full and name == "preallocate":
            raise OSError(errno.ENOSPC, "No space left on device")

    life.disk.before = fill

    async def body() -> None:
        nonlocal full
        beside = Beside(life, HOUR_MS)
        beside.complaint = "no room"
        await beside.begun()
        full = True
        churn(life, 1)
        assert log.full
        beside.worker.run()
        looks = Counter[bool]()
        real: Any = vars(type(log))["full"].fget

        def looked(self: DirectoryLog) -> bool:
            found = bool(real(self))
            looks[found] += 1
            return found

        monkeypatch.setattr(type(log), "full", property(looked))
        await until(lambda: looks[True] > 3)
        assert len(beside.runs) == 1
        full, beside.complaint = False, ""
        log.tick(0)
        life.opened.worker.run()
        await beside.begun(2)
        await beside.done()
        await beside.compaction.end()

    play(body)


def test_damage_in_a_sealed_segment_is_an_error_that_says_what_to_do(told, caplog):
    """The server lives on; but nobody should find out at its next start."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        beside.damaged = True
        beside.complaint = "000000001.log, byte 64: it is damaged"
        await beside.begun()
        beside.worker.run()
        await beside.compaction.end()

    play(body)
    message, fields = told()[-1]
    assert message == "the command log is damaged: run workq cmdlog check now"
    assert fields["reason"] == "000000001.log, byte 64: it is damaged"
    assert caplog.records[-1].levelname == "ERROR"


def test_need_does_not_make_a_failed_run_come_again_sooner(monkeypatch):
    """It would fail again, and read the whole log for it."""
    monkeypatch.setattr(module, "COMPACTION_LOOK_MS", 1)
    life = churned(4 * SEGMENT_BYTES)

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        beside.complaint = "wrong"
        await beside.begun()
        beside.worker.run()
        assert beside.compaction.is_due(pressing=True)
        looks = 0

        def look(delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
            nonlocal looks
            looks += 1
            return later(delay, call)

        loop = asyncio.get_running_loop()
        later = loop.call_later
        monkeypatch.setattr(loop, "call_later", look)
        await until(lambda: looks > 3)
        assert len(beside.runs) == 1
        await beside.compaction.end()

    play(body)


@pytest.mark.parametrize("call", ["sync", "rename", "sync_names", "remove"])
def test_a_disk_that_fails_the_lock_holders_own_steps_is_the_end(call):
    """As it is with every other step of the log; after a restart all is there."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)
    expected = dump.digest(life.engine)

    async def body() -> None:
        beside = Beside(life)
        await beside.begun()
        run = beside.runs[0]
        compacted = run.run

        def then_fail() -> None:
            compacted()

            def fail(name: str, _: int) -> None:
                if name == call:
                    raise OSError(errno.EIO, "Input/output error")

            life.disk.before = fail

        run.run = then_fail  # type: ignore[method-assign]
        await beside.done()
        assert len(beside.reasons) == 1
        assert "Input/output error (errno 5)" in beside.reasons[0]
        await beside.compaction.end()

    play(body)
    life.disk.before = lambda name, number: None
    assert dump.digest(read_back(life.disk)) == expected


def rewritten(life: Life, number: int, position: int) -> None:
    """Write the snapshot again, whole, but for another position; or, if that is the same, with
    another digest in its head."""
    whole = verify(life.disk, number, unfinished=True)
    head = read_head("", number, whole.head)
    if position == whole.position:
        head = head._replace(digest=bytes(16))
    bodies: list[tuple[int, bytes]] = []
    verify(life.disk, number, True, lambda part: bodies.append((part.records, part.body)))
    writer = SnapshotWriter(
        life.disk, number, whole.mark, whole.epoch, position, whole.hash, 0, head.pack()
    )
    for records, body in bodies:
        writer.part(records, body)
    writer.end()


@pytest.mark.parametrize("fault", ["damaged", "other", "older", "gone", "full"])
def test_a_snapshot_that_cannot_be_published_is_no_harm(fault, told):
    """It is not whole, has other records than its head says, or stands for less, is not there, or
    has no room: the old files stay, and it is tried again."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)
    expected = dump.digest(life.engine)

    def fail(name: str, _: int) -> None:
        if name == "rename":
            raise OSError(errno.ENOSPC, "No space left on device")

    async def body() -> None:
        beside = Beside(life)
        await beside.begun()
        run = beside.runs[0]
        compacted = run.run

        def then_spoil() -> None:
            compacted()
            name = f"{run.number:09d}.snap.tmp"
            if fault == "damaged":
                life.disk.files[name].now[100] ^= 1
            elif fault == "other":
                rewritten(life, run.number, run.position)
            elif fault == "older":
                rewritten(life, run.number, run.position - 1)
            elif fault == "gone":
                life.disk.remove(name)
            else:
                life.disk.before = fail

        run.run = then_spoil  # type: ignore[method-assign]
        await beside.done()
        assert dump.digest(read_back(life.disk)) == expected
        assert not beside.reasons
        life.disk.before = lambda name, number: None
        await beside.begun(2)
        await beside.done()
        await beside.compaction.end()

    play(body)
    assert [message for message, _ in told()].count("compaction of the command log failed") == 1
    assert dump.digest(read_back(life.disk)) == expected


def test_the_end_of_the_server_ends_the_run_and_waits_for_that(told):
    """Nothing may be removed any more once the lock is given back; and nothing is told of it."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)

    async def body() -> None:
        beside = Beside(life)
        await beside.begun()
        end = asyncio.create_task(beside.compaction.end())
        await until(lambda: beside.runs[0].ended)
        assert not end.done()
        await beside.done()
        await end
        assert beside.compaction.run is None

    play(body)
    assert [message for message, _ in told()] == ["compacting the command log"]
    assert not any(".snap" in name for name in life.disk.names())


def test_a_replaced_file_that_cannot_be_removed_for_want_of_room_is_left(monkeypatch):
    """The snapshot is published, and what it replaced is not missed."""
    monkeypatch.setattr(module, "COMPACTION_LOOK_MS", 1)
    life = churned(4 * SNAPSHOT_BYTES_MIN)
    removed = 0

    def fail(name: str, _: int) -> None:
        nonlocal removed
        removed += name == "remove"
        if name == "remove" and removed > 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        await beside.begun()
        life.disk.before = fail
        await beside.done()
        assert life.opened.log.sealed == []
        life.disk.before = lambda name, number: None
        for _ in range(3):
            beside.worker.run()
            await asyncio.sleep(0.002)
        assert beside.reasons == []
        await beside.compaction.end()

    play(body)
    assert dump.digest(read_back(life.disk)) == dump.digest(life.engine)


# --- while nothing is compacted, and while it takes long ------------------------------------


@pytest.mark.parametrize("kind", ["sealed", "written", "next", "snapshot"])
def test_a_file_that_was_removed_or_renamed_is_the_end(kind, monkeypatch):
    """Nobody reads it before the next start, which it would refuse."""
    monkeypatch.setattr(module, "COMPACTION_LOOK_MS", 1)
    life = churned(4 * SNAPSHOT_BYTES_MIN)

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        await beside.begun()
        await beside.done()
        churn(life, 1)
        log = life.opened.log
        names = {"sealed": 0, "written": 1, "next": 2}
        name = f"{life.number - 1:09d}.snap"
        if kind != "snapshot":
            name = log.names()[names[kind]]
        for _ in range(3):
            beside.worker.run()
            await asyncio.sleep(0.002)
        assert not beside.reasons
        life.disk.rename(name, "elsewhere")
        while not beside.reasons:
            beside.worker.run()
            await asyncio.sleep(0)
        assert f"/{name} was removed or renamed while it was in use" in beside.reasons[0]
        assert "workq cmdlog repair" in beside.reasons[0]
        await beside.compaction.end()

    play(body)


def test_many_short_segments_are_compacted_however_little_they_hold(monkeypatch):
    """Each start leaves one, and a service manager may start a server all night."""
    monkeypatch.setattr(module, "SHORT_SEGMENTS_MAX", 5)
    life = Life()
    for _ in range(10):
        life.fill_segment()

    async def body() -> None:
        log = life.opened.log
        compaction = Beside(life).compaction
        assert not compaction.is_due()
        log.sealed += [Sealed(100 + number, 144, log.position) for number in range(5)]
        assert compaction.is_due(pressing=True)
        await compaction.end()

    play(body)


def test_a_compaction_that_takes_long_is_told_of_now_and_then(monkeypatch, told):
    """Its process may stand still, and nobody would see why the log grows."""
    monkeypatch.setattr(module, "COMPACTION_LOOK_MS", 1)
    monkeypatch.setattr(module, "COMPACTION_LONG_MS", 5)
    life = churned(4 * SNAPSHOT_BYTES_MIN)

    async def body() -> None:
        beside = Beside(life, HOUR_MS)
        await beside.begun()
        await until(lambda: len(told()) == 3)
        message, fields = told()[-1]
        assert message == "compacting the command log takes long, and it grows meanwhile"
        assert fields["process"] == beside.runs[0].pid
        await beside.done()
        await beside.compaction.end()

    play(body)


def test_what_a_crash_left_of_replaced_files_is_removed_at_the_start(tmp_path):
    """They are not read, but they take room until the next compaction."""
    life = churned(4 * SNAPSHOT_BYTES_MIN)
    number = life.number
    compact(life.disk, number, life.position)
    name = f"{number:09d}.snap"
    life.disk.rename(f"{name}.tmp", name)  # as far as it had come
    path = laid_out(life.disk, tmp_path / "log")
    assert len(RealDisk(path).names()) > 4
    storage = load_storage(load([f"--cmdlog-path={path}"], {}), Notifier({}))
    assert dump.digest(storage.engine) == dump.digest(life.engine)
    names = RealDisk(path).names()
    assert names[0] == f"{number:09d}.log"
    assert names[1:] == [f"{number:09d}.snap"]
