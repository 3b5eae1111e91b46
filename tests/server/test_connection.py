"""One connection before a transport that only notes what is done to it."""

import asyncio
import gc
import weakref

from tests.server.served import until
from tests.talk import add, job_id, told
from workq.broker.session import CLOSE
from workq.limits import CHUNK_BYTES_LARGE, END_STALLED_MS, INPUT_BYTES_PAUSE
from workq.server import connection as module
from workq.server.ring import Ring

OK = b"+OK\r\n"
REFUSED = b"-CLIENT-ERROR Invalid command args\r\n"


class Noting(asyncio.Transport):
    """A transport to nowhere.

    Attributes:
        done: what was asked of it.
        kept_bytes: what of it has not gone out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []
        self.kept_bytes = 0
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note what is written."""
        assert not self._closing
        self.done.append(bytes(data))

    def write_eof(self) -> None:
        """Note the half-close."""
        self.done.append("shut")

    def close(self) -> None:
        """Note the end."""
        if not self._closing:
            self.done.append("close")
        self._closing = True

    def get_write_buffer_size(self) -> int:
        """Everything goes out at once, unless a test says else."""
        return self.kept_bytes

    def abort(self) -> None:
        """Note the sudden end."""
        self.done.append("abort")
        self._closing = True

    def is_closing(self) -> bool:
        """Whether there was an end."""
        return self._closing

    def pause_reading(self) -> None:
        """Note the pause."""
        self.done.append("pause")

    def resume_reading(self) -> None:
        """Note its end."""
        self.done.append("resume")


async def settled() -> None:
    """Let the loop do what has gathered."""
    for _ in range(20):
        await asyncio.sleep(0)


def connected(body):
    """Run a test's body with a ring, a connection of it and its transport."""

    async def run():
        ring = Ring()
        await settled()
        one, transport = ring.connection(), Noting()
        one.connection_made(transport)
        await body(ring, one, transport)

    asyncio.run(run())


def test_a_turn_makes_one_write():
    """However many requests it answers, in however many pieces they came."""

    async def body(ring, one, transport):
        one.data_received(b"ping\r\nping\r\npi")
        one.data_received(b"ng\r\n")
        await settled()
        assert transport.done == [OK * 3]

    connected(body)


def test_all_that_happens_before_a_turn_is_one_turn():
    """Whoever it happens to; then there is none until something happens again."""

    async def body(ring, one, transport):
        turns = 0
        turn = ring.broker.turn

        def counted(now_ms, offset_ms):
            nonlocal turns
            turns += 1
            return turn(now_ms, offset_ms)

        ring.broker.turn = counted
        other = ring.connection()
        other.connection_made(Noting())
        for _ in range(10):
            one.data_received(b"ping\r\n")
            other.data_received(b"ping\r\n")
        await settled()
        assert turns == 1

    connected(body)


def test_an_end_comes_after_the_last_reply():
    """As after `quit`."""

    async def body(ring, one, transport):
        one.data_received(b"ping\r\nquit\r\nping\r\n")
        await settled()
        assert transport.done == [OK * 2, "shut"]

    connected(body)


def test_another_protocol_is_just_closed():
    """Without a write."""

    async def body(ring, one, transport):
        one.data_received(b"GET / HTTP/1.1\r\n\r\n")
        await settled()
        assert transport.done == ["close"]

    connected(body)


def test_after_an_error_the_sending_side_is_closed_first():
    """What still comes is read and thrown away; the client's end is the end."""

    async def body(ring, one, transport):
        one.data_received(b"ping\r\nadd 1\r\n")
        await settled()
        one.data_received(b"ping\r\n")
        await settled()
        assert transport.done == [OK + REFUSED, "shut"]
        assert one.eof_received() is False  # asyncio closes

    connected(body)


def test_after_an_error_only_so_much_is_read(monkeypatch):
    """Then the connection is closed."""
    monkeypatch.setattr(module, "LINGER_BYTES_MAX", 1000)

    async def body(ring, one, transport):
        one.data_received(b"add 1\r\n")
        await settled()
        one.data_received(b"x" * 1000)
        assert transport.done == [REFUSED, "shut"]
        one.data_received(b"x")
        assert transport.done == [REFUSED, "shut", "close"]

    connected(body)


def test_the_end_of_a_client_is_not_yet_ours():
    """What it asked is answered before we close."""

    async def body(ring, one, transport):
        one.data_received(b"ping\r\nlease q 1000000\r\n")
        assert one.eof_received() is True
        await settled()
        assert transport.done == [OK + b"-TIMEOUT\r\n", "close"]

    connected(body)


def test_a_connection_that_is_gone_is_sent_nothing():
    """What it had sent is done nevertheless."""

    async def body(ring, one, transport):
        one.data_received(add(1).encode())
        one.connection_lost(None)
        await settled()
        assert transport.done == []
        assert one not in ring.connections
        assert ring.broker.engine.find(job_id(1).encode()) is not None

    connected(body)


