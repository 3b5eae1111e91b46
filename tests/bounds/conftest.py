"""Servers for the tests of bounds: each ends with its test, and none has logged an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.bounds.inside import Inside
from tests.bounds.program import Program


def inspected(program: Program) -> None:
    """End a server that served until now; what it logged has nothing in it that a fault leaves."""
    status = program.process.poll()
    program.end()
    assert status in (None, 0), program.log
    assert "Traceback" not in program.log, program.log
    for one in program.records if '{"' in program.log else ():
        assert one["level"] in ("debug", "info", "warning"), one
        assert "exception" not in one, one


@pytest.fixture
def start() -> Iterator[type[Program]]:
    """Starts servers that end with the test."""
    started: list[Program] = []

    class Noted(Program):
        def __init__(self, *arguments: str, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            started.append(self)

    yield Noted
    for one in started:
        inspected(one)


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    """A server with nothing but defaults, one for a module."""
    one = Program()
    yield one
    inspected(one)


@pytest.fixture
def inside() -> Iterator[Callable[..., Inside]]:
    """Starts rings in threads that end with the test, with bounds by name."""
    started: list[Inside] = []

    def begin(*, held: bool = False, **bounds: int) -> Inside:
        started.append(Inside(held=held, **bounds))
        return started[-1]

    yield begin
    for one in started:
        one.end()
