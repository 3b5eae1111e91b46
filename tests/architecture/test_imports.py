"""Who may import whom, and what those who decide may not import at all.

Read from the source (imports inside functions and under TYPE_CHECKING count too), so that a
module that nobody loads is held to it as well.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "python"

#: Every room of the house, and what it may import beside itself. Rooms that are not built yet
#: stand here with what they will be allowed. `workq` is the package itself: its version.
BASE = {"workq", "limits", "errors"}
BELOW = {"engine", "wire", "cmdlog"}
EDGES: dict[str, set[str]] = {
    "workq": set(),
    "errors": set(),
    "limits": set(),
    "engine": BASE,
    "wire": BASE,
    "cmdlog": BASE,
    "commands": BASE | BELOW,
    "broker": BASE | BELOW | {"commands"},
    "recovery": BASE | BELOW | {"commands"},
    "server": BASE | BELOW | {"commands", "broker", "recovery"},
    "gateway": BASE | {"workq_client"},
    "cluster": BASE | BELOW | {"commands", "broker", "recovery", "server"},
    "cli": BASE
    | BELOW
    | {"commands", "broker", "recovery", "server", "gateway", "cluster", "workq_client"},
    "__main__": {"cli"},
}

#: The rooms that decide. No clock, no chance, no event loop, no socket, no file, no logger.
PURE = ("engine", "wire", "commands", "broker", "cmdlog")

#: What they may not import, nor anything inside it.
IMPURE_MODULES = {
    "_thread", "asyncio", "builtins", "concurrent", "contextvars", "ctypes", "fcntl", "fileinput",
    "glob", "importlib", "inspect", "io", "logging", "mmap", "multiprocessing", "numpy", "os",
    "pathlib", "platform", "queue", "random", "resource", "sched", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "socketserver", "ssl", "subprocess", "sys",
    "syslog", "tempfile", "threading", "time", "trio", "uuid", "uvloop", "warnings",
}  # fmt: skip

#: The modules of these rooms that touch the world for the others, and with what.
HANDS = {
    "workq.cmdlog.files": {"fcntl", "os"},
    "workq.cmdlog.worker": {"os", "queue", "sys", "threading"},
}

#: What they may not call by its bare name.
IMPURE_CALLS = {
    "__import__", "breakpoint", "eval", "exec", "exit", "globals", "id", "input", "open", "print",
    "quit",
}  # fmt: skip

#: What they may not call of anything: `datetime` is allowed for its calendar, not for its clock.
IMPURE_METHODS = {"now", "today", "utcnow", "uuid1", "uuid4", "getrandom", "urandom"}


#: What parts of the client may import besides Python's own: at their start, and inside functions.
CLIENT_EDGES: dict[str, tuple[set[str], set[str]]] = {
    "workq_client.testing": (set(), {"workq"}),
    "workq_client_pytest": ({"pytest"}, set()),
}


def modules(root: Path, package: str) -> dict[str, ast.Module]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


MODULES = modules(ROOT, "workq")
CLIENT_MODULES = modules(CLIENT, "workq_client") | {
    "workq_client_pytest": ast.parse((CLIENT / "workq_client_pytest.py").read_text("utf-8"))
}


def room(name: str) -> str:
    """The room that a module of this project belongs to; other packages by their first name."""
    parts = name.split(".")
    if parts[0] != "workq":
        return parts[0]
    return parts[1] if len(parts) > 1 else "workq"


def imported(nodes: Iterable[ast.AST]) -> list[str]:
    """The dotted names that are imported, `from a import b` as a.b where that is a module."""
    names = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            assert node.module is not None
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if name in MODULES else node.module for name in inside]
    return names


def at_start(node: ast.AST) -> Iterator[ast.AST]:
    """What of a module is executed when it is imported: neither functions nor what is for types."""
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if not lazy and not (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        ):
            yield child
            yield from at_start(child)


def called(tree: ast.Module) -> tuple[set[str], set[str]]:
    """The bare names and the attributes that a module calls."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return (
        {function.id for function in functions if isinstance(function, ast.Name)},
        {function.attr for function in functions if isinstance(function, ast.Attribute)},
    )


def pure_modules() -> list[str]:
    """The modules of the rooms that decide."""
    return [name for name in MODULES if room(name) in PURE]


def wrong_edges(name: str, tree: ast.Module) -> list[str]:
    """What a module imports of this project though its room may not."""
    own = room(name)
    return [
        target
        for target in imported(ast.walk(tree))
        if target.split(".")[0] in ("workq", "workq_client")
        and room(target) != own
        and room(target) not in EDGES[own]
    ]


def foreign(name: str, tree: ast.Module) -> list[str]:
    """What a module of the client imports though it may not, by the first name."""
    own = sys.stdlib_module_names | {"workq_client"}
    eager, lazy = CLIENT_EDGES.get(name, (set(), set()))
    begun = {target.split(".")[0] for target in imported(at_start(tree))} - own
    used = {target.split(".")[0] for target in imported(ast.walk(tree))} - own
    return sorted((begun - eager) | (used - eager - lazy))


