"""What holds for a client that was told nothing else, in virtual time."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from workq_client import AsyncClient, Client, NoReply, Unreachable
from workq_client.limits import CONNECT_TIMEOUT_S, CONNECTIONS_MAX, GRACE_S, TIMEOUT_S, WAITS_MAX


def test_both_clients_take_the_same():
    """What is tried with one here holds for the other."""
    one, other = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert {name: str(value) for name, value in one.items()} == {
        name: str(value) for name, value in other.items()
    }


def test_a_call_that_gets_no_answer_ends_in_time(virtual):
    """TIMEOUT_S."""
    virtual.peer.alike["ping"] = b""

    async def main():
        async with AsyncClient() as client:
            with pytest.raises(NoReply):
                await client.ping()

    virtual.run(main())
    assert virtual.passed_s == pytest.approx(TIMEOUT_S)


def test_an_attempt_to_connect_ends_in_time(virtual):
    """CONNECT_TIMEOUT_S; another one is made as long as the call has time."""
    virtual.peer.connect_s = CONNECT_TIMEOUT_S + 0.001

    async def main():
        async with AsyncClient(timeout=CONNECT_TIMEOUT_S) as client:
            with pytest.raises(Unreachable):
                await client.ping()
        async with AsyncClient() as client:
            with pytest.raises(Unreachable) as caught:
                await client.ping()
            assert TIMEOUT_S / (CONNECT_TIMEOUT_S + 1) < caught.value.attempts < TIMEOUT_S
            virtual.peer.connect_s = CONNECT_TIMEOUT_S - 0.001
            await client.ping()

    virtual.run(main())


def test_a_client_has_so_many_connections_for_calls_that_are_answered_at_once(virtual):
    """CONNECTIONS_MAX: the next call waits until one is free."""
    virtual.peer.latency_s = 4.0

    async def main():
        async with AsyncClient() as client:
            await asyncio.gather(*[client.ping() for _ in range(CONNECTIONS_MAX + 1)])
            return virtual.passed_s

    assert virtual.run(main()) == pytest.approx(8.0)
    assert virtual.peer.most == CONNECTIONS_MAX


def test_a_client_has_so_many_connections_for_calls_that_wait(virtual):
    """WAITS_MAX: and calls that are answered at once have their own all the same."""

    async def main():
        async with AsyncClient() as client:
            waits = [client.lease("q", wait=5) for _ in range(WAITS_MAX + 1)]
            waiting = asyncio.gather(*waits)
            await asyncio.sleep(1)
            await client.ping()
            assert virtual.passed_s < 1 + GRACE_S
            return await waiting

    assert virtual.run(main()) == [None] * (WAITS_MAX + 1)
    assert virtual.peer.most == WAITS_MAX + 1
