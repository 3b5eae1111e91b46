"""Every exception of the server.

- WorkqError
  - Refusal: a request that is answered with an error; the client's fault, the connection lives on
  - SettingError: a setting that cannot be used; the operator's fault, the server does not start
  - ListenError: an address that cannot be listened on
  - LogError: the command log has failed; the server ends

A programmer's error is an assertion, never one of these.
"""


class WorkqError(Exception):
    """The root: whoever catches it catches all that the server raises on purpose."""


class Refusal(WorkqError):
    """A request is refused with an error reply.

    Args:
        reply: the whole reply line, one of the constants of `workq.wire.replies`.
    """

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply

    def __str__(self) -> str:
        return self.reply.decode("ascii").strip()


class SettingError(WorkqError):
    """A setting has a name or a value that cannot be used.

    Args:
        setting: its name as the operator wrote it.
        problem: what is wrong and what would be right.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"


class ListenError(WorkqError):
    """An address cannot be listened on.

    Args:
        address: the address as the operator wrote it.
        problem: the system's reason and what to do about it.
    """

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(address, problem)
        self.address = address
        self.problem = problem

    def __str__(self) -> str:
        return f"cannot listen on {self.address}: {self.problem}"


class LogError(WorkqError):
    """The command log has failed: memory is ahead of it, and no answer would be honest.

    Args:
        reason: what failed, for the operator.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the command log has failed: {self.reason}"
