"""What systemd is told: that the server is ready, lives, needs more time, or stops.

It is told in datagrams to the socket that `NOTIFY_SOCKET` names, as `man 3 sd_notify` has it.
Without that variable nothing is told, and whatever goes wrong is left at that: a server must not
fail because nobody listens.
"""

import os
import socket
from collections.abc import Mapping

from workq.limits import NOTIFY_MS, NOTIFY_STATUS_CHARACTERS_MAX


class Notifier:
    """Tells systemd how the server is.

    Args:
        environ: the environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._name = environ.get("NOTIFY_SOCKET", "")

    def ready(self, status: str = "") -> bool:
        """The server listens. Like all others: returns whether that was handed over."""
        return self._send("READY=1", _status(status))

    def stopping(self, status: str = "") -> bool:
        """The server begins to stop."""
        return self._send("STOPPING=1", _status(status))

    def watchdog(self) -> bool:
        """The server lives; to be said every `watchdog_interval_ms`."""
        return self._send("WATCHDOG=1")

    def extend_timeout(self, time_ms: int) -> bool:
        """Starting or stopping goes on, and comes on at least once more within this time."""
        return self._send(f"EXTEND_TIMEOUT_USEC={time_ms * 1000}")

    def _send(self, *lines: str) -> bool:
        if not self._name.startswith(("/", "@")):
            return False
        text = "\n".join(line for line in lines if line)
        try:
            address = os.fsencode(self._name)
            if address.startswith(b"@"):  # abstract: it lives outside of the file system
                address = b"\0" + address[1:]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(NOTIFY_MS / 1000)
                sender.sendto(text.encode("utf-8", "replace"), address)
        except (OSError, ValueError):
            return False
        return True


def watchdog_interval_ms(environ: Mapping[str, str], process: int) -> int:
    """How often to call `watchdog`: half of the time that systemd waits; 0 if it does not wait.

    Args:
        environ: the environment.
        process: this process's number: what systemd asked of its parent is not for it.
    """
    watched = environ.get("WATCHDOG_PID", str(process))
    wait_us = environ.get("WATCHDOG_USEC", "")
    if watched != str(process) or not (wait_us.isascii() and wait_us.isdigit()):
        return 0
    if len(wait_us) > 20 or int(wait_us) == 0:
        return 0
    return max(1, int(wait_us) // 2000)


def _status(text: str) -> str:
    """A status of one line: more lines would say more than a status."""
    start = text[:NOTIFY_STATUS_CHARACTERS_MAX]
    line = "".join(one if one.isprintable() else " " for one in start)
    return f"STATUS={line}" if line else ""
