"""What becomes of a call when anything breaks, at every step and every byte of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from workq_client import core as core_module
from workq_client import requests
from workq_client.errors import (
    BrokenReply,
    Busy,
    ClientClosed,
    InvalidRequest,
    LeaseLost,
    NoReply,
    NotFound,
    OutcomeUnknown,
    OutOfMemory,
    ShuttingDown,
    TooManyConnections,
    UnknownCommand,
    Unreachable,
    WorkqError,
)
from workq_client.limits import ANSWER_CHARACTERS_MAX, GRACE_S, PAUSE_FIRST_S, PAUSE_MAX_S
from workq_client.models import Job
from workq_client.network import Late
from workq_client.pool import Attempts, Pool
from workq_client.requests import Request
from workq_client.slots import Listed, Slot

from tests.client.fake import JOB, Clock, Server, World, drive, steps, through

LEASED = Job(JOB, "mails", 1.0, b"hi", 7, 1)

#: A call of every kind, made anew each time.
CALLS: dict[str, Callable[[], Request[Any]]] = {
    "ping": lambda: requests.ping(),
    "add": lambda: requests.add("mails", b"hi", id=JOB.replace("1", "2")),
    "lease": lambda: requests.lease("mails", wait=5),
    "complete": lambda: requests.complete(LEASED, b"done"),
    "complete by id": lambda: requests.complete(JOB, b"done"),
    "fail": lambda: requests.fail(LEASED, b"oh"),
    "fail by id": lambda: requests.fail(JOB, b"oh"),
    "fail by id, final": lambda: requests.fail(JOB, b"oh", final=True),
    "release": lambda: requests.release(LEASED),
    "release by id": lambda: requests.release(JOB),
    "touch": lambda: requests.touch(LEASED),
    "delete": lambda: requests.delete(JOB),
    "result": lambda: requests.result(JOB, wait=5),
    "run": lambda: requests.run("mails", b"hi", wait=5, id=JOB.replace("1", "3")),
}
ENDS = ("complete", "complete by id", "fail", "fail by id, final", "release")
ONCE = ("fail by id", "release by id", "run")

#: What may happen at a step, and at which.
ANYWHERE = ("take", "connect", "exchange")
BREAKS: dict[str, tuple[type[BaseException], tuple[str, ...]]] = {
    "is cancelled": (asyncio.CancelledError, ANYWHERE),
    "is interrupted": (KeyboardInterrupt, ANYWHERE),
    "breaks": (ConnectionResetError, ("connect", "exchange")),
    "is late": (Late, ("connect", "exchange")),
}


def at_step(number, error):
    """Let an error happen at a step."""
    return lambda at, _: error() if at == number else None


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", BREAKS)
def test_after_a_call_that_ends_anywhere_the_next_one_gets_its_own_answer(name, how):
    """At every step, with every byte of the answer in a step of its own."""
    error, places = BREAKS[how]
    hello_piece = 1 if name == "ping" else 1000
    for number, step in enumerate(steps(CALLS[name](), World(None, 1, hello_piece))):
        if step not in places:
            continue
        world = World(None, 1, hello_piece)
        world.server.jobs[JOB] = "leased"
        core = world.core()
        with suppress(WorkqError, asyncio.CancelledError, KeyboardInterrupt):
            drive(
                core.call(CALLS[name]()),
                at_step(number, error),
            )
        assert world.in_use == 0
        assert through(core.call(requests.result(JOB))).data == b"done"
        assert through(core.call(requests.ping())) is None
        assert world.in_use == 0


def warm(world, request):
    """A client that has a connection for a request, on which nothing was asked yet."""
    core = world.core()
    through(core.call(requests.lease("mails", wait=5) if request.waits else requests.ping()))
    world.server.done.clear()
    return core


def broken(name, byte, executed):
    """A call whose connection breaks once: before the server has all of the request, or after it
    has done it and so many bytes of the answer have come.

    Returns:
        The world, and what the call returned or raised.
    """
    world = World(piece=1)
    request = CALLS[name]()
    core = warm(world, request)
    world.server.jobs[JOB] = "leased"
    wire = world.wires[0]
    if not executed:
        wire.reach = byte
    exchanges = 0

    def at(_, step):
        nonlocal exchanges
        if step.what == "exchange" and len(world.wires) == 1:
            exchanges += 1
            if exchanges > (byte if executed else 0):
                return ConnectionResetError("reset")
        return None

    try:
        return world, drive(core.call(request), at)
    except WorkqError as error:
        return world, error


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("byte", [0, 1, 3])
def test_a_request_that_was_not_done_is_sent_again_if_it_may_be(name, byte):
    """And is done then, once."""
    world, outcome = broken(name, byte, executed=False)
    if name in ONCE:
        assert isinstance(outcome, OutcomeUnknown)
        assert isinstance(outcome.cause, ConnectionResetError)
        assert world.server.done == []
    else:
        assert not isinstance(outcome, WorkqError)
        assert len(world.server.done) == 1


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("byte", [0, 1, 3])
def test_a_request_that_was_done_is_told_of_rightly(name, byte):
    """Though its answer was lost: what adds has added, what ends a job does not know, what must
    not be done twice is not."""
    world, outcome = broken(name, byte, executed=True)
    if name in ONCE:
        assert isinstance(outcome, OutcomeUnknown)
        assert len(world.server.done) == 1
    elif name in ENDS:
        assert isinstance(outcome, OutcomeUnknown)
        assert len(world.server.done) == 2
        assert outcome.job_id == JOB
    else:
        assert not isinstance(outcome, WorkqError)
        assert len(world.server.done) == 2


def test_a_duplicate_is_an_error_if_the_job_was_sent_once():
    """Only after a connection that broke it may be one's own."""
    world = World()
    core = world.core()
    through(core.call(requests.add("mails", b"hi", id=JOB)))
    with pytest.raises(WorkqError, match="Duplicate job"):
        through(core.call(requests.add("mails", b"hi", id=JOB)))


