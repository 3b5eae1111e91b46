"""`workq cmdlog` end to end: on golden logs, damaged ones, the original's, and beside a server."""

from __future__ import annotations

import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.recovery.histories import Life
from tests.recovery.making import damage, kept, lived, places
from tests.recovery.processes import laid_out
from tests.recovery.test_golog_originals import DATA
from workq.cli import statuses
from workq.cli.cmdlog import repair
from workq.cli.times import read_time
from workq.cli.workq import main
from workq.cmdlog.files import RealDisk

GOLDEN = Path(__file__).parents[1] / "recovery" / "golden"
JOB = "61a444a0-6128-41c0-8078-000000000001"
NOW = "2026-11-22T09:36:26Z"
PATIENCE_SECONDS = 20


class Peer:
    """A client of a server.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._file = self._socket.makefile("rb")

    def ask(self, request: str) -> bytes:
        """Send a request; the first line of the reply."""
        self._socket.sendall(request.encode() + b"\r\n")
        return self.line()

    def line(self) -> bytes:
        """The next line."""
        return self._file.readline().rstrip(b"\r\n")

    def word(self) -> str:
        """The next word; its space is taken too."""
        word = b""
        while (byte := self._file.read(1)) != b" ":
            word += byte
        return word.decode()

    def block(self, size: int) -> bytes:
        """A block of so many bytes, and the end of its line."""
        return self._file.read(size + 2)[:size]

    def close(self) -> None:
        """Go."""
        self._file.close()
        self._socket.close()


#: A server whose wall clock begins at a time, in nanoseconds since 1970; 0 for now.
SERVER = (
    "import sys, time\n"
    "real, then = time.time_ns, int(sys.argv.pop(1))\n"
    "behind = real() - then if then else 0\n"
    "time.time_ns = lambda: real() - behind\n"
    "from workq.cli.server import main\n"
    "sys.exit(main())\n"
)


@contextmanager
def serving(path: Path, *flags: str, then_ms: int = 0) -> Iterator[Peer]:
    """A server on a command log, and a client of it."""
    command = [
        sys.executable, "-c", SERVER, str(then_ms * 1_000_000), "--listen", "127.0.0.1:0",
        "--cmdlog-path", str(path), *flags,
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(PATIENCE_SECONDS, process.kill)
    guard.start()
    assert process.stderr is not None
    try:
        said = ""
        for said in process.stderr:
            if found := re.search(r"Listening on 127.0.0.1:(\d+)", said):
                break
        else:
            raise AssertionError(said)
        peer = Peer(int(found[1]))
        try:
            yield peer
        finally:
            peer.close()
        process.terminate()
        process.stderr.read()
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        guard.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The JSON lines that were printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def golden(name: str, tmp_path: Path, bad: int = 0) -> Path:
    """A copy of a golden log; the frame at a position is damaged if one is given."""
    path = Path(shutil.copytree(GOLDEN / name / "log", tmp_path / name))
    if bad:
        at = places(RealDisk(str(path)))[bad]
        file = path / f"{at.number:09d}.log"
        data = bytearray(file.read_bytes())
        data[at.offset + 70] ^= 1
        file.write_bytes(data)
    return path


# --- check ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transitions", "snapshot", "torn", "repaired"])
def test_a_sound_log_is_sound_for_people_and_programs(name, capsys):
    """A tail is no damage."""
    path = str(GOLDEN / name / "log")
    assert main(["cmdlog", "check", path]) == statuses.OK
    assert capsys.readouterr().out.startswith(f"{path}: sound\n")
    assert main(["cmdlog", "check", path, "--json"]) == statuses.OK
    (report,) = told(capsys)
    expected = json.loads((GOLDEN / name / "expected.json").read_text(encoding="utf-8"))
    assert report["sound"] is True
    assert report["damage"] is None
    assert report["digest"] == expected["digest"]
    assert report["last_position"] == expected["position"]
    assert (report["tail"] is None) == (expected["tail"] is None)


def test_the_tail_and_the_snapshot_are_told_of(capsys):
    """With what becomes of the one, and where the other ends."""
    main(["cmdlog", "check", str(GOLDEN / "torn" / "log")])
    assert "000000001.log from byte 836 on" in capsys.readouterr().out
    main(["cmdlog", "check", str(GOLDEN / "snapshot" / "log")])
    assert "000000005.snap: everything up to position 14" in capsys.readouterr().out


def test_what_is_kept_aside_is_told_with_its_size(tmp_path, capsys):
    """It counts in no bound of the log, and goes when somebody removes it."""
    path = golden("torn", tmp_path)
    (path / "000000001.41.cut").write_bytes(bytes(1234))
    (path / "repaired-20261123T085131Z").mkdir()
    (path / "repaired-20261123T085131Z" / "000000001.log").write_bytes(bytes(5000))
    main(["cmdlog", "check", str(path)])
    said = capsys.readouterr().out
    assert "\n  cut        1 .cut file, 1,234 bytes" in said
    assert "\n  repaired   1 directory, 5,000 bytes" in said


def test_a_log_of_more_files_than_may_be_open_is_read_all_the_same(tmp_path):
    """By default 1,024 may, and a log of a hundred gigabytes has more."""
    life = Life()
    for _ in range(50):
        life.fill_segment()
    path = laid_out(life.disk, tmp_path / "log")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, before[1]))
    try:
        assert main(["cmdlog", "check", path]) == statuses.OK
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_damaged_log_has_its_own_status(tmp_path, capsys):
    """And says where, and what can be done."""
    path = golden("transitions", tmp_path, bad=3)
    assert main(["cmdlog", "check", str(path)]) == statuses.WRONG
    said = capsys.readouterr().out
    assert f"{path}/000000002.log, byte 64" in said
    assert f"workq cmdlog repair {path}" in said
    assert main(["cmdlog", "check", str(path), "--json"]) == statuses.WRONG
    (report,) = told(capsys)
    assert report["damage"]["offset"] == 64  # type: ignore[index]


@pytest.mark.parametrize("tool", ["check", "dump", "repair"])
def test_what_is_no_log_of_ours_cannot_be_used(tool, tmp_path, capsys):
    """A directory that is missing, a file, or a log of the original."""
    (tmp_path / "file").write_bytes(b"")
    cases = [
        (tmp_path / "none", "No such file"),
        (tmp_path / "file", "Not a directory"),
        (DATA / "dir", "workq cmdlog import"),
    ]
    for path, problem in cases:
        assert main(["cmdlog", tool, str(path)]) == statuses.UNUSABLE
        assert problem in capsys.readouterr().err


# --- dump -----------------------------------------------------------------------------------


def test_a_dump_is_one_object_a_line(capsys):
    """Everything, and what is asked for."""
    path = str(GOLDEN / "transitions" / "log")
    assert main(["cmdlog", "dump", path]) == statuses.OK
    lines = told(capsys)
    assert len(lines) == 27
    assert lines[0]["type"] == "added"
    assert {line["type"] for line in lines} >= {"due", "expired", "restored", "counters"}
    cases = {
        ("--job", JOB.upper()): 3,
        ("--queue", "later"): 3,
        ("--queue", "later", "--job", JOB): 0,
        ("--since", "2023-11-14T22:13:24Z"): 12,
        ("--until", "2023-11-14T23:13:24+01:00"): 15,
        ("--since", "2024-01-01"): 0,
    }
    for flags, count in cases.items():
        assert main(["cmdlog", "dump", path, *flags]) == statuses.OK
        assert len(told(capsys)) == count, flags


def test_a_dump_of_a_damaged_log_ends_with_the_damage(tmp_path, capsys):
    """What is before it is listed."""
    path = golden("transitions", tmp_path, bad=3)
    assert main(["cmdlog", "dump", str(path)]) == statuses.WRONG
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 4
    assert "frame 3 is damaged" in printed.err


def test_an_id_that_is_none_is_told_before_anything_is_read(capsys):
    """It would find nothing."""
    with pytest.raises(SystemExit):
        main(["cmdlog", "dump", "/none", "--job", "12"])
    assert "is not an id" in capsys.readouterr().err


# --- repair ---------------------------------------------------------------------------------


def files(path: Path) -> dict[str, bytes]:
    """All there is in a directory."""
    return {str(one): one.read_bytes() for one in path.rglob("*") if one.is_file()}


class Terminal:
    """A standard input at which somebody sits, or nobody."""

    def __init__(self, said: str | None) -> None:
        self._said = said

    def isatty(self) -> bool:
        """Whether somebody is there."""
        return self._said is not None

    def readline(self) -> str:
        """What they type."""
        assert self._said is not None
        return self._said


@pytest.mark.parametrize("said", [None, "", "no\n", "yes\n", "y\n"])
def test_without_a_yes_nothing_is_changed(said, tmp_path, monkeypatch, capsys):
    """A repair is not something to be confirmed by habit."""
    path = golden("transitions", tmp_path, bad=3)
    before = files(path)
    monkeypatch.setattr(sys, "stdin", Terminal(said))
    assert main(["cmdlog", "repair", str(path)]) == statuses.WRONG
    assert files(path) == before
    printed = capsys.readouterr().out
    assert "frame 3: lost" in printed
    assert f"workq cmdlog repair {path} --yes" in printed


def test_the_word_typed_at_a_terminal_does_it(tmp_path, monkeypatch, capsys):
    """And the log is sound."""
    path = golden("transitions", tmp_path, bad=3)
    monkeypatch.setattr(sys, "stdin", Terminal(f"{repair.WORD}\n"))
    assert main(["cmdlog", "repair", str(path)]) == statuses.OK
    assert main(["cmdlog", "check", str(path)]) == statuses.OK
    assert "Repaired." in capsys.readouterr().out


@pytest.mark.parametrize("flags, ready", [([], 1), (["--cut"], 4)])
def test_a_server_starts_from_a_repaired_log(flags, ready, tmp_path, capsys):
    """Which it refused before; and all that was there is kept."""
    path = golden("transitions", tmp_path, bad=3)
    before = sorted(files(path).values())
    assert main(["cmdlog", "repair", str(path), "--yes", *flags]) == statuses.OK
    (aside,) = path.glob("repaired-*")
    assert sorted(files(aside).values()) == before
    capsys.readouterr()
    main(["cmdlog", "check", str(path), "--json"])
    (report,) = told(capsys)
    assert report["jobs"]["ready"] == ready  # type: ignore[index]
    main(["cmdlog", "dump", str(path)])
    (line,) = [line for line in told(capsys) if line["type"] == "repair"]
    assert line["way"] == ("cut" if flags else "skip")
    with serving(path) as peer:
        assert peer.ask("ping") == b"+OK"
    assert main(["cmdlog", "check", str(path)]) == statuses.OK


@pytest.mark.parametrize("words", [["check"], ["dump"], ["repair", "--yes"]])
def test_what_a_newer_server_has_written_is_refused_and_left_alone(words, tmp_path, capsys):
    """It is no damage, though something else is: a newer workq can read it."""
    path = tmp_path / "log"
    path.mkdir()
    disk = kept([*lived(1), ([(99, b"id")], 10**13)])
    if words[0] == "repair":
        damage(disk, places(disk)[10])
    for name in disk.names():
        (path / name).write_bytes(disk.read_all(name))
    before = files(path)
    assert main(["cmdlog", *words, str(path)]) == statuses.UNUSABLE
    assert files(path) == before
    assert "was written by a newer workq (frame " in capsys.readouterr().err


def test_a_sound_log_is_left_alone(tmp_path, capsys):
    """With a yes too."""
    path = golden("torn", tmp_path)
    before = files(path)
    assert main(["cmdlog", "repair", str(path), "--yes"]) == statuses.OK
    assert files(path) == before
    assert "nothing to repair" in capsys.readouterr().out


# --- import ---------------------------------------------------------------------------------


def shown(peer: Peer, job_id: str) -> dict[str, object] | str:
    """A job as `expected.json` has it, from `inspect job` and `result` of a server."""
    first = peer.ask(f"inspect job {job_id}")
    if first != b"+OK 1":
        return first.decode()
    count = int(peer.line().split()[1])
    fields: dict[str, object] = {}
    for _ in range(count):
        name = peer.word()
        if name == "payload":
            size = fields["payload-size"]
            assert isinstance(size, int)
            fields["payload_hex"] = peer.block(size).hex()
        else:
            value = peer.line().decode()
            fields[name] = int(value) if re.fullmatch(r"-?\d+", value) else value
    if fields["state"] in (1, 2):
        assert peer.ask(f"result {job_id} 0") == b"+OK 1"
        _, success, size_text = peer.line().decode().split()
        fields["result"] = {"ok": int(success), "hex": peer.block(int(size_text)).hex()}
    return fields


@pytest.mark.parametrize("name, lost", [("dir", ""), ("dir-torn", "00000000000b")])
def test_a_server_shows_imported_jobs_as_the_original_did(name, lost, tmp_path, capsys):
    """Every field of every job; the torn end is warned of."""
    path = tmp_path / "new"
    assert main(["cmdlog", "import", str(DATA / name), str(path), f"--now={NOW}"]) == statuses.OK
    printed = capsys.readouterr()
    assert f"{8 if lost else 9} jobs" in printed.out
    assert ("3081 bytes" in printed.err) == bool(lost)
    assert main(["cmdlog", "check", str(path)]) == statuses.OK
    expected = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))
    with serving(path, then_ms=read_time(NOW)) as peer:  # or leases would end with the years
        for job_id, fields in expected.items():
            wanted = "-NOT-FOUND" if lost and job_id.endswith(lost) else fields
            assert shown(peer, job_id) == wanted


def test_an_import_does_not_touch_what_is_there(tmp_path, capsys):
    """Neither the original's directory nor a log of ours."""
    source = Path(shutil.copytree(DATA / "dir", tmp_path / "source"))
    path = tmp_path / "deep" / "new"
    before = files(source)
    assert main(["cmdlog", "import", str(source), str(path), "--now", NOW]) == statuses.OK
    assert files(source) == before
    assert path.stat().st_mode & 0o777 == 0o700
    mine = files(path)
    assert main(["cmdlog", "import", str(source), str(path), "--now", NOW]) == statuses.UNUSABLE
    assert files(path) == mine
    assert "not empty" in capsys.readouterr().err


