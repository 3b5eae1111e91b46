"""How much of a pipeline is on its way at a time."""

from __future__ import annotations

from workq_client import core as core_module
from workq_client import requests
from workq_client.limits import GATHERING_S_MAX, WINDOW_BYTES_MAX, WINDOW_REQUESTS_MAX
from workq_client.slots import Listed

from tests.client.fake import Clock, World, drive, through


def on_their_way(payloads):
    """Adds with these payloads through one client; at each step, the sizes of those that were sent
    and not answered."""
    core = World().core()
    slots = [core.slot(requests.add("mails", payload)) for payload in payloads]
    seen = []

    def at(_, step):
        seen.append([len(slot.data) for slot in slots if slot.sent and not slot.done])

    drive(core.converse(Listed(slots), waits=False), at)
    assert all(slot.done and slot.error is None for slot in slots)
    return seen


def test_so_many_requests_are_on_their_way():
    """WINDOW_REQUESTS_MAX; the others come when half of them are answered."""
    counts = [len(sizes) for sizes in on_their_way([b"x"] * (2 * WINDOW_REQUESTS_MAX + 100))]
    assert max(counts) == WINDOW_REQUESTS_MAX


def test_so_many_bytes_are_on_their_way_before_one_more_request():
    """WINDOW_BYTES_MAX: the last of them may be beyond it."""
    payload = b"x" * 100_000
    sizes = on_their_way([payload] * 40)
    assert max(map(sum, sizes)) >= WINDOW_BYTES_MAX
    assert max(sum(one[:-1]) for one in sizes) < WINDOW_BYTES_MAX


class Leisurely(Listed):
    """A source each of whose slots takes some time, as little as is not told of.

    Args:
        slots: these.
        clock: that shows it.
        takes_s: the time.

    Attributes:
        taken: how many were.
    """

    def __init__(self, slots, clock, takes_s):
        super().__init__(slots)
        self.taken = 0
        self._clock = clock
        self._takes_s = takes_s

    async def next(self):
        """The next, after that time."""
        self._clock.now += self._takes_s
        self.taken += 1
        return await super().next()


def test_what_there_is_is_sent_when_gathering_has_taken_so_long(monkeypatch):
    """GATHERING_S_MAX, and the one that was being asked for then."""
    monkeypatch.setattr(core_module, "time", clock := Clock())
    world = World()
    core = world.core()
    through(core.call(requests.ping()))
    slots = [core.slot(requests.ping()) for _ in range(100)]
    source = Leisurely(slots, clock, GATHERING_S_MAX / 3.5)
    taken = []

    def at(_, step):
        if step.what == "exchange":
            taken.append(source.taken)

    drive(core.converse(source, waits=False), at)
    assert taken[0] == 1 + 4
    assert all(slot.done for slot in slots)
