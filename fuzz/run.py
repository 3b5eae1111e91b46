"""Fuzz a target with atheris, which need not be there for anything else.

    python -m fuzz.run TARGET FOLDER [libFuzzer's options]

FOLDER is what `fuzz.seeds` has filled; what is found goes to FOLDER/found, crashes to FOLDER.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

#: Where new lines are looked for, by target, if not everywhere: to note them doubles the time.
INSTRUMENTED: Final = {
    "reader": ["workq.wire", "workq.commands"],
    "log": ["workq.cmdlog", "workq.recovery", "workq.engine.state"],
    "settings": ["workq.server.settings", "workq.server.kinds", "workq.server.listen"],
}


def main(target: str, folder: Path, options: list[str]) -> None:
    """Fuzz until libFuzzer's options say that it is enough, or a check fails."""
    atheris = import_module("atheris")  # it has no types, and its place is only here
    with atheris.instrument_imports(include=INSTRUMENTED.get(target, ["workq"])):
        check = import_module(f"fuzz.{target}").check
    found = folder / "found"
    found.mkdir(parents=True, exist_ok=True)
    kept = Path(__file__).parent / "corpus" / target
    atheris.Setup(
        [
            sys.argv[0],
            f"-dict={folder / 'words.dict'}",
            f"-artifact_prefix={folder}/",
            "-max_len=2048",
            "-timeout=30",
            "-rss_limit_mb=2048",
            *options,
            str(found),
            str(kept),
            str(folder / "seeds"),
        ],
        check,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
