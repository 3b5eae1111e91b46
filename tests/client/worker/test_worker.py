"""What becomes of jobs, and how a worker begins and ends; for handlers in threads and as tasks."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from workq_client import (
    JSON,
    AsyncClient,
    Client,
    InvalidRequest,
    LeaseLost,
    NewJob,
    Reject,
    Retry,
    State,
    TimedOut,
    Work,
    Worker,
)
from workq_client.limits import (
    CONCURRENCY_MAX,
    FAILURE_CHARACTERS_MAX,
    LEASE_QUEUES_MAX,
    RETRY_AFTER_MAX_S,
)
from workq_client.testing import Server
from workq_client.worker import keeping, leasing, report

from tests.client.worker.conftest import PATIENCE_S


def outcome(client, job_id):
    """Whether a job has succeeded, and its result."""
    result = client.result(job_id, wait=PATIENCE_S)
    return result.success, result.data


# --- what handlers take and give -----------------------------------------------------------------


def test_a_handler_takes_the_payload_and_what_it_returns_is_the_result(bench, client):
    """And None is no result."""
    worker = bench.worker()
    shout = worker.job("shout")(bench.form(lambda payload: payload.upper() or None))
    with worker.running():
        assert outcome(client, shout.add(client, b"hello")) == (True, b"HELLO")
        assert outcome(client, shout.add(client)) == (True, b"")


def test_payloads_and_results_go_through_the_codec(bench, server):
    """In both directions."""
    worker = bench.worker(codec=JSON)
    add = worker.job("sum")(bench.form(lambda numbers: {"sum": sum(numbers)}))
    with worker.running(), Client(server.url, codec=JSON) as client:
        assert client.result(add.add(client, [1, 2]), wait=PATIENCE_S).value == {"sum": 3}


def test_a_handler_may_take_the_job(bench, client):
    """With the payload or without, in any order."""
    worker = bench.worker()
    seen: list[Any] = []

    def both(payload: bytes, work: Work) -> None:
        seen.append((payload, work.payload, work.value, work.id, work.queue, work.attempt))

    def other(work: Work, payload: bytes) -> None:
        seen.append((payload, work.lost, work.deadline))

    handlers = [worker.job("both")(bench.form(both)), worker.job("other")(bench.form(other))]
    handlers.append(worker.job("none")(bench.form(lambda: b"nothing")))
    with worker.running():
        ids = [handler.add(client, b"x") for handler in handlers]
        assert [outcome(client, one)[1] for one in ids] == [b"", b"", b"nothing"]
    assert (b"x", b"x", b"x", ids[0], "both", 1) in seen
    assert (b"x", False, None) in seen


def test_a_handler_knows_its_deadline(bench, client):
    """By the clock on the wall."""
    worker = bench.worker()
    seen: list[Any] = []

    def film(work: Work) -> None:
        seen.append(work.deadline)

    handler = worker.job("films", timeout=100)(bench.form(film))
    begun = datetime.now(UTC)
    with worker.running():
        outcome(client, handler.add(client))
    assert timedelta(seconds=99) < seen[0] - begun < timedelta(seconds=120)


def test_a_handler_is_still_the_function_it_was(bench, client):
    """So it can be tested as one, and makes jobs for itself."""
    worker = Worker()
    handler = worker.job("q", ttr=30, max_fails=5, retry_delay=2)(lambda payload: payload + b"!")
    assert handler(b"x") == b"x!"
    assert handler.new(b"x", priority=3) == NewJob(
        queue="q", payload=b"x", ttr=30, max_fails=5, retry_delay=2, priority=3
    )
    info = client.inspect_job(handler.add(client, b"x", max_fails=2))
    assert (info.ttr, info.max_fails, info.retry_delay) == (30, 2, 2)

    async def add() -> str:
        async with AsyncClient(client.url) as other:
            return await handler.add(other, b"y")

    assert client.inspect_job(asyncio.run(add())).payload == b"y"


# --- failures ------------------------------------------------------------------------------------


def test_an_exception_is_a_failure_with_a_short_text(bench, client, caplog):
    """And a traceback in the log, with the job's id."""
    worker = bench.worker()

    def fail(payload):
        raise ValueError("x" * 5000)

    handler = worker.job("q")(bench.form(fail))
    with worker.running():
        job_id = handler.add(client)
        success, text = outcome(client, job_id)
    assert not success
    assert text.startswith(b"ValueError: xxx")
    assert len(text.decode()) == FAILURE_CHARACTERS_MAX
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert job_id in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_no_exception_of_a_handler_ends_the_worker(bench, client, error):
    """Not even those that are made for it."""
    worker = bench.worker()

    def fail(payload):
        if payload == b"x":
            raise error

    handler = worker.job("q")(bench.form(fail))
    with worker.running():
        success, text = outcome(client, handler.add(client, b"x"))
        assert not success
        assert text.startswith(type(error).__name__.encode())
        assert outcome(client, handler.add(client, b"y")) == (True, b"")


