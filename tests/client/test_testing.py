"""What users of the client get for their own tests: a real server whose clock jumps."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from io import BufferedReader
from operator import attrgetter
from pathlib import Path

import pytest
from workq_client import Client
from workq_client.testing import Server

from tests.talk import NOT_FOUND, OK, TIMEOUT, add, complete, job_id, result, told

pytest_plugins = ["pytester"]

CLIENT = Path(__file__).parents[2] / "clients" / "python"
MIDNIGHT = datetime(2030, 1, 1, tzinfo=UTC)

#: For what happens in another thread; no test here takes as long unless something hangs.
PATIENCE_S = 20


class Peer:
    """A client on a bare socket: nothing is read unasked.

    Args:
        server: where to connect to.
    """

    def __init__(self, server: Server) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)

    def send(self, text: str) -> None:
        """Send a text."""
        self.sock.sendall(text.encode())

    def read(self, size: int) -> str:
        """Read as much, or what there is until the end."""
        data = b""
        while len(data) < size and (piece := self.sock.recv(size - len(data))):
            data += piece
        return data.decode()

    def expect(self, text: str) -> None:
        """Read a text, and nothing else."""
        assert self.read(len(text)) == text

    def ask(self, request: str, reply: str) -> None:
        """Send a request and read its reply."""
        self.send(request)
        self.expect(reply)

    def silent(self) -> bool:
        """Whether nothing has come that is not read."""
        self.sock.setblocking(False)
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)

    def ended(self) -> bool:
        """Whether the server has closed the connection, or does so now."""
        try:
            return not self.read(1)
        except ConnectionResetError:
            return True

    def stats(self) -> dict[str, int]:
        """What `stats` shows."""
        self.send("stats\r\n")
        self.expect("+OK 1\r\nstats ")
        with self.sock.makefile("rb", buffering=0) as lines:
            count = int(lines.readline())
            pairs = [lines.readline().decode().split() for _ in range(count)]
        return {name: int(value) for name, value in pairs if value.isdigit()}

    def state(self, number: int) -> str:
        """What state a job is in, from `inspect job`."""
        return self.shown(number)["state"]

    def shown(self, number: int) -> dict[str, str]:
        """What `inspect job` shows of a job, but for its payload and result."""
        self.send(f"inspect job {job_id(number)}\r\n")
        self.expect("+OK 1\r\n")
        with self.sock.makefile("rb", buffering=0) as lines:
            count = int(lines.readline().split()[1])
            pairs = [lines.readline().decode().split() for _ in range(count)]
        return {pair[0]: pair[-1] for pair in pairs}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server at midnight of 1 January 2030."""
    with Server(now=MIDNIGHT) as running:
        yield running


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    """A client of it."""
    with connected(server) as one:
        yield one


@contextmanager
def connected(server: Server) -> Iterator[Peer]:
    """One more client."""
    peer = Peer(server)
    try:
        yield peer
    finally:
        peer.sock.close()


def since(server: Server) -> timedelta:
    """How much time has passed on a server that began at midnight, in whole minutes: what passes
    in real time does not count."""
    return (server.now - MIDNIGHT) // timedelta(minutes=1) * timedelta(minutes=1)


# --- time ---------------------------------------------------------------------------------------


def test_a_delay_is_over_when_its_time_is_and_not_before(server, peer):
    """Though nobody has waited for it."""
    peer.ask(add(1, flags=" -delay=300000"), OK)
    peer.ask("lease q 0\r\n", TIMEOUT)
    server.advance(minutes=4, seconds=30)
    peer.ask("lease q 0\r\n", TIMEOUT)
    server.advance(seconds=30)
    peer.ask("lease q 0\r\n", told(1))


def test_a_lease_runs_out_when_its_time_is_over(server, peer):
    """And its job comes back."""
    peer.ask(add(1), OK)
    peer.ask("lease q 0\r\n", told(1))
    server.advance(seconds=30)
    peer.ask("lease q 0\r\n", TIMEOUT)
    server.advance(seconds=30)
    peer.ask("lease q 0\r\n", told(1))


