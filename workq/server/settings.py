"""The server's settings: one table, from which everything about them comes.

The flags, the environment's variables, the keys of the file, `--help`, `--check-config` and the
table in docs/settings.md are all read off `SETTINGS`. To add a setting, add an entry there and a
field to `Settings` (its name with underscores, and the unit at the end).

Whatever the source, a value becomes text and is read by the one reader of its kind (see
`workq.server.kinds`), so that `2GiB` means the same everywhere. Each source is checked whole, even
where a later one overrides it: what is wrong in a file is said at the next start, not on the day
the flag is dropped. And all that is wrong is said at once.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from workq.errors import SettingError, SettingErrors
from workq.limits import BLOCK_BYTES_MAX, SETTING_VALUES_MAX, SETTINGS_FILE_BYTES_MAX, Bounds
from workq.server.kinds import (
    DAY_MS,
    FALSE,
    GIB,
    HOUR_MS,
    KIB,
    MIB,
    SECOND_MS,
    TRUE,
    Boolean,
    Listened,
    Quantity,
    Scalar,
    Text,
    choice,
    duration,
    number,
    size,
)
from workq.server.listen import check_reach, read_address

#: A variable of the environment that begins so is a setting, or a mistake.
PREFIX = "WORKQ_SERVER_"

#: A spelling less like any setting's name than this gets no hint: 1 is the same, 0 nothing alike.
LIKENESS_MIN = 0.6


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds, once all sources are read; the units stand last in the names.

    Attributes:
        sources: by a setting's name (`max-memory`), where its value is from: `default`,
            `file /etc/workq.toml`, `environment WORKQ_SERVER_LOG` or `flag --log`.

    The other attributes are explained in `SETTINGS`; 0 stands for none or never.
    """

    listen: tuple[str, ...]
    insecure: bool
    max_connections: int
    max_memory_bytes: int
    max_jobs: int
    max_line_bytes: int
    max_half_received_bytes: int
    request_timeout_ms: int
    idle_timeout_ms: int
    shutdown_timeout_ms: int
    cmdlog_path: str
    cmdlog_sync: str
    cmdlog_sync_int_ms: int
    cmdlog_seg_size_bytes: int
    cmdlog_clean_int_ms: int
    accept_clock: bool
    log: str
    log_level: str
    config: str
    check_config: bool
    version: bool
    help: bool
    sources: dict[str, str] = field(compare=False)


# --- the table ------------------------------------------------------------------------------

