"""Everything among one another, at random: no wake-up is lost, and nothing is told twice."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.broker.harness import Client, Rig, add, complete, job_id, run


class Witness:
    """Some clients whose replies are counted, and who leases what.

    Args:
        rig: where they are.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.asked: dict[Client, int] = {}
        self.answered: dict[Client, int] = {}
        self.holders: Counter[tuple[str, int]] = Counter()
        self.clients = [self.join() for _ in range(5)]

    def join(self) -> Client:
        """A new client."""
        client = self.rig.client()
        self.asked[client] = self.answered[client] = 0
        return client

    def put(self, index: int, text: str) -> None:
        """Have a client send one request."""
        client = self.clients[index]
        self.asked[client] += 1
        client.put(text)

    def leave(self, index: int, half: bool) -> None:
        """Have a client half-close or go, and another come in its place."""
        client = self.clients[index]
        if client.session.lost:
            pass
        elif half:
            client.shut()
        else:
            client.lose()
        self.clients[index] = self.join()

    def look(self) -> None:
        """Hear what everybody was told, and check what must be so now."""
        for client in self.asked:
            self.answered[client] += self.count(client.take())
            session = client.session
            if not session.lost:  # whose replies nobody counts
                waits = session.waiter is not None
                behind = self.asked[client] - self.answered[client]
                assert behind >= waits, "a request was answered twice"
                assert waits or not behind, "a request was not answered"
        lines = self.rig.broker._waiting.lines
        for name, line in lines.items():
            assert line
            queue = self.rig.engine.queues.get(name)
            assert queue is None or not queue.ready.size, "a wake-up was lost"

    def count(self, text: str) -> int:
        """The number of replies in a text; notes the leases that are told in them."""
        count = 0
        while text:
            count += 1
            line, _, text = text.partition("\r\n")
            if not line.startswith("+OK "):
                continue
            header, _, text = text.partition("\r\n")
            fields = header.split(" ")
            text = text[int(fields[-1]) + 2 :]
            if len(fields) == 4:
                job = self.rig.engine.find(fields[0].encode())
                # Told of in this turn: it is leased, or what it was leased for has happened.
                if job is not None and job.lease is not None:
                    self.holders[fields[0], job.lease.token] += 1
        return count


NUMBERS = st.integers(1, 6)
WAITS = st.sampled_from([0, 1, 5, 30, 1000])
NAMES = st.sampled_from(["a", "b", "a b", "b a", "a c", "c"])
REQUESTS = st.one_of(
    st.builds(
        lambda number, name, ttr, ttl: add(number, name, options=f"{ttr} {ttl}"),
        NUMBERS,
        st.sampled_from("abc"),
        st.sampled_from([1, 10, 100]),
        st.sampled_from([1, 20, 5000]),
    ),
    st.builds(lambda names, wait: f"lease {names} {wait}\r\n", NAMES, WAITS),
    st.builds(lambda names, wait: f"lease {names} {wait}\r\n", NAMES, WAITS),
    st.builds(complete, NUMBERS),
    st.builds(lambda number: f"fail {job_id(number)} 0\r\n\r\n", NUMBERS),
    st.builds(lambda number: f"delete {job_id(number)}\r\n", NUMBERS),
    st.builds(lambda number, wait: f"result {job_id(number)} {wait}\r\n", NUMBERS, WAITS),
    st.builds(
        lambda number, name, wait, ttr: run(number, name, wait, ttr),
        NUMBERS,
        st.sampled_from("abc"),
        WAITS,
        st.sampled_from([1, 10, 100]),
    ),
)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 4), REQUESTS),
    st.tuples(st.just("put"), st.integers(0, 4), REQUESTS),
    st.tuples(st.just("put"), st.integers(0, 4), REQUESTS),
    st.tuples(st.just("leave"), st.integers(0, 4), st.booleans()),
    st.tuples(st.just("jump"), st.sampled_from([1, 2, 10, 100]), st.none()),
    st.tuples(st.just("settle"), st.none(), st.none()),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=60))
def test_no_wake_up_is_lost_and_every_request_has_one_reply(steps):
    """Whatever happens among one another, in whatever turns: whenever the broker is at rest,
    nobody waits for a job that is ready, and no job was handed to two."""
    rig = Rig()
    witness = Witness(rig)
    for act, what, more in steps:
        if act == "put":
            assert isinstance(what, int)
            witness.put(what, str(more))
            continue
        if act == "leave":
            assert isinstance(what, int)
            witness.leave(what, bool(more))
            continue
        if act == "jump":
            assert isinstance(what, int)
            rig.now_ms += what
        rig.settle()
        witness.look()
    rig.settle()
    witness.look()
    rig.advance(100_000)
    witness.look()
    assert max(witness.holders.values(), default=1) == 1, "a job was handed to two"
    assert rig.gauge("waiting") == 0
    assert rig.broker._waiting.lines == {}
    assert all(job.watchers is None for job in rig.engine.jobs.values())


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=60), st.data())
def test_what_was_never_delivered_was_never_leased(steps, data):
    """With a log that lags: when all is said and done, the attempts of every job are the
    leases that reached a client, and each that was leased is held by one who was told."""
    rig = Rig(safe=False)
    clients = rig.clients(5)
    everybody = list(clients)
    for act, what, more in steps:
        if act == "put":
            clients[int(str(what))].put(str(more))
        elif act == "leave":
            client = clients[int(str(what))]
            if client.session.lost:
                pass
            elif more:
                client.shut()
            else:
                client.lose()
            clients[int(str(what))] = rig.client()
            everybody.append(clients[int(str(what))])
        else:
            rig.turn()
            if data.draw(st.booleans()):
                rig.sync(data.draw(st.integers(0, len(rig.commits))))
    for _ in range(1000):
        rig.settle()
        held = rig.broker._gate._held
        rig.sync()
        if not held and rig.broker.next_ms() > rig.now_ms:
            break
    delivered: Counter[bytes] = Counter()
    for client in everybody:
        for line in client.take().split("\r\n"):
            fields = line.split(" ")
            if len(fields) == 4:
                delivered[fields[0].encode()] += 1
    for job in rig.engine.jobs.values():
        assert job.attempts <= delivered[job.id]
        assert job.lease is None or delivered[job.id]