def test_a_job_is_gone_at_the_end_of_its_life(server, peer):
    """Its TTL is ten minutes."""
    peer.ask(add(1), OK)
    server.advance(timedelta(minutes=9, seconds=30))
    assert peer.state(1) == "0"
    server.advance(milliseconds=30_000)
    peer.ask(f"inspect job {job_id(1)}\r\n", NOT_FOUND)


def test_a_scheduled_job_is_due_by_the_virtual_calendar(server, peer):
    """The wall clock jumps too."""
    peer.ask(f"schedule {job_id(1)} q 60000 600000 2030-01-31T08:00:00Z 1\r\nx\r\n", OK)
    server.advance(days=30, hours=7, minutes=59)
    peer.ask("lease q 0\r\n", TIMEOUT)
    server.advance(minutes=1)
    peer.ask("lease q 0\r\n", told(1))
    assert since(server) == timedelta(days=30, hours=8)


@pytest.mark.parametrize("request_line", ["lease q 60000", f"result {job_id(1)} 60000"])
def test_a_wait_ends_when_its_time_is_over(server, peer, request_line):
    """And who waited has the reply when `advance` returns; before, nothing."""
    peer.ask(add(1, name="other"), OK)
    peer.send(f"{request_line}\r\n")
    server.advance(seconds=30)
    assert peer.silent()
    server.advance(seconds=30)
    assert not peer.silent()
    peer.expect(TIMEOUT)


def test_a_job_goes_to_who_waits_at_its_own_time(server, peer):
    """Ready after five minutes and leased at once, it is leased still half a minute later."""
    peer.ask(add(1, flags=" -delay=300000"), OK)
    with connected(server) as waiting:
        waiting.send("lease q 86400000\r\n")
        server.advance(minutes=5, seconds=30)
        waiting.expect(told(1))
        assert peer.state(1) == "4"
        server.advance(seconds=30)
        assert peer.state(1) == "3"


def test_a_chain_of_ends_happens_in_its_order(server, peer):
    """All in one jump. Two workers wait: the first gets the job after a minute and loses it after
    another one, so it goes to the second, which loses it too; then it has failed."""
    peer.ask(f"add {job_id(1)} q 60000 3600000 1 -delay=60000 -max-attempts=2\r\nx\r\n", OK)
    with connected(server) as first, connected(server) as second, connected(server) as asking:
        first.send("lease q 61000\r\n")
        server.advance()
        second.send("lease q 121000\r\nlease q 59000\r\nlease q 1\r\n")
        asking.send(f"result {job_id(1)} 180001\r\n")
        server.advance(minutes=3)
        first.expect(told(1))
        second.expect(told(1) + TIMEOUT + TIMEOUT)
        asking.expect(result(1, success=0))
    assert peer.shown(1)["attempts"] == "2"


def test_a_month_of_retries_needs_no_waiting(server, peer):
    """A job that fails is held back twice as long each time, up to a day. Each time the test takes
    it to the very moment."""
    flags = "-max-fails=40 -retry-delay=60000 -backoff=2 -retry-max=86400000"
    peer.ask(f"add {job_id(1)} q 60000 8640000000 1 {flags}\r\nx\r\n", OK)
    delay_ms, failures = 60_000, 0
    while since(server) < timedelta(days=30):
        peer.ask("lease q 0\r\n", told(1))
        peer.ask(f"fail {job_id(1)} 0\r\n\r\n", OK)
        failures += 1
        server.advance(milliseconds=delay_ms)
        delay_ms = min(2 * delay_ms, 86_400_000)
    assert failures == 40


def test_time_goes_on_by_itself_as_well(server, peer):
    """A wait of a few milliseconds needs no advance, before a jump or after it."""
    peer.ask("lease q 5\r\n", TIMEOUT)
    server.advance(days=1)
    peer.ask("lease q 5\r\n", TIMEOUT)
    before = server.now
    peer.ask("lease q 5\r\n", TIMEOUT)
    assert server.now - before >= timedelta(milliseconds=5)


def test_a_deadline_that_a_jump_brought_near_is_kept_without_another(server, peer):
    """The timer that was set for it would have come an hour late."""
    peer.send("lease q 3600000\r\n")
    server.advance(seconds=3599, milliseconds=990)
    peer.expect(TIMEOUT)


