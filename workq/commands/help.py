"""help: what there is to say to the server."""

from workq.commands.base import Command, Desk
from workq.wire import replies
from workq.wire.fields import Field


def _read(word: bytes) -> bytes:
    return word


def execute(desk: Desk, *asked: bytes) -> bytes:
    """List the commands, or tell all of those whose first or whole name is asked for."""
    if not asked:
        width = max(len(command.name) for command in desk.commands)
        return _lines([f"{c.name:<{width}}  {c.summary}" for c in desk.commands])
    name = asked[0].decode("latin-1")
    lines: list[str] = []
    for command in desk.commands:
        if name == command.name.partition(" ")[0]:
            lines += [command.usage, f"  {command.summary}"]
            lines += [f"  {line}" for line in command.details.splitlines()]
    return _lines(lines) if lines else replies.NOT_FOUND


def _lines(lines: list[str]) -> bytes:
    return replies.counted([line.encode("ascii") + b"\r\n" for line in lines])


COMMAND = Command(
    "help",
    (Field("command", _read),),
    optional=True,
    execute=execute,
    summary="list the commands, or explain one",
    details="+OK <n>, then n lines; -NOT-FOUND for what is no command.",
)
