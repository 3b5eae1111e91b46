"""The transcripts of wire.cases, each a test of its own, against one installed workq-server.

Most cases wait more than they work. So the chosen ones are played up front, eight at a time, and a
test only asks how its case went.
"""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.conform import Case, Failed, Play, Server, load

CASES = load(Path(__file__).with_name("wire.cases"))
AT_ONCE = 8

Outcomes = dict[str, Future[None]]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The installed server, on a free port of loopback."""
    program = Path(sys.executable).with_name("workq-server")
    if not program.exists():
        pytest.fail(f"{program} does not exist: run the tests with `make test`")
    server = Server(f"{shlex.quote(str(program))} --listen 127.0.0.1:{{port}}")
    yield server
    server.discard()


@pytest.fixture(scope="session")
def outcomes(server: Server, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """How each case that was chosen for this run went."""
    chosen = {
        item.callspec.id
        for item in request.session.items
        if isinstance(item, pytest.Function) and "outcomes" in item.fixturenames
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case.id: pool.submit(play, case, server) for case in CASES if case.id in chosen}
        pool.shutdown(cancel_futures=True)


def play(case: Case, server: Server) -> None:
    """Play one case; if the server is gone, say what it printed last."""
    try:
        Play(case, server.address).run()
    except Failed as why:
        if server.status is None:
            raise
        said = server.output.read_text("utf-8", "replace")[-2000:]
        raise Failed(f"{why}\nthe server ended with {server.status}:\n{said}") from None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_server_answers_as_the_transcript_says(case: Case, outcomes: Outcomes) -> None:
    """Bytes, silence, closing and time are as written, on every connection of the case."""
    try:
        outcomes[case.id].result(timeout=50)
    except Failed as why:
        pytest.fail(f"{case.head}\n{why}", pytrace=False)


def test_every_case_has_its_own_id() -> None:
    """A case is called by its id, so no two cases share one."""
    shared = [name for name, count in Counter(case.id for case in CASES).items() if count > 1]

    assert shared == []
