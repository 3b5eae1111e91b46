"""Reads a trace of the server under `always` and demands the right order of its calls.

It knows the protocol and the format of the log only so far: which bytes are a request and which
its reply, that `NAME.log` holds frames behind 64 bytes of header, and that a record names its job
by its id. From the trace it takes what each client sent and got, and every write, sync, renaming
and removal in the directory. Then:

- no reply leaves before everything is safe that had been written when its request had come whole:
  replies of reads and refusals too;
- nor before the change that it acknowledges has been written, and is safe;
- safe is what a sync that began afterwards has covered, in a file whose name is safe;
- nothing gets its name before all of it is synced, and nothing that holds anything is removed
  before the name of a snapshot that replaces it is safe.

A sync that strace injected is none: the disk never heard of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import PurePath

from tests.faults.strace import Call, accepted

HEADER_BYTES = 64
NEVER = 1 << 60

READS = frozenset(("read", "recvfrom", "recvmsg"))
WRITES = frozenset(("write", "writev", "sendto", "sendmsg"))
SYNCS = frozenset(("fdatasync", "fsync"))
RENAMES = frozenset(("rename", "renameat", "renameat2"))
REMOVALS = frozenset(("unlink", "unlinkat"))
CHANGES = frozenset(("add", "schedule", "complete", "fail", "delete", "lease"))
WITH_BLOCK = frozenset(("add", "schedule", "complete", "fail"))


@dataclass(slots=True)
class Write:
    """A write to a file of the log; safe from `safe` on."""

    call: Call
    path: str
    offset: int
    data: bytes
    safe: int = NEVER


@dataclass(slots=True)
class Stream:
    """One direction of a connection: the bytes, and where each call's begin."""

    data: bytearray = field(default_factory=bytearray)
    starts: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def add(self, call: Call) -> None:
        """Add what a call has read or written."""
        if call.value > 0:
            self.starts.append(len(self.data))
            self.calls.append(call)
            self.data += call.data

    def call_of(self, at: int) -> Call:
        """The call that a byte belongs to."""
        return self.calls[bisect_left(self.starts, at + 1) - 1]


def cut_request(data: bytes, at: int) -> tuple[str, str, int] | None:
    """The verb, the id and the end of a request; None if it is not whole."""
    end = data.find(b"\r\n", at) + 2
    if end < 2:
        return None
    words = data[at:end].decode("latin-1").split()
    arguments = [word for word in words if not (word.startswith("-") and "=" in word)]
    if words[0] in WITH_BLOCK:
        end += int(arguments[-1]) + 2
    name = arguments[2] if words[0] == "inspect" else arguments[1]
    return (words[0], name, end) if end <= len(data) else None


def cut_reply(data: bytes, at: int, verb: str) -> int:
    """The end of a reply; 0 if it is not whole."""
    end = data.find(b"\r\n", at) + 2
    if end < 2 or data[at : end - 2] != b"+OK 1":
        return max(end, 0) if end >= 2 else 0
    first = end
    end = data.find(b"\r\n", first) + 2
    head = data[first:end].split()
    if verb != "inspect":
        return end + int(head[-1]) + 2
    size = 0
    for _ in range(int(head[1])):
        line = data[end : data.find(b"\r\n", end)]
        if line.startswith(b"payload-size "):
            size = int(line.split()[1])
        end += (len("payload ") + size if line.startswith(b"payload ") else len(line)) + 2
    return end


def _number(name: str) -> int:
    return int(PurePath(name).name.partition(".")[0])


