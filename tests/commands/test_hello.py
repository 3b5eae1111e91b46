"""hello: version 2 of a connection, and what it changes."""

import pytest

from tests.commands.harness import Server, job_id

#: The first lease of a server that begins.
TOKEN = (1 << 40) + 1


def test_it_tells_the_version_and_the_limits(server: Server) -> None:
    """As keys, of which more may come."""
    lines = server.ask("hello 2").splitlines()
    assert lines[:4] == ["+OK 1", f"hello {len(lines) - 2}", "version 1.2.3", "protocol 2"]
    assert "line-bytes 65536" in lines


def test_leases_have_attributes_from_then_on(server: Server) -> None:
    """On this connection; on another nothing is different."""
    client = server.client()
    client.ask("hello 2 -name=worker-1")
    for number in (1, 2):
        server.add(number)
    head = f"+OK 1\r\n{job_id()} q 1000 5"

    assert client.ask("lease q 0") == f"{head} token={TOKEN} attempt=1\r\njob 1\r\n"
    assert server.ask("lease q 0") == server.leased(2)
    server.advance(1000)
    assert client.ask("lease q 0") == f"{head} token={TOKEN + 2} attempt=2\r\njob 1\r\n"
    assert client.session.name == b"worker-1"


def test_who_waits_is_told_attributes_too(server: Server) -> None:
    """The reply is the same whenever it comes."""
    client = server.client()
    client.ask("hello 2")
    client.say("lease q 5000")
    server.add()
    assert f"5 token={TOKEN} attempt=1\r\n" in client.take()


@pytest.mark.parametrize("version", ["1", "3", "02x", "-2", "two"])
def test_another_version_is_refused(version: str) -> None:
    """And nothing has changed: version 1 is spoken by not saying hello."""
    server = Server()
    before = server.dump()
    assert server.ask(f"hello {version}") == "-CLIENT-ERROR Unknown version\r\n"
    assert server.dump() == before
    server.add()
    assert server.ask("lease q 0") == server.leased()


def test_saying_it_again_does_no_harm(server: Server) -> None:
    """There is no way back."""
    client = server.client()
    first = client.ask("hello 2 -name=a")
    assert client.ask("hello 2") == first
    assert client.ask("hello 1") == "-CLIENT-ERROR Unknown version\r\n"
    assert client.session.version == 2


@pytest.mark.parametrize("command", ["complete", "fail"])
@pytest.mark.parametrize("end", ["time", "result", "delete", "again"])
def test_a_lease_that_is_over_changes_nothing(server: Server, command: str, end: str) -> None:
    """Whatever ended it, and whoever has the job now."""
    server.add(flags="-max-fails=9")
    server.ask("lease q 0")
    if end in ("time", "again"):
        server.advance(1000)
    if end == "again":
        server.ask("lease q 0")
    if end == "result":
        server.complete()
    if end == "delete":
        server.ask(f"delete {job_id()}")
    before = server.dump()
    reply = server.ask(f"{command} {job_id()} 3 -lease={TOKEN}\r\nold")
    assert reply == ("-NOT-FOUND" if end == "delete" else "-CLIENT-ERROR Lease lost") + "\r\n"
    assert server.dump() == before


@pytest.mark.parametrize("command, state", [("complete", "1"), ("fail", "2")])
def test_a_lease_that_stands_may_be_named(server: Server, command: str, state: str) -> None:
    """On any connection, whatever it speaks."""
    server.add()
    server.ask("lease q 0")
    assert server.ask(f"{command} {job_id()} 3 -lease={TOKEN}\r\nnew") == "+OK\r\n"
    assert server.state() == state
