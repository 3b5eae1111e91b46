"""The bounds of what waits for a command log that does not come on, crossed over sockets: nothing
is begun that makes it more, and when the log comes on all is answered."""

from tests.bounds.program import until
from tests.talk import OK, add, job_id
from workq.broker import gate as module

KIB = 1024


def still(server):
    """Until the server has heard what was sent, and has nothing to do but to wait for its log."""
    ring = server.ring
    gate = ring.broker._gate
    until(lambda: server.turns and server.call(lambda: gate.full and not ring.awake), "full")


def test_replies_that_wait_for_the_log_have_a_bound(inside, monkeypatch):
    """All together: at so many bytes not even a new client's request starts."""
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 64 * KIB)
    server = inside(held=True)
    asker, other = server.peers(2)
    payload = "x" * 4 * KIB
    asker.send(add(1, payload=payload) + f"inspect job {job_id(1)}\r\n" * 300)
    still(server)
    held = server.call(server.ring.broker.gauges)["unsent-bytes"]
    assert 64 * KIB <= held < (64 + 64 * 5) * KIB  # and what one turn may have made
    third = server.peer()
    with server.standing_still():
        other.send(add(2))
        third.send(add(3))
    still(server)
    assert server.call(lambda: server.ring.broker.engine.size) == 1
    server.come_on()
    other.expect(OK)
    asker.shut()
    assert asker.rest().count(payload) == 300
    assert server.stats(other)["jobs"] == 3


def test_of_what_has_waited_so_much_leaves_in_a_turn(inside, monkeypatch):
    """When the log comes on, the loop does not stand still for all that has gathered."""
    monkeypatch.setattr(module, "RELEASED_BYTES_PER_TURN_MAX", 64 * KIB)
    server = inside(held=True)
    peers = server.peers(20)
    payload = "x" * 32 * KIB
    peers[0].send(add(1, payload=payload))
    until(lambda: server.call(lambda: server.ring.broker.engine.size) == 1, "it is there")
    for peer in peers:
        peer.send(f"inspect job {job_id(1)}\r\n")
    until(lambda: server.call(server.ring.broker.gauges)["unsent-bytes"] > 20 * 32 * KIB, "held")
    server.call(server.turns.clear)
    server.come_on()
    for peer in peers:
        peer.shut()
        assert peer.rest().count(payload) == 1
    assert max(turn.sends for turn in server.turns) <= 3


def test_changes_that_wait_for_the_log_have_a_bound(inside, monkeypatch):
    """A disk that hangs does not fill memory with what is meant for it."""
    monkeypatch.setattr(module, "AHEAD_BYTES_MAX", 64 * KIB)
    server = inside(held=True)
    (peer,) = server.peers(1)
    peer.send("".join(add(number, payload="x" * KIB) for number in range(1, 301)))
    still(server)
    jobs = server.call(lambda: server.ring.broker.engine.size)
    assert 64 > jobs - 60 >= 0  # and what one turn may have made
    server.come_on()
    peer.expect(OK * 300)


def test_who_goes_while_the_log_stands_still_is_let_go_of(inside, monkeypatch):
    """Those who come again and again must not fill memory either; their jobs are done all the
    same, for they may have been told so."""
    monkeypatch.setattr(module, "AHEAD_BYTES_MAX", KIB)
    server = inside(held=True)
    (peer,) = server.peers(1)
    peer.send(add(1, payload="x" * 2 * KIB))
    still(server)
    for number in range(2, 30):
        one = server.peer()
        one.send(add(number))
        until(lambda: server.call(lambda: len(server.ring.connections)) == 2, "it has come")
        one.reset()
        until(lambda: server.call(lambda: len(server.ring.connections)) == 1, "it has gone")
    still(server)
    assert server.call(lambda: server.ring.broker.busy) is False
    server.come_on()
    peer.expect(OK)
    assert server.stats(peer)["connections"] == 1
