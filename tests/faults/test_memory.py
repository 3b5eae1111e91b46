"""What samples of memory tell."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.faults import memory
from tests.faults.memory import Sample, ends, minutes, slope


def sampled(lives: int, seconds: int, grow_kib: float = 0, leak_kib: float = 0) -> list[Sample]:
    """A sample each second. Each life begins with so much more than the one before, and gets so
    much more each minute, after a first one in which it grows by half."""
    return [
        Sample(
            float(life * seconds + second), life + 1,
            int(10_000 * min(0.5 + second / 120, 1) + life * grow_kib + leak_kib * second / 60),
            second, 100, 5, second, 0,
        )
        for life in range(lives)
        for second in range(seconds)
    ]  # fmt: skip


@pytest.mark.parametrize("rise", [0.0, 1.0, -3.0])
def test_the_slope_of_a_line_is_its_own(rise):
    """In per cent of the mean in an hour, without an error."""
    points = [(minute * 60.0, 1000 + rise * (minute - 30) / 6) for minute in range(61)]
    found = slope(points)
    assert found.percent == pytest.approx(rise, abs=1e-9)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_what_is_not_on_a_line_is_told_by_the_error():
    """Up and down by one per cent gives no slope that means anything."""
    found = slope([(minute * 60.0, 1000 + 10 * (-1) ** minute) for minute in range(60)])
    assert abs(found.percent) < found.error < 1
    assert str(slope([(0, 1), (1, 1)])) == "too few points"


def test_between_lives_their_ends_are_compared():
    """The first fifth of them is warm-up; what a life does before its end does not matter."""
    flat = sampled(lives=60, seconds=60)
    assert len(ends(flat)) == 48
    assert abs(slope(ends(flat)).percent) < 1e-9
    growing = slope(ends(sampled(lives=60, seconds=60, grow_kib=10)))
    assert growing.percent == pytest.approx(100 * 600 / 10_000, rel=0.1)


def test_within_a_life_its_minutes_are_compared():
    """The longest life counts, without its first fifth."""
    samples = sampled(lives=1, seconds=3600, leak_kib=10)
    samples += [sample._replace(life=2, seconds=9999.0) for sample in samples[:60]]
    assert len(minutes(samples)) == 48
    assert slope(minutes(samples)).percent == pytest.approx(100 * 600 / 10_000, rel=0.1)


def test_samples_are_kept_and_shown(tmp_path):
    """As numbers for programs, and as a picture."""
    samples = sampled(lives=4, seconds=5)
    memory.write_csv(samples, tmp_path / "samples.csv")
    assert memory.read_csv(tmp_path / "samples.csv") == samples
    picture = ET.fromstring(memory.svg(samples, "4 lives"))
    kinds = [element.tag.rpartition("}")[2] for element in picture]
    assert (kinds.count("polyline"), kinds.count("circle")) == (2, 4)
