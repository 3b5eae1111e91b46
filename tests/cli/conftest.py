"""A server, and the command line that speaks to it, in this process."""

import io
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from workq_client import Client
from workq_client.testing import Server

from workq.cli import workq


class Said(NamedTuple):
    """What a command line came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that was printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The documents that were printed, one on each line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def server(monkeypatch):
    """A server, where the command line looks for one."""
    with Server() as running:
        monkeypatch.setenv("WORKQ_URL", running.url)
        yield running


@pytest.fixture
def client(server):
    """Somebody else who speaks to it."""
    with Client(server.url) as one:
        yield one


@pytest.fixture
def cli(server, capsys, monkeypatch):
    """Call `workq` with words, and bytes on its standard input."""

    def call(*words: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            status = workq.main([str(word) for word in words])
        except SystemExit as error:
            status = int(error.code or 0)
        printed = capsys.readouterr()
        return Said(status, printed.out, printed.err)

    return call


@pytest.fixture
def process(server):
    """Start `workq` as a process of its own, with pipes."""
    started = []

    def start(*words: object, **more: Any) -> "subprocess.Popen[bytes]":
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-m", "workq.cli.workq", *[str(word) for word in words]]
        one = subprocess.Popen(command, **{**pipes, **more})
        started.append(one)
        return one

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.wait()
        for pipe in (one.stdin, one.stdout, one.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture(autouse=True)
def _no_other_server(monkeypatch):
    if "WORKQ_URL" in os.environ:
        monkeypatch.delenv("WORKQ_URL")


@pytest.fixture
def payload_file(tmp_path):
    """A file that is no text."""
    path = tmp_path / "payload"
    path.write_bytes(b"\xff\x00\n")
    return path