def test_a_duplicate_is_an_error_if_nothing_was_sent_before():
    """To fail to connect is not to have sent."""
    world = World()
    world.server.jobs[JOB] = "ready"
    world.refusals = 2
    with pytest.raises(WorkqError, match="Duplicate job"):
        through(world.core().call(requests.add("mails", b"hi", id=JOB)))


def test_what_is_refused_after_a_break_for_another_reason_is_refused():
    """Only a duplicate, a lost lease or a missing job leaves open what the first has done."""
    world = World()
    core = world.core()
    through(core.call(requests.ping()))
    world.server.alike["complete"] = b"-SERVER-ERROR Out of memory\r\n"

    def at(_, step):
        return ConnectionResetError() if step.what == "exchange" and len(world.wires) == 1 else None

    with pytest.raises(OutOfMemory):
        drive(core.call(requests.complete(LEASED, b"x")), at)


@pytest.fixture
def clock(monkeypatch):
    """Time that the test moves."""
    clock = Clock()
    monkeypatch.setattr(core_module, "time", clock)
    return clock


def test_pauses_grow_to_a_second_and_are_shortened_by_chance(clock):
    """So that many clients do not come back at the same moment."""
    world = World()
    world.refusals = 12
    core = world.core()
    core._chance = lambda: 1.0

    def at(_, step):
        if step.what == "pause":
            clock.now += world.pauses[-1]

    drive(core.call(requests.ping()), at)
    assert world.pauses == [PAUSE_FIRST_S * 2**step for step in range(5)] + [PAUSE_MAX_S] * 7
    core._chance = lambda: 0.0
    attempts = Attempts(core._chance)
    attempts.failed(OSError())
    assert attempts.pause_s() == PAUSE_FIRST_S / 2


def test_the_first_loss_of_a_connection_costs_no_pause_and_the_next_do(clock):
    """A server that accepts and closes at once is not asked in a circle."""
    world = World()
    core = world.core()
    count = 0

    def at(_, step):
        nonlocal count
        if step.what == "exchange":
            count += 1
            return ConnectionResetError() if count in (2, 4, 6) else None
        return None

    drive(core.call(requests.ping()), at)
    assert len(world.pauses) == 2


