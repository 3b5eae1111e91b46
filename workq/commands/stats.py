"""stats: the server's numbers, for people and for monitoring."""

from workq.commands.base import WHOLE, Command, Desk
from workq.engine import transitions
from workq.wire import replies
from workq.wire.grammar import Arguments


def execute(desk: Desk, _: Arguments) -> bytes:
    """Tell all numbers, by name."""
    engine = desk.engine
    pairs: list[tuple[str, bytes | int]] = [
        ("version", desk.facts.version.encode("ascii")),
        ("uptime-ms", desk.facts.uptime_ms),
        ("memory-bytes", desk.facts.memory_bytes),
        ("long-turns", desk.facts.long_turns),
        ("longest-turn-us", desk.facts.longest_turn_us),
        ("untaken-bytes", desk.facts.untaken_bytes),
        ("cut-for-untaken", desk.facts.cut_for_untaken),
        ("queues", len(engine.queues)),
        ("jobs", engine.size),
    ]
    pairs += [(f"jobs-{state}", count) for state, count in engine.counts.items()]
    pairs += [
        ("held-bytes", engine.held_bytes),
        ("evicted-jobs", engine.evicted),
    ]
    pairs += [
        (f"total-{transitions.NAMES[kind]}", engine.tally[kind]) for kind in transitions.SERVING
    ]
    pairs += desk.gauges().items()
    return replies.counted([replies.block(b"stats", pairs)])


COMMAND = Command(
    "stats",
    execute=execute,
    cost=8,
    summary="show the server's numbers",
    details="+OK 1, then `stats <number of keys>` and a line for each.",
    knows=WHOLE,
    naming=True,
)
