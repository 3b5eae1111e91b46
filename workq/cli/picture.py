"""What `workq top` shows, from two looks at a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workq.cli.showing import length, rich_table, table_lines

if TYPE_CHECKING:
    from workq_client import QueueInfo, Stats

#: What is counted per second.
RATES: Final = ("added", "leased", "completed", "failed", "returned", "expired")
#: Jobs by their state.
STATES: Final = ("ready", "scheduled", "leased", "completed", "failed")
_HEADS: Final = ("queue", "ready", "scheduled")
_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """One look at a server.

    Attributes:
        stats: its numbers.
        queues: its queues.
        at_s: when it was, by a clock of ours.
    """

    stats: Stats
    queues: list[QueueInfo]
    at_s: float


@dataclass(frozen=True)
class Picture:
    """What is shown at a time.

    Attributes:
        url: of the server.
        now: how it is.
        before: how it was, for the rates; None if that is not known.
        trouble: why there is nothing newer.
    """

    url: str
    now: Sample
    before: Sample | None
    trouble: str | None = None

    def rates(self) -> dict[str, float] | None:
        """What has happened per second; None if nobody knows, or the server has started anew."""
        if self.before is None:
            return None
        new, old = self.now.stats, self.before.stats
        seconds = self.now.at_s - self.before.at_s
        if seconds <= 0 or new["uptime-ms"] < old["uptime-ms"]:
            return None
        # A job that `run` hands in is one that was handed in.
        counts = {name: new[f"total-{name}"] - old[f"total-{name}"] for name in RATES}
        counts["added"] += new["total-started"] - old["total-started"]
        return {name: round(count / seconds, 1) for name, count in counts.items()}

    def busiest(self) -> list[QueueInfo]:
        """The queues, those with most to do first."""
        return sorted(self.now.queues, key=lambda one: (-one.ready, -one.scheduled, one.name))


def as_json(picture: Picture) -> dict[str, Any]:
    """A picture for programs."""
    stats = picture.now.stats
    return {
        "url": picture.url,
        "version": stats.version,
        "uptime": stats["uptime-ms"] / 1000,
        "memory_bytes": stats["memory-bytes"],
        "connections": stats["connections"],
        "waiting": stats["waiting"],
        "jobs": {name: stats[f"jobs-{name}"] for name in STATES},
        "per_second": picture.rates(),
        "queues": [
            {"name": one.name, "ready": one.ready, "scheduled": one.scheduled}
            for one in picture.busiest()
        ],
        "trouble": picture.trouble,
    }


def _head(picture: Picture) -> list[str]:
    stats = picture.now.stats
    up = length(stats["uptime-ms"] // 1000) if stats["uptime-ms"] < 60_000 else _long(stats)
    rates = picture.rates()
    per_second = [f"{name} {'-' if rates is None else f'{rates[name]:,g}'}" for name in RATES]
    lines = [
        f"workq {stats.version} at {picture.url}, up {up}",
        (
            f"memory {stats['memory-bytes'] / _MIB:,.1f} MiB   "
            f"connections {stats['connections']:,}   waiting {stats['waiting']:,}   "
            f"payloads {stats['held-bytes'] / _MIB:,.1f} MiB"
        ),
        "jobs        " + "   ".join(f"{name} {stats[f'jobs-{name}']:,}" for name in STATES),
        "per second  " + "   ".join(per_second),
    ]
    if picture.trouble is not None:
        lines.append(f"!  {picture.trouble}; this is how it was")
    return [*lines, ""]


def _long(stats: Stats) -> str:
    minutes = stats["uptime-ms"] // 60_000
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"{days}d {hours}h" if days else f"{hours}h {minutes}m" if hours else f"{minutes}m"


def _rows(picture: Picture, room: int) -> tuple[list[list[object]], str | None]:
    """The rows of the table that there is room for, and what is said of the others."""
    queues = picture.busiest()
    shown = queues if len(queues) <= room else queues[: max(room - 1, 0)]
    rows: list[list[object]] = [[one.name, one.ready, one.scheduled] for one in shown]
    left = len(queues) - len(shown)
    return rows, f"and {left:,} more" if left else None


def draw(picture: Picture, height: int) -> list[str]:
    """A picture as plain lines.

    Args:
        picture: what to show.
        height: in how many lines, if it can be.
    """
    head = _head(picture)
    rows, more = _rows(picture, height - len(head) - 1)
    return [*head, *table_lines(_HEADS, rows), *([more] if more else [])]


def draw_rich(picture: Picture, height: int) -> Any:
    """A picture for rich.

    Args:
        picture: what to show.
        height: in how many lines, if it can be.
    """
    from rich.console import Group
    from rich.text import Text

    head = _head(picture)
    rows, more = _rows(picture, height - len(head) - 4)
    styles = ["bold", "", "", "", *["bold red"] * (len(head) - 5), ""]
    texts = [Text(line, style) for line, style in zip(head, styles, strict=True)]
    for text in texts[1:4]:
        text.highlight_regex(r"[0-9][0-9,.]*", "cyan")
    return Group(*texts, rich_table(_HEADS, rows), *([Text(more, "dim")] if more else []))
