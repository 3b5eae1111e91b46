"""The commands, one module each. A new command is a new module and a line here.

The order is that of `help` and of `docs/protocol.md`.
"""

from workq.commands import (
    add,
    complete,
    delete,
    fail,
    hello,
    help,
    inspect,
    lease,
    ping,
    quit,
    release,
    result,
    run,
    schedule,
    stats,
    touch,
)
from workq.commands.base import Command

COMMANDS: tuple[Command, ...] = (
    add.COMMAND,
    schedule.COMMAND,
    run.COMMAND,
    lease.COMMAND,
    complete.COMMAND,
    fail.COMMAND,
    touch.COMMAND,
    release.COMMAND,
    result.COMMAND,
    delete.COMMAND,
    *inspect.COMMANDS,
    stats.COMMAND,
    ping.COMMAND,
    hello.COMMAND,
    help.COMMAND,
    quit.COMMAND,
)
