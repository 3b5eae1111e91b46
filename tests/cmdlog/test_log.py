"""What every command log promises, as far as one that keeps nothing can hold it."""

from hypothesis import given
from hypothesis import strategies as st

from workq.cmdlog.log import NoLog


@given(st.lists(st.lists(st.binary(), min_size=1)))
def test_positions_rise_by_one(commits):
    """From 1 on, whatever is in a commit."""
    log = NoLog(lambda position: None)
    assert [log.append(commit) for commit in commits] == list(range(1, len(commits) + 1))


def test_each_commit_is_reported_once_and_in_order():
    """From within `append`: it is as safe as it will ever be."""
    reported: list[int] = []
    log = NoLog(reported.append)
    assert reported == []
    for number in range(1, 4):
        position = log.append([(number,)])
        assert reported == list(range(1, number + 1))
        assert position == number


def test_a_commit_is_not_kept():
    """Nor changed: what is in it stays the broker's."""
    commit = [(1, b"x"), (2, b"y")]
    log = NoLog(lambda position: None)
    log.append(commit)
    assert commit == [(1, b"x"), (2, b"y")]
    assert not any(value is commit for value in vars(log).values())


def test_logs_count_for_themselves():
    """Two have nothing in common."""
    one, other = NoLog(lambda position: None), NoLog(lambda position: None)
    one.append([()])
    assert (one.append([()]), other.append([()])) == (2, 1)
