"""Both clients through the same cases, on sockets: against peers that misbehave, and the server."""

import asyncio
import os
import signal
import socket
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from workq_client import (
    JSON,
    TEXT,
    AsyncClient,
    BrokenReply,
    Busy,
    Client,
    ClientClosed,
    DuplicateJob,
    InvalidArgument,
    InvalidRequest,
    LeaseLost,
    ManyFailed,
    NewJob,
    NoReply,
    NotFound,
    OutcomeUnknown,
    TimedOut,
    Unreachable,
    requests,
)
from workq_client.aio import AsyncPlaces, AsyncWire
from workq_client.client import _default_name
from workq_client.limits import UNREAD_BYTES_MAX

from tests.client.kinds import Talk, peer

JOB = "c0ffee00-1111-4222-8333-000000000001"
LEASED = b"+OK 1\r\n%b mails 1000 2 token=7 attempt=1\r\nhi\r\n" % JOB.encode()


def answers(reply, piece=0):
    """A script: greet, and answer one request."""

    def script(talk):
        assert talk.hello().line()
        talk.send(reply, piece)
        assert talk.gone()

    return script


def test_an_answer_that_comes_byte_by_byte_is_right(connected):
    """The network may cut it anywhere."""
    with peer(answers(LEASED, piece=1)) as url:
        client = connected(url)
        assert client.lease("mails", wait=1).payload == b"hi"
        client.hang_up()


@pytest.mark.parametrize("size", range(0, len(LEASED), 7))
def test_a_connection_that_ends_within_an_answer_is_made_anew(connected, size):
    """And the call gets its answer there."""

    def cut(talk):
        assert talk.hello().line()
        talk.send(LEASED[:size])

    with peer(cut, answers(LEASED)) as url:
        client = connected(url)
        assert client.lease("mails", wait=5).id == JOB
        client.hang_up()


def test_a_connection_that_is_reset_is_made_anew(connected):
    """A reset is as good as an end."""

    def reset(talk):
        assert talk.hello().line()
        talk.reset()

    with peer(reset, answers(b"+OK\r\n")) as url:
        client = connected(url)
        client.ping()
        client.hang_up()


def test_what_must_not_be_done_twice_is_not(connected):
    """The job of a `run` died with its connection."""
    with peer(lambda talk: talk.hello().line()) as url, pytest.raises(OutcomeUnknown):
        connected(url).run("mails", b"x", wait=1)


def test_garbage_is_told_and_the_connection_given_up(connected):
    """The peer sees it closed."""
    with (
        peer(answers(b"HTTP/1.1 400 Bad Request\r\n")) as url,
        pytest.raises(BrokenReply, match="HTTP"),
    ):
        connected(url).ping()


def test_a_peer_that_says_nothing_is_given_up_in_time(connected):
    """And what changes something has an unknown outcome."""

    def silent(talk):
        assert talk.hello().line()
        while talk.sock.recv(65536):
            pass

    with peer(silent, silent) as url:
        client = connected(url, timeout=0.1)
        with pytest.raises(NoReply):
            client.ping()
        with pytest.raises(OutcomeUnknown):
            client.add("mails", b"x")


def test_a_peer_that_does_not_greet_is_tried_again_until_the_time_is_over(connected):
    """A server that hangs before it greets gets nothing."""

    def dumb(talk):
        assert talk.line().startswith(b"hello")
        assert talk.gone()

    with peer(dumb, dumb) as url, pytest.raises(Unreachable) as caught:
        connected(url, timeout=0.25, connect_timeout=0.1).add("mails", b"x")
    assert caught.value.attempts >= 2


def free_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_nobody_there_is_told_with_what_the_system_says(connected):
    """After as many attempts as there was time for."""
    with pytest.raises(Unreachable, match=r"workq://127\.0\.0\.1:\d+, tried \d+ times: .*refused"):
        connected(f"workq://127.0.0.1:{free_port()}", timeout=0.2).ping()
    with pytest.raises(Unreachable, match="no such file"):
        connected("workq+unix:///nowhere/workq.sock", timeout=0.2).ping()


