"""Addresses: how they are written, and which may be listened on."""

import socket

import pytest

from workq.errors import ListenError, SettingError
from workq.server.listen import TcpAddress, bind, read_address

HAS_IPV6 = socket.has_ipv6


@pytest.fixture
def bound():
    """Bind as the server does; what was bound is closed at the end."""
    sockets: list[socket.socket] = []

    def bind_(text: str, *, insecure: bool = False) -> list[socket.socket]:
        new = bind(read_address(text), insecure=insecure)
        sockets.extend(new)
        return new

    yield bind_
    for one in sockets:
        one.close()


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("127.0.0.1:9922", "127.0.0.1", 9922),
        ("localhost:0", "localhost", 0),
        ("[::1]:9922", "::1", 9922),
        ("[fe80::1%lo]:1", "fe80::1%lo", 1),
        (":9922", "", 9922),
        ("example.org:65535", "example.org", 65535),
        ("host:00080", "host", 80),
    ],
)
def test_an_address_is_a_host_and_a_port(text, host, port):
    """An IPv6 address stands in brackets, and nothing stands for all interfaces."""
    assert read_address(text) == TcpAddress(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9922",
        "localhost",
        "127.0.0.1:",
        "::1:9922",
        "[::1]",
        "[::1",
        "h:65536",
        "h:-1",
        "h: 1",
        "h:+1",
        "h:1_0",
        "h:\N{ARABIC-INDIC DIGIT ONE}",
        "h:port",
    ],
)
def test_what_is_no_address_is_a_wrong_setting(text):
    """The error says what would be right."""
    with pytest.raises(SettingError, match=r"--listen: .* is not like 127\.0\.0\.1:9922"):
        read_address(text)


def test_a_port_of_very_many_digits_is_a_wrong_setting():
    """As any other number that is no port."""
    with pytest.raises(SettingError):
        read_address("h:" + "9" * 5000)


@pytest.mark.parametrize("text", ["127.0.0.1:9922", "[::1]:1", "localhost:0"])
def test_an_address_is_shown_as_it_is_written(text):
    """With brackets where they are needed."""
    assert str(read_address(text)) == text


def test_port_0_is_any_that_is_free(bound):
    """Two of them are different."""
    (one,), (other,) = bound("127.0.0.1:0"), bound("127.0.0.1:0")
    assert one.getsockname()[1] != other.getsockname()[1] != 0


def test_the_whole_loopback_net_may_be_listened_on(bound):
    """Not its first address only."""
    (one,) = bound("127.1.2.3:0")
    assert one.getsockname()[0] == "127.1.2.3"


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
def test_an_ipv6_address_takes_ipv6_only(bound):
    """So that an IPv4 one of the same port can stand beside it."""
    try:
        (one,) = bound("[::1]:0")
    except ListenError:
        pytest.skip("no IPv6 here")
    assert one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    (other,) = bound(f"127.0.0.1:{one.getsockname()[1]}")
    assert other.getsockname()[1] == one.getsockname()[1]


@pytest.mark.parametrize("text", ["0.0.0.0:0", "[::]:0", ":0"])
def test_what_other_machines_can_reach_must_be_meant(text):
    """There is no authentication: it is refused, and the error says what to say."""
    with pytest.raises(ListenError, match=r"can be reached from other machines.*--insecure"):
        bind(read_address(text), insecure=False)


def test_what_is_meant_is_done(bound):
    """With --insecure every interface may be listened on."""
    (one,) = bound("0.0.0.0:0", insecure=True)
    assert one.getsockname()[0] == "0.0.0.0"


def test_every_address_of_a_name_is_judged(monkeypatch):
    """One that others can reach is enough to refuse, and nothing stays bound."""
    made: list[socket.socket] = []

    class Noted(socket.socket):
        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            made.append(self)

    def two(*_: object, **__: object) -> list[object]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("127.0.0.1", 0)), (*kind, ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    monkeypatch.setattr(socket, "socket", Noted)
    with pytest.raises(ListenError, match=r"workq\.test:0: 192\.0\.2\.1 can be reached"):
        bind(TcpAddress("workq.test", 0), insecure=False)
    assert [one.fileno() for one in made] == [-1]


def test_a_port_that_is_in_use_is_named(bound):
    """With the system's reason."""
    (one,) = bound("127.0.0.1:0")
    one.listen()
    address = TcpAddress("127.0.0.1", one.getsockname()[1])
    with pytest.raises(ListenError, match=rf"cannot listen on {address}: Address already in use"):
        bind(address, insecure=False)


def test_a_name_that_nobody_knows_is_named(monkeypatch):
    """With the resolver's reason."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ListenError, match=r"cannot listen on nowhere\.test:1: .*not known"):
        bind(TcpAddress("nowhere.test", 1), insecure=False)
