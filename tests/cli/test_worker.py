"""`workq worker`: the object that is named is found and run."""

import os
import sys

import pytest

from workq.cli import statuses


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module in the working directory with something like a worker in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("WORKQ_URL", "as before")  # and put back after the test
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "jobs.py").write_text(
        "import os\n"
        "class Worker:\n"
        "    pool, concurrency = 'threads', 4\n"
        "    def __init__(self, status): self.status, self.url = status, os.environ['WORKQ_URL']\n"
        "    def run(self):\n"
        "        print(self.pool, self.concurrency, self.url)\n"
        "        return self.status\n"
        "class Plain:\n"
        "    def run(self): pass\n"
        "class Place: worker = Worker(None)\n"
        "good, bad, plain = Worker(0), Worker(3), Plain()\n"
    )
    (tmp_path / "shop" / "broken.py").write_text("import no_such_thing\n")
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


def test_what_the_worker_says_may_be_replaced(shop, cli):
    """If it says it at all; the URL is there before the module is imported."""
    options = ["--pool", "processes", "--concurrency", 8, "--url", "workq://x:1"]
    assert cli("worker", "shop.jobs:good", *options).out == "processes 8 workq://x:1\n"
    assert os.environ["WORKQ_URL"] == "workq://x:1"
    said = cli("worker", "shop.jobs:plain", "--pool", "threads")
    assert said.status == statuses.BAD_USAGE
    assert said.err == "workq: shop.jobs:plain has no pool that --pool could replace\n"


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
    ],
)
def test_what_is_no_worker_is_told(place, told, shop, cli):
    """Without a trace."""
    said = cli("worker", place)
    assert said.status == statuses.BAD_USAGE
    assert told in said.err


def test_what_is_wrong_inside_the_module_has_its_trace(shop, cli):
    """Or nobody could find it."""
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        cli("worker", "shop.broken:worker")
