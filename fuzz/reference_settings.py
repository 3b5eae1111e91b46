"""What flags, variables and a file of settings mean, read as `docs/settings.md` tells it.

It shares with `workq.server.settings` the table of the settings, and nothing else: which names
there are, of what kind, and where they may be given.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from workq.server.kinds import Boolean, Choice, Listened, Quantity
from workq.server.settings import SETTINGS, Setting

PREFIX: Final = "WORKQ_SERVER_"
DEFAULT, FILE, ENVIRONMENT, FLAG = "default", "file", "environment", "flag"

BY_NAME: Final = {one.name: one for one in SETTINGS}
SWITCHES: Final = {one.name for one in SETTINGS if isinstance(one.kind, Boolean)}

_FLAG: Final = re.compile(r"--?([^-=][^=]*)(=.*)?", re.DOTALL)
_KUBERNETES: Final = re.compile(
    r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+(_PROTO|_PORT|_ADDR)?)?)", re.ASCII
)
_NUMBER: Final = re.compile(r"(-?[0-9]{1,40}(?:\.[0-9]{1,40})?) ?([A-Za-z]*)")
_SIZES: Final = {"": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30}
_TIMES_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass
class Given:
    """What was given in one place.

    Attributes:
        texts: by setting's name: what it is called there, and its values.
        bad: what things are called there that are no settings, or have no values at all.
        ends: whether the search for mistakes ended there.
    """

    texts: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    ends: bool = False


def flags(words: Sequence[str]) -> Given:
    """What a command line gives, up to the first word that is no flag."""
    given = Given()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = _FLAG.fullmatch(word)
        name = "help" if match and match[1] == "h" else match[1] if match else ""
        where = word.partition("=")[0] if match else word or "''"
        text = match[2][1:] if match and match[2] else None
        if name in SWITCHES and text is None:
            text = "true"
        if name not in BY_NAME or (text is None and not rest):
            return Given(bad={where}, ends=True)
        if text is None:
            text = rest.pop(0)
        earlier = given.texts[name][1] if name in given.texts and BY_NAME[name].several else []
        given.texts[name] = where, [*earlier, text]
    return given


def variables(environ: Mapping[str, str]) -> Given:
    """What an environment gives."""
    given = Given()
    for variable, text in environ.items():
        short = variable.removeprefix(PREFIX)
        if short == variable or _KUBERNETES.fullmatch(short):
            continue
        name = short.lower().replace("_", "-")
        is_known = name in BY_NAME and name.upper().replace("-", "_") == short
        if not is_known or ENVIRONMENT not in BY_NAME[name].places:
            given.bad.add(variable)
        elif text:
            given.texts[name] = variable, [text]
    return given


def file(path: str, content: bytes) -> Given:
    """What a file gives."""
    given = Given()
    try:
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        return Given(bad={path}, ends=True)
    for key, value in table.items():
        where = f"{path}: {key}"
        setting = BY_NAME.get(key)
        texts = [_text(one) for one in (value if isinstance(value, list) else [value])]
        is_one = not isinstance(value, list) or (setting is not None and setting.several)
        if setting is None or FILE not in setting.places or not is_one or None in texts:
            given.bad.add(where)
        else:
            given.texts[key] = where, [text for text in texts if text is not None]
    return given


def _text(value: object) -> str | None:
    """What a value of TOML is as text; None if no setting has such values."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= 2**64:
        return None
    return str(value) if isinstance(value, str | int | float) else None


def value(setting: Setting, text: str) -> object:
    """What a text means as one value of a setting; None if it means nothing. Of addresses and
    paths only what can be told without knowing their form."""
    kind = setting.kind
    text = text.strip()
    if isinstance(kind, Quantity):
        return _quantity(kind, text)
    if isinstance(kind, Boolean):
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False}
        return words.get(text.lower())
    if isinstance(kind, Choice):
        return text if text in kind.metavar.split("|") else None
    if not text.isprintable() or (isinstance(kind, Listened) and ":" not in text):
        return None
    return "" if text == "none" and not isinstance(kind, Listened) else text


def _quantity(kind: Quantity, text: str) -> int | None:
    if kind.zero and text.lower() == kind.zero:
        return 0
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    amount, unit = Decimal(match[1]), match[2].lower()
    if kind.suffix == "_ms":
        unit = unit or kind.plain
        factor = _TIMES_MS.get(unit, 0)
    elif kind.suffix == "_bytes":
        factor = 1 << _SIZES[unit] if unit in _SIZES else 0
    else:
        factor = int(not unit)
    exact = amount.as_integer_ratio()
    number, remainder = divmod(exact[0] * factor, exact[1])
    if not factor or remainder:
        return None
    if number == 0 and kind.zero:
        return 0
    return number if kind.lowest <= number <= kind.highest else None