def test_a_connection_that_is_lost_with_a_lease_unsent_gives_it_back():
    """The next waiter gets the job."""

    async def body(ring, one, transport):
        other, heard = ring.connection(), Noting()
        other.connection_made(heard)
        one.data_received(b"lease q 1000000\r\n")
        await settled()
        other.data_received((add(1) + "lease q 1000000\r\n").encode())
        one.connection_lost(ConnectionResetError())
        await settled()
        assert (transport.done, heard.done) == ([], [OK + told(1).encode()])

    connected(body)


class Later:
    """What a loop was asked to do later; a test lets the time pass.

    Args:
        loop: the loop; it does none of it by itself.
    """

    def __init__(self, loop, monkeypatch):
        self._calls = []
        self._now_s = 0
        monkeypatch.setattr(loop, "call_later", self._note)

    def _note(self, delay_s, call, *arguments):
        self._calls.append((self._now_s + delay_s, call, arguments))

    def pass_time(self, seconds):
        """Do what falls into so many seconds."""
        self._now_s += seconds
        due = [call for call in self._calls if call[0] <= self._now_s]
        self._calls = [call for call in self._calls if call[0] > self._now_s]
        for _, call, arguments in due:
            call(*arguments)


def test_a_connection_that_takes_nothing_of_its_last_replies_is_cut(monkeypatch):
    """After ten seconds in which nothing went out; its descriptor would be lost for ever."""

    async def body(ring, one, transport):
        later = Later(asyncio.get_running_loop(), monkeypatch)
        transport.kept_bytes = 1000
        one.data_received(b"ping\r\n")
        one.eof_received()
        await settled()
        assert transport.done == [OK, "close"]
        later.pass_time(END_STALLED_MS / 1000 - 0.001)
        assert transport.done == [OK, "close"]
        later.pass_time(0.001)
        assert transport.done == [OK, "close", "abort"]

    connected(body)


def test_a_connection_that_takes_its_last_replies_slowly_is_not_cut(monkeypatch):
    """As long as something goes out every ten seconds."""

    async def body(ring, one, transport):
        later = Later(asyncio.get_running_loop(), monkeypatch)
        transport.kept_bytes = 1000
        one.data_received(b"GET / HTTP/1.1\r\n\r\n")
        await settled()
        for _ in range(20):
            transport.kept_bytes -= 1
            later.pass_time(END_STALLED_MS / 1000)
        assert transport.done == ["close"]
        one.connection_lost(None)  # all has gone out
        later.pass_time(END_STALLED_MS / 1000)
        assert transport.done == ["close"]

    connected(body)


def test_what_a_transport_keeps_for_its_client_is_known():
    """From when it says that it is full until it has room again, or is gone."""

    async def body(ring, one, transport):
        one.pause_writing()
        assert list(ring.untaken.connections) == [one]
        one.resume_writing()
        assert not ring.untaken.connections
        one.pause_writing()
        one.connection_lost(None)
        assert not ring.untaken.connections

    connected(body)


def test_a_full_transport_stops_requests():
    """Until it has room again."""

    async def body(ring, one, transport):
        one.pause_writing()
        one.data_received(b"ping\r\n")
        await settled()
        assert transport.done == []
        one.resume_writing()
        await settled()
        assert transport.done == [OK]

    connected(body)


def test_reading_pauses_and_resumes():
    """When more was read than can be done at once."""

    async def body(ring, one, transport):
        line = b"inspect queue nothing\r\n"
        count = INPUT_BYTES_PAUSE // len(line) + 1
        one.data_received(line * count)
        assert transport.done == ["pause"]  # it rests; the first piece may be of any size
        assert one.reading
        one.data_received(line)
        assert not one.reading
        await until(lambda: one.reading)
        assert transport.done.count("resume") == 1
        await until(lambda: ring.broker.next_ms() > ring.broker.engine.now_ms)
        replies = b"".join(one for one in transport.done if isinstance(one, bytes))
        assert replies == b"-NOT-FOUND\r\n" * (count + 1)

    connected(body)


def test_others_are_read_from_between_two_large_chunks():
    """Be they of a block that is thrown away, or come behind the end."""

    async def body(ring, one, transport):
        chunk = b"x" * CHUNK_BYTES_LARGE
        for _ in range(3):
            one.data_received(chunk)
            assert transport.done[-1] == "pause"
            await until(lambda: transport.done[-1] == "resume")
        assert ring.broker.gauges()["refused-requests"] == 1
        one.data_received(chunk[:-1])
        await settled()
        assert transport.done[-1] != "pause"

    connected(body)


def test_nothing_is_left_of_a_connection_that_is_gone():
    """Without the help of the collector, which the server has turned off."""

    async def body(ring, one, transport):
        other = ring.connection()
        other.connection_made(Noting())
        other.data_received(b"lease q 1000000\r\n")
        await settled()
        other.connection_lost(None)
        await settled()
        one.data_received(b"ping\r\n")
        await settled()
        ghost = weakref.ref(other)
        del other
        assert ghost() is None

    gc.disable()
    try:
        connected(body)
    finally:
        gc.enable()


def test_a_connection_that_has_ended_is_told_nothing_more():
    """It is not even written to, which would be an error; as when the log fails after a `quit`."""

    async def body(ring, one, transport):
        one.data_received(b"quit\r\n")
        await settled()
        one.end(b"-SERVER-ERROR Log failed\r\n", CLOSE)
        assert transport.done == [OK, "shut", "close"]

    connected(body)
