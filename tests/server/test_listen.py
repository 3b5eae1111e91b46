"""Addresses: how they are written, and which may be listened on."""

import fcntl
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from workq.errors import ListenError, SettingError
from workq.limits import (
    KEEPALIVE_IDLE_MS,
    KEEPALIVE_INTERVAL_MS,
    KEEPALIVE_PROBES_MAX,
    SEND_BUFFER_BYTES,
)
from workq.server import listen
from workq.server.listen import SocketFile, TcpAddress, UnixAddress, bind, check_reach, read_address


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
    "text, problem",
    [
        ("", "it has no port"),
        ("9922", "it has no port"),
        ("localhost", "it has no port"),
        ("127.0.0.1:", "it has no port"),
        ("[::1]", "it has no port"),
        ("::1:9922", "an IPv6 address stands in brackets"),
        ("[::1", "an IPv6 address stands in brackets"),
        ("[]:1", "what stands in brackets is no IPv6 address"),
        ("[127.0.0.1]:1", "what stands in brackets is no IPv6 address"),
        ("a..b:1", "its host is no name"),
        ("x" * 64 + ":1", "its host is no name"),
        ("h:65536", "its port is not in 0 … 65535"),
        ("h:" + "9" * 5000, "its port is not in 0 … 65535"),
        ("h:-1", "its port is not a number"),
        ("h: 1", "its port is not a number"),
        ("h:+1", "its port is not a number"),
        ("h:1_0", "its port is not a number"),
        ("h:\N{ARABIC-INDIC DIGIT ONE}", "its port is not a number"),
        ("h:port", "its port is not a number"),
    ],
)
def test_what_is_no_address_is_a_wrong_setting(text, problem):
    """The error says what would be right, and which part is not."""
    with pytest.raises(SettingError) as caught:
        read_address(text, "WORKQ_SERVER_LISTEN")
    said = str(caught.value)
    assert said.startswith("WORKQ_SERVER_LISTEN: ")
    assert " is not like 127.0.0.1:9922, [::1]:9922 or unix:/run/workq.sock: " in said
    assert said.endswith(problem)


@pytest.mark.parametrize(
    "text, path, mode",
    [
        ("unix:/run/workq.sock", "/run/workq.sock", 0o660),
        ("unix:workq.sock?mode=600", "workq.sock", 0o600),
        ("unix:/a:b?mode=0666", "/a:b", 0o666),
    ],
)
def test_a_unix_socket_is_a_path_and_a_mode(text, path, mode):
    """Owner and group may use it if nothing is said."""
    assert read_address(text) == UnixAddress(path, mode)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("unix:", "names no path"),
        ("unix:?mode=0660", "names no path"),
        ("unix:/", "names no path"),
        ("unix:/a\0b", "names no path"),
        ("unix:/a?mode=66", "is not like ?mode=0660"),
        ("unix:/a?mode=0888", "is not like ?mode=0660"),
        ("unix:/a?owner=me", "is not like ?mode=0660"),
        ("unix:/a?", "is not like ?mode=0660"),
    ],
)
def test_what_is_no_unix_socket_is_a_wrong_setting(text, problem):
    """A path must be there, and the mode is octal."""
    with pytest.raises(SettingError) as caught:
        read_address(text)
    assert problem in str(caught.value)


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


@pytest.mark.usefixtures("ipv6")
def test_an_ipv6_address_takes_ipv6_only(bound):
    """So that an IPv4 one of the same port can stand beside it."""
    (one,) = bound("[::1]:0")
    assert one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    (other,) = bound(f"127.0.0.1:{one.getsockname()[1]}")
    assert other.getsockname()[1] == one.getsockname()[1]


def test_a_silent_client_is_asked_whether_it_is_there(bound):
    """By the system, on every connection that is accepted; what is sent unread has its own end."""
    (listener,) = bound("127.0.0.1:0")
    listener.listen()
    with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [
            KEEPALIVE_IDLE_MS // 1000,
            KEEPALIVE_INTERVAL_MS // 1000,
            KEEPALIVE_PROBES_MAX,
        ]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


def test_the_system_keeps_little_for_a_client_that_does_not_read(bound):
    """On every connection that is accepted, at most so much, which it doubles for its own needs."""
    (listener,) = bound("127.0.0.1:0")
    listener.listen()
    with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        size = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert 0 < size <= 2 * SEND_BUFFER_BYTES
        accepted.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while sent < 16 * SEND_BUFFER_BYTES:
                sent += accepted.send(bytes(SEND_BUFFER_BYTES))
        assert sent <= 4 * SEND_BUFFER_BYTES  # with what the other side's system takes in


