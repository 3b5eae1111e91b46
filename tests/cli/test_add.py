"""`workq add` and `workq schedule`: what was said is what the server has."""

import re
import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.making import ID
from workq.cli import add, statuses
from workq.limits import BLOCK_BYTES_MAX, READ_LINES_BYTES


def test_what_is_printed_is_the_id_and_nothing_else(cli, client):
    """For `id=$(workq add …)`."""
    said = cli("add", "mails", "hello")
    info = client.inspect_job(said.out.removesuffix("\n"))
    assert (said.status, said.err) == (statuses.OK, "")
    assert (info.queue, info.payload) == ("mails", b"hello")
    assert (info.ttr, info.ttl, info.priority) == (60, 86_400, 0)


def test_every_option_of_a_job_arrives(cli, client):
    """With durations in units."""
    options = (
        "--ttr 5m --ttl 2h --delay 1h --priority -7 --max-attempts 9 --max-fails 3"
        " --retry-delay 500ms --backoff 2 --retry-max 1m"
    )
    said = cli("add", "mails", "--id", ID, *options.split(), "--json")
    assert said.json == {"id": ID}
    info = client.inspect_job(ID)
    assert (info.ttr, info.ttl, info.priority, info.max_attempts) == (300, 7200, -7, 9)
    assert (info.max_fails, info.retry_delay, info.backoff, info.retry_max) == (3, 0.5, 2, 60)
    assert info.held_until is not None
    assert info.held_until - info.created == timedelta(hours=1)


def test_a_scheduled_job_is_ready_at_its_time(cli, client, server):
    """Whatever its zone."""
    at = "2100-01-31T09:00+01:00"
    said = cli("schedule", "mails", "hello", "--at", at, "--id", ID, "--max-fails", 2)
    assert said.out == f"{ID}\n"
    info = client.inspect_job(ID)
    assert (info.time, info.max_fails) == (datetime(2100, 1, 31, 8, tzinfo=UTC), 2)
    assert cli("schedule", "mails", "--at", at, "--json").json["id"] != ID


@pytest.mark.parametrize("at", ["2100-01-31T09:00", "tomorrow", ""])
def test_a_time_without_a_zone_is_none(at, cli):
    """Nobody knows whose clock is meant."""
    said = cli("schedule", "mails", "--at", at)
    assert said.status == statuses.BAD_USAGE
    assert "zone" in said.err or "is not a time like" in said.err


@pytest.mark.parametrize("words", [["-"], ["--file", "-"]])
def test_a_payload_may_come_from_standard_input(words, cli, client):
    """Byte for byte."""
    said = cli("add", "mails", *words, stdin=b"\x00\xff\r\n")
    assert client.inspect_job(said.out.strip()).payload == b"\x00\xff\r\n"


def test_a_payload_may_come_from_a_file(cli, client, payload_file):
    """Byte for byte."""
    said = cli("add", "mails", "--file", payload_file)
    assert client.inspect_job(said.out.strip()).payload == b"\xff\x00\n"


