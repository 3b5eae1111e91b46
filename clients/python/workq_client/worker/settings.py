"""How a worker works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from workq_client.codec import BYTES, Codec
from workq_client.errors import InvalidRequest
from workq_client.limits import CONCURRENCY, CONCURRENCY_MAX, PREFETCH_MAX, SHUTDOWN_S
from workq_client.values import Duration, integer, milliseconds
from workq_client.worker.health import health_place

#: Where handlers run.
PoolKind: TypeAlias = Literal["tasks", "threads", "processes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The arguments of a `Worker`, which explains them."""

    url: str | None = None
    codec: Codec = BYTES
    concurrency: int = CONCURRENCY
    pool: PoolKind = "threads"
    prefetch: int = PREFETCH_MAX
    shutdown_timeout: Duration = SHUTDOWN_S
    max_jobs_per_child: int = 0
    max_bytes_per_child: int = 0
    health: str | int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.pool not in ("tasks", "threads", "processes"):
            raise InvalidRequest(f"pool is {self.pool!r}; it has to be tasks, threads or processes")
        most = CONCURRENCY_MAX[self.pool]
        if not 1 <= integer("concurrency", self.concurrency) <= most:
            raise InvalidRequest(
                f"concurrency is {self.concurrency}; with pool={self.pool!r} it is from 1 to {most}"
            )
        for what in ("prefetch", "max_jobs_per_child", "max_bytes_per_child"):
            if integer(what, getattr(self, what)) < 0:
                raise InvalidRequest(f"{what} is below 0")
        milliseconds("shutdown_timeout", self.shutdown_timeout)
        health_place(self.health)

    @property
    def shutdown_s(self) -> float:
        """How long handlers may finish when the worker stops."""
        return milliseconds("shutdown_timeout", self.shutdown_timeout) / 1000
