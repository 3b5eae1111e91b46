"""quit: close the connection."""

from workq.commands.base import Command, Desk
from workq.wire import replies
from workq.wire.grammar import Arguments


def execute(desk: Desk, _: Arguments) -> bytes:
    """Answer, then close."""
    desk.quit()
    return replies.OK


COMMAND = Command("quit", execute=execute, summary="close the connection", details="+OK")
