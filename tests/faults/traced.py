"""The real server under `always` inside strace, with clients; then its trace is checked.

python -m tests.faults.traced --replies 5000
python -m tests.faults.traced --no-sync        # fdatasync does nothing: must fail
python -m tests.faults.traced --policy os      # replies wait for nothing: must fail
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults import strace
from tests.faults.load import Client, World
from tests.faults.order import Order
from tests.faults.server import PATIENCE_S, Server

CLIENTS = 4
SETTINGS = ("--cmdlog-seg-size", "16KiB", "--cmdlog-clean-int", "100ms")
SIZES = (0, 10, 100, 400, 2_000, 70_000)

#: fdatasync returns at once and the disk never hears of it.
NO_SYNC = ("-e", "inject=fdatasync:retval=0")


async def _trace(
    program: str, path: Path, seed: int, replies: int, policy: str, more: Sequence[str],
    compacted: bool,
) -> Order:  # fmt: skip
    log, output = path / "log", path / "trace"
    settings = ("--cmdlog-sync", policy, *SETTINGS)
    server = Server(log, *settings, prefix=strace.command(program, output, *more))
    world = World(seed, SIZES)
    try:
        await server.start()
        assert server.port, f"it did not start: {server.lines}"
        clients = [Client(world, server.port, seed + number) for number in range(CLIENTS)]

        def enough() -> bool:
            return world.history.replies >= replies and (not compacted or any(log.glob("*.snap")))

        lives = asyncio.gather(*(client.live(enough) for client in clients))
        await asyncio.wait_for(lives, 2 * PATIENCE_S)
        assert enough(), f"the server went away: {server.lines[-5:]}"
        await server.signal(signal.SIGTERM)
    finally:
        await server.kill()
    assert world.history.problems() == []
    lines = output.read_text("latin-1").splitlines()
    return Order(list(strace.read(lines)), str(log))


def trace(
    program: str,
    seed: int,
    replies: int,
    policy: str = "always",
    more: Sequence[str] = (),
    compacted: bool = False,
) -> Order:
    """Trace a server under load and check the order of what it did.

    Args:
        program: strace.
        seed: of what the clients want.
        replies: after so many they stop.
        policy: of the log.
        more: options for strace.
        compacted: whether they go on until there is a snapshot.
    """
    with tempfile.TemporaryDirectory(prefix="workq-trace-") as path:
        place = Path(path).resolve()
        return asyncio.run(_trace(program, place, seed, replies, policy, more, compacted))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="traced", description=__doc__.split("\n\n")[0])
    parser.add_argument("--replies", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", choices=("always", "interval", "os"), default="always")
    parser.add_argument("--no-sync", action="store_true", help="let fdatasync do nothing")
    options = parser.parse_args(arguments)
    program = shutil.which("strace")
    if program is None:
        sys.exit("strace is not installed")
    more = NO_SYNC if options.no_sync else ()
    order = trace(program, options.seed, options.replies, options.policy, more)
    for problem in order.problems[:20]:
        sys.stdout.write(f"  {problem}\n")
    sys.stdout.write(
        f"{order.replies} replies, {order.syncs} syncs and {order.injected} injected ones, "
        f"{order.segments} segments and {order.snapshots} snapshots named, {order.removals} files "
        f"removed; {len(order.problems)} problems, seed {options.seed}\n"
    )
    return int(bool(order.problems))


if __name__ == "__main__":
    sys.exit(main())
