"""The log that keeps nothing: every frame is as safe as it will ever be, at once."""

from __future__ import annotations

from tests.cmdlog.making import Noted
from workq.cmdlog.frames import COMMIT
from workq.cmdlog.log import NoLog


def test_each_frame_is_reported_once_and_in_order():
    """Written, then synced, from within `append`."""
    noted = Noted()
    log = NoLog(noted)
    assert noted.told == []
    for position in (1, 2, 3):
        assert log.append(COMMIT, 1, 1, b"frame") == position == log.position
        assert noted.told[-2:] == [("written", position), ("synced", position)]
    assert len(noted.told) == 6


def test_a_frame_is_not_kept():
    """Nor wanted: what is in a commit need not even be packed."""
    log = NoLog(Noted())
    frame = b"a frame"
    log.append(COMMIT, 1, 1, frame)
    assert not log.keeps
    assert not any(value is frame for value in vars(log).values())


def test_logs_count_for_themselves():
    """Two have nothing in common."""
    one, other = NoLog(Noted()), NoLog(Noted())
    one.append(COMMIT, 1, 1, b"")
    assert (one.append(COMMIT, 1, 1, b""), other.append(COMMIT, 1, 1, b"")) == (2, 1)


def test_syncs_and_ticks_tell_nothing():
    """There is nothing more to tell; and an end comes at once."""
    noted = Noted()
    log = NoLog(noted)
    log.append(COMMIT, 1, 1, b"")
    told = list(noted.told)
    log.sync()
    log.tick(1)
    log.tick(2)
    closed: list[bool] = []
    log.close(3, lambda: closed.append(True))
    assert noted.told == told
    assert closed == [True]
