"""Pages about the client, and two READMEs: the examples run, print what they say, have types."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workq_client import errors

from tests.conftest import lack

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
FILES = {
    "client": "docs/client.md",
    "worker": "docs/worker.md",
    "tour": "README.md",
    "package": "clients/python/README.md",
}
PAGES = {name: (ROOT / file).read_text("utf-8") for name, file in FILES.items()}
BLOCKS = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def url(monkeypatch, tmp_path):
    """A server with nothing in it, where clients look for one."""
    command = [sys.executable, "-m", "workq", "--listen", f"unix:{tmp_path}/s"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        monkeypatch.setenv("WORKQ_URL", f"workq+unix://{tmp_path}/s")
        try:
            yield f"workq+unix://{tmp_path}/s"
        finally:
            process.terminate()
            process.communicate()


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_print_what_the_page_says(page, url):
    """In order, in one program, against a server of their own."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for code, told in BLOCKS.findall(PAGES[page]):
        printed = io.StringIO()
        code = code.replace("workq://127.0.0.1:9922", url)
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), names)
        if told:
            for name in ("report", "nonsense"):
                told = told.replace(f"{{{name}}}", names.get(name, ""))
            assert printed.getvalue() == told


def test_the_tree_of_errors_is_that_of_the_module():
    """Drawn once, shown twice."""
    drawn = re.findall(r"[├└]── (.*?)  |[├└]── ([A-Z]\w+(?:, [A-Z]\w+)*)$", PAGE, re.MULTILINE)
    shown = {name for pair in drawn for name in re.findall(r"[A-Z]\w+", pair[0] or pair[1])}
    there = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.WorkqError)
    }
    assert shown | {"WorkqError"} == there
    assert all(name in str(errors.__doc__) for name in there)


@pytest.fixture(scope="module")
def program_text(tmp_path_factory):
    """The examples of each page as a program."""
    folder = tmp_path_factory.mktemp("examples")
    for page, text in PAGES.items():
        code = "\n".join(code for code, _ in BLOCKS.findall(text))
        (folder / f"example_{page}.py").write_text(code, "utf-8")
    return folder


@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_type_checkers_find_nothing_to_say(checker, program_text):
    """Of the examples, as a user's program beside the installed client."""
    path = Path(sys.executable).with_name(checker)
    if not path.exists():
        lack(f"{checker} is not installed", "make .venv/.lint installs it")
    options = ["--strict"]
    if checker == "basedpyright":  # as pyright is by default
        options = ["--level", "error", "--pythonpath", sys.executable]
        settings = {"typeCheckingMode": "standard", "extraPaths": [str(ROOT / "clients/python")]}
        (program_text / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    done = subprocess.run(
        [path, *options, *([] if checker != "mypy" else sorted(program_text.glob("*.py")))],
        cwd=program_text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
