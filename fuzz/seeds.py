"""Where the fuzzer begins: the transcripts of `tests/conformance`, and a dictionary.

    python -m fuzz.seeds TARGET FOLDER

writes FOLDER/seeds/… and FOLDER/words.dict.
"""

from __future__ import annotations

import re
import sys
from hashlib import sha1
from pathlib import Path
from typing import Final

from fuzz import broker, log
from fuzz.bounds import PROFILES
from fuzz.edits import EDITS, SEALS
from fuzz.histories import HISTORIES
from fuzz.words import FIRST_WORD, IDS, WORDS, contract
from fuzz.world import START_MS
from tests.conformance.conform import Case, Variables, load, unescape
from workq.server.settings import SETTINGS

#: A longer stream, or longer data for it, is no good to begin with: it takes long to change.
STREAM_BYTES_MAX: Final = 100_000
SEED_BYTES_MAX: Final = 2048

#: Of the first lease that a new server gives; the next are one more each.
FIRST_TOKEN: Final = (1 << 40) + 1

CASES: Final = Path(__file__).parents[1] / "tests" / "conformance" / "wire.cases"

_SENT = re.compile(r"([A-D])> (.*)", re.DOTALL)
_DONE = re.compile(r"([A-D])!(shut|close)|(sleep|[A-D]--) (\d+)")

#: Streams that no transcript has.
_STREAMS: Final = (
    b"lease" + b" a" * 256 + b" 0\r\n",
    b"lease" + b" a" * 257 + b" 0\r\n",
    b"ping\r\n" * 40,
    b"nosuch\n" * 20,
    b"x" * 65_537 + b"\n",
    b"add " + IDS[0] + b" mails 1000 60000 513\r\n" + b"y" * 513 + b"\r\nping\r\n",
    b"add " + IDS[0] + b" mails 1000 60000 16777217\r\n",
    *(b"stats\r\n" + word + b"\r\n" for word in WORDS),
)


def cases() -> list[Case]:
    """The transcripts."""
    return load(CASES)


def _filled(case: Case) -> list[str]:
    """The steps of a case with the ids and names that the generators of requests use too."""
    variables = Variables()
    variables.values |= dict(zip("abcd", (job_id.decode() for job_id in IDS), strict=True))
    variables.values |= {"q": "mails", "r": "letters", "s": "a"}
    tokens = re.findall(r"\(\?P<(\w+)>", "".join(case.steps))  # what a player learns from replies
    variables.values |= {name: str(FIRST_TOKEN + count) for count, name in enumerate(tokens)}
    variables.start = START_MS / 1000
    return [variables.fill(step) if _SENT.match(step) else step for step in case.steps]


def reader_seeds() -> list[bytes]:
    """Streams, whole and in pieces."""
    streams = list(_STREAMS)
    for case in cases():
        sent = [match[2] for step in _filled(case) if (match := _SENT.match(step))]
        if sent:
            streams.append(b"".join(unescape(text) for text in sent))
    found = []
    for number, stream in enumerate(streams):
        if len(stream) > STREAM_BYTES_MAX:
            continue
        head = bytes((number % len(PROFILES), number % 3, 6, 130)[: 2 + number % 3])
        found.append(head + b"".join(contract(stream)))
    return [seed for seed in found if len(seed) <= SEED_BYTES_MAX]


def broker_seeds() -> list[bytes]:
    """The same, as programs."""
    found = [bytes((0,)) + _program(_filled(case)) for case in cases()]
    found += [bytes((1,)) + _program(_filled(case)) for case in cases()]
    operate = broker.STEPS.index("operate")
    for end in (broker.DRAIN, broker.END):
        found += [
            bytes((2,)) + _program(_filled(case)) + bytes((operate, end)) for case in cases()[::4]
        ]
    return [seed for seed in found if 1 < len(seed) <= SEED_BYTES_MAX]


def _program(steps: list[str]) -> bytes:
    """The program of a transcript: whoever says something says it raw."""
    program = b""
    for step in steps:
        sent = _SENT.match(step)
        done = _DONE.match(step)
        if sent:
            program += _said("ABCD".index(sent[1]), unescape(sent[2]))
        elif done and done[1]:
            name = broker.STEPS.index("shut" if done[2] == "shut" else "lose")
            program += bytes((name | "ABCD".index(done[1]) << 4,))
        elif done:
            program += _passed(int(done[4]))
    return program


def _said(client: int, stream: bytes) -> bytes:
    step = broker.STEPS.index("say_raw") | client << 4
    program = b""
    part = b""
    if len(stream) > STREAM_BYTES_MAX:
        return program
    for piece in (*contract(stream), b""):
        if part and (not piece or len(part) + len(piece) > broker.RAW_BYTES_MAX):
            program += bytes((step, len(part))) + part
            part = b""
        part += piece
    return program


def _passed(ms: int) -> bytes:
    """Steps that let at least so much time pass, and not much more."""
    program = b""
    while ms > 0:
        much = ms >= broker.LARGE_MS[0]
        choices: tuple[int, ...] = broker.LARGE_MS if much else broker.SMALL_MS
        index = max(i for i, choice in enumerate(choices) if choice <= ms)
        program += bytes((broker.STEPS.index("walk_much" if much else "walk_little"), index))
        ms -= max(choices[index], 10)
    return program


def log_seeds() -> list[bytes]:
    """Every log, whole and with each change there is, and all that can be looked at."""
    looks = range(len(log.LOOKS) + 1)
    found = [bytes((look, number)) for look in looks for number in range(len(HISTORIES))]
    for number, _ in enumerate(EDITS):
        for seal in SEALS:
            step = bytes((number | seal << 6, 2, 2, 3, number))
            found += [bytes((look, number % 4)) + step for look in looks]
    return found


def settings_seeds() -> list[bytes]:
    """Each setting and each value in each place, and each of those with a slip."""
    found = [bytes((1, 0, index)) + b"\1" for index in range(len(SETTINGS))]
    for number in range(256):
        name = number % len(SETTINGS)
        found += [bytes((1, 5, name, number)), bytes((8, 0, name, number))]
        found += [bytes((64, form, name, number, number)) for form in (0, 3, 4)]
        found += [bytes((64 + 9, number, name, number, number, name, number, 0, name, number))]
    return found


def dictionary() -> str:
    """Every word, as the byte that stands for it would hide it, and as that byte."""
    lines = []
    for index, word in enumerate(WORDS):
        shown = "".join(f"\\x{byte:02x}" for byte in word)
        lines.append(f'"{shown}"')
        lines.append(f'"\\x{FIRST_WORD + index:02x}"')
    return "\n".join(lines) + "\n"


SEEDS: Final = {
    "reader": reader_seeds,
    "broker": broker_seeds,
    "log": log_seeds,
    "settings": settings_seeds,
}


def write(target: str, folder: Path) -> None:
    """Write the seeds and the dictionary of a target."""
    seeds = SEEDS[target]()
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / "seeds" / sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    (folder / "words.dict").write_text(dictionary(), encoding="ascii")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
