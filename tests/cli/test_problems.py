"""What is said of errors, and the exit statuses."""

import socket
import threading

import pytest
from workq_client import errors

from tests.cli.making import ID
from workq.cli import statuses
from workq.cli.problems import Problem, explain


def test_a_server_that_is_not_there_is_told_with_what_to_do(cli):
    """Wherever it should have been."""
    said = cli("ping", "--url", "workq://127.0.0.1:1", "--timeout", "50ms")
    assert (said.status, said.out) == (statuses.UNUSABLE, "")
    first, second = said.err.splitlines()
    assert first.startswith("workq: no connection to workq://127.0.0.1:1, tried")
    assert second.strip().startswith("Is a workq server running there? Start one with workq-server")
    said = cli("ping", "--url", "http://127.0.0.1")
    assert said.status == statuses.BAD_USAGE
    assert "like workq://127.0.0.1:9922" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["lease", "mails", "--wait", "1h"],
        ["run", "mails", "--wait", "1h"],
        ["result", ID, "--wait", "1h"],
        ["wait", ID],
        ["exec", "mails", "--", "true"],
    ],
)
def test_what_waits_does_not_wait_for_a_server_that_is_not_there(words, cli):
    """Longer than any other."""
    options = ["--url", "workq://127.0.0.1:1", "--timeout", "50ms"]
    said = cli(*words[:2], *options, *words[2:])
    assert said.status == statuses.UNUSABLE


def test_another_program_at_the_address_is_told(cli):
    """Which no waiting would mend."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer():
            while True:
                connection, _ = other.accept()
                with connection:
                    if not connection.recv(1000):
                        return
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        place = other.getsockname()
        said = cli("ping", "--url", f"workq://127.0.0.1:{place[1]}", "--timeout", "100ms")
        socket.create_connection(place).close()
        thread.join()
    assert said.status == statuses.UNUSABLE
    assert "400 Bad Request" in said.err
    assert "Is a workq server running there?" in said.err


@pytest.mark.parametrize(
    "words, told",
    [
        (["add", "q", "--ttr", "2d"], "A TTR is from 1ms to 1d."),
        (["add", "q", "--ttl", "0"], "A TTL is 1ms or more."),
        (["add", "q", "--priority", 2**31], "It is from -2,147,483,648 to 2,147,483,647."),
        (["add", "q", "--max-attempts", "-1"], "They are from 0, for no limit, to 255."),
        (["add", "q", "--max-fails", "256"], "They are from 0 to 255."),
        (["add", "q", "--delay", "366d"], "It is up to 365d; later is for a schedule."),
        (["add", "q", "--retry-delay", "366d"], "It is up to 365d."),
        (["add", "q", "--retry-max", "366d"], "It is up to 365d."),
        (["add", "q", "--backoff", "0"], "It is from 1 to 100."),
        (["lease", "q", "--count", "0"], "It is from 1 to 100."),
        (["schedule", "q", "--at", "1999-01-01T00:00Z"], "It is too long ago"),
        (["result", ID, "--wait", "2d"], "A wait is up to 1d."),
        (["inspect", "queues", "--offset", "-1"], "It is from 0 to 4,294,967,295."),
    ],
)
def test_a_value_that_the_server_does_not_take_is_told_with_those_that_it_does(words, told, cli):
    """For its own words are few."""
    said = cli(*words)
    assert said.status == statuses.WRONG
    assert said.err.splitlines()[1].startswith(f"  {told}")


@pytest.mark.parametrize(
    "error, status",
    [
        (Problem("so"), statuses.BAD_USAGE),
        (Problem("so", statuses.WRONG), statuses.WRONG),
        (errors.InvalidRequest("so"), statuses.BAD_USAGE),
        (errors.NotFound("so"), statuses.WRONG),
        (errors.TimedOut("so"), statuses.WRONG),
        (errors.LeaseLost("so"), statuses.WRONG),
        (errors.InvalidArgument("so"), statuses.WRONG),
        (errors.UnknownCommand("so"), statuses.WRONG),
        (errors.JobFailed("so", b"so"), statuses.WRONG),
        (errors.OutOfMemory("so"), statuses.UNUSABLE),
        (errors.DiskFull("so"), statuses.UNUSABLE),
        (errors.ShuttingDown("so"), statuses.UNUSABLE),
        (errors.Unreachable("so", 1, None), statuses.UNUSABLE),
        (errors.NoReply("so", "so"), statuses.UNUSABLE),
        (errors.Busy(1, "so"), statuses.UNUSABLE),
        (errors.BrokenReply("so", b""), statuses.UNUSABLE),
        (errors.OutcomeUnknown("so", None, OSError("so")), statuses.UNKNOWN),
        (errors.ManyFailed(1, 2, [(0, errors.DuplicateJob("so")), (0, errors.DiskFull("so"))]), 3),
    ],
)
def test_every_error_has_its_status(error, status):
    """And its own words first."""
    explained = explain(error)
    assert explained is not None
    assert explained.status == status
    assert explained.text.startswith(str(error))


def test_a_mistake_of_ours_keeps_its_trace():
    """Nobody else can mend it."""
    assert explain(KeyError("x")) is None
