"""What strace wrote, read back: the calls of the system, when each began and when it returned.

Every line of strace has a number; a call that was interrupted by another thread's has two. These
numbers are the order in which things happened: strace sees one thing after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: What is traced: all that sends, receives, writes, syncs and names.
CALLS = (
    "accept4,read,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync,"
    "sync_file_range,rename,renameat,renameat2,unlink,unlinkat"
)

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_WHOLE = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_HANDLE = re.compile(r"\d+<([^>]*)>")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def command(strace: str, output: Path, *more: str) -> list[str]:
    """How to start it, before the command that it traces.

    Args:
        strace: the program.
        output: what it writes.
        more: further options.
    """
    options = ["-f", "-q", "-ttt", "-y", "-xx", "-s", "3000000", "-o", str(output)]
    return [strace, *options, "-e", f"trace={CALLS}", "-e", "signal=none", *more]


@dataclass(slots=True)
class Call:
    """A call of the system.

    Attributes:
        name: of it.
        begun, ended: the numbers of the lines in which it did.
        arguments: as strace wrote them.
        value: what it returned.
        injected: whether it was not made at all: strace only said that it had been.
        time: when it returned, or began if that was not seen.
    """

    name: str
    begun: int
    ended: int
    arguments: str
    value: int
    injected: bool
    time: float

    @property
    def path(self) -> str:
        """Of the file, or which socket, that its first argument is a handle of."""
        found = _HANDLE.match(self.arguments)
        return unhex(found[1]).decode() if found else ""

    @property
    def strings(self) -> list[bytes]:
        """All strings in its arguments."""
        return [unhex(one) for one in _STRING.findall(self.arguments)]

    @property
    def data(self) -> bytes:
        """What it read or wrote."""
        return b"".join(self.strings)[: max(self.value, 0)]


def unhex(text: str) -> bytes:
    r"""What `\x41\x42` stands for; a text without any stands for itself."""
    return bytes.fromhex(text.replace("\\x", "")) if "\\x" in text else text.encode()


def accepted(call: Call) -> str:
    """The socket that an accept gave, empty if it gave none."""
    found = re.match(r"<(.*)>", call.arguments.rpartition("\0")[2])
    return unhex(found[1]).decode() if found and call.value >= 0 else ""


def read(lines: list[str]) -> Iterator[Call]:
    """The calls that have returned, in the order in which they did."""
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if not found:
            continue
        process, time, text = found.groups()
        start = number
        if text.endswith(_UNFINISHED):
            begun[process] = number, text[: -len(_UNFINISHED)]
            continue
        if resumed := _RESUMED.match(text):
            start, before = begun.pop(process)
            text = before + resumed[2]
        whole = _WHOLE.match(text)
        if whole is None or whole[3] == "?":
            continue
        name, arguments, value, rest = whole.groups()
        # What stands behind the value belongs to it: the name of a handle that was returned.
        yield Call(
            name, start, number, f"{arguments}\0{rest}", int(value), "(INJECTED)" in rest,
            float(time),
        )  # fmt: skip
