"""`workq ping`: does a server answer, and how soon?"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Final

from workq.cli import statuses
from workq.cli.connection import add_options, connect
from workq.cli.showing import print_json

NAME: Final = "ping"
SUMMARY: Final = "find out whether a server answers, and how soon"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Ping; what is measured is an answer, and not the connecting before it."""
    with connect(options) as client:
        client.ping()
        begin = time.perf_counter()
        client.ping()
        taken_ms = round((time.perf_counter() - begin) * 1000, 3)
        server, url = client.server, client.url
    assert server is not None
    if options.json:
        facts = {"version": server.version, "protocol": server.protocol}
        print_json({"url": url, **facts, "ms": taken_ms})
    else:
        print(f"{url} answers in {taken_ms:.2f} ms: workq {server.version}")
    return statuses.OK
