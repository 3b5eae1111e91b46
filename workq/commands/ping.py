"""ping: find out whether the server answers."""

from workq.commands.base import Command, Desk
from workq.wire import replies
from workq.wire.grammar import Arguments


def execute(desk: Desk, _: Arguments) -> bytes:
    """Answer."""
    return replies.OK


COMMAND = Command(
    "ping", execute=execute, summary="find out whether the server answers", details="+OK"
)
