"""Addresses to listen on: how they are written, and which may be listened on."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import NamedTuple, TypeAlias

from workq.errors import ListenError, SettingError

#: Who may use a Unix socket if nothing is said: its owner and its owner's group.
UNIX_MODE = 0o660

#: How long a server that holds a Unix socket may take to be found out.
PROBE_S = 1.0


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


def read_address(text: str) -> Address:
    """An address from `host:port`, `[ipv6]:port`, `:port` or `unix:/path?mode=0660`.

    Raises:
        SettingError: it is none of these.
    """
    if text.startswith("unix:"):
        return _read_unix(text)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    right = colon and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 2**16
    if not right or (":" in host and not bracketed):
        raise SettingError(
            "--listen",
            f"{text[:100]!r} is not like 127.0.0.1:9922, [::1]:9922 or unix:/run/workq.sock",
        )
    return TcpAddress(host[1:-1] if bracketed else host, int(port))


def _read_unix(text: str) -> UnixAddress:
    path, question, query = text.removeprefix("unix:").partition("?")
    mode = UNIX_MODE
    if question:
        key, _, value = query.partition("=")
        octal = 3 <= len(value) <= 4 and all(digit in "01234567" for digit in value)
        if key != "mode" or not octal:
            raise SettingError("--listen", f"{text[:200]!r}: after ? stands mode=0660, or the like")
        mode = int(value, 8)
    if not path or "\0" in path:
        raise SettingError("--listen", f"{text[:200]!r} names no path")
    return UnixAddress(path, mode)


def bind(address: Address, *, insecure: bool) -> list[socket.socket]:
    """Sockets bound to an address, one for each of the addresses its name stands for.

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


def unlink(address: UnixAddress) -> None:
    """Remove the file of a Unix socket that is no longer listened on."""
    Path(address.path).unlink(missing_ok=True)


def _bound_tcp(address: TcpAddress, insecure: bool) -> list[socket.socket]:
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, place in dict.fromkeys(found):
            if not insecure and not ipaddress.ip_address(str(place[0])).is_loopback:
                raise ListenError(
                    str(address),
                    f"{place[0]} can be reached from other machines, and there is no "
                    "authentication yet; say --insecure if that is meant",
                )
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(place)
    except (OSError, ListenError):
        for bound in sockets:
            bound.close()
        raise
    return sockets


def _bound_unix(address: UnixAddress) -> socket.socket:
    _make_way(address)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Bound with no rights for anybody else, then given what they shall have.
    mask = os.umask(0o177)
    try:
        bound.bind(address.path)
        Path(address.path).chmod(address.mode)
    except OSError as error:
        bound.close()
        if error.errno == errno.EINVAL or not error.errno:
            raise ListenError(str(address), "the path is too long for a socket") from error
        raise
    finally:
        os.umask(mask)
    return bound


def _make_way(address: UnixAddress) -> None:
    """Remove the file of a server that is gone; refuse to take a living one's place."""
    path = Path(address.path)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(str(address), "there is a file of that name that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise ListenError(
                str(address), f"its socket file is in the way: {error.strerror or error}"
            ) from error
    raise ListenError(str(address), "another server listens there")
