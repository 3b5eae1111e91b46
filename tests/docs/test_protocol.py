"""docs/protocol.md says what the server does: every example is played, every table compared."""

import re
from pathlib import Path

import pytest

from tests.commands.harness import Server
from tests.docs.examples import Example, Play, examples
from workq import limits
from workq.commands import COMMANDS
from workq.wire import replies

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = examples(PAGE)


def part(heading: str) -> str:
    """What stands below a heading, up to the next one of its rank or above."""
    lines = PAGE.splitlines()
    start = lines.index(heading)
    rank = heading.index(" ")
    body: list[str] = []
    for line in lines[start + 1 :]:
        if re.match(rf"#{{1,{rank}}} ", line):
            break
        body.append(line)
    return "\n".join(body)


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table with a first column so headed, the cells without their backticks."""
    rows: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == heading:
            inside = True
        elif inside and not set(cells[0]) <= {"-"}:
            rows.append(cells)
    assert rows, f"no table headed {heading!r}"
    return rows


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line{example.line}")
def test_an_example_holds(example: Example) -> None:
    """What it sends is answered as it says, and nothing more comes."""
    Play().run(example.steps)


@pytest.mark.parametrize(
    "steps, said",
    [
        (("> ping", "< +NO"), "but came"),
        (("> ping",), "unread"),
        (("> ping", "< +OK", "< +OK"), "nothing came"),
        (("> ping", "< +OK", "<EOF"), "no end"),
        (("> quit", "< +OK", "> ping"), "closed before"),
        (("ping",), "not a step"),
    ],
    ids=["other", "more", "less", "no end", "end", "nonsense"],
)
def test_an_example_that_does_not_hold_is_noticed(steps: tuple[str, ...], said: str) -> None:
    """A player that let a wrong answer pass would make every example worthless."""
    with pytest.raises(AssertionError, match=said):
        Play().run(steps)


def test_every_command_has_a_part_of_its_own_and_no_other_has() -> None:
    """The headings under "Commands" are the commands, in the order of `help`."""
    headings = re.findall(r"^### (.*)$", part("## Commands"), re.MULTILINE)

    assert headings == [command.name for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_commands_part_has_its_usage_and_an_example(command) -> None:
    """The form of its line is that of `help`, word for word, and it is shown at work."""
    text = part(f"### {command.name}")

    assert re.findall(r"^    (.*)$", text, re.MULTILINE) == [command.usage]
    assert f"> {command.name}" in text


def test_every_error_is_told_and_no_other() -> None:
    """The table of errors is `replies.ERRORS`."""
    told = [row[0] for row in table(part("## Errors"), "error")]

    assert sorted(told) == sorted(f"-{line}" for line in replies.ERRORS)


def test_no_error_is_named_that_does_not_exist() -> None:
    """Whatever looks like an error anywhere on the page is one."""
    named = set(re.findall(r"-CLIENT-ERROR [A-Z][A-Za-z ]*[A-Za-z]", PAGE))
    named |= {f"-CLIENT-ERROR {text}" for text in re.findall(r"`(Invalid [^`]+)`", PAGE)}

    assert named <= {f"-{line}" for line in replies.ERRORS}


def test_every_flag_is_told_with_its_commands_and_no_other() -> None:
    """The table of flags is what the grammars know."""
    told: dict[str, set[str]] = {}
    for row in table(part("### Flags"), "flag"):
        told.setdefault(row[0], set()).update(re.findall(r"[a-z]+", row[1]))
    known: dict[str, set[str]] = {}
    for command in COMMANDS:
        for flag in command.flags:
            known.setdefault(f"-{flag.decode()}", set()).add(command.name)

    assert told == known


def test_every_limit_is_told_with_its_value_and_no_other() -> None:
    """The table of limits is `workq.limits`."""
    told = {
        row[0]: int(row[1].replace(",", "").replace("−", "-"))  # noqa: RUF001
        for row in table(part("## Limits"), "bound")
    }
    known = {name: value for name, value in vars(limits).items() if name.isupper()}

    assert told == known


def test_every_number_of_stats_is_told_and_no_other() -> None:
    """The table of `stats` has its keys, in its order."""
    told = [
        key.strip().strip("`")
        for row in table(part("### stats"), "key")
        for key in row[0].split(",")
    ]
    lines = Server().ask("stats").splitlines()[2:]

    assert told == [line.split(" ")[0] for line in lines]


def test_every_link_on_the_page_leads_somewhere() -> None:
    """A link to a part of the page names a heading as it is turned into an anchor."""
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