def test_who_cannot_connect_in_time_is_told_and_nothing_was_sent(clock):
    """With how often it was tried, and why it failed."""
    world = World()
    world.refusals = 1000
    core = world.core(timeout_s=3.0)
    core._chance = lambda: 1.0

    def at(_, step):
        if step.what == "pause":
            clock.now += world.pauses[-1]

    with pytest.raises(Unreachable, match="nobody listens") as caught:
        drive(core.call(requests.run("mails", wait=1, ttr=1)), at)
    assert caught.value.attempts == len(world.pauses) + 1
    assert clock.now <= 1003.0
    assert world.in_use == 0


@pytest.mark.parametrize(
    "name, error",
    [
        ("ping", NoReply),
        ("lease", NoReply),
        ("result", NoReply),
        ("add", OutcomeUnknown),
        ("complete", OutcomeUnknown),
        ("run", OutcomeUnknown),
    ],
)
def test_an_answer_that_does_not_come_ends_the_call_by_what_it_may_have_done(name, error):
    """What changes nothing has no reply; of the others the outcome is not known."""
    world = World()
    request = CALLS[name]()
    core = warm(world, request)

    def at(_, step):
        return Late() if step.what == "exchange" else None

    with pytest.raises(error):
        drive(core.call(request), at)
    assert world.wires[0].closed


@pytest.mark.parametrize(
    "request_, seconds",
    [
        (requests.ping(), 60),
        (requests.lease("mails", wait=5), 5 + GRACE_S),
        (requests.lease("mails"), 60),
        (requests.result(JOB, wait=0.25), 0.25 + GRACE_S),
        (requests.run("mails", wait=5, ttr=10), 15 + GRACE_S),
        (requests.run("mails", wait=0, ttr=10), 10 + GRACE_S),
    ],
)
def test_a_wait_ends_a_second_after_the_servers(request_, seconds, clock):
    """And a call that does not wait after the client's time limit."""
    waits = []
    world = World()
    core = world.core()
    slot = core.slot(request_)
    through(core.converse(Listed([slot]), waits=True))
    waits.append(slot.until - clock.now)
    assert waits == [pytest.approx(seconds)]


def test_what_is_left_of_a_wait_is_asked_for_anew(clock):
    """So that a wait does not grow by breaking."""
    world = World()
    core = world.core()

    def at(_, step):
        if step.what == "exchange" and world.server.done and len(world.wires) == 1:
            clock.now += 2
            return ConnectionResetError()
        return None

    drive(core.call(requests.lease("mails", wait=5)), at)
    assert [words[-1] for words in world.server.done] == ["5000", "3000"]


@pytest.mark.parametrize("late_s, left_s", [(0.0, 2.0), (0.5, 1.5), (1.9, 1.0), (5.0, 1.0)])
def test_a_wait_that_is_sent_late_has_time_for_its_answer(clock, late_s, left_s):
    """A job that came when nobody listens any more would be lost until its lease is over. So the
    call may take a second longer, but no more."""
    world = World()
    core = world.core()
    slot = core.slot(requests.lease("mails", wait=1))

    def at(_, step):
        if step.what == "connect" and not world.wires:
            clock.now += min(late_s, 1.9)  # it takes long, and comes to pass
        return None

    drive(core.converse(Listed([slot]), waits=True), at)
    assert slot.until - clock.now == pytest.approx(max(left_s, 1.0) if late_s else 2.0)
    asked_ms = int(world.server.done[0][-1])
    assert asked_ms == pytest.approx(max(1000 - late_s * 1000, 0), abs=1)


def test_connections_that_were_kept_are_given_up_with_one_that_falls_silent():
    """Those for calls that wait among them: each would have to be found out for itself."""
    world = World()
    core = world.core()
    core._quick.idle.append(through(core._open(1.0)))
    core._waiting.idle.append(through(core._open(1.0)))

    def at(_, step):
        return Late() if step.what == "exchange" else None

    with pytest.raises(NoReply):
        drive(core.call(requests.ping()), at)
    assert [wire.closed for wire in world.wires] == [True, True]


def test_connections_that_were_kept_are_given_up_with_one_that_breaks():
    """They are as old, and would fail one call after the other."""
    world = World()
    core = world.core()
    kept = [through(core._open(1.0)) for _ in range(2)]
    core._quick.idle.extend(kept)

    def at(_, step):
        first = step.what == "exchange" and len(world.wires) == 2
        return ConnectionResetError() if first else None

    drive(core.call(requests.ping()), at)
    assert [wire.closed for wire in world.wires] == [True, True, False]