def test_the_time_is_told_with_its_zone(server):
    """And is what the server was started with, plus what was jumped over."""
    server.advance(days=1, hours=2, minutes=3)
    server.advance(timedelta(days=1), hours=-2)
    server.advance(3600)
    assert server.now.tzinfo is UTC
    assert since(server) == timedelta(days=2, hours=1, minutes=3)


def test_time_stands_still_for_no_one_else(server):
    """While one thread lets it pass, another may look at it, and it never steps back."""
    seen = [server.now]
    thread = threading.Thread(target=lambda: [server.advance(hours=1) for _ in range(50)])
    thread.start()
    while thread.is_alive():
        seen.append(server.now)
    thread.join()
    assert seen == sorted(seen)
    assert since(server) == timedelta(hours=50)


def test_a_server_begins_with_the_time_that_it_is():
    """If no other is given."""
    with Server() as server:
        assert abs(server.now - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_server_begins_at_a_time_of_any_zone(server):
    """It is told in UTC."""
    with Server(now=datetime(2030, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) as server:
        assert since(server) == timedelta()


@pytest.mark.parametrize(
    "now", [MIDNIGHT.replace(tzinfo=None), datetime(1969, 12, 31, tzinfo=UTC)], ids=["zone", "year"]
)
def test_a_time_that_cannot_be_is_refused(now):
    """One without a zone could be meant in any."""
    with pytest.raises(ValueError, match=r"has no time zone|before 1970"):
        Server(now=now)


@pytest.mark.parametrize("by", [timedelta(microseconds=-1), timedelta(days=3_000_000)])
def test_time_goes_neither_back_nor_beyond_the_calendar(server, by):
    """And the server is none the worse for it."""
    with pytest.raises(ValueError, match=r"does not go back|ends with the year 9999"):
        server.advance(by)
    assert since(server) == timedelta()


def test_many_jobs_end_in_one_jump(server, peer):
    """More than one turn fires."""
    for number in range(500):
        peer.send(add(number + 1))
    peer.expect(OK * 500)
    server.advance(minutes=10)
    peer.ask(f"inspect job {job_id(500)}\r\n", NOT_FOUND)


def test_what_was_sent_before_a_jump_is_done_before_it(server):
    """Also what is sent by a client that the server has not seen yet, and much of it."""
    for _ in range(20):
        with connected(server) as late:
            late.send("".join(add(number + 1, flags=" -delay=1") for number in range(200)))
            late.send("lease q 60000\r\n")
            server.advance(minutes=1)
            late.expect(OK * 200 + told(1))
            server.advance(minutes=10)


def test_half_a_request_survives_a_jump(server, peer):
    """Or it would depend on the network's mood whether a test passes."""
    peer.send("pi")
    server.advance(days=1)
    peer.ask("ng\r\n", OK)


def test_uptime_counts_the_time_that_was_jumped_over(server, peer):
    """What the server tells of itself is as if it had lived so long."""
    server.advance(hours=3)
    assert 10_800_000 <= peer.stats()["uptime-ms"] < 10_900_000


# --- workers beside it --------------------------------------------------------------------------


@contextmanager
def worker(server: Server, act: Callable[[int], str], wait_ms: int = 60_000) -> Iterator[None]:
    """Have a worker beside it, in a thread of its own.

    Args:
        server: whose worker it is.
        act: says what to answer, by the number of the attempt.
        wait_ms: how long it waits for a job before it asks anew.
    """
    peer = Peer(server)
    asked = threading.Event()

    def ask(lines: BufferedReader, request: str) -> bytes:
        peer.send(request)
        asked.set()
        return lines.readline()

    def work() -> None:
        attempt = 0
        with peer.sock, peer.sock.makefile("rb") as lines:
            while line := ask(lines, f"lease q {wait_ms}\r\n"):
                if line.startswith(b"+OK"):
                    lines.readline()
                    lines.readline()
                    attempt += 1
                    ask(lines, act(attempt))

    thread = threading.Thread(target=work)
    thread.start()
    assert asked.wait(PATIENCE_S)
    try:
        yield
    finally:
        peer.sock.shutdown(socket.SHUT_RD)
        thread.join()


FAIL = f"fail {job_id(1)} 0\r\n\r\n"


@pytest.mark.parametrize("wait_ms", [1_000, 86_400_000])
def test_a_worker_beside_it_lives_through_a_month(server, peer, wait_ms):
    """It fails every three hours until the month is over, however long it waits for jobs."""
    times = []

    def act(attempt: int) -> str:
        times.append(since(server))
        return FAIL if attempt <= 240 else complete(1, "done")

    with worker(server, act, wait_ms):
        flags = "-max-fails=255 -retry-delay=10800000"
        peer.ask(f"add {job_id(1)} q 60000 8640000000 1 {flags}\r\nx\r\n", OK)
        server.advance(days=30, patience=PATIENCE_S)
        assert times == [timedelta(hours=3 * number) for number in range(241)]
        peer.ask(f"result {job_id(1)} 0\r\n", result(1, "done"))


def test_a_worker_that_takes_long_takes_none_of_the_server_s_time(server, peer):
    """The clock stands still meanwhile: a lease of a millisecond does not run out."""

    def act(_: int) -> str:
        time.sleep(0.01)
        return complete(1, "done")

    with worker(server, act):
        peer.ask(f"add {job_id(1)} q 1 3600000 1 -delay=60000\r\nx\r\n", OK)
        server.advance(minutes=2, patience=PATIENCE_S)
    peer.ask(f"result {job_id(1)} 0\r\n", result(1, "done"))
    assert peer.shown(1)["attempts"] == "1"


def test_a_worker_that_comes_later_is_waited_for(server, peer):
    """A job that is ready has somebody who will take it, as long as patience lasts."""
    peer.ask(add(1), OK)
    advancing = threading.Thread(target=lambda: server.advance(hours=1, patience=PATIENCE_S))
    advancing.start()
    with worker(server, lambda _: complete(1, "done")):
        advancing.join()
    peer.ask(f"inspect job {job_id(1)}\r\n", NOT_FOUND)
    assert peer.stats()["total-completed"] == 1


def test_without_patience_a_worker_beside_it_hears_too_late(server, peer):
    """That is what makes it exact: nothing is read until time has come to its end."""
    with worker(server, lambda _: complete(1), 86_400_000):
        while not peer.stats()["waiting"]:
            pass
        peer.ask(f"add {job_id(1)} q 1000 3600000 1 -delay=60000 -max-attempts=1\r\nx\r\n", OK)
        server.advance(minutes=2)
        assert peer.state(1) == "2"


def test_patience_ends_with_a_worker_that_is_lost(server, peer):
    """Its lease runs out; what it outlasted once is not waited for again."""
    peer.ask(add(1), OK)
    peer.ask("lease q 0\r\n", told(1))
    begun = time.monotonic()
    server.advance(seconds=30, patience=0.05)
    assert peer.state(1) == "4"
    server.advance(minutes=3, patience=0.05)
    assert peer.state(1) == "3"
    assert time.monotonic() - begun >= 0.1


def test_patience_ends_with_a_queue_that_nobody_serves(server, peer):
    """It is spent once, however often jobs get ready there."""
    for number in range(1, 501):
        peer.ask(add(number, flags=f" -delay={number * 1000}"), OK)
    begun = time.monotonic()
    server.advance(seconds=500, patience=0.1)
    assert 0.1 <= time.monotonic() - begun < PATIENCE_S


def test_a_test_in_a_loop_advances_from_a_thread(server):
    """Its own loop goes on meanwhile, with the worker in it."""

    async def body() -> list[timedelta]:
        times = []

        async def work() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"add {job_id(1)} q 60000 8640000000 1 -retry-delay=3600000".encode())
            writer.write(b" -max-fails=100\r\nx\r\n")
            try:
                while True:
                    writer.write(b"lease q 86400000\r\n")
                    await reader.readuntil(b" 1\r\nx\r\n")
                    times.append(since(server))
                    writer.write(FAIL.encode())
            finally:
                writer.close()

        async with asyncio.TaskGroup() as group:
            working = group.create_task(work())
            while not times:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
            await asyncio.to_thread(server.advance, hours=10, patience=PATIENCE_S)
            working.cancel()
        return times

    assert asyncio.run(body()) == [timedelta(hours=number) for number in range(11)]


def test_the_client_s_own_worker_lives_through_days_and_a_cut(server):
    """As users write it, with the client: every hour a failure, in the middle of which all
    connections are cut."""
    times: list[timedelta] = []

    def work() -> None:
        while job := client.lease("q", wait=86_400):
            times.append(since(server))
            if len(times) == 24:
                server.cut()
            if len(times) < 49:
                client.fail(job)
            else:
                client.complete(job, b"done")
                return

    with Client(server.url) as client:
        job_id = client.add(
            "q", b"x", ttl=timedelta(days=9), max_fails=50, retry_delay=3600, delay=3600
        )
        thread = threading.Thread(target=work)
        thread.start()
        server.advance(days=3, patience=PATIENCE_S)
        thread.join()
        assert times == [timedelta(hours=number + 1) for number in range(49)]
        assert client.result(job_id).data == b"done"


# --- its connections ----------------------------------------------------------------------------


def test_cut_connections_end_and_jobs_stay(server, peer):
    """Who comes again finds everything as it was."""
    peer.ask(add(1), OK)
    with connected(server) as waiting:
        waiting.send("lease other 60000\r\n")
        server.cut()
        for cut in (peer, waiting):
            assert cut.ended()
    with connected(server) as again:
        again.ask("lease q 0\r\n", told(1))


def test_a_server_that_is_away_refuses_and_comes_back_with_its_jobs(server, peer):
    """On the same port; what ends meanwhile has ended."""
    url = server.url
    peer.ask(add(1), OK)
    peer.ask("lease q 0\r\n", told(1))
    with server.away():
        with pytest.raises(ConnectionRefusedError):
            Peer(server)
        server.advance(minutes=1)
    assert server.url == url
    with connected(server) as again:
        again.ask("lease q 0\r\n", told(1))


def test_a_client_finds_a_server_again_that_was_away(server):
    """It tries until the server is there, and nothing is lost."""
    with Client(server.url) as client:
        job_id = client.add("q", b"x")
        away = server.away()
        away.__enter__()
        back = threading.Timer(0.02, lambda: away.__exit__(None, None, None))
        back.start()
        assert client.inspect_job(job_id).id == job_id
        back.join()


def test_bounds_can_be_set():
    """To see what a program does beyond them."""
    with Server(max_jobs=1, max_connections=1) as server, connected(server) as peer:
        peer.ask(add(1), OK)
        peer.ask(add(2), "-SERVER-ERROR Out of memory\r\n")
        with connected(server) as refused:
            refused.expect("-SERVER-ERROR Too many connections\r\n")


# --- its life, and the process's ----------------------------------------------------------------


def test_several_servers_live_side_by_side():
    """Each has its own jobs and its own time."""
    with Server(now=MIDNIGHT) as one, Server(now=MIDNIGHT) as other:
        assert one.port != other.port
        with connected(one) as here, connected(other) as there:
            here.ask(add(1), OK)
            there.ask("lease q 0\r\n", TIMEOUT)
            one.advance(hours=1)
            here.ask("lease q 0\r\n", TIMEOUT)
            assert (since(one), since(other)) == (timedelta(hours=1), timedelta())


def test_the_url_names_the_port(server):
    """As clients take it."""
    assert server.url == f"workq://127.0.0.1:{server.port}"


def left() -> set[object]:
    """The threads and the open files of this process."""
    return {*threading.enumerate(), *(path.name for path in Path("/proc/self/fd").iterdir())}


def test_nothing_is_left_of_a_server_that_has_stopped():
    """No thread, no socket, whatever its clients are at."""
    before = left()
    server = Server()
    server.start()
    with connected(server) as waiting, connected(server) as half:
        waiting.send("lease q 60000\r\n")
        half.send("lea")
        late = [Peer(server) for _ in range(20)]
        server.stop()
        for peer in (waiting, half, *late):
            assert peer.ended()
            peer.sock.close()
    assert left() <= before
    server.stop()


def test_a_server_is_started_once_at_a_time():
    """And again after it has stopped: then it is a new one."""
    server = Server()
    with server:
        with connected(server) as peer:
            peer.ask(add(1), OK)
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()
    with server, connected(server) as peer:
        peer.ask("lease q 0\r\n", TIMEOUT)


@pytest.mark.parametrize(
    "use",
    [attrgetter("port"), attrgetter("url"), attrgetter("now"), Server.advance, Server.cut],
    ids=["port", "url", "now", "advance", "cut"],
)
def test_a_server_that_does_not_run_says_so(use):
    """Before its start and after its end."""
    server = Server()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="does not run: use it in a `with`, or call `start`"):
            use(server)
        server.start()
        server.stop()


