"""The rules of the house that a program can check: words, sizes, and a test for every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for room in ("workq", "clients/python/workq_client")
    for path in sorted((ROOT / room).rglob("*.py"))
}
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70

#: The rooms in which every module has tests of its own, at the mirrored place.
TESTED = ("engine", "wire", "commands", "broker", "cmdlog")

#: Modules without a partner, each with the reason. Empty `__init__.py` files need none.
WITHOUT_PARTNER = {
    "workq/commands/__init__.py": "a list: tests/docs holds it against the documentation",
}


def statements(source: str) -> list[ast.stmt]:
    """What a module does, beside saying what it is for."""
    tree = ast.parse(source)
    return tree.body[1:] if ast.get_docstring(tree) else tree.body


def long_functions(source: str) -> list[str]:
    """The functions of more lines than one should have, decorators not counted."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]


def partner(file: str) -> Path:
    """Where the tests of a module are."""
    path = Path(file)
    name = path.parent.name if path.stem == "__init__" else path.stem
    return ROOT / "tests" / path.parent.relative_to("workq") / f"test_{name}.py"


def modules_to_test() -> list[str]:
    """The modules that must have a partner."""
    return [
        file
        for file, source in FILES.items()
        if Path(file).parts[0] == "workq"
        and Path(file).parts[1] in TESTED
        and file not in WITHOUT_PARTNER
        and (Path(file).name != "__init__.py" or statements(source))
    ]


@pytest.mark.parametrize("file", FILES)
def test_every_module_says_what_it_is_for(file):
    """In its first words."""
    assert ast.get_docstring(ast.parse(FILES[file]))


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_too_long(file):
    """One that outgrows this has usually found a second idea that wants a room of its own."""
    assert len(FILES[file].splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("file", FILES)
def test_no_function_is_too_long(file):
    """What fits on a screen can be read."""
    assert long_functions(FILES[file]) == []


@pytest.mark.parametrize("file", modules_to_test())
def test_every_module_that_decides_has_tests_of_its_own(file):
    """At the place where one looks for them: workq/a/b.py in tests/a/test_b.py."""
    assert partner(file).is_file(), f"{partner(file).relative_to(ROOT)} is missing"


def test_every_exception_is_needed():
    """A module that is gone, or has got its tests, leaves the list."""
    for file, reason in WITHOUT_PARTNER.items():
        assert file in FILES
        assert not partner(file).exists()
        assert reason


def test_a_function_of_seventy_lines_is_not_too_long():
    """One of seventy-one is; this holds the test above."""
    body = "\n".join("    x = 1" for _ in range(69))
    assert long_functions(f"def f():\n{body}") == []
    assert long_functions(f"def f():\n{body}\n    y = 2") == ["f"]


def test_partners_mirror_the_tree():
    """A package with code of its own is tested under its own name."""
    assert partner("workq/engine/queue.py") == ROOT / "tests/engine/test_queue.py"
    assert partner("workq/commands/__init__.py") == ROOT / "tests/commands/test_commands.py"
