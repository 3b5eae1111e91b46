"""The client as a package: what its wheel brings, and who owns its files."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import workq_client

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clients" / "python"
FOLDER = PACKAGE / "workq_client"

#: What a stranger does with it, in a program of their own.
PROGRAM = """
import sys
from workq_client import Client, __file__ as place
assert sys.argv[2] in place, place
try:
    import workq
except ImportError:
    pass
else:
    raise AssertionError("the server is here too")
with Client(sys.argv[1]) as client:
    added = client.add("packaged", b"x")
    client.complete(client.lease("packaged"), b"y")
    print(client.result(added).data)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The client's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, PACKAGE]
    subprocess.run(command, check=True, cwd=folder)
    (path,) = folder.glob("workq_client-*.whl")
    return path


def test_the_wheel_has_the_package_and_needs_nothing(wheel):
    """All its modules, the mark that it is typed, the licence; and no dependency."""
    with ZipFile(wheel) as files:
        names = set(files.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        told = files.read(metadata).decode()
    there = {str(path.relative_to(PACKAGE)) for path in FOLDER.rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == {
        *there,
        "workq_client/py.typed",
        "workq_client_pytest.py",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)
    needed = re.findall(r"^Requires-Dist: (.*)$", told, re.MULTILINE)
    assert needed == []  # nor an extra: the `workq` of PyPI is somebody else's
    assert "Requires-Python: >=3.11" in told


def test_the_wheel_works_with_the_checkout_out_of_reach(wheel, serving, tmp_path):
    """In an environment that has nothing else."""
    venv.create(tmp_path / "alone", with_pip=False)
    python = tmp_path / "alone" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    install = [*pip, "install", "--quiet", "--no-index", wheel]
    subprocess.run(install, check=True, cwd=tmp_path)
    done = subprocess.run(
        [python, "-I", "-c", PROGRAM, serving[0], str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("b'y'\n", "")


def test_server_and_client_have_one_version():
    """The server's package asks for the client by it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == workq_client.__version__


@pytest.mark.parametrize("beside, release", [(True, ""), (True, "1"), (False, "")])
def test_the_client_comes_from_beside_the_server_or_by_name(beside, release, tmp_path, monkeypatch):
    """From a clone it is the clone's own; a package made for others asks for it by name."""
    monkeypatch.setenv("WORKQ_RELEASE", release)
    spec = importlib.util.spec_from_file_location("hook", ROOT / "clients" / "metadata.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    if beside:
        (tmp_path / "clients" / "python").mkdir(parents=True)
        (tmp_path / "clients" / "python" / "pyproject.toml").touch()
    metadata: dict[str, Any] = {"version": "1.2.3"}
    hook.ClientDependency(str(tmp_path), {"dependencies": ["uvloop"]}).update(metadata)
    place = f" @ {(tmp_path / 'clients/python').as_uri()}" if beside and not release else "==1.2.3"
    assert metadata["dependencies"] == ["uvloop", f"workq-client{place}"]


def test_the_servers_package_has_no_file_of_the_client():
    """Or removing one of the two would break the other."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert tool["hatch"]["build"]["targets"]["wheel"]["packages"] == ["workq"]
    assert "/clients/metadata.py" in tool["hatch"]["build"]["targets"]["sdist"]["include"]