def test_what_makes_no_sense_is_told_before_anything_is_sent(cli, client, tmp_path):
    """With the status for that."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * (BLOCK_BYTES_MAX + 1))
    for words, status, told in [
        (["mails", "text", "--file", file], statuses.BAD_USAGE, "which is it?"),
        (["mails", "--lines", file, "--id", ID], statuses.BAD_USAGE, "an id of its own"),
        (["no/name"], statuses.BAD_USAGE, "A-Z a-z"),
        (["mails", "--id", "7"], statuses.BAD_USAGE, "UUID"),
        (["mails", "--ttr", "soon"], statuses.BAD_USAGE, "is not a duration like 30, 30s"),
        (["mails", "--file", file], statuses.WRONG, "1,048,576 bytes"),
        (["mails", "--file", tmp_path / "none"], statuses.UNUSABLE, "No such file"),
        (["mails", "--lines", file], statuses.WRONG, "1,048,576 bytes"),
        (["mails", "--ttr", "2d"], statuses.WRONG, "Invalid TTR"),
    ]:
        said = cli("add", *words)
        assert (said.status, said.out) == (status, ""), words
        assert told in said.err
    assert client.stats()["jobs"] == 0


def test_an_id_that_is_taken_is_refused(cli):
    """And the first job stays."""
    assert cli("add", "mails", "--id", ID).status == statuses.OK
    said = cli("add", "mails", "--id", ID)
    assert (said.status, said.err) == (statuses.WRONG, f"workq: add {ID}: Duplicate job\n")


def test_each_line_is_a_job(cli, client, tmp_path):
    """Without its end, whichever it is; empty ones are passed over, and the last needs no end."""
    file = tmp_path / "lines"
    file.write_bytes(b"a\r\n\nb c\n\xffd")
    said = cli("add", "mails", "--lines", file, "--priority", 3, "--json")
    assert said.json == {"added": 3}
    jobs = client.inspect_jobs("mails")
    assert [job.payload for job in jobs] == [b"a", b"b c", b"\xffd"]
    assert {job.priority for job in jobs} == {3}
    assert cli("add", "mails", "--lines", "-", stdin=b"x\n").out == "added 1 job\n"
    assert cli("add", "mails", "--lines", "-").out == "added 0 jobs\n"


def test_lines_may_lie_across_what_is_read_at_once(cli, client):
    """None is cut, and none is lost."""
    length = READ_LINES_BYTES * 2 // 3
    lines = [bytes([97 + number]) * length for number in range(5)]
    said = cli("add", "mails", "--lines", "-", stdin=b"\n".join(lines))
    assert said.out == "added 5 jobs\n"
    assert sorted(job.payload for _ in range(5) if (job := client.lease("mails"))) == lines


def test_the_first_line_that_is_refused_is_named(server, cli, client):
    """With how many were added."""
    client.add("mails", b"", ttr=1)
    said = cli("add", "mails", "--lines", "-", "--ttr", "2d", stdin=b"\na\nb\n")
    assert said.status == statuses.WRONG
    assert said.err.startswith("workq: standard input, line 2: add ")
    assert "Invalid TTR\n  0 jobs were added" in said.err


def test_lines_of_a_slow_pipe_are_added_as_they_come(process, client):
    """None waits for the next."""
    adding = process("add", "mails", "--lines", "-")
    adding.stdin.write(b"first\nsec")
    adding.stdin.flush()
    job = client.lease("mails", wait=10)
    assert job is not None and job.payload == b"first"
    adding.stdin.write(b"ond\n")
    adding.stdin.close()
    assert client.lease("mails", wait=10).payload == b"second"
    assert adding.stdout.read() == b"added 2 jobs\n"
    assert adding.wait() == statuses.OK


def test_lines_that_break_off_tell_how_many_were_added(cli, server, monkeypatch):
    """Whatever it is that breaks them off."""
    said = cli("add", "mails", "--lines", "-", stdin=b"a\nb\n" + b"x" * (BLOCK_BYTES_MAX + 1))
    assert said.status == statuses.WRONG
    assert "1,048,576 bytes" in said.err
    assert "\n  2 jobs were added" in said.err

    def pieces(*file):
        yield [(1, b"first")], 6
        with server.away():
            yield [(2, b"second")], 13

    monkeypatch.setattr(add, "_pieces", pieces)
    said = cli("add", "mails", "--lines", "-", "--timeout", "100ms")
    assert said.status == statuses.UNUSABLE
    assert "\n  1 job was added" in said.err


def test_ctrl_c_ends_it_without_a_trace(process, client):
    """With the status for that, and how many were added."""
    adding = process("add", "mails", "--lines", "-")
    adding.stdin.write(b"first\n")
    adding.stdin.flush()
    client.lease("mails", wait=10)
    adding.send_signal(signal.SIGINT)
    assert adding.wait(10) == statuses.INTERRUPTED
    told = adding.stderr.read()
    assert re.match(rb"workq: broken off\n  [01] jobs? w(as|ere) added, and perhaps", told)
    assert b"Traceback" not in told
