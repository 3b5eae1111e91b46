"""The process in which a log is compacted, beside the server that writes it.

`python -m workq.recovery.compactor VERSION DIRECTORY NUMBER POSITION NICENESS` is started by the
server (`workq.server.compaction`) and by nobody else. It is a fresh process of the lowest priority,
or of the usual one if it has fallen behind, which the system is to end first when memory runs out.
It writes nothing but the `.tmp` of a snapshot.

It lives no longer than its server: its standard input is a pipe that nobody else has, on which
nothing ever comes but the end; and where the system can, it kills it, for a process that stands
still (SIGSTOP) sees no end, and would go on writing one day beside the next server's. The signals
that stop a server go to all of its processes, so they are not heard here: the server sees to the
end.

When the code on disk has been replaced since the server was started, this is the newer one and
might write what the server could not read: another version is refused.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from workq import __version__

#: Exit statuses: it is written; it is not, and stderr says why; the server is gone; it is not, for
#: what was to be compacted is damaged, and stderr says where.
DONE: Final = 0
FAILED: Final = 1
ALONE: Final = 3
DAMAGED: Final = 4

#: As willing to be interrupted as a process can be; and as any other.
LOWEST: Final = 19
USUAL: Final = 0

#: The most willing to be ended for want of memory.
_OOM_SCORE: Final = b"1000"

#: `PR_SET_PDEATHSIG`: the parent is the thread that started this.
_SIGNAL_WHEN_PARENT_ENDS: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Compact a log.

    Args:
        arguments: the version of the server, the directory, the number of the first segment that
            is not to be compacted, the position of the last frame that is, and how nice to be.

    Returns:
        The exit status: one of those above. If it is `FAILED` or `DAMAGED`, one line on stderr says
        why.
    """
    with suppress(AttributeError, OSError):  # only Linux has this
        ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL)
    threading.Thread(target=_end_with_server, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    version, path, number_text, position_text, niceness_text = arguments
    os.nice(int(niceness_text))
    # Only now the rest of the program: to read that in takes a third of a second of a core.
    from workq.cmdlog.files import RealDisk
    from workq.errors import CorruptionError, DirectoryError
    from workq.recovery.compact import compact

    with suppress(OSError):  # there is no such thing everywhere
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_SCORE)
    # Next to nothing in a state is freed by the collector, and it would look through all of it.
    gc.disable()
    if version != __version__:
        return _refuse(f"the server is workq {version}, but installed is now {__version__}")
    try:
        compact(RealDisk(path), int(number_text), int(position_text))
    except CorruptionError as error:
        return _refuse(str(error), DAMAGED)
    except DirectoryError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{path}: {error.strerror} (errno {error.errno})")
    return DONE


def _refuse(problem: str, status: int = FAILED) -> int:
    sys.stderr.write(f"{problem}\n")
    return status


def _end_with_server() -> None:
    """Wait until the server has ended or wants this to end, and end at once."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(ALONE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
