"""The first pages: what README.md shows is what one sees, and every link leads somewhere."""

import re
import subprocess
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
