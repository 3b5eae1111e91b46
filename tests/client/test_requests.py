"""Every command has a request, every request is one for the server, and its answer is read."""

import inspect as introspection
from datetime import UTC, datetime, timedelta
from unittest.mock import create_autospec
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workq_client import AsyncClient, Client, Pipeline, requests
from workq_client.answers import Answer, Entry, Reader
from workq_client.codec import BYTES, JSON, NOTHING
from workq_client.errors import BrokenReply, InvalidRequest, NotFound, Refused, TimedOut
from workq_client.models import Job, NewJob, State
from workq_client.requests import Request
from workq_client.requests.request import missing, understand

from tests.client.fake import JOB
from tests.client.fake import Server as Stand_in
from tests.commands.harness import START_MS, Server
from workq.commands import COMMANDS
from workq.wire.grammar import Table
from workq.wire.reader import Reader as RequestReader

LEASED = Job(JOB, "mails", 1.0, b"hi", 7, 1)
MADE = [name for name, made in vars(requests).items() if introspection.isfunction(made)]


def read(request, block=b"x"):
    """What the server makes of a request: its command and arguments, or an error."""
    reader = RequestReader(Table(COMMANDS))
    data = request.encode(block if request.has_block else None, request.wait_ms)
    reader.feed(data)
    return reader.next()


ids = st.uuids().filter(lambda one: one.int)
names = st.text("abcXYZ019_-.", min_size=1, max_size=255)
durations = st.one_of(
    st.integers(0, 10**6), st.floats(0, 10**6), st.timedeltas(timedelta(0), timedelta(days=300))
)
ttrs = st.one_of(st.floats(0.001, 86_400), st.timedeltas(timedelta(milliseconds=1), timedelta(1)))
waits = st.floats(0, 86_400)
options = {
    "priority": st.integers(-(2**31), 2**31 - 1),
    "max_attempts": st.integers(0, 255),
    "max_fails": st.integers(0, 255),
    "retry_delay": durations,
    "backoff": st.integers(1, 100),
    "retry_max": durations,
}
times = st.integers(-(2**31), 2**37).map(
    lambda s: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, s)
)
leases = st.one_of(
    ids.map(str),
    ids,
    st.builds(Job, ids.map(str), names, st.just(1.0), st.just(b""), st.integers(1, 2**64 - 1)),
)
new = {"payload": st.binary(max_size=9), "id": st.none() | ids, "ttr": ttrs, **options}

#: For each function, what its arguments may be.
ARGUMENTS = {
    "add": st.tuples(
        st.tuples(names),
        st.fixed_dictionaries(
            {}, optional={**new, "ttl": st.floats(10**8, 10**9), "delay": durations}
        ).filter(lambda given: "ttl" in given or "delay" not in given),
    ),
    "schedule": st.tuples(
        st.tuples(names), st.fixed_dictionaries({"at": times}, optional={**new, "ttl": ttrs})
    ),
    "run": st.tuples(
        st.tuples(names),
        st.fixed_dictionaries(
            {"wait": waits}, optional={"ttr": ttrs, "id": ids, "priority": options["priority"]}
        ),
    ),
    "lease": st.tuples(
        st.lists(names, min_size=1, max_size=9).map(tuple), st.fixed_dictionaries({"wait": waits})
    ),
    "lease_many": st.tuples(
        st.lists(names, min_size=1, max_size=9).map(tuple),
        st.fixed_dictionaries({"count": st.integers(1, 100)}, optional={"wait": waits}),
    ),
    "complete": st.tuples(st.tuples(leases, st.binary(max_size=9)), st.just({})),
    "fail": st.tuples(
        st.tuples(leases, st.binary(max_size=9)),
        st.fixed_dictionaries({}, optional={"delay": durations, "final": st.booleans()}),
    ),
    "touch": st.tuples(st.tuples(leases), st.fixed_dictionaries({}, optional={"ttr": ttrs})),
    "release": st.tuples(st.tuples(leases), st.just({})),
    "result": st.tuples(st.tuples(ids), st.fixed_dictionaries({}, optional={"wait": waits})),
    "results": st.tuples(st.tuples(st.lists(ids, min_size=1, max_size=100)), st.just({})),
    "delete": st.tuples(st.tuples(ids), st.just({})),
    "inspect_job": st.tuples(st.tuples(ids), st.just({})),
    "inspect_many": st.tuples(st.tuples(st.lists(ids, min_size=1, max_size=100)), st.just({})),
    "inspect_queue": st.tuples(st.tuples(names), st.just({})),
    "inspect_server": st.just(((), {})),
    "stats": st.just(((), {})),
    "ping": st.just(((), {})),
    "quit": st.just(((), {})),
    "help": st.tuples(st.sampled_from([(), ("lease",), ("inspect", "job")]), st.just({})),
    "hello": st.tuples(st.one_of(st.just(()), st.tuples(names)), st.just({})),
    "new": st.tuples(
        st.tuples(st.builds(NewJob, queue=names, ttr=ttrs, at=st.none() | times)), st.just({})
    ),
    **{
        name: st.tuples(
            st.just(()) if name == "inspect_queues" else st.tuples(names),
            st.fixed_dictionaries(
                {}, optional={"offset": st.integers(0, 2**32 - 1), "limit": st.integers(1, 100)}
            ),
        )
        for name in ("inspect_jobs", "inspect_scheduled_jobs", "inspect_queues")
    },
}


