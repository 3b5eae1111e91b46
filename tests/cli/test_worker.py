"""`workq worker`: the object that is named is found and run."""

import sys

import pytest

from workq.cli import statuses


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module in the working directory with something like a worker in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("WORKQ_URL", "none")  # and put back after the test
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "jobs.py").write_text(
        "import os\n"
        "class Worker:\n"
        "    def __init__(self, status): self.status, self.url = status, os.environ['WORKQ_URL']\n"
        "    def run(self, **changes):\n"
        "        print(self.url, changes)\n"
        "        return self.status\n"
        "class Plain:\n"
        "    def run(self): pass\n"
        "class Place: worker = Worker(None)\n"
        "good, bad, plain = Worker(0), Worker(3), Plain()\n"
    )
    yield
    for name in [one for one in sys.modules if one.split(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "name, status",
    [("good", statuses.OK), ("bad", 3), ("plain", statuses.OK), ("Place.worker", statuses.OK)],
)
def test_its_status_is_ours(name, status, shop, cli):
    """None is well."""
    assert cli("worker", f"shop.jobs:{name}").status == status


def test_what_the_worker_says_may_be_replaced(shop, cli, server):
    """If it takes that; the URL is there before the module is imported, for clients in it."""
    assert cli("worker", "shop.jobs:good").out == f"{server.url} {{}}\n"
    for name in [one for one in sys.modules if one.startswith("shop")]:
        del sys.modules[name]
    options = ["--pool", "processes", "--concurrency", 8, "--url", "workq://x:1"]
    said = cli("worker", "shop.jobs:good", *options)
    changes = {"url": "workq://x:1", "pool": "processes", "concurrency": 8}
    assert said.out == f"workq://x:1 {changes}\n"
    said = cli("worker", "shop.jobs:plain", "--pool", "threads")
    assert said.status == statuses.BAD_USAGE
    assert said.err.startswith("workq: shop.jobs:plain does not take --pool: got an")


@pytest.mark.parametrize(
    "place, told",
    [
        ("shop.jobs", "is not like module:worker"),
        (":worker", "is not like module:worker"),
        ("shop.none:worker", "there is no module shop.none, seen from "),
        ("none.jobs:worker", "there is no module none, seen from "),
        ("shop.jobs:none", "shop.jobs has no none"),
        ("shop.jobs:Worker.none", "shop.jobs has no Worker.none"),
        ("shop.jobs:os", "is no worker: it has no run()"),
        ("shop.jobs:Worker", "is no worker: it is a class"),
        ("./shop/jobs.py:worker", "shop.jobs for shop/jobs.py"),
        ("shop/jobs:worker", "shop.jobs for shop/jobs.py"),
        ("..jobs:worker", "shop.jobs for shop/jobs.py"),
    ],
)
def test_what_is_no_worker_is_told(place, told, shop, cli):
    """Without a trace."""
    said = cli("worker", place)
    assert said.status == statuses.BAD_USAGE
    assert told in said.err


@pytest.mark.parametrize(
    "line, told",
    [
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("open('no-such-file')", "FileNotFoundError: [Errno 2]"),
        ("__import__('workq_client').Client('workq://127.0.0.1:1', timeout=0.01).ping()", "Unr"),
    ],
)
def test_what_is_wrong_inside_the_module_has_its_trace(line, told, shop, cli, tmp_path):
    """Or nobody could find it: also what is one line if a subcommand raises it itself."""
    (tmp_path / "shop" / "broken.py").write_text(f"\n{line}\n")
    said = cli("worker", "shop.broken:worker")
    assert said.status == statuses.WRONG
    assert "Traceback" in said.err
    assert 'broken.py", line 2' in said.err
    assert f"\nworkq: shop.broken cannot be imported: {told}" in said.err
