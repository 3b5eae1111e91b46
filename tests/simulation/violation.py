"""What a checker says when a promise is broken."""

from __future__ import annotations


class Violation(SystemExit):
    """A promise is broken. The server, which ends in order when something fails, must not catch it
    on its way out; and a `SystemExit` nobody catches.

    Args:
        checker: the promise, by the name of its checker in `docs/testing.md`.
        problem: what was found.
    """

    def __init__(self, checker: str, problem: str) -> None:
        super().__init__(f"{checker}: {problem}")
        self.checker = checker
        self.problem = problem


def demand(holds: object, checker: str, problem: str) -> None:
    """See to it that something holds."""
    if not holds:
        raise Violation(checker, problem)