def test_a_name_that_is_not_found_is_told_with_what_the_system_says():
    """Not with the number that it has for it."""
    error = Unreachable("workq://nowhere", 1, socket.gaierror(-2, "Name or service not known"))
    assert "Name or service not known" in str(error)


def test_a_server_that_comes_later_is_found(connected):
    """Within the time of the call."""
    port = free_port()

    def serve():
        time.sleep(0.15)
        with socket.create_server(("127.0.0.1", port)) as listener:
            sock, _ = listener.accept()
            with sock:
                answers(b"+OK\r\n")(Talk(sock))

    thread = threading.Thread(target=serve)
    thread.start()
    client = connected(f"workq://127.0.0.1:{port}")
    client.ping()
    client.hang_up()
    thread.join()


def test_much_in_both_directions_does_not_stop(connected):
    """Though the peer reads nothing until all that it sends was taken."""
    count = 300
    reply = b"+OK 1\r\n%b 1 60000\r\n%b\r\n" % (JOB.encode(), b"r" * 60_000)

    def stubborn(talk):
        talk.hello()
        first = talk.line()
        assert first.startswith(b"complete")
        talk.sock.recv(100_002)
        for _ in range(100):  # the answers to what it has not read yet
            talk.send(b"+OK\r\n")
            talk.send(reply)
        while talk.sock.recv(1 << 20):
            pass

    def fill(pipeline):
        for _ in range(count):
            pipeline.complete(JOB, b"c" * 100_000)
            pipeline.result(JOB)

    with peer(stubborn) as url:
        client = connected(url, timeout=1)
        client.pipe(fill)
        client.hang_up()


def test_the_life_of_a_job(connected, serving):
    """Over TCP and a Unix socket."""
    for url in serving:
        client = connected(url)
        queue = f"life{id(client)}"
        added = client.add(queue, b"photo.jpg", ttr=30, max_fails=2)
        job = client.lease(queue, wait=5)
        assert (job.id, job.payload, job.attempt) == (added, b"photo.jpg", 1)
        client.touch(job, ttr=timedelta(minutes=1))
        client.fail(job, b"busy")
        with pytest.raises(LeaseLost):
            client.complete(job, b"late")
        job = client.lease(queue)
        client.complete(job, b"thumb.jpg")
        assert client.result(added).check().data == b"thumb.jpg"
        with pytest.raises(DuplicateJob):
            client.add(queue, id=added)
        client.delete(added)
        with pytest.raises(NotFound):
            client.result(added)
        assert client.server.protocol == 2


def test_errors_of_the_server_leave_the_client_in_step(connected, serving):
    """The next call gets its own answer."""
    client = connected(serving[0])
    for _ in range(3):
        with pytest.raises(InvalidArgument, match="Invalid TTR"):
            client.add("mails", b"x", ttr=0)
        with pytest.raises(NotFound):
            client.result(JOB)
        client.ping()


def test_waits(connected, serving):
    """They end in time, and while one lasts quick calls are answered."""
    client = connected(serving[0])
    assert client.lease("nothing-here", wait=0.05) is None
    added = client.add("waits", b"x")
    with pytest.raises(TimedOut):
        client.result(added, wait=0.05)
    with pytest.raises(TimedOut):
        client.run("nobody-works-here", b"x", wait=0.05)
    job = client.lease("waits", wait=5)

    def work():
        time.sleep(0.1)
        with Client(serving[0]) as worker:
            worker.complete(job, b"done")

    thread = threading.Thread(target=work)
    thread.start()
    assert client.result(added, wait=5).data == b"done"
    thread.join()


def test_a_call_that_waits_for_its_result(connected, serving):
    """As one calls a function."""

    def work():
        with Client(serving[0]) as worker:
            job = worker.lease("shout", wait=5)
            assert job is not None
            worker.complete(job, b"HELLO")

    thread = threading.Thread(target=work)
    thread.start()
    assert connected(serving[0]).run("shout", b"hello", wait=5).check().data == b"HELLO"
    thread.join()


def test_what_is_scheduled(connected, serving):
    """With a codec, and an aware time."""
    client = connected(serving[0], codec=JSON)
    at = datetime.now(UTC) + timedelta(days=1)
    added = client.schedule("later", {"who": "ä"}, at=at)
    assert client.inspect_job(added).time == at.replace(microsecond=0)
    assert client.inspect_scheduled_jobs("later")[-1].value == {"who": "ä"}


