"""The whole server over real sockets, on both loops: what only a network can show."""

import asyncio
import time

import pytest

from tests.server.served import LOOPS, serve, until
from tests.simulation.log import MemoryLog
from tests.talk import add, job_id, told
from workq.cmdlog.frames import COMMIT
from workq.engine.engine import Engine
from workq.engine.job import Options
from workq.engine.transitions import RETURNED
from workq.limits import (
    DEADLINES_PER_TURN_MAX,
    INPUT_BYTES_MAX,
    REQUESTS_PER_TURN_MAX,
    UNSENT_BYTES_MAX,
)
from workq.recovery.records import Unpacker
from workq.server import connection, ring
from workq.server.clock import VirtualClock
from workq.server.storage import Storage
from workq.server.writer import Policy

OK = "+OK\r\n"
TIMEOUT = "-TIMEOUT\r\n"
MIB = 1024 * 1024


@pytest.fixture(params=LOOPS)
def served(request):
    """Runs a test's body beside a server on one of the loops."""
    return lambda body: serve(request.param, body)


def test_a_client_is_answered(served):
    """In whatever pieces its requests come."""

    async def body(server):
        peer = await server.peer()
        await peer.send("ping\r\n")
        await peer.expect(OK)
        for letter in add(1) + "lease q 0\n":
            await peer.send(letter)
        await peer.expect(OK + told(1))

    served(body)


def test_100_clients_that_pipeline_at_once_get_their_answers(served):
    """Each its own, in order."""

    async def converse(server, index):
        peer = await server.peer()
        numbers = range(1000 * index, 1000 * index + 20)
        name = f"q{index}"
        asked = "".join(
            add(number, name)
            + f"inspect queue {name}\r\nlease {name} 1000\r\nbad{index}\r\nping\r\n"
            for number in numbers
        )
        answered = "".join(
            f"{OK}+OK 1\r\n{name} 2\r\nready-len 1\r\nscheduled-len 0\r\n{told(number, name)}"
            f"-CLIENT-ERROR Unknown command\r\n{OK}"
            for number in numbers
        )
        await peer.send(asked)
        peer.shut()
        assert await peer.rest() == answered

    async def body(server):
        await asyncio.gather(*(converse(server, index) for index in range(100)))
        assert len(server.ring.broker.engine.jobs) == 2000
        await until(lambda: not server.ring.connections)

    served(body)


def test_a_wait_ends_in_time_and_not_before(served):
    """A timer of the loop stands for the next end, and for one that is sooner."""

    async def body(server):
        late, soon = await server.peer(), await server.peer()
        start = time.monotonic()
        await late.send("lease q 60\r\n")
        await late.send("lease q 1\r\n")
        await soon.send("lease q 20\r\n")
        await soon.expect(TIMEOUT)
        assert 0.019 <= time.monotonic() - start < 5
        await late.expect(TIMEOUT * 2)
        assert 0.060 <= time.monotonic() - start < 5

    served(body)


def test_a_sooner_end_does_not_wait_for_a_later_one(served, monkeypatch):
    """The timer that stands for the later one is put off; nothing else wakes the server."""
    monkeypatch.setattr(ring, "SAMPLE_MS", 10**7)

    async def body(server):
        late, soon = await server.peer(), await server.peer()
        await late.send("lease q 80000000\r\n")
        await until(lambda: server.ring.broker.gauges()["waiting"] == 1)
        await soon.send("lease q 5\r\n")
        await soon.expect(TIMEOUT)

    served(body)


def test_a_waiter_is_served_by_another_client(served):
    """At once, not when a timer comes."""

    async def body(server):
        worker, client = await server.peer(), await server.peer()
        await worker.send("lease q 80000000\r\n")
        await until(lambda: server.ring.broker.gauges()["waiting"])
        await client.send(add(1))
        await worker.expect(told(1))

    served(body)


def test_a_half_close_gets_its_answers_then_the_end(served):
    """And every wait is 0."""

    async def body(server):
        peer = await server.peer()
        await peer.send("ping\r\n" * 200 + "lease q 80000000\r\nping\r\n")
        peer.shut()
        assert await peer.rest() == OK * 200 + TIMEOUT + OK
        await until(lambda: not server.ring.connections)

    served(body)


