"""The transcripts of log.cases: each has a server and a log of its own, which it restarts or kills.

They are played under the two policies that differ most, a few at a time, as those of wire.cases.
"""

import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.conform import Case, Failed, Play, Server, load

CASES = load(Path(__file__).with_name("log.cases"))
POLICIES = ("interval", "always")
AT_ONCE = 2  # G08 has four seconds for a restart

Outcomes = dict[tuple[str, str], Future[None]]


def play(case: Case, policy: str) -> None:
    """Play one case against a server of its own."""
    program = Path(sys.executable).with_name("workq-server")
    server = Server(
        f"{shlex.quote(str(program))} --listen 127.0.0.1:{{port}} --cmdlog-path {{dir}} "
        f"--cmdlog-sync {policy}"
    )
    try:
        Play(case, server.address, server).run()
    finally:
        server.discard()


@pytest.fixture(scope="session")
def log_outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """How each case that was chosen for this run went."""
    chosen: list[tuple[Case, str]] = []
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "log_outcomes" in item.fixturenames:
            case, policy = item.callspec.params["case"], item.callspec.params["policy"]
            assert isinstance(case, Case) and isinstance(policy, str)
            chosen.append((case, policy))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(case.id, policy): pool.submit(play, case, policy) for case, policy in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_log_keeps_what_the_transcript_says(
    case: Case, policy: str, log_outcomes: Outcomes
) -> None:
    """Across restarts and kills, whatever replies wait for."""
    try:
        log_outcomes[case.id, policy].result(timeout=50)
    except Failed as why:
        pytest.fail(f"{case.head}\n{why}", pytrace=False)


def test_every_case_stops_its_server() -> None:
    """Else it would belong into wire.cases."""
    assert CASES
    assert [case.id for case in CASES if not case.alone] == []
