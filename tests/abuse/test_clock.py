"""The wall clock stepped under a server with every kind of deadline pending: the quick steps of
`bench/abuse_clock.py`, which has the rest."""

import importlib.util
import sys
from pathlib import Path

import pytest

SERVER = Path(sys.executable).with_name("workq-server")
PLACE = Path(__file__).parents[2] / "bench" / "abuse_clock.py"


@pytest.fixture(scope="module")
def clock(program):
    """The module, where libfaketime is installed."""
    program("faketime")
    specification = importlib.util.spec_from_file_location("abuse_clock", PLACE)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["abuse_clock"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("step", [3600, -86400])
def test_a_step_of_the_wall_clock_moves_no_length_of_time(clock, step):
    """Leases, waits, calls, times to live and patience end when they would have; a scheduled time
    follows the wall clock."""
    lines, good = clock.step_clock(str(SERVER), lambda _: None, (step,))
    assert good, "\n".join(lines)
