"""Claims about those who wait and what the end of a wait means for a job."""

import pytest

from tests.broker.harness import Client, Rig, add, complete, job_id, result, run, told
from workq.engine.engine import Engine
from workq.limits import ANSWER_COST, ANSWERS_PER_TURN_MAX, BLOCK_BYTES_LIKE_A_REQUEST

TIMEOUT = "-TIMEOUT\r\n"


def test_everybody_who_waits_for_a_result_gets_it_and_a_foreground_job_is_gone_then():
    """Its caller and who has asked for its result."""
    rig = Rig()
    caller, asker, worker = rig.clients(3)
    caller.say(run(1))
    asker.say(f"result {job_id(1)} 5000\r\n")
    worker.say("lease q 0\r\n" + complete(1))
    assert caller.take() == asker.take() == result(1)
    assert rig.engine.size == 0


@pytest.mark.parametrize("wait_ms", [0, 1000])
def test_a_caller_waits_on_for_a_worker_that_has_the_job(wait_ms):
    """At the end of its wait, but no longer than that lease."""
    rig = Rig()
    caller, worker = rig.clients(2)
    worker.say("lease q 5000\r\n")
    caller.say(run(1, wait_ms=wait_ms, ttr_ms=3000))
    assert worker.take() == told(1, ttr_ms=3000)
    rig.advance(2999)
    assert caller.take() == ""
    rig.advance(1)
    assert caller.take() == TIMEOUT
    assert rig.engine.size == 0


def test_a_caller_whose_job_nobody_has_takes_it_along():
    """When its wait ends; who waits for the result hears that it is gone."""
    rig = Rig()
    caller, asker = rig.clients(2)
    caller.say(run(1, wait_ms=1000))
    asker.say(f"result {job_id(1)} 5000\r\n")
    rig.advance(1000)
    assert caller.take() == TIMEOUT
    assert asker.take() == "-NOT-FOUND\r\n"


def test_no_request_waits_while_the_server_shuts_down():
    """Those that wait are ended, and later ones answered at once."""
    rig = Rig()
    waiter, asker = rig.clients(2)
    asker.say(add(1))
    asker.take()
    waiter.say(f"result {job_id(1)} 60000\r\n")
    asker.put(f"result {job_id(1)} 60000\r\n")
    rig.broker.drain()
    rig.settle()
    assert waiter.take() == asker.take() == TIMEOUT


def test_a_worker_is_remembered_only_while_it_has_foreground_jobs():
    """Of many it has done, none stays with its session."""
    rig = Rig()
    caller, worker = rig.clients(2)
    for number in range(1, 20):
        caller.say(run(number))
        worker.say("lease q 0\r\n" + complete(number))
    assert len(worker.session.serving) == 1


def test_results_of_foreground_jobs_use_up_no_turn_for_good():
    """They are in no commit; found by fuzzing: after four of a megabyte nobody was served."""
    rig = Rig()
    caller, worker = rig.clients(2)
    for number in range(1, 7):
        caller.say(run(number))
        worker.say("lease q 0\r\n" + complete(number, "r" * 1024 * 1024))
        assert caller.take() == result(number, "r" * 1024 * 1024)


# --- results are told in portions -----------------------------------------------------------


def askers(rig, count, number=1):
    """So many clients that wait for the result of a job."""
    clients = rig.clients(count)
    for client in clients:
        client.put(f"result {job_id(number)} 60000\r\n")
    rig.settle()
    return clients


def portions(rig, clients, expected):
    """Have turns until all have what is expected; return how many were answered in each."""
    counts = []
    heard: set[Client] = set()
    while len(heard) < len(clients):
        rig.turn()
        now = {client for client in clients if client.take() == expected}
        assert not now & heard, "a result is told twice"
        heard |= now
        counts.append(len(now))
        assert len(counts) < 100, "somebody is forgotten"
    return counts


def test_a_result_is_told_to_so_many_in_a_turn_and_nobody_is_forgotten():
    """Others are served meanwhile, in every turn."""
    rig = Rig()
    worker, other = rig.clients(2)
    worker.say(add(1))
    most = ANSWERS_PER_TURN_MAX // (1 + ANSWER_COST)
    clients = askers(rig, 3 * most + 20)
    worker.take()
    worker.put(complete(1))
    counts = portions(rig, clients, result(1))
    assert counts == [most] * 3 + [20]
    assert other.ask("ping\r\n") == worker.take() == "+OK\r\n"
    assert rig.gauge("waiting") == 0
    assert rig.broker.next_ms() > rig.now_ms


