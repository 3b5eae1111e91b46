"""Where the server is, and what the shell completes."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from workq.cli import statuses, workq
from workq.cli.connection import complete_queue


def test_the_url_on_the_command_line_goes_before_the_environment(cli, server, monkeypatch):
    """As for any setting."""
    monkeypatch.setenv("WORKQ_URL", "workq://127.0.0.1:1")
    assert cli("ping", "--url", server.url).status == statuses.OK


def test_queues_are_completed_from_the_server(client, server):
    """Those that begin so."""
    client.add("mails")
    client.add("letters")
    assert complete_queue("ma", Namespace(url=server.url)) == ["mails"]
    assert complete_queue("", Namespace()) == ["letters", "mails"]
    assert complete_queue("", Namespace(url="workq://127.0.0.1:1")) == []
    assert complete_queue("", Namespace(url="nonsense")) == []


def completed(line, tmp_path):
    """What a shell would be told for a line with the cursor at its end."""
    answer = tmp_path / "answer"
    environment = {
        **os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n",
    }  # fmt: skip
    command = [sys.executable, "-m", "workq.cli.workq"]
    subprocess.run(command, env=environment, check=True, timeout=20, capture_output=True)
    return [word.strip() for word in answer.read_text().split("\n")]


def test_a_shell_completes_subcommands_options_and_queues(client, tmp_path):
    """By argcomplete."""
    client.add("mails")
    assert completed("workq sche", tmp_path) == ["schedule"]
    assert completed("workq lease ma", tmp_path) == ["mails"]
    assert completed("workq lease mails --co", tmp_path) == ["--count"]
    assert "scheduled-jobs" in completed("workq inspect ", tmp_path)


def test_a_shell_that_looks_for_it_finds_that_words_can_be_completed():
    """It reads the beginning of the file."""
    assert "PYTHON_ARGCOMPLETE_OK" in Path(workq.__file__).read_text("utf-8")[:1024]


@pytest.mark.parametrize("timeout", ["0", "0s", "0.5ms"])
def test_no_time_for_an_answer_is_refused(timeout, cli):
    """Nothing would be tried."""
    said = cli("ping", "--timeout", timeout)
    assert said.status == statuses.BAD_USAGE
    assert "it takes 1ms or more" in said.err
    assert cli("ping", "--timeout", "10s").status == statuses.OK
