"""Mending: whatever happens on the way, nothing that was there is lost."""

import json
import os
import shutil

import pytest

from tests.cmdlog.making import Noted
from tests.recovery.making import again, damage, kept, lived, places, same
from tests.simulation.worker import StepWorker
from workq.cmdlog import frames
from workq.cmdlog.directory import DirectoryLog
from workq.cmdlog.files import RealDisk
from workq.cmdlog.scan import Reading
from workq.cmdlog.segment import list_files
from workq.cmdlog.settle import settle
from workq.engine.state import State
from workq.engine.transitions import CLOCK
from workq.errors import CorruptionError, DirectoryError
from workq.recovery.repair import CUT, SKIP, damage_of, plan, repair
from workq.recovery.replay import replay

NOW_MS = 1_800_000_000_000
BAD = 10  # the position of the frame that is damaged


class Broken(Exception):
    """The end, at some step."""


class Breaking(RealDisk):
    """A directory in which one step ends everything."""

    def __init__(self, path, step):
        super().__init__(path)
        self.left = step

    def _count(self):
        self.left -= 1
        if self.left == 0:
            raise Broken

    def create(self, name):
        self._count()
        return super().create(name)

    def write(self, handle, data, offset):
        self._count()
        super().write(handle, data, offset)

    def sync(self, handle):
        self._count()
        super().sync(handle)

    def rename(self, old, new):
        self._count()
        super().rename(old, new)

    def remove(self, name):
        self._count()
        super().remove(name)

    def sync_names(self):
        self._count()
        super().sync_names()


def damaged(seed=1):
    """A log on a simulated disk, of which a frame that was safe is damaged."""
    disk = kept(lived(seed))
    damage(disk, places(disk)[BAD])
    return disk


def put(disk, path):
    """A directory with the files of a simulated one."""
    path.mkdir()
    for name in disk.names():
        (path / name).write_bytes(disk.read_all(name))
    return path


def contents(path):
    """All files of a directory."""
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def read(path):
    """The state that a log makes, and its frames' kinds."""
    reading, state = Reading(RealDisk(str(path))), State()
    replay(reading, state)
    return reading, state


@pytest.mark.parametrize("way", [SKIP, CUT])
def test_a_damaged_log_becomes_one_that_a_server_starts_from(tmp_path, way):
    """With the state that was planned; behind every number that was used."""
    path = put(damaged(), tmp_path / "log")
    disk = RealDisk(str(path))
    assert damage_of(disk) is not None
    found = plan(disk, way)
    repair(disk, found, way, NOW_MS)
    assert damage_of(disk) is None
    reading, state = read(path)
    assert same(state, found.state)
    assert reading.position == found.position + 1
    assert reading.epoch == found.epoch + 1
    assert reading.tail is None
    log = DirectoryLog(
        disk, StepWorker(), Noted(reading.position + 1), settle(disk, reading),
        segment_bytes=4096, time_ms=NOW_MS, chance=os.urandom,
    )  # fmt: skip
    assert log.epoch == found.epoch + 2


def test_cut_is_the_state_before_the_damage(tmp_path):
    """Frame 1 is that of the epoch."""
    disk = RealDisk(str(put(damaged(), tmp_path / "log")))
    assert same(plan(disk, CUT).state, again(kept(lived(1)[: BAD - 2])))


def test_all_old_files_are_kept_as_they_were(tmp_path):
    """In a directory that tells when; for their owner only."""
    path = put(damaged(), tmp_path / "log")
    before = contents(path)
    disk = RealDisk(str(path))
    aside = repair(disk, plan(disk), SKIP, NOW_MS)
    assert aside == "repaired-20270115T080000Z"
    assert contents(path / aside) == before
    assert (path / aside).stat().st_mode & 0o777 == 0o700
    assert not set(contents(path)) & set(before)


