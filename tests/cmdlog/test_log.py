"""What every command log promises, as far as one that keeps nothing can hold it."""

from hypothesis import given
from hypothesis import strategies as st

from workq.cmdlog.log import NoLog


class Noted:
    """Notes what a log reports."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int | str]] = []

    def written(self, position: int) -> None:
        """So far written."""
        self.told.append(("written", position))

    def synced(self, position: int) -> None:
        """So far synced."""
        self.told.append(("synced", position))

    def failed(self, reason: str) -> None:
        """The end."""
        self.told.append(("failed", reason))


@given(st.lists(st.binary()))
def test_positions_rise_by_one(frames):
    """From 1 on, whatever is in a frame."""
    log = NoLog(Noted())
    assert [log.append(frame) for frame in frames] == list(range(1, len(frames) + 1))


def test_each_frame_is_reported_once_and_in_order():
    """Written, then synced, from within `append`: it is as safe as it will ever be."""
    noted = Noted()
    log = NoLog(noted)
    assert noted.told == []
    for position in (1, 2, 3):
        assert log.append(b"frame") == position
        assert noted.told[-2:] == [("written", position), ("synced", position)]
    assert len(noted.told) == 6


def test_a_frame_is_not_kept():
    """Nor wanted: what is in a commit need not even be packed."""
    log = NoLog(Noted())
    frame = b"a frame"
    log.append(frame)
    assert not log.keeps
    assert not any(value is frame for value in vars(log).values())


def test_logs_count_for_themselves():
    """Two have nothing in common."""
    one, other = NoLog(Noted()), NoLog(Noted())
    one.append(b"")
    assert (one.append(b""), other.append(b"")) == (2, 1)
