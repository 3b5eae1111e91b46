"""The engine against a naive model, a standby that tails its commits, and its own derived part.

Random acts on few ids, names and times, so that they collide. After each, the engine shows what
the model shows, the standby shows the durable part of it, and everything derived follows from
the durable. `SlowMachine` lets one `advance` do next to nothing, so that the engine is nearly
always behind: single jobs must answer all the same.
"""

from inspect import isfunction
from itertools import islice
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.engine.checking import Shown, check_derived, check_replay, replayed, shown
from tests.engine.making import HOUR_MS, budgets, job_id
from tests.engine.model import Model
from workq.engine import dump
from workq.engine.engine import Engine
from workq.engine.job import Job, Options
from workq.engine.state import State
from workq.engine.transitions import Transition
from workq.limits import CLOCK_STEP_MS, TTL_MS_MAX

IDS = st.sampled_from([job_id(number) for number in range(6)])
NAMES = st.sampled_from([b"a", b"b"])
PAYLOADS = st.sampled_from([b"", b"x", b"four"])
OPTIONS = st.builds(
    Options,
    ttr_ms=st.integers(1, 20),
    ttl_ms=st.integers(1, 40) | st.sampled_from([1500, 2**21, 2**41, TTL_MS_MAX]),
    priority=st.integers(-1, 1),
    max_attempts=st.integers(0, 2),
    max_fails=st.integers(0, 3),
    retry_delay_ms=st.integers(0, 9),
    backoff=st.integers(1, 3),
    retry_max_ms=st.sampled_from([0, 12]),
)
FOREGROUND = st.builds(Options, ttr_ms=st.integers(1, 20), ttl_ms=st.just(0))
STEPS_MS = st.one_of(
    st.integers(0, 3), st.integers(0, 12), st.sampled_from([40, 1023, 1025, 2**20 + 1, 2**31])
)
OFFSETS_MS = st.sampled_from([0, 7, -7, HOUR_MS, -HOUR_MS])
LATE_MS = 2**52
STARTS_MS = st.sampled_from([0, 5, 1_700_000_000_123])


