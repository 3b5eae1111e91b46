"""What a process does with its memory."""

import subprocess
import sys

#: As many jobs go as come: those that were there when the server began. Tells how many objects the
#: collector had to look through at the most, as turns of a hundred changes go by.
_AS_MANY_GO_AS_COME = """
import gc
from workq.server.process import collect_young, take_over_collection

class Job:
    __slots__ = ("payload", "queue")

old = [Job() for _ in range(50_000)]
take_over_collection()
new, changes, most = [], 0, 0
while old:
    for _ in range(50):
        old.pop()
        new.append(Job())
    changes += 100
    most = max(most, len(gc.get_objects(0)) + len(gc.get_objects(1)))
    if collect_young(changes):
        changes = 0
print(most)
"""


def test_young_objects_do_not_gather_while_as_many_go_as_come():
    """The collector counts what comes less what goes, and would look through all of them one day:
    a hundred thousand jobs whose time to live had ended were a turn of 35 ms."""
    command = [sys.executable, "-P", "-c", _AS_MANY_GO_AS_COME]
    found = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert int(found.stdout) < 6_000
