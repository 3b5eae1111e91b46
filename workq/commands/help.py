"""help: what there is to say to the server."""

from workq.commands.base import Command, Desk
from workq.wire import replies
from workq.wire.fields import Field
from workq.wire.grammar import Arguments


def _read(word: bytes) -> bytes:
    return word


def execute(desk: Desk, asked: Arguments) -> bytes:
    """List the commands, or tell those whose first word, or whole name, is asked for."""
    if not asked:
        width = max(len(command.name) for command in desk.commands)
        return _lines([f"{c.name:<{width}}  {c.summary}" for c in desk.commands])
    words = [word.decode("latin-1") for word in asked]
    lines: list[str] = []
    for command in desk.commands:
        if command.name.split(" ")[: len(words)] == words:
            lines += [command.usage, f"  {command.summary}"]
            lines += [f"  {line}" for line in command.details.splitlines()]
    return _lines(lines) if lines else replies.NOT_FOUND


def _lines(lines: list[str]) -> bytes:
    return replies.counted([line.encode("ascii") + b"\r\n" for line in lines])


COMMAND = Command(
    "help",
    (Field("command", _read), Field("object", _read)),
    optional=2,
    execute=execute,
    cost=8,
    summary="list the commands, or explain one",
    details="+OK <n>, then n lines; -NOT-FOUND for what is no command.",
)