def test_a_large_result_is_told_to_few_in_a_turn():
    """By its bytes; a foreground job is gone at once, its result is told all the same."""
    rig = Rig()
    caller, worker = rig.clients(2)
    large = "r" * 1024 * 1024
    caller.say(run(1, wait_ms=60_000))
    clients = [caller, *askers(rig, 20)]
    worker.say("lease q 0\r\n")
    worker.put(complete(1, large))
    counts = portions(rig, clients, result(1, large))
    assert len(large) // BLOCK_BYTES_LIKE_A_REQUEST > ANSWERS_PER_TURN_MAX
    assert max(counts) == 1
    assert sum(counts) == 21
    assert rig.engine.size == 0


def test_between_portions_clients_may_come_to_their_end():
    """Who is lost is told nothing; whose wait ends, or who half-closes, hears the result."""
    rig = Rig()
    worker = rig.client()
    worker.say(add(1))
    clients = askers(rig, 3 * ANSWERS_PER_TURN_MAX)
    worker.put(complete(1))
    rig.turn()
    lost, shut = clients[-1], clients[-2]
    assert lost.take() == shut.take() == ""
    lost.lose()
    shut.shut()
    rig.now_ms += 60_000
    assert sum(portions(rig, clients[ANSWERS_PER_TURN_MAX:-1], result(1))) == (
        2 * ANSWERS_PER_TURN_MAX - 1
    )
    rig.settle()
    assert lost.take() == ""
    assert rig.gauge("waiting") == 0


def test_who_takes_several_takes_none_for_which_somebody_else_waited_before():
    """Jobs of two queues come back at one instant; the one of `p` is for who came first."""
    rig = Rig()
    holder, first, several = rig.clients(3)
    for number, name in enumerate("qpr", 1):
        holder.say(add(number, name, options="1000 600000") + f"lease {name} 0\r\n")
    first.say("lease p 60000\r\n")
    several.say("lease q p r 60000 -count=5\r\n")
    rig.advance(1000)
    assert first.take() == told(2, "p", ttr_ms=1000)
    assert several.take() == "+OK 2\r\n" + "".join(
        told(number, name, ttr_ms=1000).removeprefix("+OK 1\r\n")
        for number, name in ((1, "q"), (3, "r"))
    )


def test_large_jobs_that_come_at_once_are_handed_out_in_portions_and_in_order():
    """A dozen come back in the same millisecond; who asks meanwhile does not overtake."""
    rig = Rig()
    holder, late = rig.clients(2)
    large = "x" * 1024 * 1024
    for number in range(1, 13):
        holder.say(add(number, payload=large, options="1000 600000") + "lease q 0\r\n")
    waiting = rig.clients(12)
    for client in waiting:
        client.put("lease q 60000\r\n")
    rig.settle()
    rig.now_ms += 1000
    order = []
    for turn in range(100):
        rig.turn()
        if not turn:
            late.put("lease q 0\r\n")
        now = [client for client in waiting if client.take()]
        assert len(now) <= 1
        order += now
        if len(order) == len(waiting):
            break
    assert order == waiting
    rig.settle()
    assert late.take() == TIMEOUT


def test_a_lease_of_several_looks_at_its_queues_once_and_not_once_for_each_job(monkeypatch):
    """256 names and 100 jobs would be 25,600 looks; the jobs come from all queues in turn."""
    rig = Rig()
    (client,) = rig.clients(1)
    names = [f"q{number}" for number in range(256)]
    client.say("".join(add(number, names[number % 8]) for number in range(1, 101)))
    client.take()
    looks = []
    choose = Engine.choose

    def looked(engine, names):
        looks.append(names)
        return choose(engine, names)

    monkeypatch.setattr(Engine, "choose", looked)
    client.say(f"lease {' '.join(names)} 0 -count=100\r\n")
    told_of = [line.split()[1] for line in client.take().splitlines() if len(line.split()) == 4]
    assert told_of[:9] == [*names[:8], "q0"]
    assert len(told_of) == 100
    assert len(looks) == 1