def test_a_process_is_none_the_other_for_it():
    """Neither its signals nor its memory, its threads' switching, its limits, its log, its loop."""

    def state() -> tuple[object, ...]:
        return (
            [signal.getsignal(number) for number in signal.valid_signals()],
            (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold(), gc.callbacks[:]),
            sys.getswitchinterval(),
            resource.getrlimit(resource.RLIMIT_NOFILE),
            (logging.root.level, logging.root.handlers[:], logging.root.manager.disable),
            signal.set_wakeup_fd(-1),
            asyncio.get_event_loop_policy(),
            (sys.excepthook, threading.excepthook),
        )

    before = state()
    with Server() as server, connected(server) as peer:
        for number in range(1, 2001):  # more than it would look through for memory
            peer.send(add(number, payload=str(number)))
        peer.expect(OK * 2000)
        server.advance(hours=1)
        assert state() == before
    assert state() == before


def test_a_test_that_fakes_monotonic_time_does_not_stop_the_server(server, peer, monkeypatch):
    """Waits still end."""
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    peer.ask("lease q 5\r\n", TIMEOUT)


def test_a_mistake_of_the_server_is_told_and_not_hidden(monkeypatch):
    """Its clients are cut, and who stops it hears why."""
    from workq.broker.broker import Broker

    server = Server()
    server.start()
    with connected(server) as peer:
        peer.ask("ping\r\n", OK)
        monkeypatch.setattr(Broker, "turn", lambda *_: 1 // 0)
        peer.send("ping\r\n")
        assert peer.ended()
        with pytest.raises(RuntimeError, match=r"does not run any more|has failed"):
            server.advance(hours=1)
    with pytest.raises(RuntimeError, match="the server has failed") as raised:
        server.stop()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_without_the_server_s_package_it_says_what_to_install():
    """And the client itself needs nothing but Python."""
    code = (
        f"import sys; sys.path.insert(0, {str(CLIENT)!r})\n"
        "from workq_client.testing import Server\n"
        "Server().start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: workq_client.testing runs the real server, which is not installed, "
        "or too old: pip install --upgrade . in a clone of workq brings both"
    )


# --- the plug-in --------------------------------------------------------------------------------


def test_pytest_has_a_fixture_with_a_fresh_server_for_each_test(pytester):
    """As soon as the client is installed, and with warnings as errors. Neither the server nor what
    it needs is imported before a test asks for it: other tests start as fast as before."""
    pytester.makepyfile("""
        import socket
        import sys

        import pytest

        def test_nothing_is_imported():
            assert "workq_client_pytest" in sys.modules
            assert not {"workq", "workq_client", "uvloop", "msgpack"} & set(sys.modules)

        def test_the_client(workq_client, workq_server):
            job_id = workq_client.add("q", b"x", delay=3600, ttl=86400)
            workq_server.advance(hours=1)
            assert workq_client.lease("q").id == job_id

        @pytest.mark.parametrize("time", [1, 2])
        def test_the_fixture(workq_server, time):
            with socket.create_connection(("127.0.0.1", workq_server.port)) as sock:
                sock.sendall(b"add 61a444a0-6128-41c0-8078-cc757d3bd2d8 q 1 60000 0 -delay=5000")
                sock.sendall(b"\\r\\n\\r\\nlease q 86400000\\r\\n")
                assert sock.recv(5) == b"+OK\\r\\n"
                workq_server.advance(seconds=5)
                assert sock.recv(5) == b"+OK 1"
    """)
    pytester.runpytest_subprocess("-W", "error", "-p", "no:hypothesispytest").assert_outcomes(
        passed=4
    )
