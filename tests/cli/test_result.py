"""`workq run`, `result`, `wait` and `delete`."""

import threading

import pytest

from tests.cli.making import ID, MISSING, OTHER
from workq.cli import statuses


@pytest.fixture
def finished(client):
    """One job that was completed, and one that has failed."""
    client.add("mails", id=ID)
    client.complete(ID, b"\xff\x00 thanks")
    client.add("mails", id=OTHER)
    client.fail(OTHER, b"no\ndisk", final=True)


def test_a_caller_gets_what_the_worker_says(cli, client):
    """A failure is told apart by the status."""

    def work():
        for end in (client.complete, client.fail):
            job = client.lease("shout", wait=10)
            end(job, job.payload.upper())

    worker = threading.Thread(target=work)
    worker.start()
    assert cli("run", "shout", "hello") == (statuses.OK, "HELLO", "")
    said = cli("run", "shout", "help", "--id", ID, "--ttr", 5, "--priority", 1)
    assert said == (statuses.WRONG, "HELP", f"workq: job {ID} has failed\n")
    worker.join()


def test_a_call_that_nobody_takes_is_out_of_time(cli):
    """As long as is said."""
    said = cli("run", "shout", "hello", "--wait", "10ms")
    assert (said.status, said.out) == (statuses.WRONG, "")
    assert "it did not happen in time" in said.err


def test_one_result_is_printed_byte_for_byte(finished, server, process):
    """For a file, or the next program."""
    one = process("result", ID)
    assert one.communicate() == (b"\xff\x00 thanks", b"")
    assert one.returncode == statuses.OK


def test_several_results_have_a_line_each(finished, cli):
    """One that is missing does not keep the others back; the status tells."""
    said = cli("result", ID, MISSING, OTHER)
    assert said.status == statuses.WRONG
    assert said.out == f"{ID} completed \\xff\\x00 thanks\n{OTHER} failed no\\ndisk\n"
    assert said.err == f"workq: result {MISSING}: not found\n"


def test_results_for_programs(finished, cli):
    """One document for each."""
    first, second = cli("result", ID, OTHER, "--json").lines
    assert first == {
        "id": ID, "state": "completed", "result": "/wAgdGhhbmtz", "result_encoding": "base64",
    }  # fmt: skip
    assert (second["state"], second["result"]) == ("failed", "no\ndisk")


def test_a_result_is_waited_for_as_long_as_is_said(cli, client):
    """All of them together."""
    client.add("mails", id=ID)
    client.add("mails", id=OTHER)
    said = cli("result", ID, OTHER, "--wait", "20ms")
    assert said.status == statuses.WRONG
    assert said.err.count("it did not happen in time") == 2
    timer = threading.Timer(0.02, client.complete, (ID, b"done"))
    timer.start()
    assert cli("result", ID, "--wait", "10s").out == "done"
    timer.join()


def test_waiting_tells_the_end_of_each(finished, cli, client):
    """And fails if one has failed."""
    assert cli("wait", ID) == (statuses.OK, f"{ID} completed\n", "")
    said = cli("wait", ID, OTHER, "--json")
    assert said.status == statuses.WRONG
    assert said.lines == [{"id": ID, "state": "completed"}, {"id": OTHER, "state": "failed"}]
    client.add("mails", id=MISSING)
    said = cli("wait", MISSING, ID, "--wait", "10ms")
    assert (said.status, said.out) == (statuses.WRONG, f"{ID} completed\n")


def test_waiting_without_end_ends_with_the_job(cli, client, server):
    """However often the server had to be asked."""
    client.add("mails", id=ID, ttl=86_400)

    def later():
        server.advance(hours=3, patience=0)
        client.complete(ID)

    timer = threading.Timer(0.05, later)
    timer.start()
    assert cli("wait", ID).out == f"{ID} completed\n"
    timer.join()


def test_jobs_are_removed_and_those_that_are_not_there_told(finished, cli, client):
    """One after the other."""
    said = cli("delete", MISSING, ID, "--json")
    assert (said.status, said.json) == (statuses.WRONG, {"id": ID, "done": "deleted"})
    assert said.err == f"workq: delete {MISSING}: not found\n"
    assert cli("delete", OTHER, "7").status == statuses.BAD_USAGE  # and the first one stays
    assert cli("delete", OTHER) == (statuses.OK, "", "")
    assert client.stats()["jobs"] == 0
