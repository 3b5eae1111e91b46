"""Seconds, dates, names and ids of Python as the protocol has them."""

import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from workq_client.addresses import Address, parse
from workq_client.codec import BYTES, JSON, NOTHING, TEXT, encoded
from workq_client.errors import DecodeError, InvalidRequest, JobFailed
from workq_client.ids import job_id, new_id
from workq_client.limits import ARGUMENT_CHARACTERS_MAX, DURATION_MS_MAX
from workq_client.models import Job, Result
from workq_client.requests import Request
from workq_client.values import milliseconds, name_word, time_of, time_word


@pytest.mark.parametrize(
    "value, ms",
    [
        (0, 0),
        (1, 1000),
        (0.001, 1),
        (0.0001, 1),
        (0.1 + 0.2, 300),
        (1.0005, 1001),
        (timedelta(minutes=1), 60_000),
        (timedelta(microseconds=1), 1),
        (86_400 * 365 * 1000, 86_400 * 365 * 1_000_000),
    ],
)
def test_durations_are_rounded_up_to_milliseconds(value, ms):
    """But not for what binary fractions make of decimal ones."""
    assert milliseconds("ttr", value) == ms


@pytest.mark.parametrize("value", [DURATION_MS_MAX // 1000 + 1, 1e300, 10**400, timedelta.max])
def test_what_is_longer_than_the_servers_time_is_refused(value):
    """Rather than some limit of a system call being met on the way."""
    with pytest.raises(InvalidRequest, match=r"^wait is longer than"):
        milliseconds("wait", value)
    assert milliseconds("wait", DURATION_MS_MAX // 1000) <= DURATION_MS_MAX


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "5", None, True, timedelta(-1)])
def test_what_is_no_duration_is_refused_by_its_name(value):
    """So that one sees which argument it was."""
    with pytest.raises(InvalidRequest, match=r"^ttr is "):
        milliseconds("ttr", value)


def test_times_are_written_in_utc():
    """Whatever zone they are of, with a fraction only where there is one."""
    berlin = timezone(timedelta(hours=1))
    assert time_word("at", datetime(2030, 1, 31, 8, tzinfo=berlin)) == "2030-01-31T07:00:00Z"
    at = datetime(2030, 1, 31, 8, 0, 0, 250_999, tzinfo=UTC)
    assert time_word("at", at) == "2030-01-31T08:00:00.250Z"
    assert time_word("at", datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"
    assert time_of("2030-01-31T08:00:00Z") == datetime(2030, 1, 31, 8, tzinfo=UTC)


def test_a_time_without_a_zone_is_refused_with_what_to_write():
    """It would mean another time on another machine."""
    with pytest.raises(InvalidRequest, match=r"datetime\.now\(UTC\)"):
        time_word("at", datetime(2030, 1, 31, 8))  # noqa: DTZ001 - on purpose


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 256, "a\n", 5])
def test_names_are_those_of_the_protocol(name):
    """So that none can break out of its line."""
    with pytest.raises(InvalidRequest, match="queue is"):
        name_word("queue", name)
    assert name_word("queue", "a-B_9.") == "a-B_9."


@pytest.mark.parametrize(
    "what, make",
    [
        ("queue", lambda text: name_word("queue", text)),
        ("id", job_id),
        ("line", lambda text: Request((text,)).encode(None, None)),
    ],
)
def test_an_error_shows_so_much_of_an_argument(what, make):
    """ARGUMENT_CHARACTERS_MAX, however long it is."""
    with pytest.raises(InvalidRequest) as caught:
        make("x\n" * 100_000)
    assert 0 < str(caught.value).count("x\\n") <= ARGUMENT_CHARACTERS_MAX // 2


def test_new_ids_are_uuids_of_version_7_and_sort_by_time():
    """RFC 9562: 48 bits of milliseconds in front."""
    before = time.time_ns() // 1_000_000
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        one = UUID(text)
        assert (one.version, one.variant) == (7, "specified in RFC 4122")
        assert str(one) == text == job_id(text)
    assert before <= int(made[0].replace("-", "")[:12], 16) <= time.time_ns() // 1_000_000
    time.sleep(0.002)
    assert new_id() > made[-1]