def impurities(tree: ast.Module) -> list[str]:
    """What a module imports or calls though nothing that decides may."""
    names, methods = called(tree)
    modules = {target.split(".")[0] for target in imported(ast.walk(tree))}
    return sorted((modules & IMPURE_MODULES) | (names & IMPURE_CALLS) | (methods & IMPURE_METHODS))


def test_every_room_stands_in_the_table():
    """A new one needs a decision: what may it import?"""
    assert {room(name) for name in MODULES} - set(EDGES) == set()


def test_the_table_leads_one_way():
    """Who may be imported by a room never may import it: there are no circles among rooms."""
    done: set[str] = set()
    while ready := [name for name in set(EDGES) - done if EDGES[name] - {"workq_client"} <= done]:
        done |= set(ready)
    assert set(EDGES) == done


def test_state_wire_and_log_know_nothing_of_each_other():
    """The three that everything rests on stand side by side."""
    for name in sorted(BELOW):
        assert EDGES[name] & BELOW == set()


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    """A module imports only what its room may; if it needs more, it is in the wrong room."""
    assert wrong_edges(name, MODULES[name]) == []


@pytest.mark.parametrize("name", CLIENT_MODULES)
def test_the_client_needs_nothing_but_python(name):
    """It is installed alone. What runs a server for tests imports that when it is asked to, and
    pytest loads its plug-in before any test is."""
    assert foreign(name, CLIENT_MODULES[name]) == []


@pytest.mark.parametrize("name", pure_modules())
def test_what_decides_is_pure(name):
    """Time comes in as an argument, and nothing goes out but what was decided."""
    assert set(impurities(MODULES[name])) == HANDS.get(name, set())


def test_what_touches_the_world_is_imported_by_nothing_that_decides():
    """It is handed in from outside, and something else could be."""
    for name in pure_modules():
        assert not set(imported(ast.walk(MODULES[name]))) & set(HANDS), name


@pytest.mark.parametrize("name", MODULES)
def test_nobody_imports_a_star(name):
    """Or no table could say what is imported."""
    stars = [
        node
        for node in ast.walk(MODULES[name])
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    ]
    assert stars == []


@pytest.mark.parametrize("file", ["model.py", "rebuild.py"])
def test_what_the_engine_is_held_against_shares_no_code_with_it(file):
    """Or both would be wrong in the same way."""
    tree = ast.parse((ROOT / "tests" / "engine" / file).read_text(encoding="utf-8"))
    ours = [name for name in imported(ast.walk(tree)) if name.split(".")[0] in ("workq", "tests")]
    assert set(ours) <= {"tests.engine.rebuild"}


@pytest.mark.parametrize(
    "name, source, expected",
    [
        ("workq.engine.x", "from workq.wire import replies", ["workq.wire.replies"]),
        ("workq.wire.x", "import workq.engine.job", ["workq.engine.job"]),
        ("workq.commands.x", "from workq.broker.broker import B", ["workq.broker.broker"]),
        ("workq.engine.x", "def f():\n  import workq.server.ring", ["workq.server.ring"]),
        ("workq.gateway.x", "from workq.engine import dump", ["workq.engine.dump"]),
        ("workq.server.x", "import workq_client", ["workq_client"]),
        ("workq.limits", "from workq.errors import WorkqError", ["workq.errors"]),
        ("workq.gateway.x", "import workq_client", []),
        ("workq.broker.x", "from workq import limits, __version__", []),
    ],
)
def test_a_wrong_import_is_seen(name, source, expected):
    """However it is written; this holds the tests above."""
    assert wrong_edges(name, ast.parse(source)) == expected


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import time", ["time"]),
        ("from os.path import join", ["os"]),
        ("import concurrent.futures", ["concurrent"]),
        ("from uuid import uuid4", ["uuid"]),
        ("def f():\n  from random import Random", ["random"]),
        ("x = open('file')", ["open"]),
        ("print(1)", ["print"]),
        ("from datetime import UTC, datetime\nx = datetime.now(UTC)", ["now"]),
        ("import datetime\nx = datetime.date.today()", ["today"]),
        ("from datetime import datetime\nx = datetime(1970, 1, 1)", []),
        ("x = session.open()", []),
    ],
)
def test_an_impurity_is_seen(source, expected):
    """However it is written; this holds the tests above."""
    assert impurities(ast.parse(source)) == expected


@pytest.mark.parametrize(
    "name, source, expected",
    [
        ("workq_client", "import workq", ["workq"]),
        ("workq_client", "def f():\n  import workq.limits", ["workq"]),
        ("workq_client.testing", "from workq.server import guest", ["workq"]),
        ("workq_client.testing", "class C:\n  import workq", ["workq"]),
        ("workq_client.testing", "if True:\n  import workq", ["workq"]),
        ("workq_client.testing", "def f():\n  import msgpack", ["msgpack"]),
        ("workq_client_pytest", "def f():\n  import workq", ["workq"]),
        ("workq_client.testing", "class C:\n  def f():\n    import workq", []),
        ("workq_client.testing", "if TYPE_CHECKING:\n  import workq", []),
        ("workq_client_pytest", "import pytest", []),
        ("workq_client", "import asyncio\nfrom workq_client import errors", []),
    ],
)
def test_what_the_client_may_not_import_is_seen(name, source, expected):
    """However it is written; this holds the test above."""
    assert foreign(name, ast.parse(source)) == expected