def test_retries_run_for_a_month(bench, server, client):
    """Each at its own time: the job is held back for as long as the handler said."""
    worker = bench.worker()
    times: list[datetime] = []

    def mail(payload):
        times.append(server.now)
        if len(times) < 200:
            raise Retry("the mailbox is full", after=timedelta(hours=3))
        return b"sent"

    handler = worker.job("mails", ttl=timedelta(days=60), max_fails=255)(bench.form(mail))
    with worker.running():
        job_id = handler.add(client, b"hello")
        server.advance(days=30, patience=PATIENCE_S)
        assert outcome(client, job_id) == (True, b"sent")
    waits = {later - earlier for earlier, later in pairwise(times)}
    assert all(timedelta(hours=3) <= one < timedelta(hours=3, seconds=20) for one in waits)


@pytest.mark.parametrize("after", [-1, "soon", RETRY_AFTER_MAX_S + 1])
def test_a_retry_after_no_time_is_a_failure_like_any_other(bench, client, after):
    """What is wrong with it is the result."""
    worker = bench.worker()

    def fail(payload):
        raise Retry(after=after)

    handler = worker.job("q")(bench.form(fail))
    with worker.running():
        success, text = outcome(client, handler.add(client))
    assert not success
    assert text.startswith(b"InvalidRequest: after is ")


def test_a_worker_says_at_its_start_what_it_takes(bench, client, caplog):
    """Who started it in a terminal would see nothing else."""
    caplog.set_level(logging.INFO, "workq_client.worker")
    worker = bench.worker(concurrency=3)
    worker.job("mails")(bench.form(lambda payload: payload))
    worker.job("films")(bench.form(lambda payload: payload))
    with worker.running():
        pass
    told = f"takes jobs from mails, films at {client.url}, 3 at a time ({bench.pool})"
    assert caplog.messages[0] == told