def test_the_arguments_of_every_request_are_drawn():
    """Or one would not be tried."""
    assert sorted(ARGUMENTS) == sorted(MADE)


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=30)
@given(data=st.data())
def test_every_request_is_one_for_the_server(name, data):
    """Whatever its arguments: the server's own parser reads it as that command."""
    args, kwargs = data.draw(ARGUMENTS[name])
    request = getattr(requests, name)(*args, **kwargs)
    command, arguments = read(request)
    assert command is not None, arguments
    assert command.name == request.command


def test_every_command_has_a_request():
    """And every client a method for it, but for those by which connections begin and end."""
    made = {getattr(requests, name) for name in MADE}
    commands = {read(make(*args, **kwargs))[0].name for make, args, kwargs in some(made)}
    assert commands == {command.name for command in COMMANDS}
    for name in set(MADE) - {"hello", "quit"}:
        for kind in (Client, AsyncClient, Pipeline):
            method = getattr(kind, name)
            assert method.__doc__ == getattr(requests, name).__doc__
            assert method.__qualname__ == f"{kind.__name__}.{name}"
            told = introspection.signature(getattr(requests, name))
            mine = introspection.signature(method)
            assert [*mine.parameters.values()][1:] == [*told.parameters.values()]
            returns = told.return_annotation.removeprefix("Request[").removesuffix("]")
            assert mine.return_annotation == (
                f"Pending[{returns}]" if kind is Pipeline else returns
            )
    client = create_autospec(Client, instance=True)
    client.add("mails", b"hi")
    with pytest.raises(TypeError):
        client.add()


def some(made):
    """Arguments for each function."""
    at = datetime(2030, 1, 31, tzinfo=UTC)
    given = {
        "add": (("q",), {}),
        "schedule": (("q",), {"at": at}),
        "new": ((NewJob(queue="q"),), {}),
        "run": (("q",), {"wait": 1}),
        "lease": (("q",), {}),
        "lease_many": (("q",), {"count": 2}),
        "results": (([JOB],), {}),
        "inspect_many": (([JOB],), {}),
        **dict.fromkeys(("complete", "fail", "touch", "release"), ((LEASED,), {})),
        **dict.fromkeys(("result", "delete", "inspect_job"), ((JOB,), {})),
        **dict.fromkeys(("inspect_jobs", "inspect_scheduled_jobs", "inspect_queue"), (("q",), {})),
    }
    for make in made:
        args, kwargs = given.get(make.__name__, ((), {}))
        yield make, args, kwargs


