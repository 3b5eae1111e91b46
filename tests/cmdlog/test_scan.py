"""Reading a log back: torn is told from corrupt."""

from __future__ import annotations

from random import Random

import pytest

from tests.cmdlog.making import Opened, body, commits, fill, opened, read
from tests.simulation.disk import Inode, SimulatedDisk
from workq.cmdlog.frames import COMMIT, MARK, OVERHEAD_BYTES, Chain
from workq.cmdlog.scan import Place, Reading
from workq.cmdlog.segment import LOG, header
from workq.errors import CorruptionError, DirectoryError

FIRST = "000000001.log"


def log_of(count: int, synced: bool) -> Opened:
    """A log with so many commits, several segments; synced to the end and vouched for, or not."""
    log = opened(SimulatedDisk())
    fill(log, range(count))
    if synced:
        log.log.sync()
        log.worker.run()
        log.log.tick(1)
        log.log.tick(2)
    log.worker.run()
    return log


def places(disk: SimulatedDisk) -> list[Place]:
    """Where each frame is."""
    reading = Reading(disk)
    return [reading.at for _ in reading.frames()]


def flip(disk: SimulatedDisk, place: Place, offset: int = 70) -> None:
    """Damage a frame."""
    disk.files[f"{place.number:09d}.log"].now[place.offset + offset] ^= 1


def test_an_empty_directory_is_an_empty_log():
    """It has no mark yet."""
    reading, frames = read(SimulatedDisk())
    assert (frames, reading.position, reading.mark, reading.tail) == ([], 0, b"", None)
    assert list(reading.parts()) == []


def test_what_was_written_is_read():
    """In order, with what it amounts to; and how far it has come."""
    log = log_of(40, synced=True)
    reading = Reading(log.disk)
    done = [0]
    frames = []
    for frame in reading.frames():
        frames.append(frame)
        assert done[-1] <= reading.bytes_done <= reading.bytes_in_all
        done.append(reading.bytes_done)
    assert commits(frames) == list(range(40))
    assert len(set(done)) > 3
    last = frames[-1]
    assert (reading.kind, reading.position, reading.hash) == (MARK, last.position, last.hash)
    assert (reading.epoch, reading.time_ms, reading.safe) == (1, 2, last.position - 1)
    assert reading.tail is None
    assert [sealed.position for sealed in reading.sealed][-1] == last.position
    assert log.disk.handles.keys() & {log.disk.opened} == set()


@pytest.mark.parametrize("number", range(41))
def test_damage_of_what_was_safe_refuses_and_names_the_place(number):
    """Whichever frame it is, file and byte."""
    log = log_of(40, synced=True)
    place = places(log.disk)[number]
    flip(log.disk, place)
    with pytest.raises(CorruptionError) as caught:
        read(log.disk)
    assert caught.value.path == f"/simulated/{place.number:09d}.log"
    assert caught.value.offset == place.offset
    assert f"frame {number + 1} is damaged or missing, but was safe" in str(caught.value)
    assert "workq cmdlog" in str(caught.value)


def test_damage_of_what_was_never_synced_is_a_tail():
    """Whole frames behind it or not: no reply that waited for them has left."""
    log = opened(SimulatedDisk(), 8000)
    log.worker.run()
    fill(log, range(40))
    at = places(log.disk)
    for number in range(1, 41):
        disk = log.disk.copy()
        flip(disk, at[number])
        reading, frames = read(disk)
        assert commits(frames) == list(range(number - 1))
        assert reading.tail is not None
        assert reading.tail.place == at[number]
        assert reading.tail.position == number + 1
        assert reading.tail.frames == 40 - number


def test_a_tail_may_begin_in_an_older_segment():
    """Pages of several files reach the disk in any order."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(20))
    disk = log.disk.copy()
    place = places(disk)[5]
    flip(disk, place)
    reading, frames = read(disk)
    assert commits(frames) == list(range(4))
    assert reading.tail is not None
    assert reading.tail.later == [2]
    assert reading.tail.place == place


def test_a_segment_that_is_missing_in_the_middle_refuses():
    """The one before it has ended too early."""
    log = log_of(40, synced=True)
    last = [place for place in places(log.disk) if place.number == 2][-1]
    log.disk.remove("000000003.log")
    with pytest.raises(CorruptionError) as caught:
        read(log.disk)
    assert caught.value.path == "/simulated/000000002.log"
    assert caught.value.offset == last.offset + OVERHEAD_BYTES + 100


def test_the_first_segments_missing_refuse():
    """A log begins at its beginning, or at a snapshot."""
    log = log_of(40, synced=True)
    log.disk.remove("000000001.log")
    with pytest.raises(CorruptionError, match=r"000000002\.log, byte 64: frame 1 "):
        read(log.disk)


def test_a_segment_missing_in_front_of_what_was_never_synced_is_a_tail():
    """Nobody says that it was safe."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(14))
    log.disk.files[FIRST].now[144:] = bytes(len(log.disk.files[FIRST].now) - 144)
    reading, frames = read(log.disk)
    assert commits(frames) == []
    assert reading.tail is not None
    assert reading.tail.place == Place(1, 144)
    assert reading.tail.later == [2]
    assert reading.tail.frames > 0


