"""`workq top`: the picture, and the terminal it is drawn in."""

import io
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from fcntl import ioctl

import pytest
from workq_client import QueueInfo, Stats

from workq.cli import picture, statuses
from workq.cli.picture import Picture, Sample


def sample(queues=(), at_s=0.0, **numbers):
    """A look at a server, with numbers by their names in Python."""
    names = [
        "uptime-ms", "memory-bytes", "connections", "waiting", "held-bytes", "total-started",
        *[f"jobs-{name}" for name in picture.STATES], *[f"total-{name}" for name in picture.RATES],
    ]  # fmt: skip
    values = dict.fromkeys(names, 0) | {
        name.replace("_", "-"): value for name, value in numbers.items()
    }
    return Sample(Stats("9.9", values), [QueueInfo(*one) for one in queues], at_s)


def test_rates_are_what_has_happened_in_the_time_between():
    """Jobs that `run` handed in among those that were added."""
    before = sample(at_s=10.0, total_added=100, total_leased=7)
    after = sample(at_s=12.0, total_added=150, total_started=3, total_leased=8)
    rates = Picture("", after, before).rates()
    assert rates is not None
    assert (rates["added"], rates["leased"], rates["failed"]) == (26.5, 0.5, 0)


@pytest.mark.parametrize(
    "before", [None, sample(uptime_ms=99_000, total_added=7), sample(at_s=1.0)]
)
def test_nobody_knows_the_rates_of_a_server_that_has_started_anew(before):
    """They are not negative."""
    shown = Picture("", sample(at_s=1.0, uptime_ms=1000), before)
    assert shown.rates() is None
    assert "per second  added -   leased -" in "\n".join(picture.draw(shown, 20))


def test_the_queues_with_most_to_do_come_first_and_the_rest_is_counted():
    """As many as there is room for."""
    queues = [("a", 1, 0), ("b", 3000, 0), ("c", 1, 5), ("d", 0, 9)]
    shown = Picture("workq://x:1", sample(queues, uptime_ms=3_723_000), None)
    lines = picture.draw(shown, 8)
    assert lines[0] == "workq 9.9 at workq://x:1, up 1h 2m"
    assert lines[5:] == ["queue  ready  scheduled", "b      3,000          0", "and 3 more"]
    assert [line[0] for line in picture.draw(shown, 10)[6:]] == ["b", "c", "a", "d"]
    assert "\n".join(picture.draw(shown, 1)).endswith("scheduled\nand 4 more")


def test_rich_draws_the_same():
    """With colours."""
    from rich.console import Console

    shown = Picture("workq://x:1", sample([("mails[red]", 3, 0)]), None, trouble="gone")
    file = io.StringIO()
    Console(width=100, file=file).print(picture.draw_rich(shown, 20))
    text = file.getvalue()
    assert all(line.strip() in text for line in picture.draw(shown, 20)[:5])
    assert re.search(r"mails\[red\] +3 +0", text)


def test_one_picture_has_rates_between_two_looks(cli, client):
    """For people, and for programs."""
    client.add("mails")
    said = cli("top", "--once", "--interval", "10ms")
    assert (said.status, said.err) == (statuses.OK, "")
    assert "jobs        ready 1   scheduled 0" in said.out
    assert said.out.endswith("queue  ready  scheduled\nmails      1          0\n")
    shown = cli("top", "--once", "--interval", "10ms", "--json").json
    assert shown["per_second"]["added"] == 0
    assert shown["queues"] == [{"name": "mails", "ready": 1, "scheduled": 0}]
    assert shown["trouble"] is None


def test_where_there_is_no_terminal_pictures_follow_one_another(process, client):
    """Until Ctrl-C, which is a way to end it."""
    top = process("top", "--interval", "10ms", "--json")
    assert top.stdout.readline().startswith(b'{"url":')
    assert b'"per_second": {' in top.stdout.readline()
    top.send_signal(signal.SIGINT)
    assert top.wait(10) == statuses.OK
    assert top.stderr.read() == b""


def test_nobody_looks_without_a_pause(cli):
    """It would keep the server, and us, from anything else."""
    said = cli("top", "--interval", 0, "--once")
    assert (said.status, said.err) == (statuses.BAD_USAGE, "workq: --interval is 10ms or more\n")


class Terminal:
    """A terminal, and what was written to it."""

    def __init__(self):
        self.outer, self.inner = pty.openpty()
        ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 90, 0, 0))
        self.before = termios.tcgetattr(self.inner)
        self.text = b""

    def wait_for(self, expected):
        """Read until something was written."""
        end = time.monotonic() + 10
        while expected not in self.text:
            ready, _, _ = select.select([self.outer], [], [], end - time.monotonic())
            assert ready, self.text
            self.text += os.read(self.outer, 65536)

    def close(self):
        """Be gone."""
        os.close(self.outer)
        os.close(self.inner)


@pytest.fixture(params=["rich", "plain"])
def terminal(request, monkeypatch, tmp_path):
    """A terminal, with rich installed and without."""
    if request.param == "plain":
        (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['rich'] = None\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    one = Terminal()
    yield one
    one.close()


@pytest.mark.parametrize("key", ["q", "\x03", None])
def test_a_terminal_is_left_as_it_was(key, terminal, process, client):
    """By q, Ctrl-C and SIGTERM; the picture is on a screen of its own, and goes on meanwhile."""
    client.add("mails")
    pipes = {"stdin": terminal.inner, "stdout": terminal.inner, "stderr": terminal.inner}
    top = process("top", "--interval", "50ms", **pipes, process_group=None, preexec_fn=own_terminal)
    terminal.wait_for(b"mails")
    client.add("letters")
    terminal.wait_for(b"letters")
    if key is None:
        top.terminate()
    else:
        os.write(terminal.outer, key.encode())
    assert top.wait(10) == statuses.OK
    terminal.wait_for(b"\x1b[?1049l")
    assert terminal.text.index(b"\x1b[?1049h") < terminal.text.index(b"mails")
    assert b"\x1b[?25h" in terminal.text
    assert b"Traceback" not in terminal.text
    assert termios.tcgetattr(terminal.inner) == terminal.before


def test_a_terminal_that_cannot_go_back_has_one_picture_after_the_other(
    terminal, process, client, monkeypatch
):
    """Where nothing would be seen else, or only what it cannot read."""
    monkeypatch.setenv("TERM", "dumb")
    client.add("mails")
    pipes = {"stdin": terminal.inner, "stdout": terminal.inner, "stderr": terminal.inner}
    top = process("top", "--interval", "50ms", **pipes)
    terminal.wait_for(b"mails")
    top.send_signal(signal.SIGINT)
    assert top.wait(10) == statuses.OK
    assert b"\x1b" not in terminal.text


def own_terminal():
    """Make the terminal that of the process, so that Ctrl-C is for it."""
    os.setsid()
    ioctl(0, termios.TIOCSCTTY, 0)


def test_a_server_that_goes_away_is_told_of_in_the_picture(process, client, server):
    """And what was known before stands."""
    client.add("mails")
    top = process("top", "--interval", "10ms", "--timeout", "1s", "--json")
    top.stdout.readline()
    with server.away():
        while b"no connection to" not in (line := top.stdout.readline()):
            assert line
        assert b'"mails"' in line
    while b'"trouble": null' not in (line := top.stdout.readline()):
        assert line
    top.terminate()