class EngineMachine(RuleBasedStateMachine):
    """Does the same to the engine and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()
        self.model = Model()
        self.standby = State()
        self.log: list[Transition] = []
        self.offset_ms = 0
        self.leases: list[tuple[bytes, int]] = []
        self.passed_over: dict[bytes, int] = {}
        self.late = False

    @initialize(start_ms=STARTS_MS, offset_ms=OFFSETS_MS, options=st.lists(OPTIONS, max_size=5))
    def begin(self, start_ms, offset_ms, options):
        """Start at some time, with some jobs of one instant."""
        self.offset_ms = offset_ms
        self._advance(start_ms)
        for number, each in enumerate(options):
            self.add(job_id(number), b"ab"[number % 3 // 2 :][:1], each, b"")

    # --- acts, each as the command of its name does it ----------------------------------------

    def _find(self, number: bytes) -> Job | None:
        job = self.engine.find(number)
        assert (job is not None) == (number in self.model.jobs)
        return job

    @rule(number=IDS, name=NAMES, options=OPTIONS, payload=PAYLOADS)
    def add(self, number, name, options, payload):
        """Hand a job in."""
        reply = self.model.add(number, name, list(options), payload, None)
        if self._refused(reply, "duplicate job", number):
            return
        self.engine.add(number, name, options, payload)

    @rule(
        number=IDS,
        name=NAMES,
        options=OPTIONS,
        payload=PAYLOADS,
        ahead_ms=st.integers(-30, 40) | st.sampled_from([1024, 2**21, HOUR_MS]),
    )
    def schedule(self, number, name, options, payload, ahead_ms):
        """Hand a job in that is due at a time, past or to come."""
        if ahead_ms + options.ttl_ms <= 0:
            return
        time_ms = self.engine.wall_ms + ahead_ms
        reply = self.model.add(number, name, list(options), payload, time_ms)
        if self._refused(reply, "duplicate job", number):
            return
        self.engine.add(number, name, options, payload, time_ms)

    @rule(number=IDS, name=NAMES, options=OPTIONS, delay_ms=st.integers(1, 40))
    def add_delayed(self, number, name, options, delay_ms):
        """Hand a job in that is due in a while, which may be later than it lives."""
        reply = self.model.add(number, name, list(options), b"later", None, delay_ms)
        if self._refused(reply, "duplicate job", number):
            return
        self.engine.add(number, name, options, b"later", None, delay_ms)

    @rule(number=IDS, name=NAMES, options=FOREGROUND, payload=PAYLOADS)
    def start(self, number, name, options, payload):
        """Hand a foreground job in."""
        reply = self.model.start(number, name, list(options), payload)
        if self._refused(reply, "duplicate job", number):
            return
        self.engine.start(number, name, options, payload)

    def _refused(self, reply: str, refusal: str, number: bytes) -> bool:
        found = self.engine.find(number) is not None
        assert found == (reply == refusal)
        return found

    @rule(names=st.lists(NAMES, min_size=1, max_size=4))
    def lease(self, names):
        """Lease from one of several queues."""
        if self._knows(names):
            self._lease_from(names)

    def _knows(self, names: list[bytes]) -> bool:
        knows = self.engine.knows_heads(names)
        assert knows or self.engine.behind
        return knows

    def _lease_from(self, names: list[bytes]) -> None:
        heads = {name: ready[0] for name in names if (ready := self.model.ready(name))}
        job = self.engine.choose(names)
        assert (job is not None) == bool(heads)
        if job is None:
            return
        served = job.queue.name
        assert job.id == heads[served]
        for name in heads:
            self.passed_over[name] = self.passed_over.get(name, 0) + 1
        self._lease(job)

    @rule(name=NAMES)
    def lease_from_one(self, name):
        """Lease from one queue, as for somebody who has waited."""
        if not self._knows([name]):
            return
        job = self.engine.head(name)
        if job is not None:
            self._lease(job)

    @precondition(lambda self: not self.engine.behind)
    @rule(names=st.lists(NAMES, min_size=1, max_size=2, unique=True), count=st.integers(1, 4))
    def lease_several(self, names, count):
        """Lease several in turn: those that as many leases would get."""
        for job in islice(self.engine.in_turn(names), count):
            assert job is self.engine.choose(names)
            self._lease_from(names)
            assert job.lease is not None
        if sum(len(self.model.ready(name)) for name in names):
            assert next(self.engine.in_turn(names)) is self.engine.choose(names)

    def _lease(self, job: Job) -> None:
        self.passed_over[job.queue.name] = 0
        token = self.engine.lease(job)
        assert token == self.model.lease(job.id)
        self.leases.append((job.id, token))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def give_back(self, data):
        """Undo a lease, one that stands or one of long ago."""
        number, token = data.draw(st.sampled_from(self.leases[-3:]))
        self.engine.give_back(number, token)
        self.model.give_back(number, token)

    @rule(number=IDS, result=PAYLOADS)
    def complete(self, number, result):
        """Finish a job with success."""
        if self._reply(number) == self.model.complete(number, result) == "ok":
            self.engine.complete(self._there(number), result)

    @rule(
        number=IDS,
        result=PAYLOADS,
        delay_ms=st.none() | st.integers(0, 15),
        final=st.sampled_from([False, False, True]),
    )
    def fail(self, number, result, delay_ms, final):
        """Report a failure, with a delay of its own or not, of the last kind or not."""
        if self._reply(number) == self.model.fail(number, result, delay_ms, final) == "ok":
            self.engine.fail(self._there(number), result, delay_ms, final)

    @rule(number=IDS)
    def release(self, number):
        """Give a job back."""
        if self._lease_reply(number) == self.model.release(number) == "ok":
            self.engine.release(self._there(number))

    @rule(number=IDS, ttr_ms=st.integers(1, 20))
    def touch(self, number, ttr_ms):
        """Let a lease last from now on."""
        if self._lease_reply(number) == self.model.touch(number, ttr_ms) == "ok":
            self.engine.touch(self._there(number), ttr_ms)

    def _lease_reply(self, number: bytes) -> str:
        job = self._find(number)
        if job is None:
            return "not found"
        assert (job.lease is None) == (self.model.jobs[number]["lease"] is None)
        return "lease lost" if job.lease is None else "ok"

    def _reply(self, number: bytes) -> str:
        job = self._find(number)
        if job is None:
            return "not found"
        reply = "duplicate result" if job.finished else "ok"
        assert job.finished == (self.model.jobs[number]["result"] is not None)
        return reply

    def _there(self, number: bytes) -> Job:
        job = self.engine.find(number)
        assert job is not None
        return job

    @rule(number=IDS)
    def delete(self, number):
        """Remove a job."""
        job = self._find(number)
        self.model.delete(number)
        if job is not None:
            self.engine.delete(job)

    @rule(number=IDS)
    def look(self, number):
        """Look at one job: it is as it should be, however far the sweep has come."""
        job = self._find(number)
        if job is None:
            return
        record = self.model.jobs[number]
        seen: dict[str, Any] = {
            key: getattr(job, key)
            for key in ("state", "attempts", "fails", "timeouts", "result", "due_ms", "at_ms")
        }
        assert seen == {key: record[key] for key in seen}

    # --- time ---------------------------------------------------------------------------------

    def _advance(self, now_ms: int) -> None:
        self.engine.advance(now_ms, self.offset_ms)
        self.model.advance(now_ms, self.offset_ms)

    @rule(step_ms=STEPS_MS)
    def advance(self, step_ms):
        """Time passes."""
        self._advance(self.engine.now_ms + step_ms)

    @rule()
    def sleep(self):
        """Time passes until the engine wants to be woken."""
        next_ms = self.engine.next_ms()
        if next_ms < LATE_MS:
            self._advance(max(next_ms, self.engine.now_ms))

    @precondition(lambda self: not self.engine.behind)
    @rule(offset_ms=OFFSETS_MS)
    def step_the_wall_clock(self, offset_ms):
        """Somebody sets the wall clock."""
        self.offset_ms = offset_ms
        self._advance(self.engine.now_ms)

    # --- what must hold after each ------------------------------------------------------------

    @invariant()
    def all_dumps_agree(self):
        """Those of engine and standby, of derived and durable part, of engine and model."""
        view = shown(self.engine)
        self._check_standby(view)
        check_derived(self.engine, view)
        self._check_model(view)

    def _check_standby(self, view: Shown) -> None:
        commit, self.engine.commit = self.engine.commit, []
        self.log += commit
        for transition in commit:
            self.standby.apply(transition)
        check_replay(view, self.standby)

    def _check_model(self, view: Shown) -> None:
        if self.engine.behind:
            assert self.engine.next_ms() == self.engine.now_ms
            return
        noted = view.durable["offset_ms"]  # what the clock was; the model asks only how it is
        assert view.durable == {**self.model.durable(), "offset_ms": noted}
        assert -CLOCK_STEP_MS < self.engine.wall_ms - self.engine.now_ms - noted < CLOCK_STEP_MS
        assert view.rest == self.model.rest()
        if not self.late:
            assert self.engine.evicted == self.model.evicted
        for record in view.foreground:
            assert record == {key: self.model.jobs[record["id"]][key] for key in record}

    @invariant()
    def it_wakes_in_time(self):
        """The engine wants to be woken no later than the next thing happens."""
        exact_ms = self.model.next_ms()
        if not self.engine.behind and exact_ms is not None:
            assert self.engine.next_ms() <= exact_ms

    @invariant()
    def no_name_starves(self):
        """Of two names, one with jobs is passed over once in a row at most."""
        for name, times in list(self.passed_over.items()):
            if self.engine.behind and not self.engine.knows_heads([name]):
                continue
            if self.engine.head(name) is None:
                del self.passed_over[name]
            else:
                assert times <= 1

    def teardown(self):
        """A fresh state that applies all commits at once ends where the engine ended."""
        replica = replayed(self.log + self.engine.commit, self.engine.now_ms)
        check_replay(shown(self.engine), replica)
        assert dump.digest(replica) == dump.digest(self.engine)


class SlowMachine(EngineMachine):
    """The same with an engine that fires next to nothing in a turn, until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.budgets = (0, 10**9)

    @initialize(deadlines=st.integers(0, 1), cascades=st.sampled_from([1, 10**9]))
    def choose_budgets(self, deadlines, cascades):
        """Say how little."""
        self.budgets = (deadlines, cascades)

    def _advance(self, now_ms: int) -> None:
        # A lease that ran out at one instant and a TTL that ended at a later one: an engine that
        # was behind all the time between sees both at once, as after a sleep, and the TTL wins.
        # The job is gone either way, but it is counted as evicted.
        self.late = self.late or (self.engine.behind and now_ms > self.engine.now_ms)
        with budgets(*self.budgets):
            super()._advance(now_ms)

    @precondition(lambda self: self.engine.behind)
    @rule()
    def settle(self):
        """One turn that does all there is to do."""
        super()._advance(self.engine.now_ms)
        assert not self.engine.behind


def test_the_machine_does_everything_that_may_be_done_to_a_job():
    """An act of the engine that no rule does is compared with nothing."""
    looks = {"resume", "next_ms", "find", "head", "choose", "in_turn", "knows_heads"}
    functions = {name for name, what in vars(Engine).items() if isfunction(what)}
    acts = {name for name in functions if not name.startswith("_")} - looks

    assert [name for name in acts if not hasattr(EngineMachine, name)] == []
    assert [name for name in acts if not hasattr(Model, name)] == []


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(stateful_step_count=30)

TestSlowEngine = SlowMachine.TestCase
TestSlowEngine.settings = settings(stateful_step_count=30)
