"""The exit statuses of `workq`, the same for all its subcommands."""

from typing import Final

#: All is well.
OK: Final = 0
#: It did what was asked, and what it found is wrong or was refused: a log is damaged.
WRONG: Final = 1
#: The command line makes no sense; nothing was done.
BAD_USAGE: Final = 2
#: What it needs cannot be used: no such directory, in use, not permitted, of a newer version.
UNUSABLE: Final = 3
#: Ctrl-C.
INTERRUPTED: Final = 130
