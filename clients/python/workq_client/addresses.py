"""Where a server is: `workq://host:port`, or `workq+unix:///path` for a Unix socket."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from workq_client.errors import InvalidRequest

#: The port of a server that was not told another.
PORT = 9922

#: The environment variable that tells the address where none is given.
VARIABLE = "WORKQ_URL"

_DEFAULT = f"workq://127.0.0.1:{PORT}"


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        host, port: of TCP.
        path: of a Unix socket; then the others mean nothing.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"workq+unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"workq://{host}:{self.port}"


def parse(url: str | None = None) -> Address:
    """The address in a URL.

    Args:
        url: the URL; None for what the environment says in `WORKQ_URL`, and if it says nothing for
            port 9922 of this machine.

    Raises:
        InvalidRequest: it is no such URL.
    """
    text = url if url is not None else os.environ.get(VARIABLE) or _DEFAULT
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"the URL {text!r} makes no sense: {error}") from None
    try:
        (parts.hostname or "").encode("idna")  # as it is looked up
    except UnicodeError:
        raise InvalidRequest(f"the URL {text!r} has no name of a host") from None
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InvalidRequest(f"the URL {text!r} has more than a host and a port, or a path")
    if parts.scheme == "workq" and parts.hostname and parts.path in ("", "/"):
        return Address(parts.hostname, PORT if port is None else port)
    if parts.scheme == "workq+unix" and not parts.netloc and parts.path.startswith("/"):
        return Address(path=unquote(parts.path))
    raise InvalidRequest(
        f"the URL {text!r} is neither like workq://127.0.0.1:9922 nor like workq+unix:///run/workq.sock"
    )