def test_a_connection_on_which_something_has_come_unasked_is_not_used():
    """It may be an error about the connection, and would be taken for the answer."""
    world = World()
    core = world.core()
    through(core.call(requests.ping()))
    world.wires[0]._coming = b"-CLIENT-ERROR Idle timeout\r\n"
    through(core.call(requests.ping()))
    assert world.wires[0].closed
    assert len(world.wires) == 2


@pytest.mark.parametrize("text", ["CLIENT-ERROR Idle timeout", "SERVER-ERROR Log failed"])
def test_an_error_about_the_connection_is_no_answer(text):
    """The request is sent again elsewhere."""
    world = World()
    core = world.core()
    world.server.alike["ping"] = f"-{text}\r\n".encode()

    def at(_, step):
        if len(world.wires) == 2:
            world.server.alike.clear()

    drive(core.call(requests.ping()), at)
    assert world.wires[0].closed


def test_a_server_that_shuts_down_is_asked_again_until_the_time_is_over(clock):
    """Nothing has changed, so even what must not be done twice is sent again."""
    world = World()
    world.server.alike["run"] = b"-SERVER-ERROR Shutting down\r\n"
    core = world.core()

    def at(_, step):
        if step.what == "pause":
            clock.now += world.pauses[-1]

    with pytest.raises(ShuttingDown):
        drive(core.call(requests.run("mails", wait=2, ttr=1)), at)
    assert len(world.server.done) > 3
    world.server.alike.clear()
    assert through(core.call(requests.run("mails", wait=2, ttr=1))).success


def test_an_old_server_is_told_at_once():
    """One that has no `hello` will not have it later."""
    world = World()
    world.server.alike["hello"] = b"-CLIENT-ERROR Unknown command\r\n"
    with pytest.raises(UnknownCommand):
        through(world.core().call(requests.ping()))
    assert world.in_use == 0


def test_too_many_connections_are_tried_again():
    """Until there is room, or the time is over."""
    world = World()
    world.server.alike["hello"] = b"-SERVER-ERROR Too many connections\r\n"

    def at(_, step):
        if step.what == "pause":
            world.server.alike.clear()

    drive(world.core().call(requests.ping()), at)
    assert len(world.wires) == 2


def test_what_was_sent_and_meets_a_refusing_server_is_not_said_to_be_refused(clock):
    """The refusal is of the new connection: what became of the request is open."""
    world = World()
    core = world.core(timeout_s=1.0)
    through(core.call(requests.ping()))

    def at(_, step):
        if step.what == "pause":
            clock.now += world.pauses[-1]
        if step.what == "exchange" and len(world.wires) == 1:
            world.server.alike["hello"] = b"-SERVER-ERROR Too many connections\r\n"
            return ConnectionResetError()
        return None

    with pytest.raises(OutcomeUnknown):
        drive(core.call(CALLS["add"]()), at)
    with pytest.raises(TooManyConnections):
        drive(core.call(CALLS["add"]()), at)


def test_a_connection_and_its_greeting_have_their_time_together(clock):
    """What the one has taken is not there for the other."""
    world = World()

    def at(_, step):
        if step.what == "connect":
            clock.now += 0.9

    drive(world.core().call(requests.ping()), at)
    assert world.times[0] == pytest.approx(0.1)


def test_a_connection_made_while_the_client_was_closed_is_not_used():
    """`close` could not know of it."""
    world = World()
    core = world.core()

    def at(_, step):
        if step.what == "connect":
            core.close()

    with pytest.raises(ClientClosed):
        drive(core.call(requests.ping()), at)
    assert not world.server.done
    assert world.wires[0].closed
    assert world.in_use == 0


class Slow:
    """A source of slots each of which takes a minute.

    Args:
        world, core, clock: the test's.
    """

    slow = True

    def __init__(self, world, core, clock):
        self.seen = []
        self._count = 3
        self._parts = world, core, clock

    async def next(self):
        """The next, after a minute."""
        world, core, clock = self._parts
        self.seen.append(len(world.server.done))
        clock.now += 60
        self._count -= 1
        return core.slot(requests.ping()) if self._count >= 0 else None