@pytest.mark.parametrize("kind", ["twice", "swapped", "left out", "other"])
def test_whole_frames_at_the_wrong_place_are_damage(kind):
    """Their own hashes are right; the chain is not."""
    log = opened(SimulatedDisk(), 8000)
    log.worker.run()
    fill(log, range(10))
    log.log.sync()
    log.worker.run()
    fill(log, range(10, 11))
    data = log.disk.files[FIRST].now
    size = OVERHEAD_BYTES + 100
    at = places(log.disk)[3].offset
    one, other = data[at : at + size], data[at + size : at + 2 * size]
    if kind == "twice":
        data[at + size : at + size] = one
    elif kind == "swapped":
        data[at : at + 2 * size] = other + one
    elif kind == "left out":
        del data[at : at + size]
    else:  # from a past that was cut: the right position, another chain
        chain = Chain(Reading(log.disk).mark, 1, 3, b"another past....")
        data[at : at + size] = chain.build(COMMIT, 1, 1, 0, bytes(100))
    with pytest.raises(CorruptionError):
        read(log.disk)


def test_an_epoch_that_falls_is_damage():
    """Nobody who opened the log later writes with an older one."""
    log = opened(SimulatedDisk())
    reading, frames = read(log.disk)
    chain = Chain(reading.mark, 0, 1, frames[0].hash)
    log.disk.write(log.disk.open(FIRST), chain.build(COMMIT, 1, 1, 0, b""), 144)
    assert read(log.disk)[0].tail is not None
    log.disk.write(log.disk.open(FIRST), chain.build(COMMIT, 1, 1, 2, b""), 224)
    with pytest.raises(CorruptionError):
        read(log.disk)


def test_a_kind_that_is_not_known_was_written_by_a_newer_server():
    """To leave it out would be to read something else."""
    log = opened(SimulatedDisk())
    reading, frames = read(log.disk)
    frame = Chain(reading.mark, 1, 1, frames[0].hash).build(99, 1, 1, 0, b"")
    log.disk.write(log.disk.open(FIRST), frame, 144)
    with pytest.raises(DirectoryError, match="newer workq"):
        read(log.disk)


def test_the_segment_of_another_log_is_refused():
    """Its mark is another."""
    log = log_of(20, synced=True)
    data = bytearray(log.disk.read_all("000000002.log"))
    data[:64] = header(LOG, 2, b"another.")
    log.disk.files["000000002.log"].now[:] = data
    with pytest.raises(CorruptionError, match="another log"):
        Reading(log.disk)


def test_a_bad_header_refuses_before_anything_is_read():
    """It was synced before the file had its name."""
    log = log_of(40, synced=False)
    flip(log.disk, Place(3, 0), 20)
    with pytest.raises(CorruptionError, match=r"000000003\.log, byte 0"):
        Reading(log.disk)


@pytest.mark.parametrize("mark, refused", [(b"guessed.", False), (None, True)])
def test_a_client_cannot_make_a_torn_log_look_corrupt(mark, refused):
    """A payload made of frames passes for proof only to who knows the mark; who does would."""
    log = opened(SimulatedDisk())
    log.worker.run()
    reading, _ = read(log.disk)
    chain = Chain(mark or reading.mark, 1, 100, bytes(16))
    forged = b"".join(chain.build(COMMIT, 1, 1, 100, b"") for _ in range(5))
    log.log.append(COMMIT, 1, 1, b"torn" + forged)
    flip(log.disk, Place(1, 144), 66)
    if refused:
        with pytest.raises(CorruptionError):
            read(log.disk)
    else:
        reading, _ = read(log.disk)
        assert reading.tail is not None
        assert reading.tail.frames == 0


def test_sealed_segments_are_read_alone():
    """As compaction does; what is damaged in them is no tail."""
    log = log_of(40, synced=False)
    reading = Reading(log.disk, below=3)
    found = commits(list(reading.frames()))
    assert found == list(range(len(found)))
    assert reading.numbers == [1, 2]
    assert reading.position == log.log.sealed[1].position
    flip(log.disk, Place(2, 64))
    reading = Reading(log.disk, below=3)
    with pytest.raises(CorruptionError, match="sealed segment"):
        list(reading.frames())
    reading = Reading(log.disk, below=2)
    list(reading.frames())
    assert reading.position == log.log.sealed[0].position


def test_a_log_can_be_read_while_it_is_written():
    """What is not whole yet looks like a tail; nothing is changed."""
    log = opened(SimulatedDisk())
    log.worker.run()
    fill(log, range(8))
    disk = log.disk.copy()
    disk.files[FIRST].now[1000:] = bytes(1048)
    reading, frames = read(disk)
    assert commits(frames) == list(range(len(frames) - 1))
    assert reading.tail is not None
    assert disk.calls == 0


def test_the_original_servers_directory_is_told():
    """Not taken for damage."""
    disk = SimulatedDisk()
    disk.put(FIRST, Inode.of(b"wqwq\0\0\0\1" + body(1)))
    with pytest.raises(DirectoryError, match="workq cmdlog import"):
        Reading(disk)


def test_nothing_is_called_proven_that_no_frame_vouches_for():
    """Every frame before that place is as safe as some frame says."""
    for seed in range(30):
        random = Random(seed)
        log = opened(SimulatedDisk(), 8000)
        for number in range(50):
            fill(log, range(number, number + 1))
            if random.random() < 0.2:
                log.log.sync()
            if random.random() < 0.3:
                log.worker.run()
        log.worker.run()
        at = places(log.disk)
        reading, _ = read(log.disk)
        proven = at.index(reading.unproven)
        assert proven <= reading.safe
        assert proven > 0 or reading.safe < 3