def test_each_of_a_pipeline_has_its_outcome(connected, serving):
    """Its own value, or its own error."""
    client = connected(serving[0])
    pending = client.pipe(
        lambda p: [
            p.add("pipe", b"1"),
            p.result(JOB),
            p.lease("pipe"),
            p.ping(),
            p.add("pipe", id=JOB),
        ]
    )
    assert pending[2].result().id == pending[0].result()
    assert isinstance(pending[1].error, NotFound)
    with pytest.raises(NotFound):
        pending[1].result()
    assert pending[3].result() is None
    assert pending[4].result() == JOB
    client.delete(JOB)


def test_a_pipeline_of_many_requests_and_bytes(connected, serving):
    """More than are on their way at a time."""
    client = connected(serving[0])
    pending = client.pipe(lambda p: [p.add("many", b"x" * 3000, ttl=5) for _ in range(2000)])
    assert len({one.result() for one in pending}) == 2000


def test_a_pipeline_that_was_not_sent_has_no_outcomes(connected, serving):
    """Nor has one whose `with` ended with an exception."""
    client = connected(serving[0])
    kept = []

    def fill(pipeline):
        kept.append(pipeline.add("unsent", b"x"))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        client.pipe(fill)
    assert not kept[0].done
    with pytest.raises(InvalidRequest, match="not sent"):
        kept[0].result()
    with pytest.raises(NotFound):
        client.inspect_queue("unsent")


def test_a_pipeline_to_nobody_fails_as_a_whole(connected):
    """Each of it with the reason, in the time of one call."""
    client = connected(f"workq://127.0.0.1:{free_port()}", timeout=0.2)
    pending = client.pipe(lambda p: [p.ping() for _ in range(2000)])
    assert all(isinstance(one.error, Unreachable) for one in pending)


def test_any_number_of_jobs_is_added(connected, serving):
    """Taken from an iterable as there is room."""
    client = connected(serving[0])
    taken = []

    def jobs():
        for number in range(3000):
            taken.append(number)
            yield NewJob(queue="stream", payload=b"%d" % number, ttl=5)

    assert client.add_many(jobs()) == 3000
    assert taken == list(range(3000))


def test_what_cannot_be_added_is_told_and_nothing_more_is_taken(connected, serving):
    """With the jobs concerned."""
    client = connected(serving[0])
    wrong = NewJob(queue="stream", ttr=0, ttl=5)
    jobs = (wrong if number == 700 else NewJob(queue="stream", ttl=5) for number in range(10**6))
    with pytest.raises(ManyFailed) as caught:
        client.add_many(jobs)
    assert caught.value.failed == 1
    assert 700 <= caught.value.added < 3000
    assert caught.value.errors[0][0] is wrong
    assert isinstance(caught.value.errors[0][1], InvalidArgument)
    with pytest.raises(ManyFailed, match="queue"):
        client.add_many([NewJob(queue="no/name")])


def test_an_iterable_that_fails_leaves_nothing_under_way(connected, serving):
    """What it gave before is added; then its own error comes."""
    client = connected(serving[0])
    queue = f"half-{type(client).__name__}"

    def jobs():
        for _ in range(700):
            yield NewJob(queue=queue, ttl=60)
        raise ArithmeticError("no more")

    with pytest.raises(ArithmeticError, match="no more"):
        client.add_many(jobs())
    assert client.inspect_queue(queue).ready == 700


def test_an_iterable_that_fails_behind_a_job_that_does_tells_both(connected, serving):
    """The one is the cause of the other's being the last."""
    client = connected(serving[0])

    def jobs():
        yield NewJob(queue="half", ttr=0)
        raise ArithmeticError("no more")

    with pytest.raises(ManyFailed) as caught:
        client.add_many(jobs())
    assert isinstance(caught.value.__cause__, ArithmeticError)


def test_jobs_may_come_from_an_asynchronous_iterable(serving):
    """For asyncio."""

    async def jobs():
        for _ in range(20):
            await asyncio.sleep(0)
            yield NewJob(queue="stream", ttl=5)

    async def body():
        async with AsyncClient(serving[0]) as client:
            return await client.add_many(jobs())

    assert asyncio.run(body()) == 20


