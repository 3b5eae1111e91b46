"""The life of a server, where it ends otherwise than by a signal."""

import asyncio
import logging

from workq.server import service
from workq.server.listen import UnixAddress
from workq.server.notify import Notifier
from workq.server.ring import Ring
from workq.server.settings import load


def test_a_turn_that_fails_ends_the_server(monkeypatch, caplog, tmp_path):
    """At once and with a traceback in the log; nothing half done is served any more."""

    def fail(_: Ring) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Ring, "_have_turn", fail)
    monkeypatch.setattr(service, "take_over_collection", lambda: None)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "workq")
    address = UnixAddress("s")

    ended_well = asyncio.run(service.serve(load([], {}), [address], Notifier({})))

    assert not ended_well
    assert not (tmp_path / "s").exists()
    last = caplog.records[-1]
    assert (last.levelname, last.getMessage()) == ("ERROR", "the server has failed")
    assert last.exc_info is not None
    assert "shutting down" not in caplog.text
