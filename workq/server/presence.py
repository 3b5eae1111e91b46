"""Whether the files of a log are still where they were, looked at beside the serving.

A file that somebody removes or renames stays readable for who has it open, and the server does not
read what it has sealed: it would live on for months, and not start again. So some files are
looked for now and then, by name, all of them in turn.

That is done where the files are removed that a snapshot has replaced, between two compactions, and
in no other thread: what is missing then was not removed by the server.
"""

from __future__ import annotations

from collections.abc import Sequence

from workq.cmdlog.disk import Disk
from workq.limits import FILES_LOOKED_FOR_MAX


class Presence:
    """Looks for files, some at a time.

    Args:
        disk: where they are.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._at = 0  # how many files have been looked for, in all

    def missing(self, names: Sequence[str]) -> str:
        """Look for some of the files that should be there, the others the next times.

        Args:
            names: of all of them.

        Returns:
            The name of one that is not there; empty if all were that were looked for.
        """
        for _ in range(min(len(names), FILES_LOOKED_FOR_MAX)):
            name = names[self._at % len(names)]
            self._at += 1
            try:
                self._disk.close(self._disk.open(name))
            except FileNotFoundError:
                return name
            except OSError:  # it tells nothing of the file: no descriptors are left, perhaps
                return ""
        return ""