def test_what_a_slow_source_has_given_does_not_wait_for_the_next(clock):
    """It is sent, and answered, before the source is asked again."""
    world = World()
    core = world.core(timeout_s=10.0)
    source = Slow(world, core, clock)
    through(core.converse(source, waits=False))
    assert source.seen == [0, 1, 2, 3]


def test_the_time_of_a_request_is_not_used_up_by_its_source(clock):
    """Nor is there none left to connect anew when the source comes back."""
    world = World()
    core = world.core(timeout_s=10.0)
    source = Slow(world, core, clock)
    source.slow = False
    slots = []

    async def next_one():
        slot = await Slow.next(source)
        slots.extend([slot] if slot else [])
        return slot

    source.next = next_one  # type: ignore[method-assign]

    def at(_, step):
        lost = step.what == "exchange" and len(world.wires) == 1 and not world.server.jobs
        if lost and len(slots) == 2:
            world.server.jobs["once"] = "lost"
            return ConnectionResetError()
        return None

    drive(core.converse(source, waits=False), at)
    assert [slot.error for slot in slots] == [None] * 3


@pytest.mark.parametrize(
    "text",
    [
        "SERVER-ERROR Out of memory",
        "CLIENT-ERROR Invalid payload size",
        "CLIENT-ERROR Line too long",
    ],
)
def test_a_connection_that_the_server_may_be_closing_is_not_kept(text):
    """Else the next call would find it closed."""
    world = World()
    world.server.alike["add"] = f"-{text}\r\n".encode()
    core = world.core()
    with pytest.raises(WorkqError):
        through(core.call(requests.add("mails", b"hi")))
    assert world.wires[0].closed
    through(core.call(requests.ping()))


@pytest.mark.parametrize(
    "answer", [b"hello\r\n", b"+OK 1\r\nx y z\r\nhi\r\n", b"+OK 1\r\n", b"-X\r\n"]
)
def test_a_broken_answer_is_told_and_its_connection_given_up(answer):
    """It is not asked again: the same would come."""
    world = World()
    core = world.core()
    world.server.alike["lease"] = answer + (b"" if answer.count(b"\r\n") > 1 else b"zz\r\n")
    with pytest.raises((BrokenReply, NoReply)):
        through(core.call(requests.lease("mails", wait=1)))
    assert world.wires[0].closed
    assert len(world.server.done) == 1


def test_an_error_shows_so_much_of_an_answer_to_something_else():
    """ANSWER_CHARACTERS_MAX: of the answer, and of what was wrong with it."""
    world = World(piece=100_000)
    keys = b"active-clients 1\r\nevicted-jobs 0\r\nstarted %b\r\n" % (b"x" * 50_000)
    world.server.alike["inspect"] = b"+OK 1\r\nserver 3\r\n" + keys
    with pytest.raises(BrokenReply, match="time data") as caught:
        through(world.core().call(requests.inspect_server()))
    assert len(caught.value.data) <= ANSWER_CHARACTERS_MAX
    assert len(str(caught.value)) < 2 * ANSWER_CHARACTERS_MAX + 100


def test_an_answer_with_more_behind_it_is_taken_and_its_connection_is_not():
    """Whatever that is, it is not the answer to the next call."""
    world = World()
    core = world.core()
    world.server.alike["ping"] = b"+OK\r\n-NOT-FOUND\r\n"
    through(core.call(requests.ping()))
    assert world.wires[0].closed


def test_calls_beyond_the_connections_wait_and_are_told_if_none_comes_free():
    """With the setting that allows more."""
    world = World()
    core = world.core()
    first = core.call(requests.ping())
    first.send(None)
    first.send(None)  # it has the only place
    with pytest.raises(Busy, match="connections_max"):
        through(core.call(requests.ping()))
    job = through(core.call(requests.lease("mails", wait=1)))  # has its own
    assert job is not None
    assert job.id == JOB
    first.close()
    assert world.in_use == 0


def test_a_closed_client_takes_no_calls_and_ends_those_under_way():
    """What may have been done is not claimed to have been left."""
    world = World()
    core = world.core()

    def at(_, step):
        if step.what == "exchange" and world.server.done:
            core.close()

    with pytest.raises(ClientClosed):
        drive(core.call(requests.lease("mails", wait=5)), at)
    with pytest.raises(ClientClosed):
        through(core.call(requests.ping()))
    assert all(wire.closed for wire in world.wires)


