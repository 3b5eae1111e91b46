"""Every bound of a request, crossed over a socket: the short error, and a close where the stream
cannot be followed. What is just within it works."""

import pytest

from tests.talk import MIB, NOT_FOUND, OK, TIMEOUT, add, complete, job_id, result, told
from workq.limits import (
    ATTEMPTS_MAX,
    BACKOFF_MAX,
    BLOCK_BYTES_MAX,
    BLOCK_DISCARD_BYTES_MAX,
    CURSOR_OFFSET_MAX,
    DEADLINE_MS_MAX,
    DELAY_MS_MAX,
    FAILS_MAX,
    LEASE_COUNT_MAX,
    LEASE_NAMES_MAX,
    LINE_BYTES_MAX,
    LINE_WORDS_MAX,
    LISTED_BYTES_MAX,
    LISTED_MAX,
    NAME_BYTES_MAX,
    NUMBER_DIGITS_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    TAG_MAX,
    TAGGED_WAITS_MAX,
    TOKEN_MAX,
    TTL_MS_MAX,
    TTR_MS_MAX,
    UNKNOWN_COMMANDS_IN_A_ROW_MAX,
    WAIT_MS_MAX,
)

ARGS = "-CLIENT-ERROR Invalid command args\r\n"
NAME = "-CLIENT-ERROR Invalid Name\r\n"
PAYLOAD = "-CLIENT-ERROR Invalid payload size\r\n"
RESULT = "-CLIENT-ERROR Invalid result size\r\n"
UNKNOWN = "-CLIENT-ERROR Unknown command\r\n"


@pytest.fixture
def peer(server):
    """A connection; what it leaves behind is deleted."""
    one = server.peer()
    yield one
    with server.peer().sock as cleaner:
        for number in (1, 2):
            cleaner.sendall(f"delete {job_id(number)}\r\n".encode())
            cleaner.recv(100)


def stays(peer):
    """The connection is served as if nothing had been."""
    peer.ask("ping\r\n", OK)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_may_be_as_long_as_it_may_be(server, end):
    """With its end; one byte more closes, also when no end is in sight."""
    longest = "ping" + " " * (LINE_BYTES_MAX - 4 - len(end)) + end
    peer = server.peer()
    peer.ask(longest, OK)
    stays(peer)
    for too_long in (" ".join(("ping", longest[4:])), "x" * LINE_BYTES_MAX):
        peer = server.peer()
        peer.send("ping\r\n" + too_long)
        assert peer.rest() == OK + "-CLIENT-ERROR Line too long\r\n"


def test_the_length_of_a_line_is_a_setting(inside):
    """With the same error."""
    peer = inside(line_bytes_max=1024).peer()
    peer.ask("ping" + " " * 1018 + "\r\n", OK)
    peer.send("ping" + " " * 1019 + "\r\n")
    assert peer.rest() == "-CLIENT-ERROR Line too long\r\n"


def test_a_payload_may_be_as_large_as_it_may_be(peer):
    """It comes back whole; one byte more is refused at its line, thrown away, and the next
    request is the next request."""
    payload = "x" * BLOCK_BYTES_MAX
    peer.ask(add(1, payload=payload) + "lease q 0\r\n", OK + told(1, payload=payload))
    peer.ask(add(2, payload=payload + "x"), PAYLOAD)
    peer.ask(f"inspect job {job_id(2)}\r\n", NOT_FOUND)


def test_a_result_may_be_as_large_as_it_may_be(peer):
    """As a payload; the job of a refused one is still to be finished."""
    text = "x" * BLOCK_BYTES_MAX
    peer.ask(add(1) + add(2), OK * 2)
    peer.ask(complete(1, text + "x"), "-CLIENT-ERROR Invalid payload size\r\n")
    fail = complete(2, text + "x").replace("complete", "fail")
    peer.ask(fail, RESULT)
    peer.ask(complete(1, text), OK)
    peer.ask(f"result {job_id(1)} 0\r\n", result(1, text))
    peer.ask(f"result {job_id(2)} 0\r\n", TIMEOUT)