def test_threads_share_a_client(serving):
    """Each gets its own answers, over as many connections as there may be."""
    with Client(serving[0], codec=TEXT, connections_max=3) as client:
        wrong = []

        def work(number):
            for count in range(50):
                added = client.add(f"thread{number}", f"{number}.{count}", ttl=20)
                if client.inspect_job(added).value != f"{number}.{count}":
                    wrong.append(added)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(client._core._links) <= 3


def test_tasks_share_a_client(serving):
    """As threads do."""

    async def work(client, number):
        for count in range(20):
            added = await client.add(f"task{number}", f"{number}.{count}", ttl=20)
            assert (await client.inspect_job(added)).value == f"{number}.{count}"

    async def body():
        async with AsyncClient(serving[0], codec=TEXT, connections_max=3) as client:
            await asyncio.gather(*[work(client, number) for number in range(8)])
            assert len(client._core._links) <= 3

    asyncio.run(body())


def test_a_client_of_another_loop_says_so(serving):
    """Whether that loop still runs or not; and it may be closed."""
    client = AsyncClient(serving[0])
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.ping())
    with pytest.raises(InvalidRequest, match="another event loop"):
        asyncio.run(client.ping())
    (link,) = client._core._links
    link.wire._transport.abort()  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    with pytest.raises(InvalidRequest, match="another event loop"):
        asyncio.run(client.ping())
    asyncio.run(client.close())


def test_a_pipeline_that_is_cancelled_does_not_say_that_nothing_was_sent():
    """What was sent and changes something has an unknown outcome."""

    def silent(talk):
        assert talk.hello().line()
        while talk.sock.recv(65536):
            pass

    async def body(url):
        async with AsyncClient(url) as client:
            pipeline = client.pipeline()
            added, asked = pipeline.add("mails", b"x"), pipeline.ping()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await pipeline.send()
            return added.error, asked.error

    with peer(silent) as url:
        added, asked = asyncio.run(body(url))
    assert isinstance(added, OutcomeUnknown)
    assert isinstance(asked, InvalidRequest)


def test_a_cancelled_task_leaves_no_answer_behind(serving):
    """Its connection is given up, others go on."""

    async def body():
        async with AsyncClient(serving[0], waits_max=1) as client:
            waiting = asyncio.create_task(client.lease("nothing-here", wait=30))
            await asyncio.sleep(0.05)
            with pytest.raises(Busy):
                await client.call(requests.lease("nothing-here", wait=-0.0 + 0.001))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.lease("nothing-here", wait=30)
            added = await client.add("cancelled", b"x")
            job = await client.lease("cancelled", wait=1)
            assert job is not None
            assert job.id == added

    asyncio.run(body())


def test_places_are_given_to_who_came_first_and_not_lost_with_who_went():
    """A task that was cancelled when its turn had come passes it on."""

    async def body():
        places = AsyncPlaces(1)
        assert await places.take(1)
        first = asyncio.create_task(places.take(5))
        second = asyncio.create_task(places.take(5))
        await asyncio.sleep(0)
        places.give_back()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second
        assert not await places.take(0.01)
        places.give_back()
        assert await places.take(0)

    asyncio.run(body())


def test_a_forked_child_has_connections_of_its_own(serving):
    """And its parent keeps those it had."""
    with Client(serving[0], codec=TEXT) as client:
        client.ping()
        before = set(client._core._links)
        child = os.fork()
        if not child:
            try:
                for count in range(20):
                    client.inspect_job(client.add("forked", f"child {count}", ttl=20))
                client.ping()
                os._exit(0)
            finally:
                os._exit(2)
        for count in range(20):
            added = client.add("forked", f"parent {count}", ttl=20)
            assert client.inspect_job(added).value == f"parent {count}"
        assert os.waitpid(child, 0)[1] == 0
        assert set(client._core._links) == before


