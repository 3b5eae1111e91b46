"""Every exception of the server.

- WorkqError
  - Refusal: a request that is answered with an error; the client's fault, the connection lives on
  - SettingError: a setting that cannot be used; the operator's fault, the server does not start
    - SettingErrors: several of these
  - ListenError: an address that cannot be listened on
  - LogError: the command log has failed; the server ends
  - DirectoryError: a directory that cannot be used for the command log; the server does not start
    - CorruptionError: something in it that was safe once is damaged
  - CompactionError: the command log was not compacted; it is as it was, and tried again
  - GoLogError: a log of the original server cannot be imported as it is; nothing was imported
  - MissingExtra: what was asked for needs an optional package that is not installed

A programmer's error is an assertion, never one of these.
"""

from collections.abc import Sequence


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
        return f"{_in_a_line(self.setting)}: {_in_a_line(self.problem)}"


class SettingErrors(SettingError):
    """Several settings have a name or a value that cannot be used.

    Args:
        errors: one for each mistake.
    """

    def __init__(self, errors: Sequence[SettingError]) -> None:
        super().__init__(errors[0].setting, errors[0].problem)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


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


class CompactionError(WorkqError):
    """The command log was not compacted.

    Args:
        reason: why, for the operator.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class GoLogError(WorkqError):
    """A command log of the original server cannot be imported as it is.

    Args:
        path: the file, or the directory, as the user would name it.
        offset: the byte of the file at which the trouble begins; None if it is not about bytes.
        problem: what is wrong there.
    """

    def __init__(self, path: str, offset: int | None, problem: str) -> None:
        super().__init__(path, offset, problem)
        self.path = path
        self.offset = offset
        self.problem = problem

    def __str__(self) -> str:
        where = self.path if self.offset is None else f"{self.path}, byte {self.offset}"
        return f"{where}: {self.problem}"


class MissingExtra(WorkqError):
    """What was asked for needs a package that is not installed, because most need it never.

    Args:
        purpose: what cannot be done without it.
        extra: the name of our extra that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(purpose, extra)
        self.purpose = purpose
        self.extra = extra

    def __str__(self) -> str:
        install = f"pip install 'workq[{self.extra}]'"
        return f"{self.purpose} needs a package that is not installed: {install}"


class DirectoryError(WorkqError):
    """A directory cannot be used for the command log.

    Args:
        path: of the directory, or of a file in it.
        problem: why, and what to do about it.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class CorruptionError(DirectoryError):
    """Something in a command log that was safe once is damaged.

    Args:
        path: of the file.
        offset: where in it, in bytes.
        problem: what is wrong.
    """

    def __init__(self, path: str, offset: int, problem: str) -> None:
        super().__init__(path, problem)
        self.args = (path, offset, problem)
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.path}, byte {self.offset}: {self.problem}"


#: How much is shown of the beginning, and of the end, of what is long.
_SHOWN: int = 300


def _in_a_line(text: str) -> str:
    """A text that may have come from anywhere, fit to be printed: in one line, and no long one."""
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]} … {text[-_SHOWN:]}"