def test_a_forked_child_leaves_its_parents_connections_alone():
    """It makes its own, and does not give back what was in its parent's hands."""
    world = World()
    core = world.core()
    through(core.call(requests.ping()))
    core.abandon()
    through(core.call(requests.ping()))
    assert len(world.wires) == 2


def test_each_of_a_pipeline_has_its_own_outcome():
    """In order, errors among them."""
    world = World(piece=7)
    core = world.core()
    slots = [core.slot(request) for request in (
        requests.add("mails", b"a", id=JOB),
        requests.add("mails", b"b", id=JOB),
        requests.ping(),
        requests.result(JOB),
    )]  # fmt: skip
    assert through(core.converse(Listed(slots), waits=False)) is None
    assert slots[0].outcome() == JOB
    assert "Duplicate job" in str(slots[1].error)
    assert slots[2].outcome() is None
    assert slots[3].outcome().data == b"done"
    assert len(world.wires) == 1


@pytest.mark.parametrize("number", range(12))
def test_a_pipeline_that_breaks_goes_on_where_it_was(number):
    """What was answered is not sent again, and each job is added once."""
    world = World(piece=5)
    core = world.core()
    through(core.call(requests.ping()))
    world.server.done.clear()
    slots = [core.slot(requests.add("mails", b"x" * 10)) for _ in range(10)]
    exchanges = 0

    def at(_, step):
        nonlocal exchanges
        if step.what != "exchange":
            return None
        exchanges += 1
        return ConnectionResetError() if exchanges == number + 1 else None

    drive(core.converse(Listed(slots), waits=False), at)
    assert [slot.error for slot in slots] == [None] * 10
    assert len(world.server.jobs) == 10


def test_an_answer_about_another_job_is_told_and_what_is_behind_it_asked_anew():
    """Who gets the answer to another request must not hand on the rest of them."""
    world = World()
    core = world.core()
    other = JOB.replace("1", "9")
    world.server.alike["result"] = b"+OK 1\r\n%b 1 4\r\ndone\r\n" % other.encode()
    slots: list[Slot[Any]] = [core.slot(requests.result(JOB)), core.slot(requests.ping())]
    through(core.converse(Listed(slots), waits=False))
    assert isinstance(slots[0].error, BrokenReply)
    assert slots[1].error is None
    assert world.server.done.count(("ping",)) == 2
    assert world.wires[0].closed


def test_a_block_larger_than_the_server_takes_is_not_sent():
    """The server would have to close the connection."""
    core = World().core()
    with pytest.raises(InvalidRequest, match="1048577 bytes; the server takes 1048576"):
        core.slot(requests.add("mails", b"x" * 1_048_577))


def test_what_is_lost_and_refused_for_sure_is_told_as_it_is():
    """A touch that was sent twice and finds the lease lost has lost it."""
    world = World()
    core = world.core()
    world.server.alike["touch"] = b"-CLIENT-ERROR Lease lost\r\n"
    through(core.call(requests.ping()))

    def at(_, step):
        return ConnectionResetError() if step.what == "exchange" and len(world.wires) == 1 else None

    with pytest.raises(LeaseLost):
        drive(core.call(requests.touch(LEASED)), at)
    world.server.alike["result"] = b"-NOT-FOUND\r\n"
    with pytest.raises(NotFound):
        through(core.call(requests.result(JOB)))


def test_a_pool_does_not_mind_another_thread_that_is_faster():
    """What is kept may be gone between two looks."""

    class Racing(list[Any]):
        def pop(self, *_):
            raise IndexError

    pool = Pool(World().places(1), 1, "x")
    pool.idle = Racing([object()])
    assert pool.pop() is None
    pool.drop_idle()


def test_the_server_does_what_it_gets_once():
    """The stand-in itself: a request in two pieces is one."""
    server = Server()
    answers, left = server.read(b"add " + JOB.encode() + b" mails 1 2 5\r\nhel")
    assert (answers, left[:3]) == (b"", b"add")
    answers, left = server.read(left + b"lo\r\nping\r\n")
    assert (answers, left) == (b"+OK\r\n+OK\r\n", b"")