@pytest.mark.parametrize("text", ["0.0.0.0:0", "[::]:0", ":0"])
def test_what_other_machines_can_reach_must_be_meant(text):
    """There is no authentication: it is refused, and the error says what to say."""
    with pytest.raises(ListenError, match=r"can be reached from other machines.*--insecure"):
        bind(read_address(text), insecure=False)


@pytest.mark.parametrize(
    "text", ["0.0.0.0:0", "[::]:0", ":0", "0:9922", "10.1:1", "192.0.2.1:1", "[2001:db8::1]:1"]
)
def test_what_other_machines_can_reach_shows_before_the_start(text):
    """In every spelling that is a number, whether this machine has that address or not."""
    with pytest.raises(SettingError, match=r"^here: .* can be reached from .* say --insecure"):
        check_reach(read_address(text), "here")


@pytest.mark.parametrize(
    "text", ["127.0.0.1:0", "127.1:0", "[::1]:0", "localhost:1", "workq.invalid:1", "unix:/a"]
)
def test_a_name_is_not_looked_up_before_the_start(text, monkeypatch):
    """Nor is anything else that may reach nobody refused."""
    looked_up = socket.getaddrinfo

    def numbers_only(*arguments, **named):
        assert named["flags"] & socket.AI_NUMERICHOST
        return looked_up(*arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", numbers_only)
    check_reach(read_address(text), "here")


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


def test_a_unix_socket_has_its_name_only_when_it_listens(bound, tmp_path, monkeypatch):
    """Between the two, another server would take it for that of a dead one."""
    monkeypatch.chdir(tmp_path)
    rename = Path.rename

    def looked_at(hidden: Path, path: Path) -> None:
        assert not (tmp_path / "s").exists()
        assert stat.S_IMODE(hidden.stat().st_mode) == 0o666
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(hidden))
        rename(hidden, path)

    monkeypatch.setattr(Path, "rename", looked_at)
    bound("unix:s?mode=0666")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def dead(name: str) -> None:
    """Leave a socket file behind, as a server does that was killed."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(name)


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("act", ["_probe", "_bind_hidden", "rename"])
def test_of_two_servers_that_start_at_once_one_listens(bound, tmp_path, monkeypatch, stale, act):
    """Wherever the first stands when the second comes, which is refused and leaves no trace."""
    monkeypatch.chdir(tmp_path)
    if stale:
        dead("s")
    place: object = Path if act == "rename" else listen
    real = getattr(place, act)

    def second(*arguments: object) -> None:
        monkeypatch.setattr(place, act, real)
        with pytest.raises(ListenError, match="another server is about to listen there"):
            bind(read_address("unix:s"), insecure=False)
        real(*arguments)

    monkeypatch.setattr(place, act, second)
    bound("unix:s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_lock_that_was_given_up_is_no_lock(bound, tmp_path, monkeypatch):
    """Who opened it while another had it, and got it only when that one was done, is too late."""
    monkeypatch.chdir(tmp_path)
    flock = fcntl.flock

    def first(descriptor: int, act: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        Path(".s.lock").unlink()
        bound("unix:s")
        flock(descriptor, act)

    monkeypatch.setattr(fcntl, "flock", first)
    with pytest.raises(ListenError, match="another server is about to listen there"):
        bind(read_address("unix:s"), insecure=False)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")


def test_a_lock_that_a_killed_server_left_is_no_hindrance(bound, tmp_path, monkeypatch):
    """It locks nothing any more, and goes with the next start."""
    monkeypatch.chdir(tmp_path)
    Path(".s.lock").touch()
    bound("unix:s")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_the_file_of_a_socket_is_removed_by_its_owner_only(bound, tmp_path, monkeypatch):
    """One that another server has put there since stays; one that is gone is no error."""
    monkeypatch.chdir(tmp_path)
    address = UnixAddress("s")
    bound("unix:s")
    file = SocketFile(address)
    (tmp_path / "s").unlink()
    file.remove()
    bound("unix:s")
    file.remove()
    assert (tmp_path / "s").is_socket()
    SocketFile(address).remove()
    assert not (tmp_path / "s").exists()
