"""Addresses to listen on: how they are written, and which may be listened on."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from workq.errors import ListenError, SettingError


class Address(NamedTuple):
    """A TCP address.

    Attributes:
        host: a name or an address without brackets.
        port: 0 for any that is free.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_address(text: str) -> Address:
    """An address from `host:port`, `[ipv6]:port` or `:port` (every interface).

    Raises:
        SettingError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    right = colon and port.isascii() and port.isdigit() and int(port) < 2**16
    if not right or (":" in host and not bracketed):
        raise SettingError("--listen", f"{text!r} is not like 127.0.0.1:9922 or [::1]:9922")
    return Address(host[1:-1] if bracketed else host, int(port))


def bind(address: Address, *, insecure: bool) -> list[socket.socket]:
    """Sockets bound to an address, one for each of the addresses its name stands for.

    Args:
        address: the address.
        insecure: whether others than this machine may reach it: anybody who does can do all.

    Raises:
        ListenError: it cannot be listened on, or may not without `insecure`.
    """
    try:
        found = socket.getaddrinfo(
            address.host or None,
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except OSError as error:
        raise ListenError(str(address), str(error)) from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, place in dict.fromkeys(found):
            if not insecure and not ipaddress.ip_address(str(place[0])).is_loopback:
                raise ListenError(
                    str(address),
                    f"{place[0]} can be reached from other machines, and there is no "
                    "authentication yet; say --insecure if that is meant",
                )
            sockets.append(_bound(family, kind, protocol, place))
    except OSError as error:
        _close(sockets)
        raise ListenError(str(address), error.strerror or str(error)) from error
    except ListenError:
        _close(sockets)
        raise
    return sockets


def _bound(family: int, kind: int, protocol: int, place: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    return bound


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()