@pytest.mark.parametrize("command, error", [("complete", PAYLOAD), ("fail", RESULT)])
def test_a_refused_block_is_thrown_away_up_to_a_size(server, command, error):
    """Beyond that the connection closes at the line."""
    peer = server.peer()
    peer.send(f"{command} {job_id()} {BLOCK_DISCARD_BYTES_MAX}\r\n")
    peer.expect(error)
    for _ in range(BLOCK_DISCARD_BYTES_MAX // MIB):
        peer.send("x" * MIB)
    peer.ask("\r\nping\r\n", OK)
    peer.send(f"{command} {job_id()} {BLOCK_DISCARD_BYTES_MAX + 1}\r\nping\r\n")
    assert peer.rest() == error


def test_a_block_that_does_not_end_closes(server):
    """Nobody knows where the next request begins."""
    peer = server.peer()
    peer.send(add(1)[:-2] + "yping\r\n")
    assert peer.rest() == PAYLOAD


@pytest.mark.parametrize("number", ["1" * 21, "9" * 60_000, "0" * 60_000 + "9" * 21])
def test_a_number_may_have_so_many_digits(server, number):
    """Zeros before it do not count; a longer one is out of every range, and not converted."""
    peer = server.peer()
    assert len(number) > NUMBER_DIGITS_MAX
    peer.ask(f"lease q {number}\r\n", "-CLIENT-ERROR Invalid wait timeout\r\n")
    peer.ask(f"add {job_id()} q 1 {number} 0\r\n\r\n", "-CLIENT-ERROR Invalid TTL\r\n")
    peer.ask(f"lease q {'0' * 60_000}\r\n", TIMEOUT)
    peer.send(f"add {job_id()} q 1 1 {number}\r\n")
    assert peer.rest() == PAYLOAD


def test_a_name_may_be_so_long(server):
    """One character more is refused."""
    peer = server.peer()
    peer.ask(f"lease {'n' * NAME_BYTES_MAX} 0\r\n", TIMEOUT)
    peer.ask(f"lease {'n' * (NAME_BYTES_MAX + 1)} 0\r\n", NAME)
    stays(peer)


def test_a_lease_may_have_so_many_names(server):
    """The longest ones fill nearly a line; one more name is refused."""
    peer = server.peer()
    longest = " ".join(f"{i:03}" + "n" * (NAME_BYTES_MAX - 3) for i in range(LEASE_NAMES_MAX - 1))
    peer.ask(f"lease {longest} 0\r\n", TIMEOUT)
    names = " ".join(f"n{i}" for i in range(LEASE_NAMES_MAX))
    peer.ask(f"lease {names} 0\r\n", TIMEOUT)
    peer.ask(f"lease {names} one-more 0\r\n", ARGS)
    stays(peer)


def test_a_line_of_too_many_words_is_not_looked_into(server):
    """Whatever they are; where a block would follow nobody knows how large it is."""
    peer = server.peer()
    flags = ["-a=b"] * LINE_WORDS_MAX
    peer.ask(f"lease {' '.join(flags[1:])}\r\n", "-CLIENT-ERROR Invalid command flags\r\n")
    peer.ask(f"lease {' '.join(flags)}\r\n", ARGS)
    peer.ask(f"what {' '.join(flags)}\r\n", UNKNOWN)
    stays(peer)
    peer.send(f"add {' '.join(flags)}\r\nping\r\n")
    assert peer.rest() == ARGS


ADD = f"add {job_id(1)} q %s %s 1 %s\r\nx\r\n"


@pytest.mark.parametrize(
    "request_text, highest, lowest, error",
    [
        (ADD % ("%d", 1000, "-priority=0"), TTR_MS_MAX, 1, "Invalid TTR"),
        (ADD % (1000, "%d", "-priority=0"), TTL_MS_MAX, 1, "Invalid TTL"),
        (ADD % (1000, 1000, "-priority=%d"), PRIORITY_MAX, PRIORITY_MIN, "Invalid Priority"),
        (ADD % (1000, 1000, "-max-attempts=%d"), ATTEMPTS_MAX, 0, "Invalid Max Attempts"),
        (ADD % (1000, 1000, "-max-fails=%d"), FAILS_MAX, 0, "Invalid Max Fails"),
        (ADD % (1000, 1000, "-retry-delay=%d"), DELAY_MS_MAX, 0, "Invalid Retry Delay"),
        (ADD % (1000, 1000, "-backoff=%d"), BACKOFF_MAX, 1, "Invalid Backoff"),
    ],
    ids=["ttr", "ttl", "priority", "attempts", "fails", "retry-delay", "backoff"],
)
def test_the_numbers_of_a_job_have_ranges(peer, request_text, highest, lowest, error):
    """Their ends are taken; beyond them the job is not, and the stream stays in step."""
    for number in (highest, lowest):
        peer.ask(request_text % number, OK)
        peer.send(f"delete {job_id(1)}\r\n")
        assert peer.line() in ("+OK", "-NOT-FOUND")  # with the shortest TTL it may be gone
    for number in (highest + 1, lowest - 1):
        peer.ask(request_text % number, f"-CLIENT-ERROR {error}\r\n")
    peer.ask(f"inspect job {job_id(1)}\r\n", NOT_FOUND)


def test_the_numbers_of_a_worker_have_ranges(peer):
    """How many jobs at once, and of which lease."""
    peer.ask(f"lease many 0 -count={LEASE_COUNT_MAX}\r\n", TIMEOUT)
    peer.ask(f"lease many 0 -count={LEASE_COUNT_MAX + 1}\r\n", "-CLIENT-ERROR Invalid Count\r\n")
    peer.ask(f"touch {job_id(9)} -lease={TOKEN_MAX}\r\n", NOT_FOUND)
    peer.ask(f"touch {job_id(9)} -lease={TOKEN_MAX + 1}\r\n", "-CLIENT-ERROR Invalid Lease\r\n")
    stays(peer)


def test_tags_have_a_range_and_so_many_may_wait(inside, monkeypatch):
    """Of one connection, and of all together."""
    server = inside()
    peer, other = server.peers(2)
    for one in (peer, other):
        one.send("hello 2\r\n")
        assert one.line().startswith("+OK")
        one.send("ping -tag=1\r\n")
        while one.line() != "=1 +OK":
            pass
    peer.ask(f"ping -tag={TAG_MAX}\r\n", f"={TAG_MAX} +OK\r\n")
    peer.ask(f"ping -tag={TAG_MAX + 1}\r\n", "-CLIENT-ERROR Invalid command flags\r\n")
    peer.send("".join(f"lease q 80000000 -tag={tag}\r\n" for tag in range(TAGGED_WAITS_MAX)))
    peer.ask("lease q 80000000 -tag=999\r\n", "=999 -CLIENT-ERROR Too many waits\r\n")
    monkeypatch.setattr("workq.broker.room.ALL_TAGGED_WAITS_MAX", TAGGED_WAITS_MAX)
    other.ask("lease q 80000000 -tag=2\r\n", "=2 -SERVER-ERROR Out of memory\r\n")
    stays(other)


@pytest.mark.parametrize(
    "request_text, highest, answer, error",
    [
        (f"result {job_id(9)} %d\r\n", WAIT_MS_MAX, NOT_FOUND, "wait timeout"),
        ("inspect jobs range %d 1\r\n", CURSOR_OFFSET_MAX, NOT_FOUND, "cursor offset"),
        ("inspect jobs range 0 %d\r\n", LISTED_MAX, NOT_FOUND, "limit"),
    ],
    ids=["wait", "offset", "listed"],
)
def test_the_numbers_of_a_question_have_ranges(server, request_text, highest, answer, error):
    """The highest is taken, one more is refused."""
    peer = server.peer()
    peer.ask(request_text % highest, answer)
    peer.ask(request_text % (highest + 1), f"-CLIENT-ERROR Invalid {error}\r\n")


def test_an_end_too_far_away_is_none(peer):
    """Such a job stays, and is told as it was given."""
    assert TTL_MS_MAX > DEADLINE_MS_MAX
    peer.ask(
        (ADD % (1000, TTL_MS_MAX, "-priority=0")) + "lease q 0\r\n",
        OK + told(1).replace(" 60000 ", " 1000 "),
    )
    peer.send(f"inspect job {job_id(1)}\r\n")
    while not (line := peer.line()).startswith("ttl "):
        pass
    assert line == f"ttl {TTL_MS_MAX}"
    while not peer.line().startswith("created "):
        pass


def test_a_list_has_so_many_entries_and_bytes(server):
    """It ends with the job that reaches the bound of bytes; more entries are refused."""
    peer = server.peer()
    payload = "x" * (LISTED_BYTES_MAX // 2)
    for number in range(10, 16):
        peer.ask(add(number, "long", payload), OK)
    peer.send("inspect jobs long 0 100\r\nquit\r\n")
    text = peer.rest()
    assert text.startswith("+OK ")
    assert 1 <= int(text[4 : text.index("\r")]) <= 3
    peer = server.peer()
    peer.ask(f"inspect jobs long 0 {LISTED_MAX + 1}\r\n", "-CLIENT-ERROR Invalid limit\r\n")
    for number in range(10, 16):
        peer.ask(f"delete {job_id(number)}\r\n", OK)


def test_another_protocol_stops_at_the_twentieth_unknown_command(server):
    """Without a word for the last."""
    peer = server.peer()
    peer.send("what\r\n" * 50)
    assert peer.rest() == UNKNOWN * (UNKNOWN_COMMANDS_IN_A_ROW_MAX - 1)


@pytest.mark.parametrize(
    "rubbish",
    [
        bytes(range(256)) * 400,
        b"\0" * 100_000,
        b"\xff\xfe\r\n" * 30,
        b"\r\n" * 30,
        b"add " + b"-" * 60_000 + b"\r\n",
        b"add -a=b -a=b 5\r\nping\r\n",
        b"lease " + b"= " * 30_000 + b"0\r\n",
        b"inspect jobs \x80 0 10\r\n",
        b"help \xe2\x98\x83\r\n",
        b"help " + b"x" * 60_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x1b]0;owned\x07\r\n",
    ],
    ids=lambda rubbish: repr(rubbish[:16]),
)
def test_rubbish_is_answered_with_short_errors(server, rubbish):
    """Whatever it is: lines of the protocol, soon, the end, and nothing of it in the answer."""
    peer = server.peer()
    peer.sock.sendall(rubbish)
    peer.shut()
    answer = peer.rest()
    lines = answer.split("\r\n")
    assert lines.pop() == ""
    for line in lines:
        assert line.startswith(("-CLIENT-ERROR ", "-NOT-FOUND", "-TIMEOUT", "+OK")), line
        assert len(line) < 100
    stays(server.peer())