@pytest.mark.parametrize(
    "text", ["", "x", "{%s}", "urn:uuid:%s", "00000000-0000-0000-0000-000000000000"]
)
def test_ids_are_uuids_in_their_usual_form(text):
    """And not nil; the server would refuse others."""
    one = "c0ffee00-1111-4222-8333-000000000001"
    with pytest.raises(InvalidRequest, match="UUID"):
        job_id(text % one if "%" in text else text)
    assert job_id(UUID(one)) == job_id(one.upper()) == one


@pytest.mark.parametrize(
    "codec, value, data",
    [
        (BYTES, b"hi", b"hi"),
        (BYTES, bytearray(b"hi"), b"hi"),
        (BYTES, memoryview(b"hi"), b"hi"),
        (BYTES, NOTHING, b""),
        (TEXT, "hä", b"h\xc3\xa4"),
        (TEXT, NOTHING, b""),
        (JSON, {"a": [1, None]}, b'{"a":[1,null]}'),
        (JSON, "ä", b'"\xc3\xa4"'),
        (JSON, NOTHING, b""),
    ],
)
def test_a_codec_makes_bytes_and_reads_them(codec, value, data):
    """One way or the other it is the same value."""
    assert encoded(codec, value, "it") == data
    assert codec.decode(data) == (value if value is not NOTHING else codec.decode(b""))
    assert JSON.decode(b"") is None


@pytest.mark.parametrize(
    "codec, value",
    [
        (BYTES, "hi"),
        (BYTES, None),
        (TEXT, b"hi"),
        (JSON, b"hi"),
        (JSON, float("nan")),
        (JSON, {1, 2}),
    ],
)
def test_what_a_codec_cannot_say_is_refused_before_anything_is_sent(codec, value):
    """With what it is, and for bytes with which codec could."""
    with pytest.raises(InvalidRequest, match="it cannot be sent"):
        encoded(codec, value, "it")


def test_what_a_codec_cannot_read_is_there_as_bytes():
    """The job can still be failed, and looked at."""
    job = Job("id", "q", 1.0, b"{", 1, 1, JSON)
    with pytest.raises(DecodeError, match="payload of job id") as caught:
        _ = job.value
    assert caught.value.data == b"{"
    with pytest.raises(DecodeError, match="result of job id"):
        _ = Result("id", True, b"\xff", TEXT).value


def test_a_failure_is_an_error_only_for_who_checks():
    """With what the worker said."""
    failed = Result("id", False, b"no such photo")
    with pytest.raises(JobFailed, match="no such photo") as caught:
        failed.check()
    assert (caught.value.job_id, caught.value.data) == ("id", b"no such photo")
    assert Result("id", True, b"").check().success


@pytest.mark.parametrize(
    "url, address, told",
    [
        ("workq://example.org:99", Address("example.org", 99), "workq://example.org:99"),
        ("workq://example.org", Address("example.org", 9922), "workq://example.org:9922"),
        ("workq://[::1]:99/", Address("::1", 99), "workq://[::1]:99"),
        (
            "workq+unix:///run/a%20b.sock",
            Address(path="/run/a b.sock"),
            "workq+unix:///run/a b.sock",
        ),
    ],
)
def test_urls(url, address, told):
    """TCP with and without a port, and Unix sockets."""
    assert parse(url) == address
    assert str(parse(url)) == told


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:9922",
        "redis://x",
        "workq://",
        "workq://x:99999",
        "workq://x/path",
        "workq://x?tls=1",
        "workq://me:secret@x",
        "workq+unix://host/path",
        "workq+unix:relative",
        "workq://a..b",
        f"workq://{'x' * 64}",
    ],
)
def test_what_is_no_url_is_refused(url):
    """With what one looks like."""
    with pytest.raises(InvalidRequest, match="URL"):
        parse(url)


def test_the_environment_tells_where_the_server_is(monkeypatch):
    """Unless a URL is given."""
    monkeypatch.setenv("WORKQ_URL", "workq://a:1")
    assert parse() == Address("a", 1)
    assert parse("workq://b:2") == Address("b", 2)
    monkeypatch.setenv("WORKQ_URL", "")
    assert parse() == Address("127.0.0.1", 9922)