class Order:
    """The checker.

    Args:
        calls: of the trace, in the order in which they returned.
        directory: of the log, empty at the start.

    Attributes:
        problems: everything that is wrong.
        replies, syncs, injected, segments, snapshots, removals: how many of them there were.
    """

    def __init__(self, calls: Sequence[Call], directory: str) -> None:
        self.problems: list[str] = []
        self.replies = self.syncs = self.injected = 0
        self.segments = self.snapshots = self.removals = 0
        self._directory = directory
        self._writes: list[Write] = []
        self._unsynced: dict[str, list[Write]] = {}
        self._unnamed: list[tuple[Call, str]] = []  # names given that are not safe
        self._named: dict[str, int] = {}  # when a name was safe
        self._heard: dict[str, Stream] = {}
        self._told: dict[str, Stream] = {}
        for call in calls:
            self._take(call)
        for write in self._writes:
            write.safe = max(write.safe, self._named.get(write.path, NEVER))
        self._look_at_replies()

    # --- the disk ---------------------------------------------------------------------------

    def _take(self, call: Call) -> None:
        if call.name == "accept4":
            if socket := accepted(call):
                self._heard[socket], self._told[socket] = Stream(), Stream()
        elif call.path in self._heard:
            (self._heard if call.name in READS else self._told)[call.path].add(call)
        elif call.name in RENAMES:
            self._rename(call)
        elif call.name in REMOVALS:
            self._remove(call)
        elif call.path == self._directory and call.name == "fsync":
            self._sync_names(call)
        elif call.path.startswith(f"{self._directory}/"):
            if call.name in SYNCS:
                self._sync(call)
            elif call.name == "pwrite64":
                self._write(call)

    def _write(self, call: Call) -> None:
        offset = int(call.arguments.partition("\0")[0].rpartition(", ")[2])
        write = Write(call, call.path, offset, call.data)
        self._unsynced.setdefault(call.path, []).append(write)
        if call.path.endswith(".log") and offset >= HEADER_BYTES:
            self._writes.append(write)

    def _sync(self, call: Call) -> None:
        if not self._is_real(call):
            return
        left = []
        for write in self._unsynced.get(call.path, []):
            if write.call.ended < call.begun:
                write.safe = call.ended
            else:
                left.append(write)
        self._unsynced[call.path] = left

    def _is_real(self, call: Call) -> bool:
        self.injected += call.injected
        self.syncs += not call.injected and call.value == 0
        return not call.injected and call.value == 0

    def _rename(self, call: Call) -> None:
        if call.value or call.injected:
            return
        old, new = (f"{self._directory}/{PurePath(one.decode()).name}" for one in call.strings)
        for write in self._unsynced.get(old, []):
            self._wrong(call, f"{new} got its name before byte {write.offset} of it was synced")
        if not any(write.call.ended < call.begun for write in self._unsynced.pop(old, [])):
            self._unsynced[new] = []
        self._unnamed.append((call, new))
        self.segments += new.endswith(".log")
        self.snapshots += new.endswith(".snap")

    def _sync_names(self, call: Call) -> None:
        if not self._is_real(call):
            return
        for rename, name in self._unnamed:
            if rename.ended < call.begun:
                self._named[name] = call.ended
        self._unnamed = [one for one in self._unnamed if one[0].ended >= call.begun]

    def _remove(self, call: Call) -> None:
        name = PurePath(call.strings[0].decode()).name
        if call.value or name.endswith(".tmp") or call.path != self._directory:
            return
        self.removals += 1
        held = name.endswith(".snap") or any(w.path.endswith(f"/{name}") for w in self._writes)
        if held and not any(
            PurePath(new).suffix == ".snap" and _number(new) > _number(name) and safe < call.begun
            for new, safe in self._named.items()
        ):
            self._wrong(call, f"{name} was removed before a snapshot that replaces it was safe")

    # --- the replies ------------------------------------------------------------------------

    def _look_at_replies(self) -> None:
        ends = [write.call.ended for write in self._writes]
        safe = list(accumulate((write.safe for write in self._writes), max))
        for socket, heard in self._heard.items():
            at = reply_at = 0
            told = bytes(self._told[socket].data)
            asked = bytes(heard.data)
            while found := cut_request(asked, at):
                verb, name, end = found
                reply_end = cut_reply(told, reply_at, verb)
                if not reply_end:
                    break
                came = heard.call_of(end - 1).ended
                left = self._told[socket].call_of(reply_at)
                self._look_at(verb, name, told[reply_at:reply_end], came, left, ends, safe)
                at, reply_at = end, reply_end

    def _look_at(
        self, verb: str, name: str, reply: bytes, came: int, left: Call,
        ends: list[int], safe: list[int],
    ) -> None:  # fmt: skip
        """One reply: its request had come whole with a line, it left with a call."""
        self.replies += 1
        before = bisect_left(ends, came)
        if before and safe[before - 1] >= left.begun:
            self._wrong(left, f"{verb} was answered before what was there was safe")
        if verb not in CHANGES or not reply.startswith(b"+OK"):
            return
        if verb == "lease":
            name = reply.split()[2].decode()
        key = name.encode()
        own = [w for w in self._writes[before:] if key in w.data and w.call.ended < left.begun]
        if not own:
            self._wrong(left, f"{verb} {name} was answered before it was written")
        elif all(write.safe >= left.begun for write in own):
            self._wrong(left, f"{verb} {name} was answered before it was safe")

    def _wrong(self, call: Call, what: str) -> None:
        self.problems.append(f"line {call.begun + 1}, at {call.time:.6f}: {what}")
