"""The process in which a log is compacted, beside the server that writes it.

`python -m workq.recovery.compactor VERSION DIRECTORY NUMBER POSITION` is started by the server
(`workq.server.compaction`) and by nobody else. It is a fresh process that the system is to end
first when memory runs out. It writes nothing but the `.tmp` of a snapshot.

Where it has to share a core with its server, it takes less than a tenth of it, a fifth of a
millisecond at a time. A low priority alone would leave it more, but some milliseconds at once,
until the system looks again, for which every client would wait. So a timer has it yield (decision
7).

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
import struct
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

#: How much nicer it is than the thread that starts it, which on Linux is so too
#: (`workq.cmdlog.worker`): seven eighths of a core that the server wants are the server's at least.
#: Not the lowest priority: what that is kept from finishing while it is at work in the file system,
#: the server waits for.
NICENESS: Final = 4 if sys.platform == "linux" else 9

#: How long it works before it lets the server go first.
YIELD_US: Final = 200

#: For how much it asks at a time (Linux since 6.12): who yields gives up the rest of its slice, and
#: with the usual one it would come to nothing.
SLICE_NS: Final = 100_000

#: The number of `sched_setattr`, for which Python has no function, by machine.
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}

#: The most willing to be ended for want of memory.
_OOM_SCORE: Final = b"1000"

#: `PR_SET_PDEATHSIG`: the parent is the thread that started this.
_SIGNAL_WHEN_PARENT_ENDS: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Compact a log.

    Args:
        arguments: the version of the server, the directory, the number of the first segment that
            is not to be compacted, and the position of the last frame that is.

    Returns:
        The exit status: one of those above. If it is `FAILED` or `DAMAGED`, one line on stderr says
        why.
    """
    step_aside()
    with suppress(AttributeError, OSError):  # only Linux has this
        ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_ENDS, signal.SIGKILL)
    threading.Thread(target=_end_with_server, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    version, path, number_text, position_text = arguments
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


def step_aside() -> None:
    """Let this process work in short pieces, of whatever core others do not want."""
    with suppress(OSError):  # a sandbox may refuse it
        os.nice(NICENESS)
    if _ask_for_little():
        # Not Python's `signal`: what that calls waits for the end of what is written in C, and to
        # hash or pack a part takes a millisecond. `sched_yield` pays no heed to its argument. If
        # the next signal is there when it comes back, it yields again: beside a process that never
        # rests it did a little less than half of what it would have without (decision 7).
        system = ctypes.CDLL(None)
        system.signal(int(signal.SIGALRM), ctypes.cast(system.sched_yield, ctypes.c_void_p))
        signal.setitimer(signal.ITIMER_REAL, YIELD_US / 1_000_000, YIELD_US / 1_000_000)


def _ask_for_little() -> bool:
    """Ask for little of a core at a time; return whether it is granted."""
    number = _SCHED_SETATTR.get(os.uname().machine) if sys.platform == "linux" else None
    if number is None:
        return False
    policy, nice = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    # Size, policy, flags, nice, and what other policies need, but for the slice.
    attributes = struct.pack("=IIQiIQQQ", 48, policy, 0, nice, 0, SLICE_NS, 0, 0)
    return ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0  # type: ignore[no-any-return]


def _refuse(problem: str, status: int = FAILED) -> int:
    sys.stderr.write(f"{problem}\n")
    return status


def _end_with_server() -> None:
    """Wait until the server has ended or wants this to end, and end at once."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGALRM,))  # it wakes who works
    os.read(sys.stdin.fileno(), 1)
    os._exit(ALONE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