class Unspeakable(Exception):
    """Cannot be told."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Broken:
    """A codec with a mistake of its own, and of a kind that nobody thinks of."""

    def encode(self, value: Any, /) -> bytes:
        """Does not."""
        raise SystemExit("broken")

    def decode(self, data: bytes, /) -> Any:
        """Does not."""
        raise SystemExit("broken")


def test_nothing_around_a_handler_costs_its_place(bench, server, client):
    """Neither an exception that cannot be told nor a codec that ends programs."""
    worker = bench.worker(concurrency=1)

    def fail(payload):
        raise Unspeakable

    handler = worker.job("q")(bench.form(fail))
    with worker.running():
        for _ in range(3):
            assert outcome(client, handler.add(client)) == (
                False,
                b"Unspeakable: (it cannot be told)",
            )
    with worker.running(codec=Broken()):
        for _ in range(3):
            assert outcome(client, handler.add(client)) == (False, b"SystemExit: broken")


def test_what_is_rejected_is_not_tried_again(bench, client):
    """However often the job may fail."""
    worker = bench.worker()

    def reject(payload):
        raise Reject("no such photo")

    handler = worker.job("q", max_fails=5)(bench.form(reject))
    with worker.running():
        assert outcome(client, handler.add(client)) == (False, b"no such photo")


def test_a_payload_that_cannot_be_read_has_failed_for_good(bench, client):
    """The handler is not called."""
    worker = bench.worker(codec=JSON)
    worker.job("q")(bench.form(lambda payload: "called"))
    with worker.running():
        success, text = outcome(client, client.add("q", b"{", max_fails=5))
    assert not success
    assert text.startswith(b"the payload cannot be read: ")


@pytest.mark.parametrize("value", ["text", b"x" * (1024 * 1024 + 1)])
def test_a_result_that_cannot_be_sent_is_a_failure_for_good(bench, client, value):
    """The codec does not take it, or it is too large."""
    worker = bench.worker()
    handler = worker.job("q", max_fails=5)(bench.form(lambda payload: value))
    with worker.running():
        success, text = outcome(client, handler.add(client))
    assert not success
    assert b"the result" in text


# --- leases --------------------------------------------------------------------------------------


def test_a_lease_is_renewed_for_as_long_as_the_handler_runs(bench, client):
    """Also if that lets nobody else have its thread or its loop."""
    worker = bench.worker()
    handler = worker.job("q", ttr=0.3)(bench.form(lambda payload: time.sleep(0.8)))
    with worker.running():
        job_id = handler.add(client)
        assert outcome(client, job_id) == (True, b"")
    assert client.inspect_job(job_id).timeouts == 0


def test_a_lease_is_renewed_to_what_the_handler_says(bench, client, gate):
    """And not to the job's own time."""
    worker = bench.worker()
    worker.job("q", ttr=3600)(gate.handler())
    with worker.running():
        job_id = client.add("q", b"x", ttr=0.2)
        gate.wait()
        while client.stats()["total-touched"] == 0:
            time.sleep(0.005)
        gate.opened.set()
        assert outcome(client, job_id) == (True, b"x")
    assert client.stats()["total-touched"] == 1


def test_a_lost_lease_ends_its_handler_and_nothing_is_reported(bench, server, client, gate):
    """Somebody else may have the job: here the same worker, again."""
    worker = bench.worker()
    handler = worker.job("q", ttr=0.6)(gate.handler())
    with worker.running():
        job_id = handler.add(client, b"x")
        gate.wait()
        server.advance(seconds=1)
        gate.wait()
        while not gate.ended:
            time.sleep(0.005)
        gate.opened.set()
        assert outcome(client, job_id) == (True, b"x")
    assert type(gate.ended[0]).__name__ in ("Interrupted", "CancelledError")
    assert client.inspect_job(job_id).attempts == 2


def test_touch_says_that_the_lease_is_lost(server, client, caplog):
    """To a handler that goes on all the same."""
    worker = Worker(server.url, concurrency=1)
    told = []
    begun = threading.Event()

    @worker.job("q", ttr=0.3)
    def go_on(work: Work) -> None:
        while work.attempt == 1:
            begun.set()
            try:
                work.touch()
                time.sleep(0.005)
            except LeaseLost as error:
                told.append((error, work.lost))
                return
            except BaseException:
                continue

    with worker.running():
        job_id = go_on.add(client)
        assert begun.wait(PATIENCE_S)
        server.advance(seconds=5)
        assert outcome(client, job_id) == (True, b"")
    assert [lost for _, lost in told] == [True]
    assert "too late" not in caplog.text


def test_jobs_that_do_not_begin_soon_are_given_back(bench, client, gate, monkeypatch):
    """A worker takes more than it can do if it was fast; then one job takes long, and another
    worker may do the rest."""
    monkeypatch.setattr(leasing, "PREFETCH_S", 1000.0)
    monkeypatch.setattr(keeping, "PREFETCHED_MAX_S", 0.05)
    worker = bench.worker(concurrency=1)
    worker.job("quick")(bench.form(lambda payload: None))
    worker.job("slow")(gate.handler())
    with worker.running():
        for _ in range(3):
            outcome(client, client.add("quick"))
            time.sleep(0.11)
        slow = [client.add("slow", b"x") for _ in range(3)]
        gate.wait()
        until = time.monotonic() + PATIENCE_S
        while client.inspect_queue("slow").ready < 2:
            assert time.monotonic() < until
            time.sleep(0.005)
        gate.opened.set()
        for one in slow:
            outcome(client, one)


