"""quit: close the connection."""

from workq.commands.base import Command, Desk
from workq.wire import replies


def execute(desk: Desk) -> bytes:
    """Answer, then close."""
    desk.quit()
    return replies.OK


COMMAND = Command("quit", execute=execute, summary="close the connection", details="+OK")
