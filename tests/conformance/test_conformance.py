"""The transcripts of wire.cases, each a test of its own, against one installed workq-server.

Most cases wait more than they work. So the chosen ones are played up front, eight at a time, and a
test only asks how its case went.
"""

import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.conform import Case, Failed, Play, Server, load
from workq.commands import COMMANDS
from workq.commands.base import Command
from workq.wire import replies

CASES = load(Path(__file__).with_name("wire.cases"))
AT_ONCE = 8

_TEXT = "".join(Path(__file__).with_name(f"{name}.cases").read_text() for name in ("wire", "log"))
_LINES = _TEXT.splitlines()
REQUESTS = [
    part.removeprefix("{rep:")
    for line in _LINES
    if re.match(r"[A-Z]> ", line)
    for part in re.split(r"\\r\\n|\\n", line[3:])
]
ANSWERS = [line for line in _LINES if re.match(r"[A-Z]<", line)]

#: The errors that a request can get by what it says and by how jobs are.
ERRORS = [
    reply.decode().strip()
    for reply in vars(replies).values()
    if isinstance(reply, bytes) and reply.startswith(b"-CLIENT-ERROR") and b"timeout\r" not in reply
] + [replies.INVALID_WAIT_TIMEOUT.decode().strip()]

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


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_flag_is_in_a_transcript(command: Command) -> None:
    """As a request, whatever became of it."""
    requests = [line for line in REQUESTS if re.match(rf"{command.name}( |$)", line)]
    flags = [flag.decode() for flag in command.flags]

    assert requests
    assert [flag for flag in flags if not any(f" -{flag}=" in line for line in requests)] == []


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_of_a_request_is_in_a_transcript(error: str) -> None:
    """But for those that settings, time or the disk must be made ready for."""
    assert any(error in line for line in ANSWERS)