def test_a_fork_while_another_thread_calls_leaves_the_child_free(serving):
    """No lock of a thread that the child has not got is in its way."""
    with Client(serving[0], connections_max=1, waits_max=1) as client:
        waiting = threading.Thread(
            target=client.lease, args=("nothing-here",), kwargs={"wait": 0.3}
        )
        waiting.start()
        time.sleep(0.05)
        parents: list[Any] = [link.wire for link in client._core._links]
        child = os.fork()
        if not child:
            signal.alarm(5)
            try:
                assert [wire._sock.fileno() for wire in parents] == [-1]
                client.ping()
                client.lease("nothing-here", wait=0.01)
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        waiting.join()


def test_closing_ends_a_wait_of_another_thread(serving):
    """With an error that says so."""
    client = Client(serving[0])
    ended = []

    def wait():
        try:
            client.lease("nothing-here", wait=30)
        except ClientClosed as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    client.close()
    thread.join(5)
    assert len(ended) == 1
    with pytest.raises(ClientClosed):
        client.ping()


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(connected):
    """Not even for what may not be done twice."""
    job = b"+OK 1\r\n%b 1 2\r\nhi\r\n"

    def ran(talk):
        line = talk.hello().line()
        talk.send(job % line.split(b" ")[1])
        assert talk.line() == b"x"

    with peer(ran, ran) as url:
        client = connected(url)
        assert client.run("q", b"x", wait=1).data == b"hi"
        time.sleep(0.05)
        if hasattr(client, "do"):
            client.do(asyncio.sleep(0.01))
        assert client.run("q", b"x", wait=1).data == b"hi"
        client.hang_up()


def test_a_flood_that_nobody_asked_for_is_not_read_for_ever():
    """A peer that sends without end is paused."""
    stopped = threading.Event()

    def flood(talk):
        assert talk.hello().line()
        talk.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 50 * UNREAD_BYTES_MAX:
                sent += talk.sock.send(b"x" * 65536)
        except TimeoutError:
            pass
        stopped.set()
        assert sent < 20 * UNREAD_BYTES_MAX

    async def body(url):
        async with AsyncClient(url) as client:
            link = await client._core._open(1.0)
            assert isinstance(link.wire, AsyncWire)
            assert link.wire._transport is not None
            link.wire._transport.write(b"go\r\n")
            assert await asyncio.to_thread(stopped.wait, 20)
            assert len(link.wire._received) < 3 * UNREAD_BYTES_MAX
            link.close()

    with peer(flood) as url:
        asyncio.run(body(url))


@pytest.mark.parametrize("setting", ["connections_max", "waits_max"])
def test_a_client_needs_connections(kind, setting):
    """None of a kind would let its calls wait for ever."""
    with pytest.raises(InvalidRequest):
        kind(**{setting: 0})


def test_a_client_shows_where_it_is_connected_to(connected, monkeypatch):
    """And takes it from the environment."""
    monkeypatch.setenv("WORKQ_URL", "workq://example.org")
    client = connected()
    assert client.url == "workq://example.org:9922"
    assert "example.org" in repr(client.client)
    assert client.server is None


def test_what_a_client_calls_itself_can_be_said():
    """Whatever the machine is called."""
    name = _default_name()
    assert name.endswith(f".{os.getpid()}")
    assert requests.hello(name).flags == {"name": name}


def test_each_address_of_a_name_is_tried_in_time(connected, serving, monkeypatch):
    """Though the first of them is one from which nothing ever comes back."""
    port = int(serving[0].rsplit(":", 1)[1])
    looked_up = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
    dead = socket.getaddrinfo("192.0.2.1", port, type=socket.SOCK_STREAM)  # for documentation

    def both(host, *args, **kwargs):
        return [*dead, *looked_up] if host == "two.example" else really(host, *args, **kwargs)

    really = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", both)
    client = connected(f"workq://two.example:{port}", connect_timeout=0.4)
    client.ping()


def test_errors_that_several_share_show_each_its_own_way(connected):
    """A traceback does not grow with each look."""
    client = connected(f"workq://127.0.0.1:{free_port()}", timeout=0.1)
    first, *_ = client.pipe(lambda p: [p.ping() for _ in range(3)])
    lengths = set()
    for _ in range(3):
        with pytest.raises(Unreachable) as caught:
            first.result()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1
