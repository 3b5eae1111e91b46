"""A server on virtual time, without sockets: what a command's tests and examples talk to.

`Server.ask` talks on a connection of its own; `Server.client` makes more. Whatever is sent is
answered at once as far as it can be, and time stands still until `advance`.
"""

from __future__ import annotations

from typing import Any

from workq.broker.broker import Broker
from workq.broker.session import STAY
from workq.commands import COMMANDS
from workq.commands.base import Facts
from workq.engine import dump
from workq.engine.calendar import NEVER
from workq.engine.engine import Engine

#: 2030-01-01T00:00:00Z: when every server of a test begins to listen.
START_MS = 1_893_456_000_000

#: More turns than this without time passing are a server that never comes to rest.
TURNS_MAX = 10_000


def job_id(number: int = 1) -> str:
    """The id of a test's n-th job."""
    return f"00000000-0000-4000-8000-{number:012x}"


class Client:
    """A connection as its client sees it.

    Attributes:
        received: what has come and was not taken yet.
        closed: whether the server has closed the connection, or we have.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.session = server.broker.open()
        self.session.peer = self
        self.received = b""
        self.closed = False

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self.closed:
            self._server.broker.receive(self.session, data)
            self._server.run()

    def say(self, text: str, block: str | None = None) -> None:
        """Send a line, and a block behind it if one is given."""
        lines = [text] if block is None else [f"{text} {len(block)}", block]
        self.send("".join(f"{line}\r\n" for line in lines).encode("latin-1"))

    def take(self) -> str:
        """What has come since the last time."""
        data, self.received = self.received, b""
        return data.decode("latin-1")

    def ask(self, text: str, block: str | None = None) -> str:
        """Send a line, with a block or not; return what came at once."""
        self.say(text, block)
        return self.take()

    def shut(self) -> None:
        """Half-close: we send no more."""
        self._server.broker.eof(self.session)
        self._server.run()

    def close(self) -> None:
        """Close, whatever was not taken."""
        self._server.hang_up(self)
        self._server.run()


class Server:
    """A broker, its engine and its time.

    Attributes:
        now_ms: the time that never steps back.
        offset_ms: what the wall clock is ahead of it.
        commits: how many turns have changed something durable.
    """

    def __init__(self) -> None:
        self.engine = Engine()
        self.broker = Broker(self.engine, COMMANDS)
        self.broker.facts = Facts("1.2.3", START_MS, 12345, 4096)
        self.now_ms = START_MS
        self.offset_ms = 0
        self.commits = 0
        self._asker: Client | None = None
        self.run()

    def client(self) -> Client:
        """A new connection."""
        return Client(self)

    def ask(self, text: str, block: str | None = None) -> str:
        """As `Client.ask`, on a connection of the server's own that nothing else uses."""
        if self._asker is None:
            self._asker = self.client()
        return self._asker.ask(text, block)

    def run(self) -> None:
        """Have turns until nothing is left to do at this instant."""
        for _ in range(TURNS_MAX):
            if self.broker.turn(self.now_ms, self.offset_ms):
                self.commits += 1
                self.broker.appended(self.commits)
                self.broker.safe(self.commits)
            for session, data, ending in self.broker.release():
                client = session.peer
                client.received += data
                if ending != STAY:
                    self.hang_up(client)
            if self.broker.next_ms() > self.now_ms:
                return
        raise AssertionError("the server does not come to rest")

    def hang_up(self, client: Client) -> None:
        """End a connection, unless it has ended."""
        if not client.closed:
            client.closed = True
            self.broker.lost(client.session)

    def advance(self, ms: int) -> None:
        """Let time pass, and have a turn whenever one is wanted."""
        until_ms = self.now_ms + ms
        while (next_ms := self.broker.next_ms()) <= until_ms:
            self.now_ms = max(self.now_ms, next_ms)
            self.run()
        self.now_ms = until_ms
        self.run()

    def advance_to_next(self) -> bool:
        """Let time pass until something may happen; return whether anything ever will."""
        next_ms = self.broker.next_ms()
        if next_ms >= NEVER:
            return False
        self.advance(next_ms - self.now_ms)
        return True

    def dump(self) -> dict[str, Any]:
        """All that a refused command must not change."""
        return {
            "durable": dump.durable(self.engine),
            "rest": dump.rest(self.engine),
            "names": self.broker.names.listed(0, 10**6),
            "commits": self.commits,
            "evicted": self.engine.evicted,
        }

    def shown(self, number: int = 1) -> dict[str, str]:
        """What `inspect job` shows of a test's n-th job; empty if there is none."""
        head, _, rest = self.ask(f"inspect job {job_id(number)}").partition("\r\n")
        if head == "-NOT-FOUND":
            return {}
        first, *lines = rest.removesuffix("\r\n").split("\r\n")
        pairs = dict(line.split(" ", 1) for line in lines)
        assert (head, first) == ("+OK 1", f"{job_id(number)} {len(pairs)}")
        return pairs

    def state(self, number: int = 1) -> str:
        """The state number of a test's n-th job; empty if there is none."""
        return self.shown(number).get("state", "")

    def lengths(self, name: str) -> str:
        """How many jobs of a queue are ready and scheduled, as `ready/scheduled`."""
        lines = self.ask(f"inspect queue {name}").split("\r\n")
        return "/".join(line.split(" ")[1] for line in lines[2:4])

    def add(self, number: int = 1, name: str = "q", flags: str = "", ttr: int = 1000) -> str:
        """Hand in a test's n-th job, with `job <n>` as its payload and a TTL of a minute."""
        payload = f"job {number}"
        line = f"add {job_id(number)} {name} {ttr} 60000 {len(payload)} {flags}"
        return self.ask(f"{line}\r\n{payload}")

    def leased(self, number: int = 1, name: str = "q", ttr: int = 1000) -> str:
        """The reply that hands out a job that was handed in with `add`."""
        payload = f"job {number}"
        return f"+OK 1\r\n{job_id(number)} {name} {ttr} {len(payload)}\r\n{payload}\r\n"

    def finished(self, number: int = 1, success: int = 1, result: str = "") -> str:
        """The reply that tells the result of a test's n-th job."""
        return f"+OK 1\r\n{job_id(number)} {success} {len(result)}\r\n{result}\r\n"

    def complete(self, number: int = 1, result: str = "") -> str:
        """Complete a test's n-th job."""
        return self.ask(f"complete {job_id(number)}", result)

    def fail(self, number: int = 1, result: str = "") -> str:
        """Fail a test's n-th job."""
        return self.ask(f"fail {job_id(number)}", result)