FILE, ENVIRONMENT, FLAG = "file", "environment", "flag"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: as in the file and, with dashes before it, as a flag.
        kind: what values it has, and how they are read and shown.
        default: as an operator would write it.
        help: one sentence: what it does, and why.
        several: it may be given several times, and its value is all that was given.
        places: where it may be given.
    """

    name: str
    kind: Text
    default: str
    help: str
    several: bool = False
    places: tuple[str, ...] = (FILE, ENVIRONMENT, FLAG)

    @property
    def attribute(self) -> str:
        """Its field of `Settings`."""
        return self.name.replace("-", "_") + self.kind.suffix

    @property
    def variable(self) -> str:
        """Its variable of the environment."""
        return PREFIX + self.name.replace("-", "_").upper()

    def show(self, value: Any) -> str:
        """Its value in `Settings` as one would write it."""
        return ", ".join(self.kind.show(one) for one in (value if self.several else (value,)))


_SWITCH = Boolean("true|false")

#: Where the defaults of bounds stand, with their reasons.
_BOUNDS = Bounds()


def _bound(name: str, kind: Quantity, default: int, text: str) -> Setting:
    return Setting(name, kind, kind.show(default), text)


SETTINGS = (
    Setting("listen", Listened("ADDRESS"), "127.0.0.1:9922",
            "An address to listen on; `[::1]:9922` is one of IPv6, `:9922` is every interface, and "
            "`unix:/run/workq/workq.sock?mode=0660` is a Unix socket and who may use it.",
            several=True),
    Setting("insecure", _SWITCH, "false",
            "Listen on addresses that other machines can reach too, though there is no "
            "authentication yet and whoever reaches the server may do everything."),
    _bound("max-connections", number(1, 1_000_000), _BOUNDS.connections_max,
           "Connections at the same time; one more is refused, so that the others are served."),
    _bound("max-memory", size(MIB, 1024 * GIB, "none"), _BOUNDS.memory_bytes_max,
           "Memory for jobs, counted as payloads, results and a fixed cost per job; what would "
           "need more is refused."),
    _bound("max-jobs", number(1, 1_000_000_000, "none"), _BOUNDS.jobs_max,
           "Jobs in every state together; one more is refused."),
    _bound("max-line", size(KIB, MIB), _BOUNDS.line_bytes_max,
           "The length of a request line with its end; a longer one closes its connection."),
    _bound("max-half-received", size(2 * BLOCK_BYTES_MAX, 1024 * GIB), _BOUNDS.input_bytes_max,
           "Memory for payloads and results that have come in part, of all connections together, "
           "so that slow senders cannot fill it."),
    _bound("request-timeout", duration(100, DAY_MS, "never"), _BOUNDS.request_timeout_ms,
           "How long a request may take to come whole once it has begun, before its connection "
           "is closed."),
    _bound("idle-timeout", duration(SECOND_MS, 30 * DAY_MS, "never"), _BOUNDS.idle_timeout_ms,
           "How long a connection may neither ask nor wait for anything before it is closed."),
    Setting("shutdown-timeout", duration(0, HOUR_MS), "5s",
            "How long the server, told to stop, goes on sending the replies that are under way."),
    Setting("cmdlog-path", Text("PATH"), "",
            "The directory of the command log; it is made if it is missing. Without one, jobs are "
            "kept in memory only and end with the server."),
    Setting("cmdlog-sync", choice("always", "interval", "os"), "interval",
            "What a reply waits for: `always` for the disk, `interval` and `os` for the operating "
            "system, which `interval` makes write to the disk every so often."),
    Setting("cmdlog-sync-int", duration(1, HOUR_MS, plain="ms"), "1s",
            "How often the log is synced under `interval`: what may be lost when the machine goes "
            "down."),
    Setting("cmdlog-seg-size", size(1, 16 * GIB), "64MiB",
            "The length of a segment, which is one file of the log; at least 4KiB."),
    Setting("cmdlog-clean-int", duration(100, DAY_MS, plain="ms"), "5m",
            "How often to look whether the log can be made smaller."),
    Setting("accept-clock", _SWITCH, "false",
            "Start although the log's last entry is more than an hour ahead of the clock, and go "
            "on from there.", places=(FLAG,)),
    Setting("log", choice("auto", "human", "json"), "auto",
            "The form of the log lines: `human` for people, `json` for programs; `auto` is "
            "`human`, with colours on a terminal."),
    Setting("log-level", choice("debug", "info", "warning", "error"), "info",
            "The least important log lines that are written."),
    Setting("config", Text("PATH"), "", "A TOML file of settings; without it, none is read.",
            places=(ENVIRONMENT, FLAG)),
    Setting("check-config", _SWITCH, "false",
            "Print what would hold and where it is from, and exit: with 2 if it cannot hold.",
            places=(FLAG,)),
    Setting("version", _SWITCH, "false", "Print the version and exit.", places=(FLAG,)),
    Setting("help", _SWITCH, "false", "Print this list and exit.", places=(FLAG,)),
)  # fmt: skip

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}

#: Kubernetes puts these into every container beside a service of the name `workq-server`.
_OF_KUBERNETES = re.compile(
    rf"{PREFIX}(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_[A-Z]+(_PROTO|_PORT|_ADDR)?)?)"
)


# --- reading --------------------------------------------------------------------------------


class _Given(NamedTuple):
    where: str
    texts: list[str]
    source: str


class _Mistakes:
    """Those found so far: each is noted, and the search goes on."""

    def __init__(self) -> None:
        self._found: list[SettingError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        try:
            yield
        except SettingError as error:
            self._found.append(error)

    def check(self) -> None:
        """Raise those that were found, if any."""
        if self._found:
            raise self._found[0] if len(self._found) == 1 else SettingErrors(self._found)


def load(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings from the defaults, the file, the environment and the flags; the last holds.

    With `--help` or `--version` only the flags are looked at: both answer whatever else is wrong.

    Args:
        arguments: the command line without the program's name.
        environ: the environment.

    Raises:
        SettingError: a setting is unknown, or has no value that can be used. All such are told
            together, but of the flags the first that is not one: the word after it may be its
            value.
    """
    mistakes = _Mistakes()
    layers = [{one.name: _Given(one.name, [one.default], "default") for one in SETTINGS}]
    flags = _from_flags(arguments)
    asked = bool(_early("help", flags) or _early("version", flags))
    if not asked:
        variables = _from_environment(environ, mistakes)
        giving = flags if "config" in flags else variables
        if path := _early("config", giving):
            with mistakes.noted():
                layers.append(_from_file(giving["config"].where, str(path), mistakes))
        layers.append(variables)
    layers.append(flags)
    values: dict[str, Any] = {}
    last: dict[str, _Given] = {}
    for layer in layers:
        last |= layer
        for name, given in layer.items():
            with mistakes.noted():
                values[_BY_NAME[name].attribute] = _value(_BY_NAME[name], given)
    mistakes.check()
    settings = Settings(**values, sources={name: given.source for name, given in last.items()})
    if not asked and not settings.insecure:
        for text in settings.listen:
            with mistakes.noted():
                check_reach(read_address(text), last["listen"].where)
    mistakes.check()
    return settings


