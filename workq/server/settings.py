"""The server's settings: one table, from which everything about them comes.

The flags, the environment's variables, the keys of the file, `--help`, `--check-config` and the
table in docs/settings.md are all read off `SETTINGS`. To add a setting, add an entry there and a
field to `Settings` (its name with underscores, and the unit at the end).

Whatever the source, a value becomes text and is read by the one reader of its kind, so that
`2GiB` means the same everywhere. Each source is checked whole, even where a later one overrides
it: what is wrong in a file is said at the next start, not on the day the flag is dropped.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from workq.errors import SettingError
from workq.limits import BLOCK_BYTES_MAX

#: A variable of the environment that begins so is a setting, or a mistake.
PREFIX = "WORKQ_SERVER_"

#: A file of settings is read whole before it is understood. This is a hundred times what one
#: that names every setting needs, and keeps a path gone wrong from filling the memory.
FILE_BYTES_MAX = 1024 * 1024

#: Values of one setting that may be given several times.
VALUES_MAX = 64

KIB, MIB, GIB = 1024, 1024**2, 1024**3
SECOND_MS, HOUR_MS, DAY_MS = 1000, 3_600_000, 86_400_000

Scalar = str | int | bool


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
    log: str
    log_level: str
    config: str
    check_config: bool
    version: bool
    help: bool
    sources: dict[str, str] = field(compare=False)


# --- kinds of values ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; where it is empty, there is none.

    Attributes:
        metavar: what stands for the value in the help.
        suffix: what the name of the field ends in: the unit.
    """

    metavar: str
    suffix: str = ""

    def read(self, where: str, text: str) -> Scalar:
        """The value that a text stands for.

        Args:
            where: the setting's name as the operator wrote it, for the error.
            text: without white space around it.

        Raises:
            SettingError: it is none of this kind, or out of range.
        """
        if not text.isprintable():
            raise SettingError(where, f"{text!r} has characters that cannot be printed")
        return text

    def show(self, value: Scalar) -> str:
        """The value as one would write it."""
        return str(value) or "none"

    def values(self) -> str:
        """What may be written, in words."""
        return self.metavar


@dataclass(frozen=True, slots=True)
class Choice(Text):
    """One of a few words."""

    words: tuple[str, ...] = ()

    def read(self, where: str, text: str) -> Scalar:
        if text not in self.words:
            raise SettingError(where, f"{text!r} is not one of {self.values()}")
        return text

    def values(self) -> str:
        return ", ".join(self.words)


@dataclass(frozen=True, slots=True)
class Boolean(Text):
    """True or false; as a flag it needs no value to be true."""

    def read(self, where: str, text: str) -> Scalar:
        word = text.lower()
        if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
            raise SettingError(where, f"{text!r} is not true or false")
        return word in ("true", "yes", "on", "1")

    def show(self, value: Scalar) -> str:
        return "true" if value else "false"

    def values(self) -> str:
        return "true, false"


@dataclass(frozen=True, slots=True)
class Quantity(Text):
    """A whole number of a base unit, within a range; shown in the greatest unit that suits it.

    Attributes:
        lowest: the range's beginning, in the base unit.
        highest: its end, inclusive.
        zero: the word that 0 stands for and that may be written for it; 0 is then legal whatever
            the range. Empty if 0 is a number like others.
        units: how many of the base unit each is, in rising order; the base unit is the first.
        plain: the unit of a number that has none.
        like: a good value, for the error.
    """

    lowest: int = 0
    highest: int = 0
    zero: str = ""
    units: Mapping[str, int] = field(default_factory=lambda: {"": 1})
    plain: str = ""
    like: str = "a whole number"

    def read(self, where: str, text: str) -> Scalar:
        if self.zero and text.lower() == self.zero:
            return 0
        found = re.fullmatch(r"(-?[0-9]{1,40}(?:\.[0-9]{1,40})?) ?([A-Za-z]*)", text)
        units = {unit.lower(): factor for unit, factor in self.units.items()}
        unit = (found[2] or self.plain).lower() if found else ""
        if found is None or unit not in units:
            raise SettingError(where, f"{text!r} is not {self.like}")
        amount = Fraction(found[1]) * units[unit]
        if amount == 0 and self.zero:
            return 0
        if not self.lowest <= amount <= self.highest:
            raise SettingError(where, f"{text} is not in {self.values()}")
        if amount.denominator != 1:
            raise SettingError(where, f"{text} is not a whole number of {next(iter(self.units))}")
        return int(amount)

    def show(self, value: Scalar) -> str:
        amount = int(value)
        if amount == 0:
            return self.zero or "0"
        unit = [unit for unit, factor in self.units.items() if amount % factor == 0][-1]
        return f"{amount // self.units[unit]}{unit}"

    def values(self) -> str:
        text = f"{self.show(self.lowest)} … {self.show(self.highest)}"
        return f"{text}, or 0 for {self.zero}" if self.zero else text


