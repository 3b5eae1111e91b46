"""The settings from any flags, environment and file. The target is `check`.

Data: how many flags and variables there are (the low six bits of a byte), and whether there is a
file (bit 6); then each of them, and the lines of the file until the data ends. Most are put
together from names and values that there are, some are raw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any, Final

from fuzz import reference_settings
from fuzz.reference_settings import BY_NAME, DEFAULT, ENVIRONMENT, FLAG, PREFIX, Given
from fuzz.words import Source
from workq.errors import SettingError, SettingErrors
from workq.server import settings as module
from workq.server.listen import check_reach, read_address
from workq.server.settings import FILE, SETTINGS, Setting, Settings, describe, load

#: Where the file is that the settings may name; there is no other.
PATH: Final = "workq.toml"

LINES_MAX: Final = 30
TEXT_BYTES_MAX: Final = 63

#: Longer lines of errors are read by nobody.
LINE_MAX: Final = 1500

_NAMES: Final = tuple(setting.name for setting in SETTINGS)

#: Values that are good for some setting, or nearly. The order is part of the corpus: append only.
_VALUES: Final = (
    "", "0", "1", "true", "false", "yes", "OFF", "none", "never", "auto", "json", "debug", "always",
    "interval", "os", "100", "10000", "1000000", "1000001", "-1", "-0", "0.5", "1.5", "1e3", "inf",
    "64KiB", "64 KiB", "1MiB", "2GiB", "1.5GiB", "0.3K", "1024GiB", "1025GiB", "16m", "999B",
    "500ms", "60s", "5m", "1h", "30d", "31d", "0.0001s", "0ms", "99ms", " 7s ", "1 h", "1  h",
    "127.0.0.1:9922", "[::1]:9922", ":9922", "0.0.0.0:1", "[::]:0", "localhost:9922", "::1:1", "x:",
    "[::1]", "[x]:1", "a:65536", "a:00080", "unix:/run/w.sock", "unix:/run/w.sock?mode=0660",
    "unix:", "unix:/w?mode=8", "unix:/w?x", "127.0.0.1:1, [::1]:1", "127.0.0.1:1,,\t[::1]:1",
    "a:1 " * 64, "a:1 " * 65, ",", "/var/lib/workq", "a b", "a\nb", "\x1b[31m", "\u202e", "é",
    "é:1", "\ud800", "9" * 40, "9" * 41, "9" * 5000, "0." + "0" * 39 + "1", "1_000", "\uff11",
    "x" * 300,
    "a..b:1", "x" * 64 + ":1", "1.2.3:4", "0x7f.1:1", "127.1:1", PATH, "missing.toml", "\x7f",
    "[fe80::1%lo]:1", "[fe80::1%nosuch]:1", "*:1", "%:1", "host name:1", "-:1", "2130706433:1",
)  # fmt: skip

#: Values that a file may have and that are no text. The order is part of the corpus.
_RAW: Final = (
    "true", "false", "0", "7", "-7", "1.5", "inf", "nan", "1e400", "0x10", "0b1", "1_000", "1h",
    "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[]", "[[]]", "[{}]", "{}", "{a = 1}",
    '["a:1", "b:2"]', '["a:1", 2, true]', "[1979-05-27]", "9" * 30, "9" * 5000, "-" + "9" * 20,
    "18446744073709551615", "18446744073709551616", "'''a\nb'''", '"\\u0000"', "", "[" * 500,
)  # fmt: skip

_KUBERNETES: Final = ("SERVICE_HOST", "SERVICE_PORT", "PORT_80_TCP", "SERVICE_PORT_X", "PORT_X", "")
_LINES: Final = (
    "[listen]",
    "[[log]]",
    "a.b = 1",
    '"max-jobs" = 1',
    "'log' = 'json'",
    '"" = 1',
    "=",
)


class Shelf:
    """The file, in the place of `pathlib.Path`: nothing is read from a disk."""

    content = b""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self, mode: str) -> BytesIO:
        """Open it for reading."""
        assert mode == "rb"
        if self._path != PATH:
            raise FileNotFoundError(2, "No such file or directory", self._path)
        return BytesIO(self.content)


@contextmanager
def shelf(content: bytes) -> Iterator[None]:
    """Have the settings read this file for a while."""
    before, Shelf.content = vars(module)["Path"], content
    vars(module)["Path"] = Shelf
    try:
        yield
    finally:
        vars(module)["Path"] = before


# --- what is given --------------------------------------------------------------------------------


def _text(source: Source) -> str:
    """Any text that a system can hand over."""
    data = source.take(source.byte() % (TEXT_BYTES_MAX + 1))
    return data.decode("utf-8", "surrogateescape")


def _name(source: Source) -> str:
    """The name of a setting, mostly; or one with a slip."""
    byte = source.byte()
    name = _NAMES[byte % len(_NAMES)]
    if byte >= 0xF0:
        return _text(source)
    return name[: byte & 7] + name[(byte & 7) + 1 :] if byte >= 0xD0 else name


def _value(source: Source) -> str:
    byte = source.byte()
    return _VALUES[byte] if byte < len(_VALUES) else _text(source)


def _flag(source: Source) -> list[str]:
    byte = source.byte()
    form = byte % 8
    if form == 7:
        return [_text(source).replace("\0", "")]
    name = _name(source).replace("\0", "")
    dashes = "-" if byte & 0x80 else "--"
    if form == 6:
        return [dashes + name]
    value = _value(source).replace("\0", "")
    return [dashes + name, value] if form == 5 else [f"{dashes}{name}={value}"]


def _variable(source: Source) -> tuple[str, str]:
    form = source.byte() % 8
    if form == 7:
        name = PREFIX + source.pick(_KUBERNETES)
    elif form == 6:
        name = PREFIX + _text(source)
    else:
        name = PREFIX + _name(source).replace("-", "_").upper()
    value = _value(source)
    return name.replace("\0", "").replace("=", ""), value.replace("\0", "")


def _line(source: Source) -> str:
    form = source.byte() % 8
    if form == 7:
        return source.pick(_LINES)
    if form == 6:
        return _text(source)
    name = _name(source)
    if form in (4, 5):
        return f"{name} = {source.pick(_RAW)}"
    value = _quoted(_value(source))
    return f"{name} = {value}" if form < 3 else f"{name} = [{value}, {_quoted(_value(source))}]"


def _quoted(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def check(data: bytes) -> None:
    """Load what is given, and look at what must hold."""
    source = Source(data)
    head = source.byte()
    words = [word for _ in range(head & 7) for word in _flag(source)]
    environ = dict(_variable(source) for _ in range(head >> 3 & 7))
    content = b""
    if head & 0x40:
        words.append(f"--config={PATH}")
    if head & 0x40 or not source.done:
        lines: list[str] = []
        while not source.done and len(lines) < LINES_MAX:
            lines.append(_line(source))
        content = "\n".join(lines).encode("utf-8", "surrogatepass")
    with shelf(content):
        _Check(words, environ, content).check()


# --- what must hold -------------------------------------------------------------------------------


class _Check:
    """The check of one start.

    Args:
        words: the command line.
        environ: the environment.
        content: of the file.
    """

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], content: bytes) -> None:
        self._words = words
        self._environ = environ
        self._flags = reference_settings.flags(words)
        asked = {"help", "version"} & self._flags.texts.keys()
        self._asked = any(_is_on(self._flags.texts[name][1][-1]) for name in asked)
        self._variables = Given() if self._asked else reference_settings.variables(environ)
        self._file = Given()
        self._path = ""
        if not self._asked and not self._flags.ends:
            config = self._flags.texts.get("config") or self._variables.texts.get("config")
            self._path = config[1][-1].strip() if config else ""
            if self._path == "none":
                self._path = ""
            if self._path == PATH:
                self._file = reference_settings.file(PATH, content)
            elif config and self._path.isprintable():
                self._file = Given(bad={config[0]} if self._path else set())

    def check(self) -> None:
        """Load the settings, or hear what is wrong with all that is."""
        try:
            settings = load(self._words, self._environ)
        except SettingError as error:
            errors = error.errors if isinstance(error, SettingErrors) else [error]
            told = {one.setting for one in errors}
            lines = str(error).split("\n")
        else:
            self._check_sources(settings)
            if not self._asked:  # else nobody is shown the settings, or has looked at all of them
                self._check_shown(settings)
            told, lines = set(), []
        assert told == self._bad(), "told of other mistakes than there are"
        for line in lines:
            assert line.isprintable(), "an error that cannot be read"
            assert ": " in line and len(line) <= LINE_MAX, "an error that nobody reads"

    def _bad(self) -> set[str]:
        """What has to be told of, by what it is called."""
        if self._flags.ends:
            return self._flags.bad
        layers = self._file, self._variables, self._flags
        bad = set().union(*(layer.bad for layer in layers))
        for layer in layers:
            for name, (where, texts) in layer.texts.items():
                if _alone(name, tuple(texts)) is None:
                    bad.add(where)
        if not bad and not self._asked and not self._value("insecure"):
            where, _ = self._top("listen")
            if any(_is_exposed(text) for text in self._value("listen")):
                bad.add(where)
        return bad

    def _top(self, name: str) -> tuple[str, list[str]]:
        """What a setting is called, and its values, in the source that holds."""
        for layer in (self._flags, self._variables, self._file):
            if name in layer.texts:
                return layer.texts[name]
        return name, [BY_NAME[name].default]

    def _value(self, name: str) -> Any:
        """What a setting must be."""
        return _alone(name, tuple(self._top(name)[1]))

    def _check_sources(self, settings: Settings) -> None:
        """Each setting has the value of the last source that gives it, and says so."""
        for setting in SETTINGS:
            where, _ = self._top(setting.name)
            expected = DEFAULT
            if setting.name in self._flags.texts:
                expected = f"{FLAG} {where}"
            elif setting.name in self._variables.texts:
                expected = f"{ENVIRONMENT} {where}"
            elif setting.name in self._file.texts:
                expected = f"{FILE} {PATH}"
            assert settings.sources[setting.name] == expected, "from another source"
            found = getattr(settings, setting.attribute)
            assert found == self._value(setting.name), "another value than that of its source"

    def _check_shown(self, settings: Settings) -> None:
        """What `--check-config` prints is accepted again, as flags and as a file."""
        shown: dict[str, str] = {}
        lines = describe(settings).splitlines()[1:]
        rows = [setting for setting in SETTINGS if setting.places != (FLAG,)]
        for setting, line in zip(rows, lines, strict=True):
            source = settings.sources[setting.name]
            assert line.startswith(setting.name + " ")
            assert line.endswith("  " + source)
            assert line.isprintable()
            shown[setting.name] = line[len(setting.name) : -len(source)].strip(" ")
        path = shown.pop("config")
        assert path == (settings.config or "none")
        again = _again([f"--{name}={text}" for name, text in shown.items()])
        table = "\n".join(f"{name} = {_quoted(text)}" for name, text in shown.items())
        with shelf(table.encode()):
            from_file = _again([f"--config={PATH}"])
        for name in shown:
            attribute = BY_NAME[name].attribute
            value = getattr(settings, attribute)
            assert getattr(again, attribute) == value, "printed and not the same"
            assert getattr(from_file, attribute) == value, "printed, put into a file, not the same"


def _again(words: list[str]) -> Settings:
    try:
        return load(words, {})
    except SettingError as error:
        raise AssertionError(f"printed and not accepted: {error}") from error


def _is_on(text: str) -> bool:
    return reference_settings.value(BY_NAME["help"], text) is True


@lru_cache(10_000)
def _alone(name: str, texts: tuple[str, ...]) -> Any:
    """What values mean for a setting; None if they mean nothing."""
    setting = BY_NAME[name]
    if not setting.several:
        return _one(setting, texts[-1])
    every = [one for text in texts for one in text.replace(",", " ").split()]
    values = [_one(setting, one) for one in every]
    return tuple(values) if 1 <= len(values) <= 64 and None not in values else None


def _one(setting: Setting, text: str) -> Any:
    value = reference_settings.value(setting, text)
    if value is not None and setting.name == "listen":
        try:
            read_address(text)
        except SettingError:
            return None
    return value


@lru_cache(10_000)
def _is_exposed(text: str) -> bool:
    try:
        check_reach(read_address(text), "")
    except SettingError:
        return True
    return False
