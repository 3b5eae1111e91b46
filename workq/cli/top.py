"""`workq top`: queues and rates, live in the terminal."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from workq.cli import statuses
from workq.cli.connection import add_options, connect
from workq.cli.picture import Picture, Sample, as_json, draw
from workq.cli.problems import Problem
from workq.cli.showing import has_rich, print_json
from workq.cli.signals import Signals, interrupt
from workq.cli.times import read_duration
from workq.limits import LISTED_MAX, TOP_INTERVAL_MS_MIN, TOP_QUEUES_MAX

if TYPE_CHECKING:
    from workq_client import Client, QueueInfo

NAME: Final = "top"
SUMMARY: Final = "show queues and rates, live in the terminal; q ends it"


def set_up(parser: ArgumentParser) -> None:
    """Give the parser what it takes."""
    parser.add_argument(
        "--interval",
        type=read_duration,
        default=1.0,
        metavar="DURATION",
        help="how often it looks (1s)",
    )
    parser.add_argument("--once", action="store_true", help="print one picture, and end")
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Show, until told to stop; where nobody sees it, each picture is printed."""
    if options.interval * 1000 < TOP_INTERVAL_MS_MIN:
        raise Problem(f"--interval is {TOP_INTERVAL_MS_MIN}ms or more")
    with connect(options) as client:
        sample = look(client)
        if options.once:
            time.sleep(options.interval)
            _print(Picture(client.url, look(client), sample), options)
            return statuses.OK
        with _screen(options) as screen, suppress(KeyboardInterrupt):  # which is a way to end it
            screen.show(Picture(client.url, sample, None))
            while not _told_to_end(options.interval):
                screen.show(_next(client, sample))
                if screen.shown.trouble is None:
                    sample = screen.shown.now
    return statuses.OK


def look(client: Client) -> Sample:
    """How it is now: the numbers, and the queues, as many as are looked at."""
    with client.pipeline() as pipeline:
        stats = pipeline.stats()
        pieces = [
            pipeline.inspect_queues(offset=offset, limit=LISTED_MAX)
            for offset in range(0, TOP_QUEUES_MAX, LISTED_MAX)
        ]
    queues: list[QueueInfo] = []
    for piece in pieces:
        queues += piece.result()
    return Sample(stats.result(), queues, time.monotonic())


def _next(client: Client, before: Sample) -> Picture:
    """The next picture; of a server that does not answer the last one, with what is wrong."""
    from workq_client import WorkqError

    try:
        return Picture(client.url, look(client), before)
    except WorkqError as error:
        return Picture(client.url, before, None, trouble=str(error))


def _print(picture: Picture, options: Namespace) -> None:
    if options.json:
        print_json(as_json(picture))
        return
    print("\n".join(draw(picture, TOP_QUEUES_MAX)), flush=True)


def _told_to_end(seconds: float) -> bool:
    """Wait for the next picture; whether somebody pressed q meanwhile."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left)
        if ready and os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b""):
            return True
    return False


class Printed:
    """A screen that is none: one picture after the other, as a log.

    Attributes:
        shown: the last picture.
    """

    shown: Picture

    def __init__(self, options: Namespace) -> None:
        self._options = options

    def show(self, picture: Picture) -> None:
        """Show a picture."""
        self.shown = picture
        _print(picture, self._options)


class Terminal(Printed):
    """A terminal, of which we know no more than how to go to its beginning."""

    def show(self, picture: Picture) -> None:
        """Show a picture, as much as there is room for."""
        self.shown = picture
        width, height = shutil.get_terminal_size()
        lines = [line[:width] for line in draw(picture, height)][:height]
        sys.stdout.write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
        sys.stdout.flush()


class Rich(Printed):
    """A terminal drawn by rich."""

    def __init__(self, options: Namespace, live: Any) -> None:
        super().__init__(options)
        self._live = live

    def show(self, picture: Picture) -> None:
        """Show a picture, as much as there is room for."""
        from workq.cli.picture import draw_rich

        self.shown = picture
        self._live.update(draw_rich(picture, self._live.console.height), refresh=True)


@contextmanager
def _screen(options: Namespace) -> Iterator[Printed]:
    """Where pictures are shown; a terminal is left as it was."""
    dumb = os.environ.get("TERM") == "dumb"  # it only knows how to go on: one in an editor, say
    if options.json or dumb or not sys.stdout.isatty():
        yield Printed(options)
        return
    with Signals(interrupt), _keys():
        if has_rich():
            from rich.live import Live

            with Live(screen=True, auto_refresh=False) as live:
                yield Rich(options, live)
            return
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        try:
            yield Terminal(options)
        finally:
            sys.stdout.write("\x1b[?25h\x1b[?1049l")
            sys.stdout.flush()


@contextmanager
def _keys() -> Iterator[None]:
    """Have each key as it is pressed, and not shown."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