BYTE_UNITS = {"B": 1, "K": KIB, "KiB": KIB, "M": MIB, "MiB": MIB, "G": GIB, "GiB": GIB}
TIME_UNITS = {"ms": 1, "s": SECOND_MS, "m": 60_000, "h": HOUR_MS, "d": DAY_MS}


def number(lowest: int, highest: int, zero: str = "") -> Quantity:
    """A whole number."""
    return Quantity("NUMBER", "", lowest, highest, zero)


def size(lowest: int, highest: int, zero: str = "") -> Quantity:
    """A number of bytes."""
    like = "a size like 65536, 64KiB or 2GiB"
    return Quantity("SIZE", "_bytes", lowest, highest, zero, BYTE_UNITS, "B", like)


def duration(lowest: int, highest: int, zero: str = "", plain: str = "s") -> Quantity:
    """A time in milliseconds; a number without a unit is seconds, unless `plain` says else."""
    like = f"a time like 500ms, 60s, 5m or 1h (a plain number is {plain})"
    return Quantity("TIME", "_ms", lowest, highest, zero, TIME_UNITS, plain, like)


def choice(*words: str) -> Choice:
    """One of some words."""
    return Choice("|".join(words), words=words)


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

SETTINGS = (
    Setting("listen", Text("HOST:PORT"), "127.0.0.1:9922",
            "An address to listen on; `[::1]:9922` is one of IPv6, and `:9922` is every interface.",
            several=True),
    Setting("insecure", _SWITCH, "false",
            "Listen on addresses that other machines can reach too, though there is no "
            "authentication yet and whoever reaches the server may do everything."),
    Setting("max-connections", number(1, 1_000_000), "10000",
            "Connections at the same time; one more is refused, so that the others are served."),
    Setting("max-memory", size(MIB, 1024 * GIB, "none"), "none",
            "Memory for jobs, counted as payloads, results and a fixed cost per job; what would "
            "need more is refused."),
    Setting("max-jobs", number(1, 1_000_000_000, "none"), "none",
            "Jobs in every state together; one more is refused."),
    Setting("max-line", size(KIB, MIB), "64KiB",
            "The length of a request line with its end; a longer one closes its connection."),
    Setting("max-half-received", size(2 * BLOCK_BYTES_MAX, 1024 * GIB), "256MiB",
            "Memory for payloads and results that have come in part, of all connections together, "
            "so that slow senders cannot fill it."),
    Setting("request-timeout", duration(100, DAY_MS, "never"), "1m",
            "How long a request may take to come whole once it has begun, before its connection "
            "is closed."),
    Setting("idle-timeout", duration(SECOND_MS, 30 * DAY_MS, "never"), "never",
            "How long a connection may neither ask nor wait for anything before it is closed."),
    Setting("shutdown-timeout", duration(0, HOUR_MS), "5s",
            "How long the server, told to stop, goes on sending the replies that are under way."),
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


def load(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings from the defaults, the file, the environment and the flags; the last holds.

    With `--help` or `--version` only the flags are looked at: both answer whatever else is wrong.

    Args:
        arguments: the command line without the program's name.
        environ: the environment.

    Raises:
        SettingError: a setting is unknown, or has no value that can be used.
    """
    layers = [{one.name: _Given(one.name, [one.default], "default") for one in SETTINGS}]
    flags = _from_flags(arguments)
    if not any(_value(_BY_NAME[name], flags[name]) for name in ("help", "version") & flags.keys()):
        variables = _from_environment(environ)
        config = flags.get("config") or variables.get("config")
        if config is not None and (path := _value(_BY_NAME["config"], config)):
            layers.append(_from_file(config.where, str(path)))
        layers.append(variables)
    layers.append(flags)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for name, given in layer.items():
            setting = _BY_NAME[name]
            values[setting.attribute] = _value(setting, given)
            sources[name] = given.source
    return Settings(**values, sources=sources)


def _from_flags(arguments: Iterable[str]) -> dict[str, _Given]:
    layer: dict[str, _Given] = {}
    words = iter(arguments)
    for word in words:
        found = re.fullmatch(r"(--?([^-=][^=]*))(?:=(.*))?", word, re.DOTALL)
        if found is None:
            raise SettingError(word or "''", "not a flag; settings are given as --name value")
        where, name, text = found.groups()
        setting = _known(where, "help" if name == "h" else name, FLAG, _BY_NAME, "--")
        if text is None and isinstance(setting.kind, Boolean):
            text = "true"
        elif text is None and (text := next(words, None)) is None:
            raise SettingError(where, f"needs a value: {where} {setting.kind.metavar}")
        earlier = layer.get(setting.name)
        texts = [*earlier.texts, text] if earlier and setting.several else [text]
        layer[setting.name] = _Given(where, texts, f"flag {where}")
    return layer


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    layer: dict[str, _Given] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _OF_KUBERNETES.fullmatch(variable):
            continue
        setting = _known(variable, variable, ENVIRONMENT, _BY_VARIABLE)
        if environ[variable]:  # an empty one is how some tools write one that is not set
            source = f"environment {variable}"
            layer[setting.name] = _Given(variable, [environ[variable]], source)
    return layer


def _from_file(where: str, path: str) -> dict[str, _Given]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingError(where, f"cannot read {path}: {reason}") from error
    if len(content) > FILE_BYTES_MAX:
        raise SettingError(where, f"{path} has more than {FILE_BYTES_MAX} bytes")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingError(path, f"not a TOML file: {error}") from error
    layer: dict[str, _Given] = {}
    for key, value in table.items():
        place = f"{path}: {key}"
        setting = _known(place, key, FILE, _BY_NAME)
        values = value if setting.several and isinstance(value, list) else [value]
        texts = [_toml_text(place, one) for one in values]
        layer[key] = _Given(place, texts, f"file {path}")
    return layer


def _toml_text(where: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 64:  # its text might take forever
        raise SettingError(where, "a number beyond every range")
    if not isinstance(value, str | int | float):
        raise SettingError(where, "neither text nor a number nor true or false")
    return str(value)


def _known(
    where: str, spelled: str, place: str, spellings: Mapping[str, Setting], dashes: str = ""
) -> Setting:
    setting = spellings.get(spelled)
    if setting is None:
        good = [spelling for spelling, one in spellings.items() if place in one.places]
        nearest = difflib.get_close_matches(spelled, good, n=1, cutoff=0.0)[0]
        raise SettingError(where, f"unknown setting; the nearest known is {dashes}{nearest}")
    if place not in setting.places:
        raise SettingError(where, f"can only be given by {' or '.join(setting.places)}")
    return setting


def _value(setting: Setting, given: _Given) -> Scalar | tuple[Scalar, ...]:
    if not setting.several:
        return setting.kind.read(given.where, given.texts[-1].strip())
    texts = [text for listed in given.texts for text in re.split(r"[\s,]+", listed) if text]
    if not 1 <= len(texts) <= VALUES_MAX:
        raise SettingError(given.where, f"{len(texts)} values are not in 1 … {VALUES_MAX}")
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


def _default(setting: Setting) -> str:
    value = _value(setting, _Given(setting.name, [setting.default], "default"))
    return setting.show(value)