# --- time limits ---------------------------------------------------------------------------------


def test_a_time_limit_interrupts_a_handler(bench, client, gate):
    """Which has failed then; its place is free again."""
    worker = bench.worker(concurrency=1)
    handler = worker.job("q", timeout=0.1)(gate.handler())
    with worker.running():
        assert outcome(client, handler.add(client)) == (False, b"TimeLimit: not done within 0.1 s")
        gate.opened.set()
        assert outcome(client, handler.add(client, b"x")) == (True, b"x")


def test_an_interruption_hits_nothing_but_its_handler(client, server):
    """A limit that is over when the handler just ends: nothing else is hurt, however often."""
    worker = Worker(server.url, concurrency=4)
    monitored = worker.job("q", timeout=0.05)(lambda payload: time.sleep(0.05))
    with worker.running():
        ids = [monitored.add(client) for _ in range(60)]
        for one in ids:
            success, text = outcome(client, one)
            assert success or text.startswith(b"TimeLimit")
        assert outcome(client, client.add("q"))[1] in (b"", b"TimeLimit: not done within 0.05 s")


def test_a_handler_that_does_not_end_loses_its_place_to_another(bench, client, monkeypatch, caplog):
    """And this is said loudly."""
    monkeypatch.setattr(keeping, "INTERRUPTED_S", 0.1)
    worker = bench.worker(concurrency=1)
    open_it = threading.Event()

    def stubborn(payload):
        while not open_it.is_set():
            try:
                time.sleep(0.005)
            except BaseException:
                continue

    async def stubborn_task(payload):
        while not open_it.is_set():
            try:
                await asyncio.sleep(0.005)
            except BaseException:
                continue

    handler = worker.job("q", timeout=0.05)(stubborn_task if bench.pool == "tasks" else stubborn)
    other = worker.job("other")(bench.form(lambda payload: b"done"))
    with worker.running():
        success, text = outcome(client, handler.add(client))
        assert (success, text) == (False, b"TimeLimit: not done within 0.05 s")
        assert outcome(client, other.add(client)) == (True, b"done")
        open_it.set()
    assert "does not end" in caplog.text


# --- middleware and hooks ------------------------------------------------------------------------


def test_middleware_wraps_calls_the_first_outermost(bench, client):
    """It sees the job, and may change what comes of it."""
    worker = bench.worker()
    order = []

    def around(name):
        def plain(work: Work, call):
            order.append((name, work.queue))
            return call() + name

        async def task(work: Work, call):
            order.append((name, work.queue))
            return await call() + name

        return task if bench.pool == "tasks" else plain

    worker.middleware(around(b"1"))
    worker.middleware(around(b"2"))
    handler = worker.job("q")(bench.form(lambda payload: payload))
    with worker.running():
        assert outcome(client, handler.add(client, b"x")) == (True, b"x21")
    assert order == [(b"1", "q"), (b"2", "q")]


def test_middleware_of_the_other_form_is_warned_of(bench, caplog):
    """It would be around nothing."""
    worker = bench.worker()

    def plain(work, call):
        return call()

    async def task(work, call):
        return await call()

    worker.middleware(plain if bench.pool == "tasks" else task)
    worker.job("q")(bench.form(lambda payload: None))
    with worker.running():
        pass
    assert "no middleware is around <handler of q" in caplog.text


