"""`workq-server`: reads its command line, listens, serves until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

import uvloop

from workq import __version__
from workq.errors import WorkqError
from workq.server.listen import Address, bind, read_address
from workq.server.ring import Ring

#: Connections that may wait to be accepted.
BACKLOG = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; return the exit status: 0, 2 for a bad setting, 3 if it cannot start."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        addresses = [read_address(text) for text in options.listen or ["127.0.0.1:9922"]]
        uvloop.run(_serve(addresses, options.insecure))
    except WorkqError as error:
        print(f"workq-server: {error}", file=sys.stderr)
        return 3
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="workq-server", description="The workq job server.", allow_abbrev=False
    )
    parser.add_argument(
        "-listen",
        "--listen",
        action="append",
        metavar="HOST:PORT",
        help="an address to listen on (default 127.0.0.1:9922); may be given several times",
    )
    parser.add_argument(
        "-insecure",
        "--insecure",
        action="store_true",
        help="listen on addresses that other machines can reach: there is no authentication yet",
    )
    parser.add_argument("--version", action="version", version=f"workq-server {__version__}")
    return parser.parse_args(arguments)


async def _serve(addresses: Sequence[Address], insecure: bool) -> None:
    loop = asyncio.get_running_loop()
    ring = Ring()
    listeners = []
    for address in addresses:
        for bound in bind(address, insecure=insecure):
            listener = await loop.create_server(ring.connection, sock=bound, backlog=BACKLOG)
            listeners.append(listener)
            print(f"Listening on {_shown(bound.getsockname())}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    for listener in listeners:
        listener.close()
    for connection in list(ring.connections):
        connection.close()


def _shown(place: tuple[object, ...]) -> Address:
    return Address(str(place[0]), int(str(place[1])))


if __name__ == "__main__":
    sys.exit(main())
