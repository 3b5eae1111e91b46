"""The life of a server, where it ends otherwise than by a signal."""

import asyncio
import logging
import os
import signal
import threading

import pytest

from tests.server.served import until
from tests.talk import add
from workq.cmdlog.files import RealDisk
from workq.engine.engine import Engine
from workq.limits import OWN_DESCRIPTORS, Bounds
from workq.server import service, storage
from workq.server.listen import UnixAddress
from workq.server.notify import Notifier
from workq.server.ring import Ring
from workq.server.settings import load
from workq.server.storage import Storage

#: No test here takes longer unless something hangs.
PATIENCE_S = 20


def test_without_settings_the_bounds_are_those_of_the_limits():
    """Each setting turns the bound that it names, and its default is the one with a reason."""
    assert service.bounds(load([], {}), 20_000) == Bounds()


def test_connections_leave_the_server_its_own_descriptors(caplog):
    """Fewer clients than asked for, and a line that says why."""
    bounds = service.bounds(load(["--max-connections", "500"], {}), 500)
    assert bounds.connections_max == 500 - OWN_DESCRIPTORS
    assert "raise the limit of open files" in caplog.text


def test_a_turn_that_fails_ends_the_server(monkeypatch, caplog, tmp_path):
    """At once and with a traceback in the log; nothing half done is served any more."""

    def fail(_: Ring) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Ring, "_have_turn", fail)
    monkeypatch.setattr(service, "take_over_collection", lambda: None)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "workq")
    address = UnixAddress("s")

    failure = asyncio.run(service.serve(load([], {}), [address], Notifier({}), Storage(Engine())))

    assert isinstance(failure, RuntimeError)
    assert not (tmp_path / "s").exists()
    last = caplog.records[-1]
    assert (last.levelname, last.getMessage()) == ("ERROR", "the server has failed")
    assert last.exc_info is not None
    assert "shutting down" not in caplog.text


class HangingDisk(RealDisk):
    """A disk that takes no end to sync, once it is told to."""

    hangs = threading.Event()
    released = threading.Event()

    def sync(self, handle: int) -> None:
        """Wait for long."""
        if self.hangs.is_set():
            self.released.wait(PATIENCE_S)
        super().sync(handle)


def test_a_second_signal_does_not_wait_for_a_disk_that_hangs(monkeypatch, tmp_path):
    """Found in review: it waited for the sync, and that may be for ever."""
    monkeypatch.setattr("workq.server.storage.RealDisk", HangingDisk)
    monkeypatch.setattr(service, "take_over_collection", lambda: None)
    monkeypatch.chdir(tmp_path)
    flags = ["--cmdlog-path=log", "--cmdlog-sync=always", "--shutdown-timeout=0s"]

    async def live() -> Exception | None:
        settings, notifier = load(flags, {}), Notifier({})
        one = storage.load(settings, notifier)
        serving = asyncio.create_task(service.serve(settings, [UnixAddress("s")], notifier, one))
        await until((tmp_path / "s").exists)
        HangingDisk.hangs.set()
        _, writer = await asyncio.open_unix_connection("s")
        writer.write(add(1).encode())
        await writer.drain()
        await until(lambda: one.engine.size)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S / 2):
            failure = await serving
        writer.close()
        return failure

    try:
        assert asyncio.run(live()) is None
    finally:
        HangingDisk.released.set()


def test_a_log_that_cannot_be_closed_for_a_mistake_of_ours_is_no_stop_in_order():
    """The status would say that all is well."""

    class Broken(Storage):
        async def end_compaction(self) -> None:
            raise RuntimeError("a mistake")

    async def run() -> None:
        broken = Broken(Engine())
        ring = Ring(storage=broken)
        with pytest.raises(RuntimeError, match="a mistake"):
            await service._close_log(ring, broken, service._Signals())

    asyncio.run(run())


def test_the_first_reason_to_end_is_the_one_that_is_told():
    """What fails because of it says less."""

    async def run() -> None:
        ring = Ring()
        first = RuntimeError("the first")
        ring.fail(first)
        ring.fail(RuntimeError("the second"))
        assert ring.failure is first

    asyncio.run(run())
