"""Addresses to listen on: how they are written, and which may be listened on."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from workq.errors import ListenError, SettingError
from workq.limits import (
    BACKLOG_CONNECTIONS_MAX,
    KEEPALIVE_IDLE_MS,
    KEEPALIVE_INTERVAL_MS,
    KEEPALIVE_PROBES_MAX,
    PROBE_MS,
    SEND_BUFFER_BYTES,
)

#: Who may use a Unix socket if nothing is said: its owner and its owner's group.
UNIX_MODE = 0o660

_TOO_LONG: Final = "the path is too long for a socket"

#: What is wrong with an address that is not this machine's alone; it follows the address.
EXPOSED = (
    "can be reached from other machines, and there is no authentication yet; "
    "say --insecure if that is meant"
)


class TcpAddress(NamedTuple):
    """A TCP address.

    Attributes:
        host: a name or an address without brackets; empty for every interface.
        port: 0 for any that is free.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class UnixAddress(NamedTuple):
    """The path of a Unix socket.

    Attributes:
        path: the path.
        mode: who may use it, as a file's permissions.
    """

    path: str
    mode: int = UNIX_MODE

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = TcpAddress | UnixAddress

#: What `getaddrinfo` tells of one address: family, type, protocol, canonical name, socket address.
_Found: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


def read_address(text: str, where: str = "--listen") -> Address:
    """An address from `host:port`, `[ipv6]:port`, `:port` or `unix:/path?mode=0660`.

    Args:
        text: how it is written.
        where: the setting as the operator wrote it, for the error.

    Raises:
        SettingError: it is none of these.
    """
    if text.startswith("unix:"):
        return _read_unix(text, where)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    problem = ""
    if not colon or not port or text.endswith("]"):
        problem = "it has no port"
    elif ":" in host and not bracketed:
        problem = "an IPv6 address stands in brackets"
    elif bracketed and not _is_ipv6(host[1:-1]):
        problem = "what stands in brackets is no IPv6 address"
    elif not bracketed and not _is_name(host):
        problem = "its host is no name"
    elif not (port.isascii() and port.isdigit()):
        problem = "its port is not a number"
    elif len(port) > 5 or int(port) >= 2**16:
        problem = "its port is not in 0 … 65535"
    if problem:
        like = "127.0.0.1:9922, [::1]:9922 or unix:/run/workq.sock"
        raise SettingError(where, f"{text[:100]!r} is not like {like}: {problem}")
    return TcpAddress(host[1:-1] if bracketed else host, int(port))


