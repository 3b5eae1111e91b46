"""What subcommands print: JSON for programs; lines and tables for people."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Final

from workq.limits import CELL_CHARACTERS_MAX

#: Columns of a terminal on which every table has room.
_WIDE: Final = 10_000


def print_json(value: object) -> None:
    """One JSON document on a line; in ASCII where the output takes no more than some signs."""
    every_sign = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    print(json.dumps(value, ensure_ascii=not every_sign), flush=True)


def bytes_as_json(name: str, data: bytes) -> dict[str, str]:
    """Bytes for a JSON object: as text if they are UTF-8, else in base64; a key tells which.

    Args:
        name: of the key.
        data: the bytes.
    """
    try:
        return {name: data.decode("utf-8"), f"{name}_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {name: base64.b64encode(data).decode(), f"{name}_encoding": "base64"}


def one_line(data: bytes) -> str:
    """Bytes for people, on one line, and harmless to a terminal.

    Args:
        data: text in UTF-8; what cannot be printed, and what is none, is escaped.
    """
    text = data.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str) -> str:
    """What fits into a table."""
    if len(text) <= CELL_CHARACTERS_MAX:
        return text
    return text[: CELL_CHARACTERS_MAX - 1] + "…"


def moment(value: datetime | None) -> str | None:
    """A time in UTC, as the protocol writes it."""
    return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")


def length(seconds: float) -> str:
    """A duration as it is written on the command line.

    Args:
        seconds: how long.
    """
    if seconds != int(seconds):
        return f"{seconds:g}s"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{int(seconds) // size}{unit}"
    return f"{int(seconds)}s"


def has_rich() -> bool:
    """Whether there is something that draws better than we do, and somebody to see it."""
    return sys.stdout.isatty() and find_spec("rich") is not None


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; numbers stand to the right.

    Args:
        heads: of its columns.
        rows: each with as many cells.
    """
    cells = [list(row) for row in rows]
    if has_rich():
        from rich.console import Console

        console = Console()
        table = rich_table(heads, cells)
        # Beyond the terminal it goes on in the next line: what rich would cut cannot be copied.
        unbounded = console.options.update(max_width=_WIDE)
        console.width = max(console.width, console.measure(table, options=unbounded).minimum)
        console.print(table)
        return
    for line in table_lines(heads, cells):
        print(line)


def rich_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Any:
    """The table as `rich` draws it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for at, head in enumerate(heads):
        right = any(isinstance(row[at], int) for row in rows)
        whole = at < len(heads) - 1  # an id that is cut is of no use; a payload may be
        table.add_column(head, justify="right" if right else "left", no_wrap=whole)
    for row in rows:
        table.add_row(*[Text(cell_text(cell)) for cell in row])  # and no markup of theirs
    return table


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The table as plain text."""
    texts = [list(heads), *[[cell_text(cell) for cell in row] for row in rows]]
    widths = [max(len(row[at]) for row in texts) for at in range(len(heads))]
    right = [any(isinstance(row[at], int) for row in rows) for at in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    ]


def cell_text(cell: object) -> str:
    """A cell of a table."""
    if isinstance(cell, int):
        return f"{cell:,}"
    return "-" if cell is None else str(cell)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one on each line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {cell_text(value)}")
