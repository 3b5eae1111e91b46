"""The first pages: what README.md shows is what one sees, and every link leads somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.harness import Server

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/settings.md",
    "docs/protocol.md",
    "docs/cmdlog.md",
    "docs/client.md",
    "docs/cli.md",
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """To a file that is there, and a heading that is in it."""
    path = ROOT / page
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_settings_are_found_from_the_first_pages(page: str) -> None:
    """Nobody looks for a document that is not linked."""
    assert "](docs/settings.md)" in (ROOT / page).read_text(encoding="utf-8")


def typed(block: str) -> tuple[str, str]:
    """Of what somebody sees in a terminal: what was typed, and what was answered."""
    said: list[str] = []
    heard: list[str] = []
    answered = 0  # lines still to come of the entry that an answer has announced
    for line in block.splitlines():
        if line[0] in "+-" or answered:
            answered = 2 if line.startswith("+OK 1") else max(answered - 1, 0)
            heard.append(f"{line}\r\n")
        else:
            said.append(f"{line}\n")
    return "".join(said), "".join(heard)


def test_the_tour_shows_what_one_sees() -> None:
    """Line by line, on one connection alone and on two together."""
    alone, caller, worker = re.findall(
        r"^\$ nc [0-9. ]+\n(.*?)^```", README, re.DOTALL | re.MULTILINE
    )
    said, heard = typed(alone)
    client = Server().client()
    client.send(said.encode())
    assert client.take() == heard

    server = Server()
    first, second = server.client(), server.client()
    first.send(caller.encode())
    said, heard = typed(worker)
    second.send(said.encode())
    assert second.take() == heard
    shown = re.search(r"the first shows `(.*?)`, `(.*?)` and `(.*?)`", README)
    assert shown
    assert first.take() == "".join(f"{line}\r\n" for line in shown.groups())


def test_make_run_leaves_the_address_to_arguments_and_environment(program) -> None:
    """It gives the server no flags but those it is told, and a log by the weaker way."""
    command = [program("make"), "--no-print-directory", "-n", "run", "ARGS=--max-jobs 7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    assert last.endswith(" .venv/bin/workq-server --max-jobs 7")
    assert last.startswith("WORKQ_SERVER_CMDLOG_PATH=${WORKQ_SERVER_CMDLOG_PATH-data} ")


def test_the_three_terminals_show_what_one_sees(tmp_path: Path) -> None:
    """Server, worker and producer, as a new user would paste them."""
    part = README[README.index("## Three terminals") : README.index("## A minute's tour")]
    program, started, typed_in = re.findall(r"^```\w+\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    (tmp_path / "shout.py").write_text(program, encoding="utf-8")
    environment = os.environ | {"WORKQ_URL": f"workq+unix://{tmp_path}/s"}
    workq = [sys.executable, "-m", "workq.cli.workq"]
    server = [sys.executable, "-m", "workq", "--listen", f"unix:{tmp_path}/s"]
    assert started.split() == ["$", ".venv/bin/workq", "worker", "shout:worker"]
    with (
        subprocess.Popen(server, stderr=subprocess.PIPE, text=True) as serving,
        subprocess.Popen(
            [*workq, "worker", "shout:worker"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.DEVNULL,
        ) as working,
    ):
        try:
            assert serving.stderr is not None
            assert "Listening" in serving.stderr.readline()
            _see(typed_in.splitlines(), workq, environment)
        finally:
            working.terminate()
            working.wait(20)
            serving.terminate()


def _see(lines: list[str], workq: list[str], environment: dict[str, str]) -> None:
    """Type what stands behind a `$`, and compare what comes with the lines below it."""
    told: dict[str, str] = {}  # the ids that came, by those that are shown
    while lines:
        line = lines.pop(0)
        for shown, came in told.items():
            line = line.replace(shown, came)
        words = shlex.split(line.removeprefix("$ .venv/bin/workq "))
        if words == ["top"]:
            words.append("--once")
        done = subprocess.run(
            [*workq, *words], env=environment, capture_output=True, text=True, check=True
        )
        if lines and not lines[0].startswith("$"):
            shown = lines.pop(0)
            if words[0] == "add":
                told[shown] = done.stdout.strip()
            else:
                assert done.stdout.strip() == shown
