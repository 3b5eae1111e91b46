"""ping: find out whether the server answers."""

from workq.commands.base import Command, Desk
from workq.wire import replies


def execute(desk: Desk) -> bytes:
    """Answer."""
    return replies.OK


COMMAND = Command(
    "ping", execute=execute, summary="find out whether the server answers", details="+OK"
)
