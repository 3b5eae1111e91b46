"""Logs of every version of the format that there was: what they made once they make for ever.

`golden/README.md` says how they came about, and that they are never written again.
"""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tests.recovery.golden.looking import look
from tests.recovery.golden.make import MAKERS, main
from workq.cmdlog import frames
from workq.cmdlog.files import RealDisk
from workq.cmdlog.frames import COMMIT, KINDS
from workq.cmdlog.scan import Reading
from workq.cmdlog.settle import lock, settle
from workq.engine import transitions
from workq.recovery.listing import FIELDS
from workq.recovery.records import Unpacker

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in GOLDEN.iterdir() if (path / "log").is_dir())


def expected(name):
    """What was written down when the log was made."""
    return json.loads((GOLDEN / name / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_log_makes_the_state_that_it_made(name):
    """Every field of every job, the digest, and where the log ends."""
    assert look(GOLDEN / name / "log") == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_can_go_on_from_a_golden_log(name, tmp_path):
    """Once it is settled there is no tail any more, and the state is the same."""
    path = shutil.copytree(GOLDEN / name / "log", tmp_path / "log")
    disk = RealDisk(str(path))
    lock(disk)
    reading = Reading(disk)
    for _ in reading.frames():
        pass
    settle(disk, reading)
    assert look(path) == {**expected(name), "tail": None}


def test_no_golden_file_was_changed_added_or_removed():
    """Each has the hash in the list, and the list has each."""
    lines = (GOLDEN / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {file: digest for digest, file in (line.split("  ") for line in lines)}
    found = {
        str(path.relative_to(GOLDEN)): sha256(path.read_bytes()).hexdigest()
        for name in NAMES
        for path in sorted((GOLDEN / name).rglob("*"))
        if path.is_file()
    }
    assert found == listed


def test_the_golden_logs_hold_every_type_of_record_and_every_kind_of_frame():
    """A new type needs a new golden log."""
    types, kinds = set(), set()
    for name in NAMES:
        reading = Reading(RealDisk(str(GOLDEN / name / "log")))
        for frame in reading.frames():
            kinds.add(frame.kind)
            if frame.kind == COMMIT:
                types |= {record[0] for record in Unpacker().records(frame.body)}
        if reading.snapshot is not None:
            kinds |= {frames.SNAPSHOT_HEAD, frames.SNAPSHOT_END}
            kinds |= {frame.kind for frame in reading.parts()}
    assert types == set(FIELDS) == set(transitions.NAMES) - {transitions.STARTED}
    assert kinds == KINDS


def test_every_golden_log_has_a_maker_and_a_line_in_the_readme():
    """Or nobody would know what it is."""
    readme = (GOLDEN / "README.md").read_text(encoding="utf-8")
    assert sorted(MAKERS) == NAMES
    assert [name for name in NAMES if f"| `{name}` |" not in readme] == []


def test_the_makers_make_logs_that_amount_to_the_same_today(tmp_path):
    """Their bytes may be others by now; so they are still a pattern for new ones."""
    main([str(tmp_path)])
    for name in NAMES:
        assert look(tmp_path / name / "log")["state"] == expected(name)["state"]
