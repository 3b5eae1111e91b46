"""Log lines: one event is one line on stderr, for people or for programs.

    2026-11-23 05:40:01.123 warning  connection refused  peer=127.0.0.1:4242 connections=10000
    {"time":"2026-11-23T04:40:01.123Z","level":"warning","message":"connection refused",…}

An event is a constant message and fields: what varies stands in the fields, where programs find
it. Whatever clients put into a field, a line stays one line: what cannot be printed is escaped.

Lines are written to the file descriptor itself, whole and with no buffer between. What cannot be
written is dropped: a log nobody reads must not stop the server, change its exit status, or log
about itself. A reader who keeps the pipe open but does not read holds the server up, as anywhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from workq.limits import (
    LOG_EXCEPTION_CHARACTERS_MAX,
    LOG_FIELD_CHARACTERS_MAX,
    LOG_MESSAGE_CHARACTERS_MAX,
)

#: Keys of a JSON line that are no fields; a field of such a name gets `_` at its end.
KEYS = ("time", "level", "message", "exception")

_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}
_PLAIN = re.compile(r"[^\s\"=\\]+")


class Logger:
    """Writes events of one part of the server.

    Args:
        name: the part's name, as of the module: `workq.server.ring`.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, /, **fields: object) -> None:
        """What helps to find a mistake."""
        self._write(logging.DEBUG, message, None, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """What an operator may want to know."""
        self._write(logging.INFO, message, None, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """What went another way than it should, and was dealt with."""
        self._write(logging.WARNING, message, None, fields)

    def error(
        self, message: str, /, *, exception: BaseException | None = None, **fields: object
    ) -> None:
        """What somebody has to look into, with the exception that told it."""
        self._write(logging.ERROR, message, exception, fields)

    def _write(
        self, level: int, message: str, error: BaseException | None, fields: Mapping[str, object]
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, exc_info=error, extra={"fields": fields})


def get_logger(name: str) -> Logger:
    """The logger of a part of the server, by its module's name."""
    return Logger(name)


def set_up(
    form: str, level: str, environ: Mapping[str, str], descriptor: int | None = None
) -> None:
    """From now on, write what is logged anywhere in the process; called again, anew.

    Args:
        form: `human`, `json`, or `auto`: human, with colours where people see them.
        level: the least important that is written: `debug`, `info`, `warning` or `error`.
        environ: the environment; `NO_COLOR` and `TERM=dumb` keep colours away.
        descriptor: where to write; by default stderr, and nowhere if the process has none.
    """
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, LineHandler)]:
        root.removeHandler(old)
    if descriptor is None and sys.stderr is not None:
        descriptor = 2
    handler = LineHandler(descriptor)
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(HumanFormatter(form == "auto" and coloured(descriptor, environ)))
    root.addHandler(handler)
    root.setLevel(level.upper())


def coloured(descriptor: int | None, environ: Mapping[str, str]) -> bool:
    """Whether people see what is written there, and want colours."""
    wanted = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return wanted and descriptor is not None and os.isatty(descriptor)


class LineHandler(logging.Handler):
    """Writes lines to a file descriptor; never raises, whatever happens to it.

    Args:
        descriptor: where to write; None drops everything. If stderr was closed before the
            process began, number 2 is soon another file's or a client's: it must not be used.
    """

    def __init__(self, descriptor: int | None) -> None:
        super().__init__()
        self.descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if self.descriptor is None:
            return
        with contextlib.suppress(Exception):  # there is nowhere to tell it
            rest = memoryview(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
            while rest and (written := os.write(self.descriptor, rest)):
                rest = rest[written:]


class HumanFormatter(logging.Formatter):
    """A line for people: time, level, message, fields; below it an exception, indented.

    Args:
        colours: whether to use a terminal's colours.
        zone: whose time to tell; None is the system's.
    """

    def __init__(self, colours: bool = False, zone: tzinfo | None = None) -> None:
        super().__init__()
        self._colours = colours
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone(self._zone)
        stamp = time.isoformat(" ", "milliseconds")[:23]
        level = record.levelname.lower()
        word = f"{level:7}"
        if self._colours:
            stamp = f"\x1b[2m{stamp}\x1b[0m"
            word = f"\x1b[{_COLOURS.get(level, '0')}m{word}\x1b[0m"
        line = f"{stamp} {word}  {_escaped(_message(record))}"
        fields = _fields(record)
        if fields:
            line += "  " + " ".join(f"{_bare(k)}={_bare(_shown(v))}" for k, v in fields.items())
        for text in _exception(record).splitlines():
            line += f"\n    {_escaped(text)}"
        return line


class JsonFormatter(logging.Formatter):
    """A line for programs: one object, all of it ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC)
        entry: dict[str, object] = {
            "time": f"{time.isoformat(timespec='milliseconds')[:23]}Z",
            "level": record.levelname.lower(),
            "message": _message(record),
        }
        for key, value in _fields(record).items():
            plain = value is None or isinstance(value, int)  # and so true and false
            plain = plain or (isinstance(value, float) and math.isfinite(value))
            entry[f"{key}_" if key in KEYS else key] = value if plain else _shown(value)
        if exception := _exception(record):
            entry["exception"] = exception
        return json.dumps(entry, separators=(",", ":")).replace("\x7f", "\\u007f")


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # another library's arguments do not fit its message
        text = str(record.msg)
    return text[:LOG_MESSAGE_CHARACTERS_MAX]


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = dict(getattr(record, "fields", {}))
    if record.name.partition(".")[0] != "workq":  # not our own: say whose it is
        fields["logger"] = record.name
    return fields


def _shown(value: object) -> str:
    try:
        if isinstance(value, bytes | bytearray):
            text = value[: LOG_FIELD_CHARACTERS_MAX + 1].decode("utf-8", "backslashreplace")
        else:
            text = str(value)
    except Exception:  # its __str__ has a mistake of its own
        text = f"a {type(value).__name__} that cannot be shown"
    cut = len(text) > LOG_FIELD_CHARACTERS_MAX
    return f"{text[:LOG_FIELD_CHARACTERS_MAX]}…" if cut else text


def _exception(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    return text[-LOG_EXCEPTION_CHARACTERS_MAX:]


def _bare(text: str) -> str:
    """A key or a value: without quotes if nothing in it could be taken for the line's own."""
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(quoted)}"'


def _escaped(text: str) -> str:
    """The text with `\\n`, `\\x1b`, `\\u202e` and the like for all that cannot be printed."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
