"""Which queues are known, and that names nobody uses do not grow memory."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.broker.harness import Rig, add, complete, job_id, run
from workq.broker import names as module
from workq.broker.names import KnownNames
from workq.broker.waiting import Waiting
from workq.engine.engine import Engine
from workq.limits import IDLE_NAMES_MAX

OK = "+OK\r\n"
UNKNOWN = "-NOT-FOUND\r\n"


@pytest.fixture
def few(monkeypatch):
    """Three idle names are remembered instead of ten thousand."""
    monkeypatch.setattr(module, "IDLE_NAMES_MAX", 3)


def known(rig):
    """The names that are listed."""
    return [name.decode() for name in rig.broker.names.listed(0, 10**6)]


def empty(name):
    """What `inspect queue` shows of a queue that is known and has nothing."""
    return f"+OK 1\r\n{name} 2\r\nready-len 0\r\nscheduled-len 0\r\n"


def test_a_name_is_known_from_its_first_mention():
    """By a lease that got nothing, and before it by nothing."""
    rig = Rig()
    client = rig.client()
    assert client.ask("inspect queue a\r\ninspect jobs a 0 1\r\n") == UNKNOWN * 2
    client.ask("lease a b 0\r\n")
    assert client.ask("inspect queue a\r\ninspect queue b\r\n") == empty("a") + empty("b")
    assert client.ask("inspect jobs a 0 1\r\ninspect scheduled-jobs b 0 1\r\n") == "+OK 0\r\n" * 2


@pytest.mark.parametrize(
    "request_",
    [
        "lease a b 86400001\r\n",
        "lease a b= 0\r\n",
        f"add {job_id(1)} a 0 1000 0\r\n\r\n",
        f"run {job_id(1)} a 1000 x 0\r\n\r\n",
        "inspect queue a\r\n",
        "inspect jobs a 0 1\r\n",
    ],
)
def test_a_refused_command_and_a_question_mention_no_name(request_):
    """However many of its names are right."""
    rig = Rig()
    client = rig.client()
    assert client.ask(request_).startswith("-")
    assert known(rig) == []


def test_a_duplicate_mentions_no_name():
    """It is refused, and what is refused changes nothing."""
    rig = Rig()
    rig.client().ask(add(1, "a") + add(1, "b"))
    assert known(rig) == ["a"]


def test_a_queue_stays_known_when_its_last_job_has_gone():
    """However it went."""
    rig = Rig()
    client = rig.client()
    client.say(add(1, "deleted") + f"delete {job_id(1)}\r\n")
    client.say(add(2, "expired", options="1000 500"))
    client.say(run(3, "called", wait_ms=500))
    rig.advance(1000)
    assert known(rig) == ["called", "deleted", "expired"]


def test_names_are_listed_in_the_order_of_their_bytes():
    """Those with jobs, with waiters and merely mentioned among one another."""
    rig = Rig()
    client, waiter = rig.clients(2)
    client.say("lease b B 10 - . _ a.b 0\r\n" + add(1, "a") + add(2, "Z"))
    waiter.say("lease a-b c 1000\r\n")
    assert known(rig) == ["-", ".", "10", "B", "Z", "_", "a", "a-b", "a.b", "b", "c"]
    assert len(rig.broker.names) == 11


@pytest.mark.parametrize(
    "offset, limit, names",
    [
        (0, 2, "ab"),
        (1, 3, "bcd"),
        (3, 100, "de"),
        (4, 1, "e"),
        (5, 1, ""),
        (2**32 - 1, 100, ""),
    ],
)
def test_a_list_begins_at_its_offset_and_has_its_limit(offset, limit, names):
    """Beyond the end there is nothing."""
    rig = Rig()
    client = rig.client()
    client.ask("lease e d c b a 0\r\n")
    answer = client.ask(f"inspect queues {offset} {limit}\r\n")
    assert answer == f"+OK {len(names)}\r\n" + "".join(empty(name)[7:] for name in names)


def test_the_newest_idle_names_are_remembered(few):
    """An old one goes when a new one comes."""
    rig = Rig()
    client = rig.client()
    client.ask("lease a 0\r\nlease b 0\r\nlease c 0\r\nlease d 0\r\n")
    assert known(rig) == ["b", "c", "d"]
    assert client.ask("inspect queue a\r\n") == UNKNOWN


def test_a_name_is_new_again_when_it_is_mentioned_again(few):
    """Not when it is only looked at."""
    rig = Rig()
    client = rig.client()
    client.say("lease a 0\r\nlease b 0\r\nlease c 0\r\n")
    client.say("lease a 0\r\ninspect queue b\r\nlease d 0\r\n")
    assert known(rig) == ["a", "c", "d"]


def test_names_with_jobs_and_waiters_are_never_forgotten(few):
    """And take no room from the idle ones."""
    rig = Rig()
    client, waiter = rig.clients(2)
    client.say("".join(add(number, f"job{number}") for number in range(1, 6)))
    waiter.say("lease w1 w2 w3 w4 100000\r\n")
    client.say("".join(f"lease {name} 0\r\n" for name in "abcd"))
    jobs = [f"job{number}" for number in range(1, 6)]
    assert known(rig) == ["b", "c", "d", *jobs, "w1", "w2", "w3", "w4"]
    rig.advance(100_000)  # the waiter's names get idle, as the newest
    assert known(rig) == [*jobs, "w2", "w3", "w4"]


def test_a_name_that_comes_into_use_is_idle_no_more(few):
    """It makes room for another, and comes back as the newest."""
    rig = Rig()
    client = rig.client()
    client.say("lease b 0\r\nlease a 0\r\nlease c 0\r\n" + add(1, "a"))
    client.say("lease d 0\r\n")
    assert known(rig) == ["a", "b", "c", "d"]
    client.say(f"delete {job_id(1)}\r\n")
    assert known(rig) == ["a", "c", "d"]


def test_a_queue_that_came_and_went_in_one_turn_is_known():
    """As one that was there longer."""
    rig = Rig()
    client = rig.client()
    client.put(add(1, "a") + "lease a 0\r\n" + complete(1) + f"delete {job_id(1)}\r\n")
    client.put("inspect queue a\r\n")
    rig.turn()
    assert client.take().endswith(empty("a"))


def test_names_named_once_do_not_grow_memory():
    """Whatever mentions them, and whether or not anybody ever looks."""
    rig = Rig()
    client = rig.client()
    for number in range(12_000):
        client.put(f"lease x{number} 0\r\n")
        if not number % 4:
            client.put(run(1, f"y{number}", wait_ms=0))
        if not number % 500:
            rig.settle()
    rig.settle()
    names = rig.broker.names
    assert len(names._order) == len(names._idle) == IDLE_NAMES_MAX
    assert len(rig.engine.queues) == 0
    assert not rig.engine.shifted
    assert rig.broker._waiting.lines == {}


def test_waits_that_end_in_vain_leave_nothing_behind():
    """Workers that ask an idle server for months cost no memory."""
    rig = Rig()
    worker = rig.client()
    for _ in range(100):
        worker.say("lease q 10\r\n")
        rig.advance(10)
    assert len(rig.broker._waiting.shifted) <= 2


class Model:
    """Known names, the slow and simple way."""

    def __init__(self, idle_max):
        self.idle_max = idle_max
        self.idle: OrderedDict[bytes, None] = OrderedDict()
        self.used: set[bytes] = set()

    def use(self, name):
        """A job or a waiter has come."""
        self.used.add(name)
        self.idle.pop(name, None)

    def rest(self, name):
        """A name is mentioned, or its last job or waiter has gone."""
        self.used.discard(name)
        self.idle.pop(name, None)
        self.idle[name] = None
        while len(self.idle) > self.idle_max:
            self.idle.popitem(last=False)


@given(st.lists(st.tuples(st.sampled_from(["use", "rest", "mention"]), st.integers(0, 9))))
def test_known_names_are_as_in_the_model(steps):
    """Whatever comes into use and out of it, in whatever order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IDLE_NAMES_MAX", 4)
        engine, waiting = Engine(), Waiting()
        names, model = KnownNames(engine, waiting), Model(4)
        for act, number in steps:
            name = b"%d" % number
            if act == "mention":
                both = [name, b"%d" % ((number + 3) % 10)]
                for each in both:
                    if each not in model.used:
                        model.rest(each)
                names.mention(both)
            elif act == "use" and name not in model.used:
                model.use(name)
                waiting.lines[name] = OrderedDict()
                waiting.shifted[name] = None
                waiting.shifted.move_to_end(name)
            elif act == "rest" and name in model.used:
                model.rest(name)
                del waiting.lines[name]
                waiting.shifted[name] = None
                waiting.shifted.move_to_end(name)
            if number % 2:
                names.catch_up()
            else:
                assert [b"%d" % n in names for n in range(10)] == [
                    b"%d" % n in model.used or b"%d" % n in model.idle for n in range(10)
                ]
        assert names.listed(0, 100) == sorted([*model.used, *model.idle])
        assert len(names) == len(model.used) + len(model.idle)


def test_names_that_come_and_go_are_taken_in_as_fast():
    """What is to be taken in does not pile up, however long it goes on."""
    rig = Rig()
    clients = rig.clients(10)
    number = 0
    for _ in range(50):
        for client in clients:
            for _ in range(35):
                number += 1
                client.put(add(number, f"n{number}", options="1 100"))
        rig.now_ms += 5
        rig.turn()
    assert rig.engine.evicted > 500
    assert rig.broker.names.pending == 0