def test_hooks_are_called_before_the_first_job_and_behind_the_last(bench, client):
    """In the thread that runs the worker, or its loop."""
    worker = bench.worker()
    order = []
    worker.on_start(lambda: order.append("start"))
    if bench.pool == "tasks":

        @worker.on_stop
        async def stop() -> None:
            await asyncio.sleep(0)
            order.append("stop")
    else:
        worker.on_stop(lambda: order.append("stop"))
    handler = worker.job("q")(bench.form(lambda payload: order.append("job")))
    with worker.running():
        outcome(client, handler.add(client))
    assert order == ["start", "job", "stop"]


def test_a_hook_that_fails_ends_the_worker_before_it_begins(bench, caplog):
    """With its exception, which the log shows the place of."""
    worker = bench.worker()
    worker.job("q")(bench.form(lambda payload: None))

    @worker.on_start
    def fail() -> None:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"), worker.running():
        pass
    assert 'raise OSError("no database")' in caplog.text


# --- the end -------------------------------------------------------------------------------------


def ended(worker, **changes):
    """Run a worker in a thread; return that, and where its status will be."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(worker.run(**changes)))
    thread.start()
    return thread, statuses


def test_a_worker_that_stops_finishes_what_runs_and_gives_back_the_rest(bench, client, gate):
    """Then its status is 0."""
    worker = bench.worker(concurrency=1)
    worker.job("q")(gate.handler())
    thread, statuses = ended(worker)
    job_id = client.add("q", b"x")
    gate.wait()
    later = client.add("q", b"y")
    worker.stop()
    gate.opened.set()
    thread.join(PATIENCE_S)
    assert statuses == [0]
    assert outcome(client, job_id) == (True, b"x")
    assert client.inspect_job(later).state in (State.NEW, State.PENDING, State.COMPLETED)


def test_a_job_that_comes_when_the_worker_stops_is_given_back(bench, client):
    """Its lease was on its way. That is no reason to end with anything but 0."""
    worker = bench.worker()
    worker.job("q")(bench.form(lambda payload: payload))
    for _ in range(3):
        thread, statuses = ended(worker)
        until = time.monotonic() + PATIENCE_S
        while not client.stats()["waiting"]:
            assert time.monotonic() < until
            time.sleep(0.002)
        worker.stop()
        job_id = client.add("q", b"x")
        thread.join(PATIENCE_S)
        assert statuses == [0]
        assert (client.inspect_job(job_id).state, client.inspect_job(job_id).attempts) == (0, 0)
        client.delete(job_id)


@pytest.mark.parametrize("at_once", [False, True])
def test_what_does_not_finish_is_interrupted_and_given_back(bench, client, gate, at_once):
    """When the time for that is over, or at once if the worker has to stop now. The attempt does
    not count."""
    worker = bench.worker(shutdown_timeout=3600 if at_once else 0.05)
    worker.job("q")(gate.handler())
    thread, statuses = ended(worker)
    job_id = client.add("q", b"x")
    gate.wait()
    worker.stop(at_once=at_once)
    thread.join(PATIENCE_S)
    assert statuses == [1]
    info = client.inspect_job(job_id)
    assert (info.state, info.attempts, info.fails) == (State.NEW, 0, 0)
    assert len(gate.ended) == 1


def test_a_paused_worker_takes_nothing_until_it_is_resumed(bench, client):
    """What it was about to take is done still."""
    worker = bench.worker()
    handler = worker.job("q")(bench.form(lambda payload: payload))
    with worker.running():
        outcome(client, handler.add(client, b"x"))
        worker.pause()
        while client.stats()["waiting"]:
            time.sleep(0.005)
        job_id = handler.add(client, b"y")
        assert client.inspect_job(job_id).state is State.NEW
        worker.resume()
        assert outcome(client, job_id) == (True, b"y")


# --- a server that comes and goes ----------------------------------------------------------------


def test_a_result_is_reported_when_the_server_is_back(bench, server, client, gate):
    """It was not there when the handler ended."""
    worker = bench.worker()
    handler = worker.job("q", ttr=600)(gate.handler())
    with worker.running():
        job_id = handler.add(client, b"x")
        gate.wait()
        with server.away():
            gate.opened.set()
            time.sleep(0.3)
        assert outcome(client, job_id) == (True, b"x")


def test_a_result_that_cannot_be_reported_is_told_of_loudly(
    bench, server, client, gate, monkeypatch, caplog
):
    """With the job's id and its size; the worker goes on."""
    monkeypatch.setattr(report, "REPORT_PATIENCE_S", 0.0)
    worker = bench.worker()
    handler = worker.job("q", ttr=600)(gate.handler())
    with worker.running():
        job_id = handler.add(client, b"12345")
        gate.wait()
        with server.away():
            gate.opened.set()
            while "could not be reported" not in caplog.text:
                time.sleep(0.01)
        assert outcome(client, handler.add(client, b"x")) == (True, b"x")
    assert f"complete of job {job_id} of q" in caplog.text
    assert "5 bytes are lost" in caplog.text


