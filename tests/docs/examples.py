"""The examples in a page of documentation, and how they are played.

An example is a fenced block marked `workq`. Its lines:

    > text       send a line, CRLF added          B> text, B< text   on a second connection
    < text       the next line that is answered   <~ regex           the same, as an expression
    ... n ms     let time pass                    !shut              close our sending side
    <EOF         the server closes

An answer that has not come yet is waited for, in virtual time. At the end nothing is left unread.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.commands.harness import Client, Server

STEP = re.compile(
    r"(?P<on>[A-Z]?)"
    r"(?:> ?(?P<say>.*)|<(?P<eof>EOF)|<~ (?P<like>.*)|< ?(?P<hear>.*)|!(?P<shut>shut))"
)
PAUSE = re.compile(r"\.\.\. (\d+) ms")


class Example(NamedTuple):
    """One example: the line of the page where it begins, and its lines."""

    line: int
    steps: tuple[str, ...]


def examples(page: str) -> list[Example]:
    """The examples of a page, in order."""
    found: list[Example] = []
    open_at = 0
    lines = page.splitlines()
    for number, line in enumerate(lines, 1):
        if open_at and line == "```":
            found.append(Example(open_at, tuple(lines[open_at : number - 1])))
            open_at = 0
        elif line == "```workq":
            open_at = number
    return found


class Play:
    """One playing of an example, against a server of its own."""

    def __init__(self) -> None:
        self.server = Server()
        self.clients: dict[str, Client] = {}

    def run(self, steps: tuple[str, ...]) -> None:
        """Play all steps; an AssertionError tells the first that does not hold."""
        self.on("")
        for step in steps:
            if pause := PAUSE.fullmatch(step):
                self.server.advance(int(pause[1]))
                continue
            match = STEP.fullmatch(step)
            assert match, f"not a step: {step!r}"
            self.step(step, match)
        for name, client in self.clients.items():
            assert not client.received, f"unread on {name or 'A'}: {client.received!r}"

    def on(self, name: str) -> Client:
        """The connection of a name, made when it is first needed."""
        if name not in self.clients:
            self.clients[name] = self.server.client()
        return self.clients[name]

    def step(self, step: str, match: re.Match[str]) -> None:
        """Send something, or check what came."""
        client = self.on(match["on"])
        if match["say"] is not None:
            assert not client.closed, f"closed before {step!r}"
            client.say(match["say"])
        elif match["shut"]:
            client.shut()
        elif match["eof"]:
            assert client.closed and not client.received, f"no end, but {client.received!r}"
        else:
            self.hear(step, client, match["hear"], match["like"])

    def hear(self, step: str, client: Client, text: str | None, regex: str | None) -> None:
        """Check one line of an answer, waiting for it if need be."""
        while b"\r\n" not in client.received:
            assert self.server.advance_to_next(), f"nothing came for {step!r}"
        line, _, client.received = client.received.partition(b"\r\n")
        came = line.decode("latin-1")
        right = came == text if regex is None else re.fullmatch(regex, came)
        assert right, f"{step!r}, but came {came!r}"