def test_years_later_all_jobs_have_expired(tmp_path, capsys):
    """And a time that is to come needs a word to the server."""
    path = tmp_path / "new"
    words = ["cmdlog", "import", str(DATA / "dir"), str(path), "--now", "2090-01-01"]
    assert main(words) == statuses.OK
    printed = capsys.readouterr().out
    assert "0 jobs from" in printed
    assert "9 jobs whose TTL had ended" in printed
    assert "--accept-clock" in printed


def test_a_damaged_original_is_refused(tmp_path, capsys):
    """With file and byte; no log is made."""
    source = Path(shutil.copytree(DATA / "dir", tmp_path / "source"))
    first = source / "000000001.log"
    first.write_bytes(first.read_bytes()[:-1])
    path = tmp_path / "new"
    assert main(["cmdlog", "import", str(source), str(path), "--now", NOW]) == statuses.WRONG
    assert "000000001.log, byte" in capsys.readouterr().err
    assert files(path) == {}


# --- beside a server ------------------------------------------------------------------------


def test_looking_works_beside_a_running_server_and_mending_does_not(tmp_path, capsys):
    """What it has acknowledged is there."""
    path = tmp_path / "log"
    with serving(path) as peer:
        for number in range(50):
            job_id = f"00000000-0000-4000-8000-{number:012d}"
            assert peer.ask(f"add {job_id} ping 1000 60000 4\r\n{number:04d}") == b"+OK"
        assert main(["cmdlog", "check", str(path), "--json"]) == statuses.OK
        (report,) = told(capsys)
        assert report["records"] == {"added": 50}
        assert report["queues"] == {"ping": {"jobs": 50, "bytes": 200}}
        assert main(["cmdlog", "dump", str(path), "--queue", "ping"]) == statuses.OK
        assert [line["payload"] for line in told(capsys)] == [f"{n:04d}" for n in range(50)]
        assert main(["cmdlog", "repair", str(path), "--yes"]) == statuses.UNUSABLE
        assert "stop it first" in capsys.readouterr().err
