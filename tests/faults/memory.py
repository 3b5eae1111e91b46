"""How much memory a server has over time: samples, what they tell, and how they are kept.

A process that is started anew every minute cannot leak for an hour, and one that lives for an hour
is never started anew. So there are two slopes: between lives, of what each had just before its end,
which shows whether what a log carries from one to the next grows; and within one long life, which
shows whether the process does. Both are by least squares, in per cent of the mean in an hour.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, median
from typing import Final, NamedTuple

#: The first part of a run, or of a life, is left out: caches fill, and the load finds its level.
WARM_UP: Final = 0.2

#: What a life had at its end is the median of its last samples; a minute of a life is the same.
LAST: Final = 10
MINUTE_S: Final = 60.0

_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 240, 60, 30


class Sample(NamedTuple):
    """One look at the server.

    Attributes:
        seconds: since the run began.
        life: which process it is, from 1 on.
        rss_kib: its resident memory.
        cpu_ms: what it has used of the processor since it began.
        log_kib: the files of its log.
        jobs: how many jobs the clients know of.
        replies: how many they have heard.
        compactions: how many have ended in this life.
    """

    seconds: float
    life: int
    rss_kib: int
    cpu_ms: int
    log_kib: int
    jobs: int
    replies: int
    compactions: int


class Slope(NamedTuple):
    """A slope in per cent an hour, its standard error, and of how many points it is."""

    percent: float
    error: float
    points: int

    def __str__(self) -> str:
        if self.points < 3:
            return "too few points"
        return f"{self.percent:+.2f} ± {self.error:.2f} % per hour, {self.points} points"


Point = tuple[float, float]


def slope(points: Sequence[Point]) -> Slope:
    """The slope of points of seconds and something, by least squares."""
    count = len(points)
    if count < 3:
        return Slope(0.0, 0.0, count)
    mean_s, mean = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - mean_s) ** 2 for x, _ in points)
    rise = sum((x - mean_s) * (y - mean) for x, y in points) / spread
    left = sum((y - mean - rise * (x - mean_s)) ** 2 for x, y in points)
    hourly = 100 * 3600 / mean
    return Slope(rise * hourly, sqrt(left / (count - 2) / spread) * hourly, count)


def ends(samples: Iterable[Sample]) -> list[Point]:
    """What each life had just before its end, without the lives of the warm-up."""
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.life, []).append(sample)
    points = [
        (life[-1].seconds, median(sample.rss_kib for sample in life[-LAST:]))
        for life in lives.values()
    ]
    return points[int(len(points) * WARM_UP) :]


def minutes(samples: Sequence[Sample]) -> list[Point]:
    """What the longest life had in each of its minutes, without those of the warm-up."""
    lives = [sample.life for sample in samples]
    longest = max(set(lives), key=lives.count, default=0)
    life = [sample for sample in samples if sample.life == longest]
    by_minute: dict[int, list[Sample]] = {}
    for sample in life:
        by_minute.setdefault(int((sample.seconds - life[0].seconds) / MINUTE_S), []).append(sample)
    points = [
        (fmean(one.seconds for one in minute), median(one.rss_kib for one in minute))
        for minute in by_minute.values()
    ]
    return points[int(len(points) * WARM_UP) :]


def write_csv(samples: Iterable[Sample], path: Path) -> None:
    """Write all samples, for others to look at."""
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Sample._fields)
        writer.writerows((f"{sample.seconds:.1f}", *sample[1:]) for sample in samples)


def read_csv(path: Path) -> list[Sample]:
    """Samples as they were written."""
    with path.open(encoding="ascii") as file:
        rows = list(csv.reader(file))[1:]
    return [Sample(float(row[0]), *map(int, row[1:])) for row in rows]


# --- a plot ---------------------------------------------------------------------------------------


def svg(samples: Sequence[Sample], title: str) -> str:
    """Memory and log over time, with the points that the slope is of, as a picture."""
    end_s = max(sample.seconds for sample in samples)
    lives = len({sample.life for sample in samples})
    points = ends(samples) if lives >= 3 else minutes(samples)
    told = f"{'between lives' if lives >= 3 else 'within the life'}: {slope(points)}"
    memory = [(sample.seconds, sample.rss_kib / 1024) for sample in samples]
    marks = [(seconds, kib / 1024) for seconds, kib in points]
    log = [(sample.seconds, sample.log_kib / 1024) for sample in samples]
    height = 2 * (_HEIGHT + _TOP) + 30
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        *_panel(_TOP, memory, end_s, f"{title}: resident memory, MiB; {told}", marks),
        *_panel(2 * _TOP + _HEIGHT, log, end_s, "files of the log, MiB", []),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(
    top: int, points: Sequence[Point], end_s: float, title: str, marks: Sequence[Point]
) -> list[str]:
    """One curve with its axes, and marks on it."""
    high = max(y for _, y in points) * 1.1 or 1.0
    inner_width, inner_height = _WIDTH - _LEFT - 20, _HEIGHT - 30

    def place(point: Point) -> tuple[str, str]:
        x = _LEFT + point[0] / max(end_s, 1.0) * inner_width
        return f"{x:.1f}", f"{top + inner_height * (1 - point[1] / high):.1f}"

    curve = " ".join(",".join(place(point)) for point in points)
    parts = [f'<text x="{_LEFT}" y="{top - 8}">{title}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place((end_s * share, high * share))
        left, bottom = place((0, 0))
        parts.append(f'<path d="M{left} {y}H{_WIDTH - 20}" stroke="#ddd"/>')
        parts.append(f'<text x="8" y="{y}">{high * share:.1f}</text>')
        minute = f"{end_s * share / 60:.0f} min"
        parts.append(f'<text x="{x}" y="{float(bottom) + 16:.1f}">{minute}</text>')
    parts.append(f'<polyline points="{curve}" fill="none" stroke="#369"/>')
    for mark in marks:
        x, y = place(mark)
        parts.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="#c30"/>')
    return parts
