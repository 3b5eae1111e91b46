"""The life of a server, where it ends otherwise than by a signal."""

import asyncio
import logging

from workq.limits import OWN_DESCRIPTORS, Bounds
from workq.server import service
from workq.server.listen import UnixAddress
from workq.server.notify import Notifier
from workq.server.ring import Ring
from workq.server.settings import load


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

    failure = asyncio.run(service.serve(load([], {}), [address], Notifier({})))

    assert isinstance(failure, RuntimeError)
    assert not (tmp_path / "s").exists()
    last = caplog.records[-1]
    assert (last.levelname, last.getMessage()) == ("ERROR", "the server has failed")
    assert last.exc_info is not None
    assert "shutting down" not in caplog.text
