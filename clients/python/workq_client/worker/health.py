"""Telling whether a worker works: a file whose time is set each second, or a port that answers.

It works if the server has answered it within the last seconds, be it that there are no jobs, and
there is something that runs handlers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from workq_client.errors import InvalidRequest
from workq_client.limits import (
    HEALTH_REQUEST_BYTES_MAX,
    HEALTH_REQUEST_S,
    HEALTH_REQUESTS_MAX,
    HEALTH_S,
)


class Patient(Protocol):
    """Whose health it is."""

    @property
    def trouble(self) -> str:
        """Why it does not work; empty if it does."""
        ...

    @property
    def paused(self) -> bool:
        """Whether it was told to take no jobs."""
        ...


def health_place(where: str | int | None) -> Path | tuple[str, int] | None:
    """Where health is told: in a file, on a port, or nowhere.

    Args:
        where: as for `Worker`.

    Raises:
        InvalidRequest: it is neither the path of a file nor a port.
    """
    if where is None:
        return None
    text = str(where)
    host, colon, port = text.rpartition(":")
    if isinstance(where, int) or text.isdecimal() or (host and port.isdecimal()):
        if isinstance(where, bool) or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InvalidRequest(f"health is {where!r}; a port is from 1 to 65535")
        return (host.strip("[]") if colon else "127.0.0.1", int(port))
    if not isinstance(where, str) or not where or Path(where).is_dir():
        raise InvalidRequest(f"health is {where!r}; it has to be a file, a port or host:port")
    return Path(where)


@asynccontextmanager
async def served_health(where: str | int | None, patient: Patient) -> AsyncIterator[None]:
    """Tell of somebody's health inside an `async with`.

    Args:
        where: the path of a file; a port of this machine, or `host:port`; None for nowhere.
        patient: whose.

    Raises:
        OSError: there is no listening there, or no writing.
    """
    place = health_place(where)
    if place is None:
        yield
        return
    if isinstance(place, tuple):
        server = await asyncio.start_server(
            _Port(patient).answer, *place, limit=HEALTH_REQUEST_BYTES_MAX
        )
        try:
            yield
        finally:
            server.close()
        return
    path = place
    path.touch()
    os.utime(path, (0, 0))  # it was never well yet
    task = asyncio.create_task(_keep_file(path, patient))
    try:
        yield
    finally:
        task.cancel()
        path.unlink(missing_ok=True)


async def _keep_file(path: Path, patient: Patient) -> None:
    while True:
        if not patient.trouble:
            with suppress(OSError):  # a full disk is no reason to stop
                path.touch()  # noqa: ASYNC240 - a moment, each second
        await asyncio.sleep(HEALTH_S)


class _Port:
    """Answers whoever asks by HTTP: 200 or 503.

    Args:
        patient: whose health it is.
    """

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self._asking = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, whatever it asks for."""
        self._asking += 1
        try:
            if self._asking <= HEALTH_REQUESTS_MAX:
                async with asyncio.timeout(HEALTH_REQUEST_S):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._told())
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._asking -= 1
            writer.close()

    def _told(self) -> bytes:
        trouble = self._patient.trouble
        text = trouble or ("paused" if self._patient.paused else "ok")
        status = "503 Service Unavailable" if trouble else "200 OK"
        return (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text) + 1}\r\n"
            f"Connection: close\r\n\r\n{text}\n"
        ).encode()
