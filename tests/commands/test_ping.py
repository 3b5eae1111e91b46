"""ping: the server answers."""

from tests.commands.harness import Server


def test_ping_is_answered(server: Server) -> None:
    """With OK, as often as one likes."""
    client = server.client()
    client.send(b"ping\r\n" * 1000)

    assert client.take() == "+OK\r\n" * 1000


def test_ping_takes_no_arguments_and_no_flags(server: Server) -> None:
    """As any command refuses what it does not know."""
    for text in ("ping x", "ping -x=1"):
        assert server.ask(text) == "-CLIENT-ERROR Invalid command args\r\n"
