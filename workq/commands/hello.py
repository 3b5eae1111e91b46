"""hello: speak version 2 of the protocol, and learn what the server can do."""

from typing import Any

from workq import limits
from workq.commands.base import Command, Desk
from workq.wire import replies
from workq.wire.fields import QUEUE_NAME, VERSION
from workq.wire.grammar import Arguments


def _make(values: list[Any], flags: dict[str, Any]) -> tuple[int, bytes]:
    (version,) = values
    return version, flags.get("name", b"")


def execute(desk: Desk, arguments: Arguments) -> bytes:
    """Switch the connection, and tell the server's version and limits."""
    version, name = arguments
    desk.greet(name)
    bounds = desk.bounds
    pairs: list[tuple[str, bytes | int]] = [
        ("version", desk.facts.version.encode("ascii")),
        ("protocol", version),
        ("line-bytes", bounds.line_bytes_max),
        ("block-bytes", limits.BLOCK_BYTES_MAX),
        ("lease-names", limits.LEASE_NAMES_MAX),
        ("lease-count", limits.LEASE_COUNT_MAX),
        ("ids", limits.LISTED_MAX),
        ("waits", limits.TAGGED_WAITS_MAX),
        ("idle-timeout-ms", bounds.idle_timeout_ms),
    ]
    return replies.counted([replies.block(b"hello", pairs)])


COMMAND = Command(
    "hello",
    (VERSION,),
    flags=(QUEUE_NAME,),
    make=_make,
    execute=execute,
    summary="speak version 2 of the protocol on this connection",
    details="""\
name: what the client calls itself, for people.
+OK 1, then `hello <number of keys>` and a line for each.
-CLIENT-ERROR Unknown version for any but 2; nothing has changed.""",
    closing=True,
)