@pytest.mark.parametrize("how", ["close", "reset", "shut"])
def test_a_client_that_goes_while_it_waits_swallows_no_job(served, how):
    """The next in line gets it, and its attempt is the first."""

    async def body(server):
        gone, worker, client = [await server.peer() for _ in range(3)]
        waiting = server.ring.broker.gauges
        await gone.send("lease q 80000000\r\n")
        await until(lambda: waiting()["waiting"] == 1)
        await worker.send("lease q 80000000\r\n")
        await until(lambda: waiting()["waiting"] == 2)
        getattr(gone, how)()
        await until(lambda: waiting()["waiting"] == 1)
        await client.send(add(1))
        await worker.expect(told(1))
        assert server.ring.broker.engine.find(job_id(1).encode()).attempts == 1
        await until(lambda: len(server.ring.connections) == 2)

    served(body)


def test_a_reset_does_not_overtake_an_error(served):
    """A client that goes on sending what is refused still reads why, and then the end."""

    async def body(server):
        peer = await server.peer()
        await peer.send("add 1 2 3\r\n")
        for _ in range(64):
            await peer.send("x" * 65536)
        assert await peer.rest() == "-CLIENT-ERROR Invalid command args\r\n"
        peer.close()
        await until(lambda: not server.ring.connections)

    served(body)


