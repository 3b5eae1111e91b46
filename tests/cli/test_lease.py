"""`workq lease`, and what ends a lease or prolongs it."""

import base64

import pytest
from workq_client import State

from tests.cli.making import ID, MISSING, OTHER
from workq.cli import statuses


@pytest.fixture
def leased(cli, client):
    """The token of a job that is leased."""
    client.add("mails", b"hello", id=ID, max_fails=5)
    return cli("lease", "mails", "--json").json["lease"]


def test_people_see_ids_and_payloads_on_a_line_each(cli, client):
    """What is no text harms no terminal."""
    client.add("mails", "hello world\n\x1b[2J ü".encode(), id=ID)
    client.add("mails", b"\xff", id=OTHER)
    said = cli("lease", "mails", "--count", 9)
    assert said.status == statuses.OK
    assert said.out == f"{ID} hello world\\n\\x1b[2J ü\n{OTHER} \\xff\n"


def test_programs_get_all_there_is(cli, client):
    """A key tells what the payload is in."""
    client.add("mails", b"hello", id=ID, ttr=5)
    client.add("mails", b"\xff\x00", id=OTHER)
    first, second = cli("lease", "other", "mails", "--count", 2, "--json").lines
    assert first.pop("lease") > 0
    assert first == {
        "id": ID, "queue": "mails", "ttr": 5.0, "attempt": 1, "payload": "hello",
        "payload_encoding": "utf-8",
    }  # fmt: skip
    assert second["payload_encoding"] == "base64"
    assert base64.b64decode(second["payload"]) == b"\xff\x00"


def test_no_job_is_told_apart_from_an_empty_one(cli, client):
    """By the status."""
    said = cli("lease", "mails", "letters", "--wait", "10ms")
    assert (said.status, said.out) == (statuses.WRONG, "")
    assert said.err == "workq: no job came from mails, letters in time\n"
    client.add("mails", id=ID)
    assert cli("lease", "mails") == (statuses.OK, f"{ID}\n", "")


def test_a_job_is_completed_with_a_result(cli, client, leased):
    """By its lease, or by its id alone."""
    assert cli("complete", ID, "thanks", "--lease", leased) == (statuses.OK, "", "")
    assert client.result(ID).data == b"thanks"
    client.add("mails", id=OTHER)
    said = cli("complete", OTHER.upper(), "-", "--json", stdin=b"\x00")
    assert said.json == {"id": OTHER, "done": "completed"}
    assert client.result(OTHER).data == b"\x00"


def test_a_failure_may_come_back_later_or_never(cli, client, leased):
    """As is said."""
    assert cli("fail", ID, "no disk", "--delay", "1h", "--lease", leased).status == statuses.OK
    info = client.inspect_job(ID)
    assert (info.state, info.fails) == (State.PENDING, 1)
    assert info.held_until is not None
    assert cli("fail", ID, "no use", "--final", "--json").json == {"id": ID, "done": "failed"}
    assert client.result(ID).data == b"no use"


def test_a_lease_is_prolonged_or_given_back(cli, client, server, leased):
    """And then it is no longer there."""
    assert cli("touch", ID, "--lease", leased, "--ttr", "2h").status == statuses.OK
    server.advance(minutes=90)
    assert client.inspect_job(ID).state == State.LEASED
    said = cli("release", ID, "--lease", leased, "--json")
    assert said.json == {"id": ID, "done": "released"}
    assert client.inspect_job(ID).attempts == 0
    for word in ("complete", "fail", "release", "touch"):
        said = cli(word, ID, "--lease", leased)
        assert said.status == statuses.WRONG
        assert said.err.startswith(f"workq: {word} {ID}: Lease lost\n  The job has no lease")


@pytest.mark.parametrize("word", ["complete", "fail", "release", "touch"])
def test_a_job_that_is_not_there_is_told(word, cli):
    """On one line."""
    said = cli(word, MISSING)
    assert said == (statuses.WRONG, "", f"workq: {word} {MISSING}: not found\n")


@pytest.mark.parametrize("words", [[ID, "--lease", "0"], [ID, "--lease", "x"], ["7"]])
def test_what_is_no_id_or_no_token_is_not_sent(words, cli):
    """A token of 0 would be as none."""
    assert cli("release", *words).status == statuses.BAD_USAGE