@pytest.mark.parametrize("name", sorted(set(MADE) - {"hello", "quit"}))
def test_every_method_says_what_it_returns_or_raises_and_shows_its_use(name):
    """What one sees with `help(Client.add)`."""
    doc = introspection.getdoc(getattr(requests, name)) or ""
    assert f"client.{name}(" in doc
    parameters = introspection.signature(getattr(requests, name)).parameters
    if parameters:
        assert "Args:" in doc
        for parameter in parameters:
            assert parameter in doc


class Talk:
    """Requests played on the server's commands, in virtual time."""

    def __init__(self, codec=BYTES):
        self.server = Server()
        self.client = self.server.client()
        self.codec = codec
        self(requests.hello("tester"))

    def __call__(self, request, codec=None):
        codec = codec or self.codec
        block = None
        if request.has_block:
            block = b"" if request.block is NOTHING else codec.encode(request.block)
        self.client.send(request.encode(block, request.wait_ms))
        reader = Reader()
        reader.feed(self.client.take().encode("latin-1"))
        answer = reader.take(request.shape, request.command, request.job_id)
        assert answer is not None
        assert len(reader) == 0
        if isinstance(answer, Refused):
            return missing(request, answer)
        return understand(request, answer, codec)


def test_the_life_of_a_job_as_the_client_sees_it():
    """Each answer as what it is for Python."""
    talk = Talk()
    one = talk(requests.add("mails", b"hi", id=JOB, ttr=5, ttl=60, priority=3, max_fails=2))
    assert one == JOB
    info = talk(requests.inspect_job(one))
    assert (info.queue, info.ttr, info.ttl, info.priority) == ("mails", 5.0, 60.0, 3)
    assert (info.state, info.max_fails, info.payload, info.value) == (State.NEW, 2, b"hi", b"hi")
    assert info.created == datetime.fromtimestamp(START_MS / 1000, UTC)
    assert (info.time, info.held_until, info.more) == (None, None, {})
    job = talk(requests.lease("mails"))
    assert job == Job(JOB, "mails", 5.0, b"hi", job.token, 1)
    assert talk(requests.lease("mails")) is None
    assert talk(requests.lease_many("mails", count=5)) == []
    talk(requests.touch(job, ttr=9))
    talk(requests.fail(job, b"busy", delay=1.5))
    info = talk(requests.inspect_job(one))
    assert (info.state, info.fails) == (State.PENDING, 1)
    assert info.held_until is not None
    with pytest.raises(TimedOut):
        talk(requests.result(one))
    talk.server.advance(1500)
    (again,) = talk(requests.lease_many("letters", "mails", count=5))
    assert again.attempt == 2
    talk(requests.release(again))
    (again,) = talk(requests.lease_many("mails", count=5))
    talk(requests.complete(again, b"sent"))
    done = talk(requests.result(one))
    assert (done.success, done.data, done.check().value) == (True, b"sent", b"sent")
    assert talk(requests.results([one])) == {one: done}
    talk(requests.delete(one))
    with pytest.raises(NotFound):
        talk(requests.inspect_job(one))
    assert talk(requests.results([one])) == {}
    assert talk(requests.inspect_many([UUID(one)])) == {}


def test_what_is_scheduled_is_shown_with_its_time():
    """To the second, as the protocol has it."""
    talk = Talk(JSON)
    at = datetime(2030, 1, 31, 8, tzinfo=UTC)
    one = talk(requests.schedule("mails", {"to": "ä"}, at=at))
    (info,) = talk(requests.inspect_scheduled_jobs("mails"))
    assert (info.id, info.time, info.value) == (one, at, {"to": "ä"})
    assert talk(requests.inspect_jobs("mails")) == []
    assert talk(requests.inspect_queue("mails")).scheduled == 1
    assert [queue.name for queue in talk(requests.inspect_queues())] == ["mails"]


def test_a_call_that_waits_for_its_result():
    """The caller on one connection, the worker on another."""
    talk = Talk()
    caller = talk.server.client()
    request = requests.run("sums", b"2+3", wait=5, id=JOB)
    caller.send(request.encode(b"2+3", request.wait_ms))
    talk(requests.fail(talk(requests.lease("sums")), b"odd", final=True))
    reader = Reader()
    reader.feed(caller.take().encode())
    answer = reader.take(request.shape, "run", JOB)
    assert isinstance(answer, Answer)
    result = understand(request, answer, BYTES)
    assert (result.success, result.data) == (False, b"odd")


