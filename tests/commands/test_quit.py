"""quit: the server answers, then closes."""

from tests.commands.harness import Server, job_id


def test_quit_is_answered_and_closes(server: Server) -> None:
    """What is behind it is not read."""
    client = server.client()
    client.send(f"ping\r\nquit\r\nadd {job_id()} q 1 1 0\r\n\r\n".encode())

    assert client.take() == "+OK\r\n+OK\r\n"
    assert client.closed
    assert server.state() == ""


def test_quit_waits_for_the_requests_before_it(server: Server) -> None:
    """In order, as everything."""
    client = server.client()
    client.send(b"lease q 500\r\nquit\r\n")
    assert not client.closed
    server.advance(500)

    assert client.take() == "-TIMEOUT\r\n+OK\r\n"
    assert client.closed


def test_quit_closes_the_connection_that_asks_and_no_other(server: Server) -> None:
    """The count of connections tells."""
    client, other = server.client(), server.client()
    client.say("quit")

    assert not other.closed
    assert "\r\nactive-clients 2\r\n" in server.ask("inspect server")
