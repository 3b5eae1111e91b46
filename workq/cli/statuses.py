"""The exit statuses of `workq`, the same for all its subcommands; docs/cli.md has the table."""

from typing import Final

#: All is well.
OK: Final = 0
#: It did what was asked, and what it found is wrong or was refused: a log is damaged, there is no
#: such job, nothing came in time, the job has failed.
WRONG: Final = 1
#: The command line makes no sense; nothing was done.
BAD_USAGE: Final = 2
#: What it needs cannot be used: a directory, a file, a server that is not there or can do no more.
UNUSABLE: Final = 3
#: It was sent to the server, and whether it was done is not known.
UNKNOWN: Final = 4
#: Ctrl-C.
INTERRUPTED: Final = 130
