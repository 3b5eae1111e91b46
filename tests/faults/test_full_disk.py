"""A disk that is really full, under load: a small tmpfs, filled and freed."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import lack
from tests.faults import audit, wire
from tests.faults.history import Job
from tests.faults.load import Client, World
from tests.faults.server import PATIENCE_S, Server
from tests.faults.wire import DISK_FULL, OK

DISK_BYTES = 4 * 1024 * 1024
SEGMENT = "256KiB"
CLIENTS = 4
KEPT, KEPT_JOBS = "kept", 40
RESULT_BYTES = 250_000


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """An empty disk of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "workq-test", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lack("no tmpfs may be mounted here", "run CI as root, with the right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Use up all room on a disk but for so many bytes; the file that does it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        file.write(bytes(max(free - leave, 0)))
        while not leave:
            file.write(bytes(512))
    return ballast


async def start(path: Path, policy: str = "interval", segment: str = SEGMENT) -> Server:
    """A server with a log."""
    settings = ("--cmdlog-sync", policy, "--cmdlog-seg-size", segment)
    server = await Server(path, *settings).start()
    assert server.port, server.lines
    return server


async def looked_at_again(world: World, path: Path) -> None:
    """Everything acknowledged is there after the next start."""
    server = await start(path)
    try:
        await audit.drain(world, server.port)
    finally:
        await server.kill()
    assert world.history.problems() == []


class Adds:
    """Counts how adding jobs goes.

    Args:
        world: that the clients share.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def refused(self) -> bool:
        """Whether one was refused."""
        return self._world.history.count("add", DISK_FULL) > 0

    def taken(self) -> int:
        """How many were taken."""
        return self._world.history.count("add", OK)


async def live(world: World, server: Server, until: object) -> None:
    """Have clients until something is so."""
    assert callable(until)
    seeds = [world.random.getrandbits(64) for _ in range(CLIENTS)]
    clients = [Client(world, server.port, seed) for seed in seeds]
    lives = asyncio.gather(*(client.live(until) for client in clients))
    await asyncio.wait_for(lives, PATIENCE_S)
    assert until(), f"the server went away: {server.lines[-3:]}"


@pytest.mark.parametrize("policy", ["always", "interval"])
def test_a_full_disk_refuses_new_jobs_finishes_old_ones_and_heals_by_itself(disk, policy):
    """Filled and freed under load; nothing acknowledged is lost, whatever comes afterwards."""

    async def play() -> None:
        path = disk / "log"
        world = World(5)
        adds = Adds(world)
        server = await start(path, policy)
        try:
            await live(world, server, lambda: world.history.replies > 500)
            kept = await keep_some(world, server)
            ballast = fill(disk)
            await live(world, server, adds.refused)
            await goes_on(world, server)
            ballast.unlink()
            before = adds.taken()
            await live(world, server, lambda: adds.taken() > before)
            assert server.said("the disk of the command log is full")
            assert server.said("has room again")
        finally:
            await server.kill()
        world.open |= kept
        await looked_at_again(world, path)

    asyncio.run(play())


async def keep_some(world: World, server: Server) -> dict[str, Job]:
    """Have jobs in a queue that the other clients do not look at, and of which they do not know
    until they are put back."""
    before = set(world.open)
    client = Client(world, server.port, 0)
    assert await client.connect()
    replies = await client.ask([world.new(client.random, KEPT) for _ in range(KEPT_JOBS)])
    assert all(reply is not None and reply.status == OK for reply in replies)
    client.close()
    # Or they would now and then end one.
    kept = {job_id: world.open.pop(job_id) for job_id in set(world.open) - before}
    assert len(kept) == KEPT_JOBS
    return kept


async def goes_on(world: World, server: Server) -> None:
    """On a full disk no job is taken in; all that there are can be leased, finished, deleted."""
    client = Client(world, server.port, world.random.getrandbits(64))
    assert await client.connect()
    taken = []
    for number in range(KEPT_JOBS):
        reply, refused = await client.ask([wire.lease([KEPT], 0), world.new(client.random)])
        assert refused is not None and refused.status == DISK_FULL
        assert reply is not None and reply.status == OK
        job_id = reply.head[0]
        taken.append(job_id)
        end = (wire.complete, wire.fail)[number % 2]
        (done,) = await client.ask([end(job_id, b"done")])
        assert done is not None and done.status == OK
    (deleted,) = await client.ask([wire.delete(taken[0])])
    assert deleted is not None and deleted.status == OK
    client.close()


def test_a_disk_without_room_for_a_result_ends_the_server(disk):
    """When the reserve is used up too; the line tells what to do, and nobody got a false answer."""

    async def play() -> None:
        path = disk / "log"
        world = World(6)
        server = await start(path)
        try:
            await live(world, server, lambda: world.history.replies > 300)
            kept = await keep_some(world, server)
            ballast = fill(disk)
            await live(world, server, Adds(world).refused)
            client = Client(world, server.port, 1)
            assert await client.connect()
            # More than the whole disk, whatever room a compaction makes meanwhile.
            assert len(kept) * RESULT_BYTES > DISK_BYTES
            replies = await client.ask([wire.complete(job, bytes(RESULT_BYTES)) for job in kept])
            assert None in replies
            assert await server.ended() == 4
            client.close()
            (line,) = server.said("the command log has failed")
            assert f"{path}/00" in line
            assert "errno 28" in line
            assert "make room on the disk" in line
        finally:
            await server.kill()
        ballast.unlink()
        world.open |= kept
        await looked_at_again(world, path)

    asyncio.run(play())


def test_a_server_does_not_start_on_a_full_disk(disk):
    """It says so before it listens, and starts as soon as there is room."""

    async def play() -> None:
        ballast = fill(disk)
        server = await Server(disk / "log", "--cmdlog-seg-size", SEGMENT).start()
        assert await server.ended() == 3
        assert server.said("No space left on device")
        ballast.unlink()
        await (await start(disk / "log")).kill()

    asyncio.run(play())


def test_a_read_only_disk_is_refused(disk):
    """With exit code 3, before it listens, whether there is a log or not."""

    async def play() -> None:
        await (await start(disk / "log")).kill()
        remount = await asyncio.create_subprocess_exec("mount", "-o", "remount,ro", str(disk))
        assert await remount.wait() == 0
        for path in (disk / "log", disk / "none"):
            server = await Server(path).start()
            assert await server.ended() == 3
            assert not server.said("Listening")
            assert server.said(f"^workq-server: .*{path}.*Read-only file system")

    asyncio.run(play())
