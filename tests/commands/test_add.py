"""add: a job is handed in, once, and lives as long as it was given."""

import pytest

from tests.commands.harness import Server, job_id
from workq.limits import BLOCK_BYTES_MAX, TTL_MS_MAX


def test_an_added_job_is_ready_with_all_it_was_given(server: Server) -> None:
    """Every field is kept, and the queue counts it."""
    line = f"add {job_id()} mails 5000 60000"
    reply = server.ask(f"{line} 4 -priority=-7 -max-attempts=3 -max-fails=2\r\nping")

    assert reply == "+OK\r\n"
    assert server.shown() == {
        "name": "mails",
        "ttr": "5000",
        "ttl": "60000",
        "payload-size": "4",
        "payload": "ping",
        "max-attempts": "3",
        "attempts": "0",
        "max-fails": "2",
        "fails": "0",
        "priority": "-7",
        "state": "0",
        "created": "2030-01-01T00:00:00Z",
    }
    assert server.lengths("mails") == "1/0"


def test_flags_are_zero_unless_given(server: Server) -> None:
    """None is needed."""
    server.add()
    shown = server.shown()

    assert [shown[key] for key in ("priority", "max-attempts", "max-fails")] == ["0", "0", "0"]


@pytest.mark.parametrize("state", ["ready", "leased", "completed", "failed"])
def test_an_id_is_taken_until_its_job_is_gone(server: Server, state: str) -> None:
    """In every state, by whatever command and queue; deleted, it is free."""
    server.add()
    if state == "leased":
        server.ask("lease q 0")
    if state == "completed":
        server.complete()
    if state == "failed":
        server.fail()

    assert server.add(name="other") == "-CLIENT-ERROR Duplicate job\r\n"
    server.ask(f"delete {job_id()}")
    assert server.add(name="other") == "+OK\r\n"


def test_an_id_is_one_in_either_case(server: Server) -> None:
    """It is kept, and shown, in lower case."""
    server.ask(f"add {job_id(255).upper()} q 1000 60000", "x")

    assert server.add(255) == "-CLIENT-ERROR Duplicate job\r\n"
    assert job_id(255) in server.ask("lease q 0")


def test_a_job_is_gone_when_its_ttl_ends_and_not_before(server: Server) -> None:
    """To the millisecond; it counts as evicted, and its id is free."""
    server.add()
    server.advance(59_999)
    assert server.state() == "0"
    server.advance(1)

    assert server.state() == ""
    assert server.engine.evicted == 1
    assert server.add() == "+OK\r\n"


def test_the_ttl_ends_a_lease_and_a_result_too(server: Server) -> None:
    """Whatever the state. What had its result was not evicted."""
    server.add(1, ttr=86_400_000)
    server.ask("lease q 0")
    server.add(2)
    server.complete(2)
    server.advance(60_000)

    assert server.complete(1) == server.ask(f"result {job_id(2)} 0") == "-NOT-FOUND\r\n"
    assert server.engine.evicted == 1


def test_the_largest_ttl_never_ends(server: Server) -> None:
    """Its end would lie beyond every deadline, so there is none."""
    server.ask(f"add {job_id()} q 1 {TTL_MS_MAX}", "x")
    server.advance(10**12)

    assert server.shown()["ttl"] == str(TTL_MS_MAX)


@pytest.mark.parametrize("payload", [b"", b"\r\n", b"\x00\xff\r\n-TIMEOUT\r\n", bytes(range(256))])
def test_a_payload_may_be_any_bytes(server: Server, payload: bytes) -> None:
    """They come out as they went in."""
    client = server.client()
    client.send(b"add %b q 1 9 %d\r\n%b\r\n" % (job_id().encode(), len(payload), payload))
    client.take()
    client.send(b"lease q 0\r\n")

    assert client.received.endswith(b" %d\r\n%b\r\n" % (len(payload), payload))


def test_a_payload_may_have_its_limit_and_not_a_byte_more(server: Server) -> None:
    """The larger one is thrown away, and the connection goes on."""
    client = server.client()
    size = BLOCK_BYTES_MAX

    assert client.ask(f"add {job_id(1)} q 1 9", "x" * size) == "+OK\r\n"
    assert client.ask(f"add {job_id(2)} q 1 9", "x" * (size + 1)) == (
        "-CLIENT-ERROR Invalid payload size\r\n"
    )
    assert client.ask("ping") == "+OK\r\n"
    assert server.state(2) == ""


def test_adding_serves_who_waits(server: Server) -> None:
    """At once, without a moment in the queue."""
    worker = server.client()
    worker.say("lease q 1000")
    server.add()

    assert worker.take() == server.leased()
    assert server.lengths("q") == "0/0"