def test_without_links_the_old_files_are_copied(tmp_path, monkeypatch):
    """Not every file system has them."""

    def none(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", none)
    path = put(damaged(), tmp_path / "log")
    before = contents(path)
    disk = RealDisk(str(path))
    assert contents(path / repair(disk, plan(disk), SKIP, NOW_MS)) == before


def test_the_log_tells_of_its_repair(tmp_path):
    """In a frame of its own."""
    path = put(damaged(), tmp_path / "log")
    disk = RealDisk(str(path))
    found = plan(disk)
    aside = repair(disk, found, SKIP, NOW_MS)
    (frame,) = Reading(disk).frames()
    told = json.loads(frame.body)
    assert frame.kind == frames.REPAIR
    assert (told["way"], told["kept_in"], told["lost_frames"]) == ("skip", aside, [[BAD, BAD]])
    assert told["repaired"] == "2027-01-15T08:00:00.000Z"
    assert told["damage"] == [str(place) for place in found.damage]
    assert told["transitions_skipped"] == dict(found.skipped)


def test_a_crash_at_any_step_loses_nothing(tmp_path):
    """The log is damaged as before, or mended; and a second repair ends well."""
    source = put(damaged(), tmp_path / "source")
    before = contents(source)
    planned = plan(RealDisk(str(source))).state
    step, ends = 0, set()
    while True:
        step += 1
        path = shutil.copytree(source, tmp_path / f"log{step}")
        disk = Breaking(str(path), step)
        found = plan(disk)
        try:
            repair(disk, found, SKIP, NOW_MS)
        except Broken:
            pass
        else:
            break
        kept_aside = contents(path / "repaired-20270115T080000Z")
        assert kept_aside == before
        again_disk = RealDisk(str(path))
        is_damaged = damage_of(again_disk) is not None
        ends.add(is_damaged)
        if is_damaged:
            assert before.items() <= contents(path).items()
            repair(again_disk, plan(again_disk), SKIP, NOW_MS)
            assert contents(path / "repaired-20270115T080000Z-2").items() >= before.items()
        assert same(read(path)[1], planned)
    assert ends == {True, False}
    assert step > 10


def test_a_second_repair_does_not_touch_what_the_first_kept(tmp_path):
    """Even within the same second."""
    path = put(damaged(), tmp_path / "log")
    disk = RealDisk(str(path))
    first = repair(disk, plan(disk), SKIP, NOW_MS)
    before = contents(path / first)
    second = repair(disk, plan(disk), SKIP, NOW_MS)
    assert second == f"{first}-2"
    assert contents(path / first) == before


def test_a_sound_log_has_nothing_to_mend():
    """A tail is the server's own affair."""
    disk = kept(lived(1))
    assert damage_of(disk) is None
    damage(disk, places(disk)[max(places(disk))])
    assert damage_of(disk) is None


def test_what_is_not_ours_is_refused():
    """There is nothing here that could mend it."""
    disk = kept(lived(1))
    disk.create("read.lock")
    with pytest.raises(DirectoryError) as caught:
        damage_of(disk)
    assert not isinstance(caught.value, CorruptionError)


def test_a_state_with_a_clock_is_mended_too(tmp_path):
    """Its snapshot has one record more."""
    commits = lived(1)
    commits.insert(3, ([(CLOCK, 7_200_000)], commits[3][1]))
    damaged_disk = kept(commits)
    damage(damaged_disk, places(damaged_disk)[BAD])
    path = put(damaged_disk, tmp_path / "log")
    disk = RealDisk(str(path))
    repair(disk, plan(disk), SKIP, NOW_MS)
    assert damage_of(disk) is None
    assert read(path)[1].offset_ms == 7_200_000


def test_numbers_of_files_are_not_used_again(tmp_path):
    """The new ones come behind all there were."""
    path = put(damaged(), tmp_path / "log")
    disk = RealDisk(str(path))
    fresh = list_files(disk).fresh
    repair(disk, plan(disk), SKIP, NOW_MS)
    listing = list_files(disk)
    assert (listing.segments, listing.snapshots) == ([fresh], [fresh])
