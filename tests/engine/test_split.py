"""The split dictionary against a plain one."""

from hypothesis import given
from hypothesis import strategies as st

from workq.engine.split import MASK, SHIFT, SplitDict
from workq.limits import DICT_SPLIT

KEYS = st.sampled_from([b"key %d" % number for number in range(20)])


@given(keys=st.lists(KEYS))
def test_it_is_a_dictionary(keys):
    """Each key in turn is taken out if it is in, else put in."""
    split: SplitDict[int] = SplitDict()
    plain: dict[bytes, int] = {}
    for number, key in enumerate(keys):
        assert (key in split) == (key in plain)
        assert split.get(key) == plain.get(key)
        if key in plain:
            split.remove(key)
            del plain[key]
        else:
            split.add(key, number)
            plain[key] = number
        assert len(split) == len(plain)
        assert split.get(key) == plain.get(key)
        assert sorted(split.values()) == sorted(plain.values())


def test_it_spreads_its_keys():
    """No part holds more than a few times its share, or one would stall after all."""
    split: SplitDict[int] = SplitDict()
    for number in range(DICT_SPLIT * 100):
        split.add(b"00000000-0000-4000-8000-%012d" % number, number)
    sizes = [len(part) for part in split.parts]
    assert len(sizes) == DICT_SPLIT
    assert sum(sizes) == len(split)
    assert max(sizes) < 250


def test_readers_may_look_into_the_part_of_a_key():
    """The hottest path does, to save a call."""
    split: SplitDict[int] = SplitDict()
    for number in range(1000):
        key = b"key %d" % number
        split.add(key, number)
        assert split.parts[hash(key) >> SHIFT & MASK].get(key) == number


def test_the_number_of_parts_is_a_power_of_two():
    """A part is chosen by a mask."""
    assert DICT_SPLIT & MASK == 0