def _from_flags(arguments: Iterable[str]) -> dict[str, _Given]:
    layer: dict[str, _Given] = {}
    words = iter(arguments)
    switch = ""  # the flag before, if it was a switch without a value
    for word in words:
        found = re.fullmatch(r"(--?([^-=][^=]*))(?:=(.*))?", word, re.DOTALL)
        if found is None:
            right = "settings are given as --name value"
            if switch and word.lower() in TRUE + FALSE:
                right = f"the value of a switch stands in the same word: {switch}={word}"
            raise SettingError(word or "''", f"not a flag; {right}")
        where, name, text = found.groups()
        setting = _known(where, "help" if name == "h" else name, FLAG, _BY_NAME, "--")
        switch = ""
        if text is None and isinstance(setting.kind, Boolean):
            switch, text = where, "true"
        elif text is None and (text := next(words, None)) is None:
            raise SettingError(where, f"needs a value: {where} {setting.kind.metavar}")
        earlier = layer.get(setting.name)
        texts = [*earlier.texts, text] if earlier and setting.several else [text]
        layer[setting.name] = _Given(where, texts, f"flag {where}")
    return layer


def _from_environment(environ: Mapping[str, str], mistakes: _Mistakes) -> dict[str, _Given]:
    layer: dict[str, _Given] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _OF_KUBERNETES.fullmatch(variable):
            continue
        with mistakes.noted():
            setting = _known(variable, variable, ENVIRONMENT, _BY_VARIABLE)
            if environ[variable]:  # an empty one is how some tools write one that is not set
                source = f"environment {variable}"
                layer[setting.name] = _Given(variable, [environ[variable]], source)
    return layer


