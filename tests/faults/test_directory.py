"""A directory that cannot be used, and a log that is taken away while it is in use."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.faults.load import Client, World
from tests.faults.server import Server
from tests.faults.wire import OK


def refusal(server: Server) -> str:
    """The one line with which a server refused to start."""
    assert not server.said("Listening")
    (line,) = server.said("^workq-server: ")
    return line


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    """Here something else has the place of the one above it."""
    (tmp_path / "file").write_text("x")

    async def play() -> None:
        server = await Server(tmp_path / "file" / "log").start()
        assert await server.ended() == 3
        assert f"{tmp_path}/file" in refusal(server)
        assert "Not a directory" in refusal(server)

    asyncio.run(play())


def test_a_file_in_its_place_is_refused(tmp_path):
    """With its name."""
    (tmp_path / "log").write_text("x")

    async def play() -> None:
        server = await Server(tmp_path / "log").start()
        assert await server.ended() == 3
        assert f"{tmp_path}/log" in refusal(server)

    asyncio.run(play())


def test_a_missing_directory_is_made_with_those_above_it(tmp_path):
    """For nobody else to look into."""

    async def play() -> None:
        server = await Server(tmp_path / "a" / "b").start()
        assert server.port
        await server.kill()

    asyncio.run(play())
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_another_server_uses_is_refused_until_that_has_ended(tmp_path):
    """However it ended."""

    async def play() -> None:
        first = await Server(tmp_path).start()
        second = await Server(tmp_path).start()
        assert await second.ended() == 3
        assert "another workq-server uses this directory" in refusal(second)
        await first.kill()
        third = await Server(tmp_path).start()
        assert third.port
        await third.kill()

    asyncio.run(play())


@pytest.mark.parametrize("policy", ["always", "interval", "os"])
def test_a_log_that_is_removed_while_it_is_in_use_ends_the_server(tmp_path, policy):
    """With exit code 4 and a line that says so; clients see the end, not a false answer. Who finds
    it first, a write or the look at all files, is left open."""

    async def play() -> None:
        server = await Server(tmp_path, "--cmdlog-sync", policy).start()
        world = World(1)
        client = Client(world, server.port, 1)
        assert await client.connect()
        (reply,) = await client.ask([world.new(client.random)])
        assert reply is not None and reply.status == OK
        client.close()
        for file in tmp_path.glob("*.log"):
            file.unlink()
        await asyncio.wait_for(client.live(), 10)
        assert await server.ended() == 4
        (line,) = server.said("the command log has failed")
        assert f"{tmp_path}/00" in line
        assert re.search("was removed( or renamed)? while it was in use", line)

    asyncio.run(play())


def test_every_client_is_told_that_the_log_has_failed(tmp_path):
    """Those who wait for something and those who do not."""

    async def play() -> None:
        server = await Server(tmp_path, "--cmdlog-sync", "always").start()
        ends = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        for reader, writer in ends:
            writer.write(b"ping\r\n")
            assert await reader.readline() == b"+OK\r\n"
        ends[0][1].write(b"lease q 20000\r\n")
        for file in tmp_path.glob("*.log"):
            file.unlink()
        for reader, writer in ends:
            assert await asyncio.wait_for(reader.read(), 10) == b"-SERVER-ERROR Log failed\r\n"
            writer.close()
        assert await server.ended() == 4

    asyncio.run(play())
