"""The server that subcommands speak to: where it is, and how long it may take."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from workq.cli.times import read_duration
from workq.limits import COMPLETION_MS, LISTED_MAX

if TYPE_CHECKING:
    from workq_client import Client


def add_options(parser: ArgumentParser) -> None:
    """Give a parser what all subcommands take that speak to a server."""
    group = parser.add_argument_group("the server, and the form of what is printed")
    group.add_argument(
        "--url",
        metavar="URL",
        help="where it is: workq://HOST:PORT or workq+unix:///PATH; without it what WORKQ_URL says,"
        " or port 9922 of this machine",
    )
    group.add_argument(
        "--timeout",
        type=_timeout,
        metavar="DURATION",
        help="how long it may take to answer, connecting included; a wait not (10s)",
    )
    group.add_argument("--json", action="store_true", help="for programs: JSON, one line for each")


def _timeout(text: str) -> float:
    read = read_duration(text)
    if read < 0.001:
        raise ArgumentTypeError(f"{text!r} is no time for an answer; it takes 1ms or more")
    return read


def add_queue(parser: ArgumentParser, *, many: bool = False) -> None:
    """Give a parser a queue's name, or several, which the shell can complete.

    Args:
        parser: of a subcommand.
        many: whether it takes several.
    """
    number: Any = {"nargs": "+"} if many else {}
    action: Any = parser.add_argument(
        "queues" if many else "queue",
        metavar="QUEUE",
        help="1 to 255 letters, digits, '_', '-' and '.'",
        **number,
    )
    action.completer = complete_queue


def connect(options: Namespace) -> Client:
    """The client for what was asked; nothing is connected to before its first call."""
    from workq_client import Client

    said = {} if options.timeout is None else {"timeout": options.timeout}
    return Client(options.url, **said)


def reach(client: Client) -> None:
    """Have an answer before something is waited for: a call that waits would wait as long for a
    server that is not there.

    Args:
        client: of `connect`.

    Raises:
        WorkqError: there is none.
    """
    client.ping()


def complete_queue(prefix: str, parsed_args: Namespace, **more: object) -> list[str]:
    """The queues of the server, for the completion of a shell; none if it does not answer at once.

    Args:
        prefix: what was typed of the name.
        parsed_args: options before it.
        more: what else argcomplete tells.
    """
    from workq_client import Client, WorkqError

    try:
        with Client(getattr(parsed_args, "url", None), timeout=COMPLETION_MS / 1000) as client:
            queues = client.inspect_queues(limit=LISTED_MAX)
    except WorkqError:
        return []
    return [queue.name for queue in queues if queue.name.startswith(prefix)]
