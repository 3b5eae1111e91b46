"""`workq inspect` and `workq stats`: what the server knows, for people and for programs."""

import re
from datetime import UTC, datetime

import pytest
from workq_client import NewJob

from tests.cli.making import ID, MISSING, OTHER
from workq.cli import statuses


def test_a_job_for_programs_has_all_there_is(cli, client):
    """Durations in seconds, times in UTC, absent ones null."""
    client.add("mails", b"hello", id=ID, ttr=0.5, ttl=3600, priority=2, max_fails=3, retry_delay=5)
    shown = cli("inspect", "job", ID, "--json").json
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown.pop("created"))
    assert shown == {
        "id": ID, "queue": "mails", "state": "new", "priority": 2, "attempts": 0,
        "max_attempts": 0, "fails": 0, "max_fails": 3, "timeouts": 0, "ttr": 0.5, "ttl": 3600.0,
        "retry_delay": 5.0, "backoff": 1, "retry_max": 0.0, "time": None, "held_until": None,
        "payload": "hello", "payload_encoding": "utf-8",
    }  # fmt: skip


def test_jobs_for_people_have_a_line_for_each_fact(cli, client):
    """One that is missing does not keep the others back."""
    client.add("mails", b"x\n" * 100, id=ID, ttr=90, ttl=7200)
    client.add("mails", b"", id=OTHER)
    said = cli("inspect", "job", ID, MISSING, OTHER)
    assert said.status == statuses.WRONG
    first, second = said.out.split("\n\n")
    facts = dict(line.split(maxsplit=1) for line in first.splitlines())
    assert (facts["ttr"], facts["ttl"], facts["payload_bytes"]) == ("90s", "2h", "200")
    assert facts["payload"].startswith("x\\nx\\n") and facts["payload"].endswith("…")
    assert f"id             {OTHER}\n" in second


def test_a_list_has_as_many_as_are_wanted_beyond_what_the_server_shows_at_once(cli, client):
    """Piece by piece."""
    for number in range(250):
        client.add("mails", b"%d" % number)
    shown = cli("inspect", "jobs", "mails", "--limit", 230, "--offset", 5, "--json").lines
    assert [one["payload"] for one in shown] == [str(number) for number in range(5, 235)]
    assert len(cli("inspect", "jobs", "mails", "--limit", 999, "--json").lines) == 250
    assert len(cli("inspect", "jobs", "mails").out.splitlines()) == 101


@pytest.mark.parametrize("limit", ["-1", "0", "x"])
def test_a_list_of_nothing_is_refused(limit, cli):
    """Or it would be taken for there being nothing."""
    said = cli("inspect", "queues", "--limit", limit)
    assert (said.status, said.out) == (statuses.BAD_USAGE, "")
    assert "is not a number from 1 on" in said.err


def test_lists_for_people_are_tables(cli, client):
    """Of ready jobs, and of those that are due."""
    client.add("mails", b"hello", id=ID, priority=1000)
    client.schedule("mails", b"later", at=datetime(2100, 1, 31, 8, tzinfo=UTC), id=OTHER)
    head, row = cli("inspect", "jobs", "mails").out.splitlines()
    assert head.split() == ["id", "state", "priority", "attempts", "fails", "created", "payload"]
    assert row.split()[:5] == [ID, "new", "1,000", "0", "0"]
    head, row = cli("inspect", "scheduled-jobs", "mails").out.splitlines()
    assert head.split()[5] == "due"
    assert row.split() == [OTHER, "new", "0", "0", "0", "2100-01-31T08:00:00Z", "later"]
    assert cli("inspect", "scheduled-jobs", "mails", "--json").json["payload"] == "later"


def test_queues_one_and_all(cli, client):
    """By their names."""
    client.add("mails", delay=60)
    client.add("a.b")
    assert cli("inspect", "queue", "mails").out == "name       mails\nready      0\nscheduled  1\n"
    assert cli("inspect", "queue", "mails", "--json").json == {
        "name": "mails", "ready": 0, "scheduled": 1,
    }  # fmt: skip
    said = cli("inspect", "queues")
    assert said.out == "queue  ready  scheduled\na.b        1          0\nmails      0          1\n"
    assert [one["name"] for one in cli("inspect", "queues", "--json").lines] == ["a.b", "mails"]
    assert cli("inspect", "queue", "none").err == "workq: inspect queue: not found\n"


@pytest.mark.parametrize("words", [["inspect", "server"], ["stats"]])
def test_the_server_and_its_numbers(words, cli):
    """The same for both."""
    shown = cli(*words, "--json").json
    told = [line.split()[0] for line in cli(*words).out.splitlines()]
    assert told == list(shown)


def test_numbers_of_the_server_have_the_names_of_the_protocol(cli):
    """So that its page explains them."""
    assert cli("stats", "--json").json["jobs-ready"] == 0


def test_a_ping_says_who_answers(cli, server):
    """And how soon."""
    said = cli("ping")
    assert re.fullmatch(rf"{server.url} answers in [\d.]+ ms: workq \S+\n", said.out)
    shown = cli("ping", "--json").json
    assert (shown["url"], shown["protocol"]) == (server.url, 2)
    assert shown["ms"] > 0


def test_who_reads_may_stop_before_the_end(process, client):
    """As `head` does; that is no error."""
    client.add_many(NewJob(queue="mails", payload=b"x" * 50) for _ in range(1000))
    listing = process("inspect", "jobs", "mails", "--limit", 1000)
    assert listing.stdout.readline().startswith(b"id ")
    listing.stdout.close()
    assert listing.wait(10) == statuses.OK
    assert listing.stderr.read() == b""
