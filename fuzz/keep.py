"""Keep of everything a fuzzer has found the few small files that reach what all of it reaches.

    python -m fuzz.keep TARGET FOLDER

looks at fuzz/corpus/TARGET, FOLDER/found and FOLDER/seeds, smallest files first, and keeps in the
corpus each that takes a step from line to line of `workq` that none before it has taken, or takes
it more often: twice, four times. Files named crash-… stay whatever they reach.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from hashlib import sha1
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

CORPUS: Final = Path(__file__).parent / "corpus"
_SOURCE: Final = str(Path(__file__).parents[1] / "workq")

#: A step within a function: where it is, the line before, the line; and how often it was taken, in
#: powers of two.
Step = tuple[CodeType, int, int, int]
OFTEN: Final = 3


def steps(check: Callable[[bytes], None], data: bytes) -> set[Step]:
    """The steps that a check takes."""
    taken: Counter[tuple[CodeType, int, int]] = Counter()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_SOURCE):
            return None
        before = 0

        def go_on(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                taken[code, before, frame.f_lineno] += 1
                before = frame.f_lineno
            return go_on

        return go_on

    sys.settrace(enter)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return {(*step, min(count.bit_length(), OFTEN)) for step, count in taken.items()}


def keep(target: str, folder: Path) -> tuple[int, int, int]:
    """Renew a corpus; return how many files were looked at, are kept, and their bytes."""
    check = import_module(f"fuzz.{target}").check
    corpus = CORPUS / target
    paths = [
        path for part in (corpus, folder / "found", folder / "seeds") for path in part.iterdir()
    ]
    crashes = {path.read_bytes() for path in corpus.glob("crash-*")}
    seen: set[Step] = set()
    for data in crashes:
        seen |= steps(check, data)
    kept: list[bytes] = []
    candidates = sorted(
        {path.read_bytes() for path in paths} - crashes, key=lambda data: (len(data), data)
    )
    for data in candidates:
        taken = steps(check, data)
        if not taken <= seen:
            seen |= taken
            kept.append(data)
    for path in corpus.iterdir():
        if not path.name.startswith("crash-"):
            path.unlink()
    for data in kept:
        (corpus / sha1(data, usedforsecurity=False).hexdigest()[:16]).write_bytes(data)
    return len(candidates), len(kept), sum(map(len, kept))


if __name__ == "__main__":
    looked_at, files, size = keep(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(f"{files} of {looked_at} files kept, {size} bytes\n")
