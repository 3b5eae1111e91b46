"""What a benchmark tells: its progress, and the report of a comparison as Markdown."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from typing import Any

from disk import told
from measure import Sample

#: What the others are compared with, and in which set with something else.
BASE = "beanstalkd"
BASES = {"logged": "beanstalkd-f0"}

#: The ratios the set `logged` is about: of what, to what, and the targets by depth, if any.
RATIOS: list[tuple[str, str, dict[int, float]]] = [
    ("workq-interval", "workq-memory", {1: 0.85, 16: 0.85}),
    ("workq-always", "beanstalkd-f0", {1: 7, 16: 28}),
    ("workq-always", "workq-interval", {16: 0.6}),
    ("workq-os", "workq-memory", {}),
    ("workq-interval", "beanstalkd-f1000", {}),
    ("workq-always", "redis-always", {}),
    ("workq-interval", "redis-everysec", {}),
]


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def summarise(samples: Iterable[Sample], base_name: str) -> list[dict[str, Any]]:
    """Medians for each case and server, in the order of the samples."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.case, sample.server), []).append(sample)
    rows = []
    keys = ("jobs_per_s", "commands_per_s", "p50_us", "p99_us", "p999_us", "max_us", "load_cpu")
    for (case, server), group in groups.items():
        row: dict[str, Any] = {"case": case, "server": server, "rounds": len(group)}
        row["base"], row["depth"] = base_name, group[0].load["depth"]
        for key in keys:
            row[key] = statistics.median(sample.load[key] for sample in group)
        rates = [sample.load["jobs_per_s"] for sample in group]
        row["slowest"], row["fastest"] = min(rates), max(rates)
        row["server_cpu"] = statistics.median(sample.server_cpu for sample in group)
        row["foreign_cpu"] = statistics.median(sample.foreign_cpu for sample in group)
        rows.append(row)
    base = {row["case"]: row["jobs_per_s"] for row in rows if row["server"] == base_name}
    for row in rows:
        reference = base.get(row["case"])
        row["ratio"] = row["jobs_per_s"] / reference if reference else None
    return rows


def table(head: list[str], rows: Iterable[list[str]], text_columns: int) -> str:
    """A Markdown table; the first columns are text, the others numbers."""
    marks = ["---" if i < text_columns else "---:" for i in range(len(head))]
    lines = [head, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def speed_table(rows: list[dict[str, Any]]) -> str:
    """The summary as Markdown."""
    head = ["case", "server", "jobs/s", "slowest to fastest", "commands/s", "p50 µs", "p99 µs"]
    head += ["p99.9 µs", "max µs", "server CPU", "load CPU", f"of {rows[0]['base']}"]
    lines = []
    seen = ""
    for row in rows:
        ratio = row["ratio"]
        lines.append(
            [
                row["case"] if row["case"] != seen else "",
                row["server"],
                f"{row['jobs_per_s']:,.0f}",
                f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
                f"{row['commands_per_s']:,.0f}",
                *(f"{row[key]:,.0f}" for key in ("p50_us", "p99_us", "p999_us", "max_us")),
                f"{row['server_cpu']:.0%}",
                f"{row['load_cpu']:.0%}",
                "-" if ratio is None else f"{ratio:.2f}",
            ]
        )
        seen = row["case"]
    return table(head, lines, 2)


def ratio_table(rows: list[dict[str, Any]]) -> str:
    """The ratios of jobs/s that the set `logged` is about; what misses its target is marked."""
    depths = {row["case"]: row["depth"] for row in rows}
    rates = {(row["case"], row["server"]): row["jobs_per_s"] for row in rows}
    lines = []
    for one, other, targets in RATIOS:
        cells = []
        for case, depth in depths.items():
            rate, reference = rates.get((case, one)), rates.get((case, other))
            if rate is None or not reference:
                cells.append("-")
                continue
            ratio = rate / reference
            missed = ratio < targets.get(depth, 0)
            cells.append(f"{ratio:.2f}{' MISSED' if missed else ''}")
        wanted = "; ".join(f"d{depth} ≥ {target:g}" for depth, target in targets.items())
        if any(cell != "-" for cell in cells):
            lines.append([f"{one} / {other}", wanted, *cells])
    return table(["jobs/s of / to", "target", *depths], lines, 2)


def memory_table(rows: Iterable[dict[str, Any]]) -> str:
    """The memory figures as Markdown."""
    head = ["server", "jobs", "before MiB", "after MiB", "bytes per job", "jobs/s meanwhile"]
    lines = [
        [
            row["server"],
            f"{row['jobs']:,}",
            f"{row['before'] / 2**20:.1f}",
            f"{row['after'] / 2**20:.1f}",
            f"{row['per_job']:.0f}",
            f"{row['load']['jobs_per_s']:,.0f}",
        ]
        for row in rows
    ]
    return table(head, lines, 1)


def report(found: dict[str, Any]) -> str:
    """All of it as Markdown."""
    box, settings = found["machine"], found["settings"]
    setting = (
        f"{found['when']}: {box['processor']}, {box['cores']} cores, Linux {box['kernel']}, "
        f"Python {box['python']}. {settings['connections']} connections, "
        f"payload {settings['payload']} bytes, "
        + ("" if settings["rss"] else f"{settings['rounds']} x {settings['seconds']:g} s, ")
        + f"server on core {settings['server_core']}, "
        f"load on core {settings['load_core']}."
    )
    parts = [
        setting,
        "\n".join(f"* {name}: {text}" for name, text in found["versions"].items()),
    ]
    if found["disk"]:
        parts.insert(1, told(found["disk"]))
    if found["summary"]:
        if found["disk"]:
            parts.append(ratio_table(found["summary"]))
        parts.append(speed_table(found["summary"]))
    if found["memory"]:
        parts.append(memory_table(found["memory"]))
    notes = [f"* not measured: {name}: {why}" for name, why in found["missing"].items()]
    notes += [f"* FAILED: {text}" for text in found["failures"]]
    for row in found["summary"]:
        if row["foreign_cpu"] >= 0.1:
            share = f"{row['foreign_cpu']:.0%} of a core"
            notes.append(f"* disturbed: {row['case']}, {row['server']}: others used {share}")
        if row["load_cpu"] >= 0.95:
            text = "the load generator was the limit"
            notes.append(f"* {row['case']}, {row['server']}: {text}")
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts)
