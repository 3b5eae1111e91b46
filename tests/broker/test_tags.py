"""Tags: replies that may overtake, and many waits on one connection."""

import pytest

from tests.commands.harness import Client, Server, job_id
from workq.limits import TAGGED_WAITS_MAX


@pytest.fixture
def server() -> Server:
    """A server on virtual time."""
    return Server()


@pytest.fixture
def client(server: Server) -> Client:
    """A connection that speaks version 2."""
    client = server.client()
    client.ask("hello 2")
    return client


def test_a_reply_carries_the_tag_of_its_request(client: Client) -> None:
    """Of whatever command, and errors too; the tag may stand anywhere."""
    assert client.ask("ping -tag=0") == "=0 +OK\r\n"
    assert client.ask("inspect -tag=007 queue q") == "=7 -NOT-FOUND\r\n"
    assert client.ask("nosuch -tag=18446744073709551615") == (
        "=18446744073709551615 -CLIENT-ERROR Unknown command\r\n"
    )
    assert client.ask("inspect nosuch -tag=1") == "=1 -CLIENT-ERROR Unknown command\r\n"
    assert client.ask(f"add {job_id()} q 0 1 1 -tag=2\r\nx") == "=2 -CLIENT-ERROR Invalid TTR\r\n"
    assert client.ask("lease q 0 -count=0 -tag=3") == "=3 -CLIENT-ERROR Invalid Count\r\n"
    assert client.ask("ping") == "+OK\r\n"


@pytest.mark.parametrize("flags", ["-tag=x", "-tag=-1", "-tag=", "-tag=1 -tag=1", "-tag=1 -tag=2"])
def test_a_tag_that_cannot_be_read_is_a_malformed_flag(client: Client, flags: str) -> None:
    """And the reply has none; a block is passed over."""
    assert client.ask(f"ping {flags}") == "-CLIENT-ERROR Invalid command flags\r\n"
    said = client.ask(f"complete {job_id()} 1 {flags}\r\nx\r\nping")
    assert said == "-CLIENT-ERROR Invalid command flags\r\n+OK\r\n"


def test_version_1_knows_no_tag(server: Server) -> None:
    """Its flag is as unknown as ever, and so is a repeated one malformed."""
    assert server.ask("ping -tag=1") == "-CLIENT-ERROR Invalid command args\r\n"
    assert server.ask("nosuch -tag=1") == "-CLIENT-ERROR Unknown command\r\n"
    assert server.ask("ping -tag=1 -tag=1") == "-CLIENT-ERROR Invalid command flags\r\n"


def test_a_wait_under_a_tag_holds_up_nothing(server: Server, client: Client) -> None:
    """What is behind it is answered; its reply comes when it comes."""
    client.say("lease q 5000 -tag=1")
    client.say("lease q 5000 -tag=2")
    assert client.ask("ping -tag=3") == "=3 +OK\r\n"
    assert client.ask("ping") == "+OK\r\n"
    server.add(1)
    assert client.take().startswith("=1 +OK 1\r\n")
    server.add(2)
    assert client.take().startswith("=2 +OK 1\r\n")


def test_an_untagged_wait_holds_up_all_behind_it(server: Server, client: Client) -> None:
    """With tags or without; what waits under tags from before goes on."""
    client.say(f"run {job_id(9)} r 1000 5000 1 -tag=1\r\nx")
    client.say("lease q 300")
    client.say("ping -tag=2")
    assert client.take() == ""
    server.complete(9, "r")
    assert client.take() == "=1 " + server.finished(9, result="r")
    server.advance(300)
    assert client.take() == "-TIMEOUT\r\n=2 +OK\r\n"


def test_waits_under_tags_end_each_in_its_time(server: Server, client: Client) -> None:
    """The shorter first, whatever came first."""
    server.add()
    client.say(f"result {job_id()} 500 -tag=1")
    client.say("lease other 300 -tag=2")
    client.say(f"result {job_id()} 900 -tag=3")
    server.advance(600)
    assert client.take() == "=2 -TIMEOUT\r\n=1 -TIMEOUT\r\n"
    server.complete(result="r")
    assert client.take() == "=3 " + server.finished(result="r")


@pytest.mark.parametrize("ttr", [1, 0])
def test_a_request_cut_off_in_its_block_is_answered_under_its_tag(client: Client, ttr: int) -> None:
    """Be its line right or refused; one that has no tag is answered without."""
    client.say("ping -tag=6")
    client.send(f"add {job_id()} q {ttr} 1 5 -tag=7\r\nab".encode())
    client.shut()
    assert client.take() == "=6 +OK\r\n=7 -CLIENT-ERROR Invalid payload size\r\n"
    assert client.closed


def test_a_request_without_a_tag_that_is_cut_off_is_answered_without(client: Client) -> None:
    """Whatever tag came before it."""
    client.say("ping -tag=6")
    client.send(f"add {job_id()} q 1 1 5\r\nab".encode())
    client.shut()
    assert client.take() == "=6 +OK\r\n-CLIENT-ERROR Invalid payload size\r\n"


def test_a_half_close_ends_all_waits_and_then_the_connection(
    server: Server, client: Client
) -> None:
    """A run that a worker has waits on for its result."""
    client.say(f"run {job_id()} q 1000 5000 1 -tag=1\r\nx")
    server.ask("lease q 0")
    client.say("lease r 5000 -tag=2")
    client.say(f"run {job_id(2)} q 1000 5000 1 -tag=3\r\nx")
    client.shut()
    assert sorted(client.take().splitlines()) == ["=2 -TIMEOUT", "=3 -TIMEOUT"]
    assert not client.closed
    assert server.state(2) == ""
    server.complete(result="r")
    assert client.take() == "=1 " + server.finished(result="r")
    assert client.closed