def test_too_much_behind_a_wait_is_told_before_the_end(served):
    """However much of it is still on its way."""

    async def body(server):
        peer = await server.peer()
        await peer.send("lease q 80000000\r\n")
        await peer.send("ping\r\n" * (INPUT_BYTES_MAX // 6 + 200_000))
        assert await peer.rest() == "-CLIENT-ERROR Too much input\r\n"

    served(body)


def test_an_error_waits_for_a_client_only_so_long(served, monkeypatch):
    """One that neither reads nor closes is closed."""
    monkeypatch.setattr(connection, "LINGER_MS", 20)

    async def body(server):
        peer = await server.peer()
        await peer.send("add 1 2 3\r\n")
        await until(lambda: not server.ring.connections)
        assert await peer.rest() == "-CLIENT-ERROR Invalid command args\r\n"

    served(body)


def test_an_error_reads_of_a_client_only_so_much(served, monkeypatch):
    """One that sends without end is closed."""
    monkeypatch.setattr(connection, "LINGER_BYTES_MAX", 100_000)

    async def body(server):
        peer = await server.peer()
        await peer.send("add 1 2 3\r\n")
        with pytest.raises(ConnectionError):
            await peer.send("x" * 64 * MIB)
        await until(lambda: not server.ring.connections)

    served(body)


def test_quit_is_answered_and_closes(served):
    """Without waiting for the client to close."""

    async def body(server):
        peer = await server.peer()
        await peer.send("ping\r\nquit\r\n")
        assert await peer.rest() == OK * 2
        await until(lambda: not server.ring.connections)

    served(body)


def test_a_slow_reader_is_paused_and_goes_on(served):
    """What it does not take is made up to a bound only, others are served, and nothing is
    missing in the end."""

    async def body(server):
        peer, other = await server.peer(), await server.peer()
        session = next(iter(server.ring.connections)).session
        payload = "x" * MIB
        await peer.send(add(1, payload=payload))
        await peer.expect(OK)
        await peer.send(f"inspect job {job_id(1)}\r\n" * 30)
        await until(lambda: session.stalled)
        for _ in range(50):
            await other.send("ping\r\n")
            await other.expect(OK)
        assert session.stalled
        assert session.unsent_bytes < 2 * UNSENT_BYTES_MAX
        peer.shut()
        answers = await peer.rest()
        assert answers.count(f"payload {payload}\r\n") == 30
        assert answers.count(f"+OK 1\r\n{job_id(1)} 12\r\n") == 30

    served(body)


def test_a_flood_is_read_in_portions_and_answered_whole(served):
    """Reading pauses when the broker is behind, and resumes when it has caught up."""
    count = 150_000

    async def body(server):
        peer = await server.peer()
        one = next(iter(server.ring.connections))
        pauses = most = 0
        set_reading = one.set_reading

        def noted(reading):
            nonlocal pauses, most
            pauses += not reading
            most = max(most, one.session.reader.pending)
            set_reading(reading)

        one.set_reading = noted
        sending = asyncio.create_task(peer.send("ping\r\n" * count))
        assert await peer.read(count * len(OK)) == OK * count
        await sending
        assert pauses
        assert most < INPUT_BYTES_MAX
        assert one.reading

    served(body)


def test_who_never_reads_is_not_read_without_end(served):
    """What it sends stays in the kernel's buffers, and it has to wait."""

    async def body(server):
        peer = await server.peer()
        one = next(iter(server.ring.connections))
        session = one.session
        await peer.send(add(1, payload="x" * MIB))
        await peer.send(f"inspect job {job_id(1)}\r\n" * 30)
        await until(lambda: session.stalled)
        sending = asyncio.create_task(peer.send("ping\r\n" * 6_000_000))
        try:
            await until(
                lambda: (
                    sending.done()
                    or not one.reading
                    or session.reader.pending > 2 * INPUT_BYTES_MAX
                )
            )
            assert session.reader.pending <= INPUT_BYTES_MAX
        finally:
            sending.cancel()

    served(body)


def test_a_job_is_leased_again_when_its_time_is_over(served):
    """Deadlines find a turn although nobody says anything."""

    async def body(server):
        first, second = await server.peer(), await server.peer()
        await first.send(f"add {job_id(1)} q 20 60000 0\r\n\r\nlease q 0\r\n")
        reply = f"+OK 1\r\n{job_id(1)} q 20 0\r\n\r\n"
        await first.expect(OK + reply)
        await second.send("lease q 60000\r\n")
        await second.expect(reply)

    served(body)


class HeldStorage(Storage):
    """What is written to it comes on only when a test lets it."""

    log: MemoryLog

    def open(self, reports, time_ms):
        """A log in memory."""
        self.log = MemoryLog(reports)
        return self.log


def test_leases_that_nobody_got_are_undone_before_the_log_is_closed():
    """Of more clients than one turn serves; else the jobs would be stuck until their TTR."""
    count = 2 * REQUESTS_PER_TURN_MAX + 10

    async def live():
        storage = HeldStorage(Engine(), Policy("always"))
        one = ring.Ring(storage=storage)
        engine = storage.engine
        engine.advance(one.clock.now_ms(), 0)
        sessions = []
        for number in range(1, count + 1):
            engine.add(job_id(number).encode(), b"q", Options(60_000, 600_000), b"")
            sessions.append(one.broker.open())
            one.broker.receive(sessions[-1], b"lease q 0\r\n")
        await until(lambda: engine.counts["leased"] == count)
        for session in sessions:
            one.broker.lost(session)
        closing = asyncio.create_task(one.close())
        while not closing.done():
            storage.log.run()
            await asyncio.sleep(0)
        assert engine.counts["leased"] == 0
        unpacker = Unpacker()
        frames = [frame for frame in storage.log.frames if frame.kind == COMMIT]
        records = [record for frame in frames for record in unpacker.records(frame.body)]
        assert sum(record[0] == RETURNED for record in records) == count

    asyncio.run(live())


@pytest.mark.parametrize("guest", [False, True])
def test_only_a_process_of_its_own_is_looked_after(monkeypatch, guest):
    """A guest frees no memory of others, and tries no descriptors."""
    touched = []
    monkeypatch.setattr(ring, "collect_young", lambda _: touched.append("memory"))
    monkeypatch.setattr(ring, "descriptors_left", lambda: touched.append("descriptors"))

    async def live():
        one = ring.Ring(guest=guest)
        await until(lambda: not one.awake)
        one.observe()
        await one.close()

    asyncio.run(live())
    assert set(touched) == (set() if guest else {"memory", "descriptors"})


def test_a_server_catches_up_with_a_clock_that_has_jumped():
    """In as many turns as that takes, and at once; its timer is set anew."""

    async def live():
        clock = VirtualClock()
        one = ring.Ring(storage=Storage(Engine(), clock=clock))
        engine = one.broker.engine
        clock.stop()
        engine.advance(clock.now_ms(), 0)
        for number in range(DEADLINES_PER_TURN_MAX + 10):
            options = Options(60_000, 600_000 if number else 600_005)
            engine.add(job_id(number + 1).encode(), b"q", options, b"")
        one.catch_up()
        clock.set(clock.now_ns() + 600_000_000_000)
        one.catch_up()
        assert engine.size == 1
        clock.go_on()
        await until(lambda: not engine.size)  # not ten minutes later
        await one.close()

    asyncio.run(live())