def test_the_server_in_numbers():
    """Those that are words are left out."""
    talk = Talk()
    stats = talk(requests.stats())
    assert stats.version == "1.2.3"
    assert stats["jobs"] == stats.numbers["jobs"] == 0
    info = talk(requests.inspect_server())
    assert (info.active_clients, info.evicted_jobs) == (1, 0)
    assert info.started == datetime.fromtimestamp(START_MS / 1000, UTC)
    assert talk(requests.help("lease"))[0].startswith("lease <name>")
    assert talk(requests.hello()).block_bytes == 1_048_576
    assert talk(requests.quit()) is None


@pytest.mark.parametrize("pause", ["pause", "pause now"])
def test_a_command_that_is_still_to_come_can_be_asked(pause):
    """A request made by hand; its answer is told as it is."""
    request = Request((*pause.split(), "mails"), {"for": "5"}, read=lambda answer, _: answer)
    assert request.encode(None, None) == f"{pause} mails -for=5\r\n".encode()
    answer = Answer((), {"since": "now"})
    assert understand(request, answer, BYTES) is answer


@pytest.mark.parametrize("words", [("ping", "a\r\nb"), ("ping", "\n"), ("pïng",)])
def test_a_request_is_one_line_of_ascii(words):
    """Nothing that is given as an argument becomes another request."""
    with pytest.raises(InvalidRequest):
        Request(words).encode(None, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: requests.lease(),
        lambda: requests.lease("no/name"),
        lambda: requests.lease("mails", wait=-1),
        lambda: requests.add("mails", ttr="5"),  # type: ignore[arg-type]
        lambda: requests.add("mails", ttl=float("nan")),
        lambda: requests.add("mails", priority=1.5),  # type: ignore[arg-type]
        lambda: requests.add("mails", max_fails=True),
        lambda: requests.add("mails", id="x"),
        lambda: requests.schedule("mails", at=datetime(2030, 1, 1)),  # noqa: DTZ001 - on purpose
        lambda: requests.schedule("mails", at="tomorrow"),  # type: ignore[arg-type]
        lambda: requests.new(NewJob(queue="q", at=datetime.now(UTC), delay=5)),
        lambda: requests.result("00000000-0000-0000-0000-000000000000"),
        lambda: requests.results([]),
        lambda: requests.hello("a b"),
        lambda: requests.help("a\r\nb"),
    ],
)
def test_arguments_that_make_no_request_are_told(make):
    """With what they are and what they have to be."""
    with pytest.raises(InvalidRequest, match=r".{15}"):
        make()


@pytest.mark.parametrize(
    "request_, answer",
    [
        (requests.lease("q"), Answer((Entry(("a", "b")),))),
        (requests.lease("q"), Answer((Entry(("a", "b", "x", "2")),))),
        (requests.lease("q"), Answer()),
        (requests.result(JOB), Answer((Entry((JOB, "2", "0")),))),
        (requests.inspect_job(JOB), Answer((Entry((JOB,), {}, b"", {"name": "q"}),))),
        (requests.stats(), Answer((Entry(("stats",), {}, b"", {}),))),
        (requests.inspect_server(), Answer((Entry(("server",), {}, b"", {"started": "x"}),))),
    ],
)
def test_an_answer_that_is_none_to_the_request_is_broken(request_, answer):
    """A KeyError from the depths would tell nobody what happened."""
    with pytest.raises(BrokenReply, match=r"no answer to|entries instead of one"):
        understand(request_, answer, BYTES)


def test_the_stand_in_knows_the_same_words():
    """`fake.Server` takes what the requests make."""
    request = requests.add("mails", b"hi", id=JOB)
    answers, left = Stand_in().read(request.encode(b"hi", None))
    assert (answers, left) == (b"+OK\r\n", b"")