def test_a_lost_connection_takes_no_job(server: Server, client: Client) -> None:
    """Nor do its foreground jobs stay."""
    client.say("lease q 5000 -tag=1")
    client.say(f"run {job_id(2)} r 1000 5000 1 -tag=2\r\nx")
    client.close()
    server.add()
    assert (server.state(), server.state(2)) == ("0", "")
    assert server.broker.gauges()["waiting"] == 0


@pytest.mark.parametrize("end", ["quit", "x" * 70_000, "add 1 -tag=9"])
def test_after_quit_or_a_fatal_error_nothing_waits(
    server: Server, client: Client, end: str
) -> None:
    """Without an answer; no job is handed to who has gone."""
    client.say("lease q 5000 -tag=1")
    client.say(f"run {job_id(2)} r 1000 5000 1 -tag=2\r\nx")
    said = client.ask(end)
    assert len(said.splitlines()) == 1
    assert said.startswith("=9 ") == end.endswith("9")
    server.add()
    assert (server.state(), server.state(2)) == ("0", "")
    assert server.broker.gauges()["waiting"] == 0
    assert client.take() == ""


def test_a_client_that_takes_no_replies_is_handed_no_job(server: Server, client: Client) -> None:
    """And stands in line again when it does."""
    client.say("lease q 5000 -tag=1")
    client.say("lease q 5000 -tag=2")
    server.broker.stall(client.session, True)
    server.run()
    server.add()
    assert server.state() == "0"
    server.broker.stall(client.session, False)
    server.run()
    assert client.take().startswith("=1 +OK 1\r\n")
    server.add(2)
    assert client.take().startswith("=2 +OK 1\r\n")


def test_so_many_may_wait_and_no_more(server: Server, client: Client) -> None:
    """One more is told so, though it may not have had to; what does not wait goes on."""
    for tag in range(TAGGED_WAITS_MAX):
        client.say(f"lease q 5000 -tag={tag}")
    assert client.ask("lease q 5000 -tag=999") == "=999 -CLIENT-ERROR Too many waits\r\n"
    before = server.dump()
    run = f"run {job_id()} q 1000 5000 1 -tag=999\r\nx"
    assert client.ask(run) == "=999 -CLIENT-ERROR Too many waits\r\n"
    assert server.dump() == before
    assert client.ask("ping -tag=999") == "=999 +OK\r\n"
    server.add()
    assert client.take().startswith("=0 +OK 1\r\n")
    client.say("lease q 5000 -tag=999")
    assert client.take() == ""
    client.shut()
    assert client.take().count("-TIMEOUT\r\n") == TAGGED_WAITS_MAX


def test_the_bound_of_all_is_that_there_is_no_memory(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits; others are not concerned."""
    monkeypatch.setattr("workq.broker.room.ALL_TAGGED_WAITS_MAX", 1)
    client.say("lease q 5000 -tag=1")
    other = server.client()
    other.ask("hello 2")
    assert other.ask("lease q 5000 -tag=1") == "=1 -SERVER-ERROR Out of memory\r\n"
    assert other.ask("lease q 0") == "-TIMEOUT\r\n"


def test_a_drained_server_ends_waits_under_tags(server: Server, client: Client) -> None:
    """And the connection, when nothing of it is left."""
    client.say("lease q 5000 -tag=1")
    client.say(f"run {job_id()} r 1000 5000 1 -tag=2\r\nx")
    server.ask("lease r 0")
    server.broker.drain()
    server.run()
    assert client.take() == "=1 -TIMEOUT\r\n"
    assert not client.closed
    assert client.ask("lease q 0 -tag=3") == "=3 -SERVER-ERROR Shutting down\r\n"
    server.complete(result="r")
    assert client.take() == "=2 " + server.finished(result="r")
    assert client.closed


@pytest.mark.parametrize("line, said", [
    ("fail {} 9 -tag=4", "=4 -CLIENT-ERROR Invalid result size\r\n"),
    ("fail {} 9", "-CLIENT-ERROR Invalid result size\r\n"),
    ("fail no-id 9 -tag=4", "=4 -CLIENT-ERROR Invalid result size\r\n"),
    ("fail {} 9 -x=1 -tag=4", "=4 -CLIENT-ERROR Invalid command args\r\n"),
])  # fmt: skip
def test_what_is_cut_off_in_its_block_is_told_so_under_its_tag(
    client: Client, line: str, said: str
) -> None:
    """As whatever is said of a request; one that was refused by its line is told nothing more."""
    client.ask("ping -tag=3")
    client.send(f"{line.format(job_id())}\r\nhalf".encode())
    client.shut()
    assert client.take() == said
    assert client.closed


def test_a_request_put_off_keeps_its_tag(server: Server, client: Client) -> None:
    """While the engine is behind, what looks at queues waits for the sweep."""
    for number in range(1, 300):
        server.add(number, flags="-delay=500")
    server.now_ms += 500
    server.broker.receive(client.session, b"lease q 0 -tag=5\r\nping\r\n")
    server.run()
    assert client.take().startswith("=5 +OK 1\r\n")


def test_lines_with_tags_are_not_remembered(server: Server, client: Client) -> None:
    """They never repeat."""
    client.ask("lease unheard 0 -tag=5")
    client.ask(f"delete {job_id()} -tag=5")
    assert b"lease unheard 0 -tag=5\r" not in server.broker._table.lines
    assert server.broker._table.tails[b"delete"] == {}
