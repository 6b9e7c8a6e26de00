"""Who competes: name, store, durability, acknowledgement, columns."""

from __future__ import annotations

from dataclasses import dataclass

NONE, KILL, FSYNC = "none", "survives kill", "fsync"


@dataclass(frozen=True)
class Column:
    """One configuration. `durability`: what survives: nothing, any kill, or power loss."""

    name: str
    durability: str


@dataclass(frozen=True)
class Contender:
    """One queue.

    Attributes:
        module: of `tests.benchmarks.peers`.
        store: `redis`, `directory` or none.
        ack: when a message leaves the store for good.
        share: of a scenario's count that it is given, so that slow ones take as long as fast ones.
        stock_share: the same for its column `stock`.
    """

    name: str
    title: str
    module: str
    store: str
    ack: str
    columns: tuple[Column, ...]
    share: float = 1.0
    stock_share: float | None = None

    def share_of(self, column: str) -> float:
        """The share in that column."""
        if column == "stock" and self.stock_share is not None:
            return self.stock_share
        return self.share

    def durability_of(self, column: str) -> str:
        """The durability class in that column."""
        return next(each.durability for each in self.columns if each.name == column)


def _both(durability: str = NONE, tuned: str | None = None) -> tuple[Column, Column]:
    return Column("stock", durability), Column("tuned", tuned or durability)


OURS = Contender(
    "taskq",
    "taskq",
    "taskq_ours",
    "directory",
    "after the run",
    (Column("fsync", FSYNC), Column("os", KILL), Column("none", NONE)),
)
PEERS = (
    Contender("huey", "huey (Redis)", "huey_app", "redis", "before the run", _both(), 0.5),
    Contender(
        "huey-sqlite",
        "huey (SQLite)",
        "huey_app",
        "directory",
        "before the run",
        _both(FSYNC, KILL),
        0.4,
        0.1,
    ),
    Contender("dramatiq", "dramatiq", "dramatiq_app", "redis", "after the run", _both(), 0.2),
    Contender("taskiq", "taskiq (stream)", "taskiq_app", "redis", "after the run", _both(), 0.15),
    Contender("saq", "SAQ", "saq_app", "redis", "after the run", _both(), 0.15),
    Contender("celery", "Celery (prefork)", "celery_app", "redis", "after the run", _both(), 0.06),
    Contender("rq", "RQ", "rq_app", "redis", "after the run", _both(), 0.06, 0.01),
    Contender("executor", "ProcessPoolExecutor", "pools", "", "none", _both(), 0.6, 0.4),
    Contender("pool", "multiprocessing.Pool", "pools", "", "none", _both(), 1.0, 0.4),
)
CONTENDERS = {each.name: each for each in (OURS, *PEERS)}
