"""What goes wrong in a seed, and when: settings and faults.

All are drawn at once, so that single faults can be left out when a failure is made smaller.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final, NamedTuple

#: Where a server may be killed: by the call of the disk that it is about to make, the file it is
#: for, and what the server is doing.
POINTS: Final = (
    "between turns",
    "append",
    "sync",
    "rotate: create",
    "rotate: preallocate",
    "rotate: header",
    "rotate: sync",
    "rotate: rename",
    "rotate: sync names",
    "seal: sync",
    "seal: truncate",
    "compaction: create",
    "compaction: write",
    "compaction: sync",
    "publish: sync",
    "publish: rename",
    "publish: sync names",
    "publish: remove",
    "start: read",
    "start: settle",
    "start: cut",
    "start: first segment",
    "shutdown: drain",
    "shutdown: last frame",
    "shutdown: let go",
)

#: What else may go wrong.
FAULTS: Final = (
    "sync fails",
    "write fails",
    "create fails",
    "names fail",
    "compactor dies",
    "disk full",
    "disk slow",
    "wall clock steps",
    "stall",
    "bit flips",
    "resets",
    "half-open",
    "flood",
    "deaf clients",
    "half-closes",
)


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        at_ms: when, from the start of the seed.
        kind: `crash`, `stop`, or one of `FAULTS`.
        what: for a crash the point, for a stop when the second signal comes, for others a number.
        how: for a crash `power` or `kill`.
    """

    at_ms: int
    kind: str
    what: Any = 0
    how: str = ""

    def __str__(self) -> str:
        words = [f"{self.at_ms:6d} ms", self.kind, str(self.what) if self.what else "", self.how]
        return " ".join(word for word in words if word)


#: Limits of `workq/limits.py` that a seed may make so small that they are met.
LIMITS: Final = {
    "FRAME_BYTES_ON_LOOP_MAX": (65_536, 65_536, 300),
    "INPUT_BYTES_MAX": (2_097_152, 2_097_152, 1500),
    "INPUT_BYTES_PAUSE": (262_144, 262_144, 300),
    "UNSENT_BYTES_MAX": (1_048_576, 1_048_576, 2000),
    "REQUESTS_PER_SESSION_AND_TURN_MAX": (64, 64, 4),
    "REQUESTS_PER_SESSION_AND_TURN_MIN": (16, 16, 2),
    "REQUESTS_PER_TURN_MAX": (300, 300, 12),
    "LEFT_ON_DISK_BYTES_MIN": (512, 512, 50),
    "TAGGED_WAITS_MAX": (8, 8, 2),
    "ALL_TAGGED_WAITS_MAX": (250_000, 250_000, 6),
}


class Settings(NamedTuple):
    """How the server of a seed is set up, and how fast its machine is.

    Attributes:
        small: the limits of `LIMITS`, some of them smaller than shipped.
    """

    sync: str
    interval_ms: int
    segment_bytes: int
    clean_int_ms: int
    jobs_max: int
    memory_bytes_max: int
    connections_max: int
    input_bytes_max: int
    request_timeout_ms: int
    idle_timeout_ms: int
    shutdown_timeout_ms: int
    disk_us: int
    net_us: int
    clients: int
    small: dict[str, int]


def settings_of(seed: int) -> Settings:
    """The settings of a seed: often the usual ones, sometimes so small that they collide."""
    random = Random(f"{seed} settings")
    often = random.choice
    return Settings(
        sync=often(("always", "always", "always", "interval", "os")),
        interval_ms=often((20, 200, 1000)),
        segment_bytes=often((4096, 4096, 8192, 65_536)),
        clean_int_ms=often((100, 300, 1000)),
        jobs_max=often((0, 0, 0, 6, 12)),
        memory_bytes_max=often((0, 0, 0, 8000, 20_000)),
        connections_max=often((10_000, 10_000, 9, 5)),
        input_bytes_max=often((1 << 28, 1 << 28, 5000)),
        request_timeout_ms=often((60_000, 60_000, 300)),
        idle_timeout_ms=often((0, 0, 0, 700)),
        shutdown_timeout_ms=often((5000, 100, 1000)),
        disk_us=often((50, 300, 3000)),
        net_us=often((50, 500, 5000)),
        clients=often((4, 6, 8)),
        small={name: often(values) for name, values in LIMITS.items()},
    )


#: How long faults last; then all must come right again.
FAULTS_MS: Final = 2400


def faults_of(seed: int) -> list[Fault]:
    """The faults of a seed, at least two crashes among them, in the order of their times."""
    random = Random(f"{seed} faults")
    faults: list[Fault] = []
    crashes = random.choice((2, 3, 3, 4, 5))
    for number in range(crashes):
        # One after the other, so that there is always something to crash.
        at_ms = 150 + number * FAULTS_MS // crashes + random.randrange(FAULTS_MS // crashes // 2)
        faults.append(
            Fault(at_ms, "crash", random.choice(POINTS), random.choice(("power", "power", "kill")))
        )
    for kind in random.sample(FAULTS, random.randint(4, 9)):
        for _ in range(random.randint(1, 3)):
            number = random.randrange(1, 1000)
            faults.append(Fault(random.randrange(50, FAULTS_MS), kind, number))
    if random.random() < 0.4:
        again_ms = random.choice((0, 0, 3, 40, 400))  # a second signal ends it at once
        faults.append(Fault(random.randrange(300, FAULTS_MS), "stop", again_ms))
    return sorted(faults, key=lambda fault: fault.at_ms)