def test_a_result_for_which_there_is_no_room_is_tried_again():
    """Until there is."""
    with Server(max_memory_bytes=20_000) as server, Client(server.url) as client:
        worker = Worker(server.url, concurrency=2)
        big = worker.job("big", ttr=600)(lambda payload: b"x" * 20_000)
        others = [client.add("other", b"x" * 5_000) for _ in range(3)]
        with worker.running():
            job_id = big.add(client)
            with pytest.raises(TimedOut):
                client.result(job_id, wait=0.5)
            for other in others:
                client.delete(other)
            assert len(client.result(job_id, wait=PATIENCE_S).check().data) == 20_000


def test_the_result_of_a_job_that_is_gone_is_warned_of(bench, client, gate, caplog):
    """It was deleted meanwhile."""
    worker = bench.worker()
    handler = worker.job("q", ttr=600)(gate.handler())
    with worker.running():
        job_id = handler.add(client, b"12345")
        gate.wait()
        client.delete(job_id)
        gate.opened.set()
        while "comes too late" not in caplog.text:
            time.sleep(0.005)
    assert job_id in caplog.text


# --- what cannot be ------------------------------------------------------------------------------


def test_what_cannot_work_is_refused_before_it_begins(server):
    """With words that say what to do."""
    with pytest.raises(InvalidRequest, match="no handlers"):
        Worker(server.url).run()
    with pytest.raises(InvalidRequest, match="pool is 'greenlets'"):
        Worker(pool="greenlets")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="concurrency"):
        Worker(concurrency=0)
    for pool, most in CONCURRENCY_MAX.items():
        Worker(pool=pool, concurrency=most)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match=f"pool='{pool}' it is from 1 to {most}"):
            Worker(pool=pool, concurrency=most + 1)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="prefetch"):
        Worker(prefetch=-1)

    tasks = Worker(pool="tasks")
    tasks.job("q")(lambda payload: None)
    with pytest.raises(InvalidRequest, match="async def"):
        tasks.run()
    with pytest.raises(InvalidRequest, match="two handlers"):
        tasks.job("q")(lambda payload: None)
    with pytest.raises(InvalidRequest, match="takes 2 arguments"):
        tasks.job("other")(lambda first, second: None)
    with pytest.raises(InvalidRequest, match="more time than none"):
        tasks.job("other", timeout=0)(lambda payload: None)

    local = Worker(pool="processes")
    local.job("q")(lambda payload: None)
    with pytest.raises(InvalidRequest, match="global variable"):
        local.run()

    crowded = Worker()
    for number in range(LEASE_QUEUES_MAX + 1):
        crowded.job(f"q{number}")(lambda payload: None)
    with pytest.raises(InvalidRequest, match=f"{LEASE_QUEUES_MAX} queues"):
        crowded.run()


def test_who_only_hands_jobs_in_does_not_load_the_worker():
    """Nor ctypes, multiprocessing and what else it takes."""
    code = (
        "import sys, workq_client; assert 'workq_client.worker' not in sys.modules; "
        "from workq_client import Worker; assert 'multiprocessing' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
