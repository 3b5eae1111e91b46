"""docs/cmdlog.md gives the format as the code has it, byte by byte."""

import re
from pathlib import Path
from struct import pack_into

from workq.cmdlog import frames, segment
from workq.cmdlog.frames import COMMIT, HEAD_BYTES, Chain

PAGE = (Path(__file__).parents[2] / "docs" / "cmdlog.md").read_text(encoding="utf-8")


def rows(pattern: str) -> list[tuple[str, ...]]:
    """The rows of tables that look like this."""
    return [tuple(found) for found in re.findall(pattern, PAGE, re.MULTILINE)]


def test_every_kind_of_frame_is_told_and_no_other() -> None:
    """By number and name."""
    told = {int(number): name for number, name in rows(r"^\| (\d+) \| ([A-Z_]+) \|")}

    assert set(told) == frames.KINDS
    assert all(getattr(frames, name) == kind for kind, name in told.items())


def test_a_frame_made_from_the_page_is_a_frame() -> None:
    """Whoever writes a reader from the page alone reads what we write."""
    values = {
        "mark": b"12345678", "kind": COMMIT, "epoch": 3, "records": 2, "length": 4,
        "position": 7, "time": 1_700_000_000_000, "safe": 5, "before": b"B" * 16,
    }  # fmt: skip
    head = bytearray(HEAD_BYTES)
    for at, size, name in rows(r"^\| (\d+) \| (\d+) \| (\w+) \|"):
        if name not in values:
            continue  # the header of a file is told in such a table too
        value = values.pop(name)
        if isinstance(value, bytes):
            head[int(at) : int(at) + int(size)] = value
        else:
            pack_into({"1": "<B", "4": "<I", "8": "<Q"}[size], head, int(at), value)
    frame = Chain(b"12345678", 3, 6, b"B" * 16).build(COMMIT, 1_700_000_000_000, 2, 5, b"body")

    assert values == {}
    assert frame.startswith(bytes(head) + b"body")


def test_the_version_on_the_page_is_ours() -> None:
    """It moves with the code."""
    assert f"the version of the format: {segment.VERSION} |" in PAGE
    assert f"`{segment.LOG.decode()}` for a segment" in PAGE
    assert f"`{segment.SNAPSHOT.decode()}` for a snapshot" in PAGE
