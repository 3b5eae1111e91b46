"""Every reply that is documented is read, however it is cut; nothing else passes for one."""

from pathlib import Path

import pytest
from workq_client import errors
from workq_client.answers import Answer, Entry, Reader, Shape
from workq_client.errors import BrokenReply, Refused
from workq_client.limits import (
    EXCERPT_BYTES_MAX,
    REPLY_BLOCK_BYTES_MAX,
    REPLY_ENTRIES_MAX,
    REPLY_LINE_BYTES_MAX,
)

from tests.commands.harness import Client
from tests.docs.examples import Play, examples
from workq.commands import COMMANDS
from workq.wire.grammar import Table
from workq.wire.reader import Reader as RequestReader

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = [one for one in examples(PAGE) if not any("-tag=" in step for step in one.steps)]

#: The shape of each command's answer; that of all others is `Shape.DONE`.
SHAPES = {
    "lease": Shape.BLOCKS,
    "run": Shape.BLOCKS,
    "result": Shape.BLOCKS,
    "inspect": Shape.KEYS,
    "stats": Shape.KEYS,
    "hello": Shape.KEYS,
    "help": Shape.LINES,
}


class Noting(Client):
    """A connection that notes all it says and hears."""

    def __init__(self, server):
        self._received = b""
        self.said = self.heard = b""
        super().__init__(server)

    @property
    def received(self):
        """What has come and was not taken yet."""
        return self._received

    @received.setter
    def received(self, data):
        if len(data) > len(self._received):
            self.heard += data[len(self._received) :]
        self._received = data

    def send(self, data):
        """Send it, and note it."""
        self.said += data
        super().send(data)


class NotingPlay(Play):
    """A playing whose connections note what they say and hear."""

    def on(self, name):
        """The connection of a name."""
        if name not in self.clients:
            self.clients[name] = Noting(self.server)
        return self.clients[name]


def shapes(said):
    """The shapes of the answers to what was said, in order."""
    reader = RequestReader(Table(COMMANDS))
    reader.feed(said)
    while (request := reader.next()) is not None:
        command = request[0]
        yield SHAPES.get(command.name.split(" ")[0], Shape.DONE) if command else Shape.DONE


def read_all(heard, wanted, piece):
    """The answers in what was heard, which comes in pieces."""
    reader = Reader()
    answers: list[Answer | Refused] = []
    for start in range(0, len(heard), piece):
        reader.feed(heard[start : start + piece])
        while len(answers) < len(wanted):
            answer = reader.take(wanted[len(answers)], "", None)
            if answer is None:
                break
            answers.append(answer)
    assert len(reader) == 0
    return answers


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line{example.line}")
def test_every_documented_reply_is_read_to_its_last_byte(example):
    """On each connection of each example of docs/protocol.md: whole, and cut at every byte."""
    play = NotingPlay()
    play.run(example.steps)
    for client in play.clients.values():
        assert isinstance(client, Noting)
        wanted = list(shapes(client.said))
        whole = read_all(client.heard, wanted, 10**6)
        pieces = read_all(client.heard, wanted, 1)
        assert [str(one) for one in pieces] == [str(one) for one in whole]


KINDS = {
    "-TIMEOUT": errors.TimedOut,
    "-NOT-FOUND": errors.NotFound,
    "-CLIENT-ERROR Duplicate job": errors.DuplicateJob,
    "-CLIENT-ERROR Duplicate result": errors.DuplicateResult,
    "-CLIENT-ERROR Lease lost": errors.LeaseLost,
    "-CLIENT-ERROR Unknown command": errors.UnknownCommand,
    "-SERVER-ERROR Out of memory": errors.OutOfMemory,
    "-SERVER-ERROR Disk full": errors.DiskFull,
    "-SERVER-ERROR Shutting down": errors.ShuttingDown,
    "-SERVER-ERROR Too many connections": errors.TooManyConnections,
}


def documented():
    """The errors in the table of docs/protocol.md."""
    table = PAGE[PAGE.index("\n## Errors") : PAGE.index("\n## Limits")]
    return [row.split("`")[1] for row in table.splitlines() if row.startswith("| `-")]


@pytest.mark.parametrize("line", documented())
def test_every_documented_error_has_its_class(line):
    """Some have one of their own; what begins with "Invalid" is about an argument."""
    reader = Reader()
    reader.feed(line.encode() + b"\r\n")
    error = reader.take(Shape.DONE, "add", "the-job")
    default = errors.ClientError if line.startswith("-CLIENT") else errors.ServerError
    if " Invalid " in line:
        default = errors.InvalidArgument
    assert type(error) is KINDS.get(line, default)
    assert (error.command, error.job_id) == ("add", "the-job")
    assert error.text in line or line in ("-TIMEOUT", "-NOT-FOUND")
    assert "add the-job: " in str(error)


