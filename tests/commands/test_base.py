"""What all commands have in common: their words, and that a refused one changes nothing."""

import pytest

from tests.commands.harness import Server, job_id
from workq.commands import COMMANDS
from workq.commands.base import WHOLE
from workq.wire import replies
from workq.wire.grammar import Table

#: Requests that are refused, for whatever reason; each names the queue `unheard`.
REFUSED = [
    f"add {job_id(9)} unheard 0 1 0\r\n\r\n",
    f"add {job_id(9)} unheard 1 1 0 -nosuch=1\r\n\r\n",
    f"add {job_id(9)} unheard 1 1 0 -priority=x\r\n\r\n",
    f"add {job_id(9)} unheard 1 1 0 -priority=\r\n\r\n",
    f"add {job_id(9)} unheard 1 1\r\n",
    f"add {job_id(9)} unheard 1 1 0\r\nx\r\n",
    f"add {job_id(9)} unheard 1 1 1048577\r\n",
    f"add {job_id(1)} unheard 1 1 0\r\n\r\n",
    f"schedule {job_id(9)} unheard 1 1 today 0\r\n\r\n",
    f"schedule {job_id(9)} unheard 1 1 2029-12-31T23:59:00Z 0\r\n\r\n",
    f"schedule {job_id(1)} unheard 1 1 2031-01-01T00:00:00Z 0\r\n\r\n",
    f"run {job_id(9)} unheard 1 x 0\r\n\r\n",
    f"run {job_id(9)} unheard 1 1 0 -max-fails=1\r\n\r\n",
    f"run {job_id(1)} unheard 1 1 0\r\n\r\n",
    "lease unheard x\r\n",
    "lease unheard no/name 0\r\n",
    "lease unheard 0 -x=1\r\n",
    "lease " + "unheard " * 257 + "0\r\n",
    "inspect queue unheard\r\n",
    "inspect jobs unheard 0 1\r\n",
    "inspect scheduled-jobs unheard 0 1\r\n",
    f"complete {job_id(9)} 0\r\n\r\n",
    f"complete {job_id(3)} 0\r\n\r\n",
    f"complete {job_id(1)} 2\r\nx\r\n",
    f"fail {job_id(9)} 0\r\n\r\n",
    f"fail {job_id(3)} 0\r\n\r\n",
    f"fail {job_id(1)} 0 -x=1\r\n\r\n",
    f"add {job_id(9)} unheard 1 1000 0 -delay=1000\r\n\r\n",
    f"touch {job_id(1)}\r\n",
    f"touch {job_id(2)} -lease=5\r\n",
    f"touch {job_id(9)}\r\n",
    f"release {job_id(3)}\r\n",
    f"release {job_id(2)} -lease=5\r\n",
    f"release {job_id(9)}\r\n",
    f"complete {job_id(2)} 0 -lease=5\r\n\r\n",
    f"fail {job_id(2)} 0 -lease=5 -delay=9\r\n\r\n",
    "hello 3\r\n",
    f"delete {job_id(9)}\r\n",
    f"delete {job_id(1)} unheard\r\n",
    f"delete {job_id(1)}0\r\n",
    f"result {job_id(9)} 1\r\n",
    "unheard\r\n",
]


@pytest.fixture
def busy(server: Server) -> Server:
    """A server with a ready, a leased, a finished and a scheduled job."""
    for number, name in ((1, "a"), (2, "b"), (3, "c")):
        server.add(number, name)
    server.ask("lease b 0")
    server.complete(3)
    server.ask(f"schedule {job_id(4)} a 1 1 2031-01-01T00:00:00Z", "x")
    return server


@pytest.mark.parametrize("request_text", REFUSED)
def test_a_refused_command_changes_nothing(busy: Server, request_text: str) -> None:
    """No job, no order, no deadline, no commit; and the queue it names stays unheard of."""
    before = busy.dump()
    client = busy.client()
    client.send(request_text.encode())

    assert client.take()[:-2] in [f"-{line}" for line in replies.ERRORS]
    assert busy.dump() == before
    assert busy.ask("inspect queue unheard") == "-NOT-FOUND\r\n"


@pytest.mark.parametrize(
    "line", ["inspect server", "inspect queues 0 9", "inspect queue a", "inspect jobs a 0 9"]
)
@pytest.mark.parametrize("more", ["", "ping", "help", "stats", "result ID 0", "inspect job ID"])
def test_looking_changes_nothing(busy: Server, line: str, more: str) -> None:
    """Whatever is looked at, however often."""
    before = busy.dump()
    busy.ask(line)
    busy.ask((more or line).replace("ID", job_id(1)))

    assert busy.dump() == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_commands_words_fit_into_a_terminal(command) -> None:
    """ASCII, a summary of one line without a full stop, no line beyond 100 characters."""
    lines = [f"{command.name:<22}  {command.summary}", *command.details.splitlines()]

    assert command.summary and not command.summary.endswith(".")
    assert command.details
    assert all(line.isascii() and len(line) <= 100 for line in lines)
    assert "+OK" in command.details


def test_every_command_can_be_called_by_its_name() -> None:
    """A family by two words; no name is used twice."""
    for command in COMMANDS:
        first, _, second = command.name.encode().partition(b" ")
        entry = Table(COMMANDS).entries[first]
        assert (entry[second] if isinstance(entry, dict) else entry) is command

    assert len({command.name for command in COMMANDS}) == len(COMMANDS)


def test_only_what_looks_at_queues_waits_for_overdue_deadlines() -> None:
    """Commands of one job need not: its own deadline is fired when it is touched."""
    looking = [command for command in COMMANDS if command.knows is not None]
    assert [command.name for command in looking if command.knows is not WHOLE] == ["run", "lease"]
    assert [command.name for command in looking if command.knows is WHOLE] == [
        "inspect jobs",
        "inspect scheduled-jobs",
        "inspect queue",
        "inspect queues",
        "inspect server",
        "stats",
    ]