def _from_file(where: str, path: str, mistakes: _Mistakes) -> dict[str, _Given]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(SETTINGS_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingError(where, f"cannot read {path}: {reason}") from error
    if len(content) > SETTINGS_FILE_BYTES_MAX:
        raise SettingError(where, f"{path} has more than {SETTINGS_FILE_BYTES_MAX} bytes")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        hints = [f"; {hint}" for start, hint in _TOML_HINTS.items() if str(error).startswith(start)]
        raise SettingError(path, f"not a TOML file: {error}{''.join(hints)}") from error
    layer: dict[str, _Given] = {}
    for key, value in table.items():
        with mistakes.noted():
            layer[key] = _from_toml(f"{path}: {key}", key, value, f"file {path}")
    return layer


def _from_toml(where: str, key: str, value: object, source: str) -> _Given:
    if isinstance(value, dict):
        raise SettingError(where, "a table; settings stand outside of tables: max-jobs = 1000")
    setting = _known(where, key, FILE, _BY_NAME)
    if isinstance(value, list) and not setting.several:
        raise SettingError(where, "an array, but this setting has one value only")
    values = value if isinstance(value, list) else [value]
    return _Given(where, [_toml_text(where, one) for one in values], source)


def _toml_text(where: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 64:  # its text might take forever
        raise SettingError(where, "a number beyond every range")
    if isinstance(value, list | dict):
        raise SettingError(where, "an array of arrays or tables; its values are text or numbers")
    if not isinstance(value, str | int | float):
        raise SettingError(where, f"{value} is a date or a time of day; no setting has such values")
    return str(value)


#: What mostly is the matter, by how tomllib begins to complain.
_TOML_HINTS = {
    "Invalid value": "text and what has a unit need quotes",
    "Expected newline": "text and what has a unit need quotes",
    "Cannot overwrite a value": "the setting stands there twice",
}


def _known(
    where: str, spelled: str, place: str, spellings: Mapping[str, Setting], dashes: str = ""
) -> Setting:
    setting = spellings.get(spelled)
    if setting is None:
        name = spelled.removeprefix(PREFIX).lower().replace("_", "-")
        good = {one.name: spelling for spelling, one in spellings.items() if place in one.places}
        nearest = difflib.get_close_matches(name, good, n=1, cutoff=LIKENESS_MIN)
        hint = f"the nearest known is {dashes}{good[nearest[0]]}" if nearest else "see --help"
        raise SettingError(where, f"unknown setting; {hint}")
    if place not in setting.places:
        raise SettingError(where, f"can only be given by {' or '.join(setting.places)}")
    return setting


def _value(setting: Setting, given: _Given) -> Scalar | tuple[Scalar, ...]:
    if not setting.several:
        return setting.kind.read(given.where, given.texts[-1].strip())
    texts = [text for listed in given.texts for text in re.split(r"[\s,]+", listed) if text]
    if not 1 <= len(texts) <= SETTING_VALUES_MAX:
        raise SettingError(given.where, f"{len(texts)} values are not in 1 … {SETTING_VALUES_MAX}")
    return tuple(setting.kind.read(given.where, text) for text in texts)


# --- showing --------------------------------------------------------------------------------


def describe(settings: Settings) -> str:
    """What `--check-config` prints: of each setting its name, its value and where that is from."""
    rows = [("setting", "value", "from")]
    for one in SETTINGS:
        if one.places != (FLAG,):  # the others are acts of the one command line
            value = one.show(getattr(settings, one.attribute))
            rows.append((one.name, value, settings.sources[one.name]))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = (f"{name:{widths[0]}}  {value:{widths[1]}}  {source}" for name, value, source in rows)
    return "\n".join(lines) + "\n"


def help_text() -> str:
    """What `--help` prints."""
    lines = ["Usage: workq-server [--name value]…", "", "The workq job server. Its settings:", ""]
    for one in SETTINGS:
        value = "" if isinstance(one.kind, Boolean) else f" {one.kind.metavar}"
        notes = [] if one.places == (FLAG,) else [f"default {_default(one)}"]
        if isinstance(one.kind, Quantity):
            notes.append(one.kind.values())
        if one.several:
            notes.append("may be given several times")
        text = one.help.replace("`", "") + (f" ({'; '.join(notes)})" if notes else "")
        lines += [f"  --{one.name}{value}", textwrap.indent(textwrap.fill(text, 72), " " * 6)]
    return "\n".join(lines) + _HELP_END


_HELP_END = f"""

One dash does as well as two, and --name=value as well as --name value. The
setting --max-jobs is {PREFIX}MAX_JOBS in the environment and max-jobs in
the file; flags hold before the environment, and that holds before the file.
Sizes: 65536, 64KiB, 2GiB. Times: 500ms, 60s, 5m, 1h, or seconds.
"""


def markdown_table() -> str:
    """The table of docs/settings.md."""
    lines = ["| setting | value | default | given by | what it does |", "|---|---|---|---|---|"]
    for one in SETTINGS:
        places = "all" if len(one.places) == 3 else ", ".join(one.places)
        values = one.kind.values() + (", several" if one.several else "")
        cells = (f"`{one.name}`", values, f"`{_default(one)}`", places, one.help)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _early(name: str, layer: Mapping[str, _Given]) -> Scalar | tuple[Scalar, ...]:
    """A value that decides what else is read; nothing if it is not given, or cannot be used: that
    is told with all the others."""
    with suppress(SettingError):
        return _value(_BY_NAME[name], layer[name]) if name in layer else ""
    return ""


def _default(setting: Setting) -> str:
    value = _value(setting, _Given(setting.name, [setting.default], "default"))
    return setting.show(value)