@pytest.mark.parametrize(
    "line, kind",
    [
        ("-CLIENT-ERROR Brand new", errors.ClientError),
        ("-SERVER-ERROR Brand new", errors.ServerError),
        ("-NOT-FOUND at all", errors.NotFound),
        ("-TIMEOUT again", errors.TimedOut),
    ],
)
def test_an_error_of_a_later_server_is_of_its_class(line, kind):
    """The part before the first space tells which."""
    reader = Reader()
    reader.feed(line.encode() + b"\r\n")
    assert type(reader.take(Shape.DONE, "", None)) is kind


def taken(data, shape):
    """The answer in some bytes."""
    reader = Reader()
    reader.feed(data)
    return reader.take(shape, "", None)


def test_what_a_client_does_not_know_of_is_passed_over():
    """Attributes in any order and place, and keys: docs/protocol.md, How the protocol grows."""
    answer = taken(b"+OK later=1 1\r\nid mails new=a=b 5 2 token=7 x=\r\nhi\r\n", Shape.BLOCKS)
    assert answer == Answer(
        (Entry(("id", "mails", "5", "2"), {"new": "a=b", "token": "7", "x": ""}, b"hi"),),
        {"later": "1"},
    )
    assert taken(b"+OK when=now\r\n", Shape.DONE) == Answer((), {"when": "now"})
    answer = taken(b"+OK 1\r\nq 2 y=z\r\nready-len 1\r\nnew a b c\r\n", Shape.KEYS)
    assert answer.entries[0].keys == {"ready-len": "1", "new": "a b c"}


def test_a_payload_among_keys_is_read_by_its_size():
    """It may have line ends in it, and look like a key."""
    data = b"+OK 1\r\nid 3\r\npayload-size 12\r\npayload hi\r\nname x\r\n\r\nname mails\r\n"
    entry = taken(data, Shape.KEYS).entries[0]
    assert entry.block == b"hi\r\nname x\r\n"
    assert entry.keys == {"payload-size": "12", "name": "mails"}


@pytest.mark.parametrize(
    "data, shape",
    [
        (b"OK\r\n", Shape.DONE),
        (b"+OKAY\r\n", Shape.DONE),
        (b"+OK 1 2\r\n", Shape.LINES),
        (b"+OK 1\r\n", Shape.DONE),
        (b"+OK\r\n", Shape.BLOCKS),
        (b"+OK x\r\n", Shape.LINES),
        (b"+OK -1\r\n", Shape.LINES),
        (b"+OK %d\r\n" % (REPLY_ENTRIES_MAX + 1), Shape.LINES),
        (b"+OK 99999999999999999999999\r\n", Shape.LINES),
        (b"-OOPS\r\n", Shape.DONE),
        (b"+OK\xff\r\n", Shape.DONE),
        (b"+OK 1\r\nid q 1 x\r\n", Shape.BLOCKS),
        (b"+OK 1\r\nid q 1 2\r\nhiho", Shape.BLOCKS),
        (b"+OK 1\r\nid q 1 %d\r\n" % (REPLY_BLOCK_BYTES_MAX + 1), Shape.BLOCKS),
        (b"+OK 1\r\nid\r\n", Shape.KEYS),
        (b"+OK 1\r\nid %d\r\n" % (REPLY_ENTRIES_MAX + 1), Shape.KEYS),
        (b"+OK 1\r\nid 1\r\nkey\r\n", Shape.KEYS),
        (b"+OK 1\r\nid 1\r\n value\r\n", Shape.KEYS),
        (b"+OK 1\r\na=b\r\n", Shape.BLOCKS),
        (b"x" * (REPLY_LINE_BYTES_MAX + 2), Shape.DONE),
        (b"\r\n", Shape.DONE),
    ],
)
def test_what_is_no_reply_is_told_at_once(data, shape):
    """With the place where it is none, and no more of it than a person would read."""
    with pytest.raises(BrokenReply) as caught:
        taken(data, shape)
    assert len(caught.value.data) <= EXCERPT_BYTES_MAX
    assert len(str(caught.value)) < 500


def test_a_large_block_in_small_pieces_is_looked_at_once_it_is_there():
    """Not at each piece: that would take for ever."""
    reader = Reader()
    size = 1_000_000
    reader.feed(b"+OK 1\r\nid q 1 %d\r\n" % size)
    assert reader.take(Shape.BLOCKS, "", None) is None
    looked = reader._needs
    assert looked > size
    for _ in range(size // 100):
        reader.feed(b"x" * 100)
        assert reader.take(Shape.BLOCKS, "", None) is None
    reader.feed(b"\r\n")
    answer = reader.take(Shape.BLOCKS, "", None)
    assert isinstance(answer, Answer)
    assert len(answer.entries[0].block) == size


def test_replies_that_come_together_are_taken_one_by_one():
    """What is behind one is left for the next."""
    reader = Reader()
    reader.feed(b"+OK\r\n-NOT-FOUND\r\n+O")
    assert reader.take(Shape.DONE, "", None) == Answer()
    assert isinstance(reader.take(Shape.DONE, "", None), errors.NotFound)
    assert reader.take(Shape.DONE, "", None) is None
    reader.feed(b"K\r\n")
    assert reader.take(Shape.DONE, "", None) == Answer()
    assert len(reader) == 0