def _is_name(text: str) -> bool:
    """Whether a host can be looked up: with others that ends in an error not of the system."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _read_unix(text: str, where: str) -> UnixAddress:
    path, question, query = text.removeprefix("unix:").partition("?")
    mode = UNIX_MODE
    if question:
        key, _, value = query.partition("=")
        octal = 3 <= len(value) <= 4 and all(digit in "01234567" for digit in value)
        if key != "mode" or not octal:
            like = "?mode=0660, three or four octal digits"
            raise SettingError(where, f"{text[:200]!r}: what follows the path is not like {like}")
        mode = int(value, 8)
    if not Path(path).name or "\0" in path:
        raise SettingError(where, f"{text[:200]!r} names no path")
    return UnixAddress(path, mode)


def check_reach(address: Address, where: str) -> None:
    """Refuse an address that other machines can reach, if that shows without asking the network.

    What a name stands for shows only when it is looked up: `bind` refuses it then.

    Args:
        address: the address.
        where: the setting as the operator wrote it, for the error.

    Raises:
        SettingError: it is one in numbers, or every interface, and not this machine's alone.
    """
    if isinstance(address, UnixAddress):
        return
    try:
        found = _looked_up(address, socket.AI_NUMERICHOST)
    except OSError:
        return  # a name
    if any(_is_exposed(place) for *_, place in found):
        raise SettingError(where, f"{address} {EXPOSED}")


def _looked_up(address: TcpAddress, flags: int = 0) -> list[_Found]:
    """What an address stands for, each once."""
    kind = socket.SOCK_STREAM
    flags |= socket.AI_PASSIVE
    found = socket.getaddrinfo(address.host or None, address.port, type=kind, flags=flags)
    return list(dict.fromkeys(found))


def _is_exposed(place: tuple[Any, ...]) -> bool:
    return not ipaddress.ip_address(str(place[0])).is_loopback


def bind(address: Address, *, insecure: bool) -> list[socket.socket]:
    """Sockets bound to an address, one for each of the addresses its name stands for.

    A Unix socket listens already: that is how another server tells that it is in use.

    Args:
        address: the address.
        insecure: whether others than this machine may reach it: anybody who does can do all.

    Raises:
        ListenError: it cannot be listened on, or may not without `insecure`.
    """
    try:
        if isinstance(address, UnixAddress):
            return [_bound_unix(address)]
        return _bound_tcp(address, insecure)
    except OSError as error:
        raise ListenError(str(address), error.strerror or str(error)) from error


class SocketFile:
    """The file of a Unix socket that is listened on, while the socket is open.

    Args:
        address: the socket's address; it is bound.
    """

    def __init__(self, address: UnixAddress) -> None:
        self._path = Path(address.path)
        self._identity = self._looked_at()

    def remove(self) -> None:
        """Remove the file, unless somebody has put another one in its place."""
        if self._identity is not None and self._looked_at() == self._identity:
            self._path.unlink(missing_ok=True)

    def _looked_at(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _bound_tcp(address: TcpAddress, insecure: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, place in _looked_up(address):
            if not insecure and _is_exposed(place):
                raise ListenError(str(address), f"{place[0]} {EXPOSED}")
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _keep_alive(bound)
            # What a socket accepts inherits this too.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            bound.bind(place)
    except (OSError, ListenError):
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _keep_alive(bound: socket.socket) -> None:
    """Let the system ask silent clients whether they are there: what a socket accepts inherits it.

    Where an option has another name than on Linux, the system's own times hold.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_MS // 1000),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_MS // 1000),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES_MAX),
    ):
        if hasattr(socket, name):
            bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bound_unix(address: UnixAddress) -> socket.socket:
    """A socket that listens, and then got its name: whoever finds the name finds it in use."""
    path = Path(address.path)
    with _alone(address, path):
        _probe(address, path)
        hidden = path.with_name(f".{secrets.token_hex(4)}")
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _bind_hidden(bound, address, hidden)
            try:
                hidden.chmod(address.mode)
                bound.listen(BACKLOG_CONNECTIONS_MAX)
                hidden.rename(path)
            finally:
                hidden.unlink(missing_ok=True)
        except (OSError, ListenError):
            bound.close()
            raise
    return bound


@contextmanager
def _alone(address: UnixAddress, path: Path) -> Iterator[None]:
    """Let no other server look for a dead socket here meanwhile, or put its own there.

    Two that start at once would both find the same dead one, and the second would take the place
    of the first. Who finds the lock taken need not wait: the other will listen, or fail at what
    this one would fail at as well.
    """
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(lock, descriptor):
            raise ListenError(str(address), "another server is about to listen there")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(lock: Path, descriptor: int) -> bool:
    """Whether the lock is ours now, and not one that another server has just been done with."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(lock.lstat(), os.fstat(descriptor))
    except (BlockingIOError, FileNotFoundError):
        return False


def _bind_hidden(bound: socket.socket, address: UnixAddress, hidden: Path) -> None:
    """Bind with no rights for anybody else; what they shall have is given afterwards."""
    mask = os.umask(0o177)
    try:
        bound.bind(str(hidden))
    except OSError as error:
        if error.errno == errno.EINVAL or not error.errno:
            raise ListenError(str(address), _TOO_LONG) from error
        raise
    finally:
        os.umask(mask)


def _probe(address: UnixAddress, path: Path) -> None:
    """See that at a path there is nothing, or a socket at which no server listens any more.

    Raises:
        ListenError: one does, it cannot be known, or there is another kind of file.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_MS / 1000)
        try:
            probe.connect(str(path))
        except OSError as error:
            if not error.errno and not isinstance(error, TimeoutError):
                raise ListenError(str(address), _TOO_LONG) from error
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                return
            if not stat.S_ISSOCK(mode):
                problem = "there is a file of that name that is no socket"
                raise ListenError(str(address), problem) from error
            if isinstance(error, ConnectionRefusedError):
                return
            problem = f"its socket file is in the way: {error.strerror or error}"
            raise ListenError(str(address), problem) from error
    raise ListenError(str(address), "another server listens there")
