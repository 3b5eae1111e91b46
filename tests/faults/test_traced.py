"""Replies leave after the sync that covers them, as strace sees it; and the checker would see if
they did not. `python -m tests.faults.traced` has the long form."""

from __future__ import annotations

import pytest

from tests.faults import strace, traced
from tests.faults.order import Order

SOCKET = "socket:[1]"
ID = "00000000-0000-4000-8000-000000000001"
ADD = f"add {ID} q 1 1 0\r\n\r\n"


def test_no_reply_leaves_before_the_sync_that_covers_it(tracer):
    """Under load, over the ends of many segments; nor is anything relied on that may be gone."""
    order = traced.trace(tracer, 3, 600, compacted=True)
    assert order.problems == []
    assert order.snapshots
    assert order.replies >= 600
    assert order.syncs > 50
    assert order.segments > 5


@pytest.mark.parametrize(
    "more, seen",
    [
        (["inject=fdatasync:retval=0"], "was answered before it was safe"),
        (["inject=fdatasync:retval=0"], "was answered before what was there was safe"),
        (["inject=fdatasync:retval=0"], "got its name before byte 0 of it was synced"),
        (["inject=fsync:retval=0"], "was answered before it was safe"),
    ],
)
def test_the_checker_fails_when_a_sync_does_nothing(tracer, more, seen):
    """strace lets it return at once; of a file, or of the directory."""
    order = traced.trace(tracer, 3, 60, more=["-e", *more])
    assert order.injected
    assert any(seen in problem for problem in order.problems)


def test_the_checker_fails_when_replies_wait_for_nothing(tracer):
    """As they do under `os`."""
    assert traced.trace(tracer, 3, 200, "os").problems


# --- the checker alone ----------------------------------------------------------------------


def encoded(text: str) -> str:
    """As strace writes it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


class Trace:
    """A trace made by hand: a segment that is safe, and one client."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.call("accept4", "3<socket:[0]>, NULL, NULL, 0", f"4<{SOCKET}>")
        self.write("1.log.tmp", "header", 0)
        self.sync("1.log.tmp")
        self.rename("1.log.tmp", "1.log")
        self.sync_names()

    def call(self, name: str, arguments: str, value: str) -> None:
        """Any call."""
        self.lines.append(f"7 {len(self.lines)}.5 {name}({arguments}) = {value}")

    def write(self, name: str, text: str, offset: int) -> None:
        """A write to a file."""
        arguments = f'5</log/{name}>, "{encoded(text)}", {len(text)}, {offset}'
        self.call("pwrite64", arguments, str(len(text)))

    def sync(self, name: str) -> None:
        """A sync of a file."""
        self.call("fdatasync", f"5</log/{name}>", "0")

    def rename(self, old: str, new: str) -> None:
        """A file gets another name."""
        arguments = f'6</log>, "{encoded(old)}", 6</log>, "{encoded(new)}"'
        self.call("renameat", arguments, "0")

    def sync_names(self) -> None:
        """A sync of the directory."""
        self.call("fsync", "6</log>", "0")

    def remove(self, name: str) -> None:
        """A file is removed."""
        self.call("unlinkat", f'6</log>, "{encoded(name)}", 0', "0")

    def hear(self, text: str) -> None:
        """A client has said something."""
        self.call("read", f'4<{SOCKET}>, "{encoded(text)}", 65536', str(len(text)))

    def tell(self, text: str) -> None:
        """It is answered."""
        self.call("write", f'4<{SOCKET}>, "{encoded(text)}", {len(text)}', str(len(text)))

    def order(self) -> Order:
        """What the checker says."""
        return Order(list(strace.read(self.lines)), "/log")


def test_a_change_is_answered_after_its_sync():
    """That is as it should be, with a read behind it that was asked before."""
    trace = Trace()
    trace.hear(ADD + f"result {ID} 0\r\n")
    trace.write("1.log", ID, 64)
    trace.sync("1.log")
    trace.tell("+OK\r\n-TIMEOUT\r\n")
    order = trace.order()
    assert order.problems == []
    assert (order.replies, order.segments) == (2, 1)


def test_a_change_that_is_answered_before_its_sync_is_seen():
    """One that began before the write does not count, nor one of another file."""
    trace = Trace()
    trace.hear(ADD)
    trace.sync("1.log")
    trace.write("1.log", ID, 64)
    trace.sync("2.log")
    trace.tell("+OK\r\n")
    assert "add" in trace.order().problems[0]
    assert "before it was safe" in trace.order().problems[0]


def test_a_sync_that_began_before_the_write_covers_nothing():
    """It may have ended afterwards."""
    trace = Trace()
    trace.hear(ADD)
    trace.lines.append("8 1.5 fdatasync(5</log/1.log> <unfinished ...>")
    trace.write("1.log", ID, 64)
    trace.lines.append("8 1.5 <... fdatasync resumed>) = 0")
    trace.tell("+OK\r\n")
    assert "before it was safe" in trace.order().problems[0]


def test_a_change_that_is_answered_and_never_written_is_seen():
    """Whatever was synced."""
    trace = Trace()
    trace.hear(ADD)
    trace.sync("1.log")
    trace.tell("+OK\r\n")
    assert "before it was written" in trace.order().problems[0]


@pytest.mark.parametrize("reply", [f"+OK 1\r\n{ID} 1 0\r\n\r\n", "-TIMEOUT\r\n", "-NOT-FOUND\r\n"])
def test_a_read_that_is_answered_before_what_it_may_tell_of_is_safe_is_seen(reply):
    """Another client's change was written before it was asked for."""
    trace = Trace()
    trace.write("1.log", ID, 64)
    trace.hear(f"result {ID} 0\r\n")
    trace.tell(reply)
    assert trace.order().problems == [
        "line 8, at 7.500000: result was answered before what was there was safe"
    ]


def test_a_segment_whose_name_is_not_safe_is_not_relied_on():
    """A power cut could take the name away, and all that was synced in it."""
    trace = Trace()
    trace.write("2.log.tmp", "header", 0)
    trace.sync("2.log.tmp")
    trace.rename("2.log.tmp", "2.log")
    trace.hear(ADD)
    trace.write("2.log", ID, 64)
    trace.sync("2.log")
    trace.tell("+OK\r\n")
    assert "before it was safe" in trace.order().problems[0]


def test_a_snapshot_is_synced_before_it_gets_its_name_and_named_before_anything_goes():
    """Else a power cut leaves neither it nor what it replaced."""
    trace = Trace()
    trace.write("1.log", ID, 64)
    trace.write("2.snap.tmp", "all", 0)
    trace.rename("2.snap.tmp", "2.snap")
    trace.remove("1.log")
    problems = trace.order().problems
    assert "2.snap got its name before byte 0 of it was synced" in problems[0]
    assert "1.log was removed before a snapshot that replaces it was safe" in problems[1]


def test_a_snapshot_that_is_safe_may_replace_what_is_older():
    """And nothing that is not; a segment that holds nothing may go at any time."""
    trace = Trace()
    trace.write("1.log", ID, 64)
    trace.write("2.snap.tmp", "all", 0)
    trace.sync("2.snap.tmp")
    trace.rename("2.snap.tmp", "2.snap")
    trace.sync_names()
    trace.remove("1.log")
    trace.remove("3.log")
    order = trace.order()
    assert order.problems == []
    assert (order.snapshots, order.removals) == (1, 2)
    trace.remove("2.snap")
    assert "2.snap was removed before" in trace.order().problems[0]
