"""What a run consists of: the scenarios, how much of each, and the order of the cells."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.contenders import CONTENDERS, OURS, PEERS, Contender

LEAST = 50  # messages, however slow a contender is
BASELINES = {
    "pipe": "echo through a pipe",
    "manager": "call of a stock manager",
    "fdatasync": "fdatasync of a 4 KiB append",
    "sqlite": "SQLite commit of 100 rows, fsync",
    "redis-stream": "Redis XADD, XREADGROUP, XACK in pipelines",
}


@dataclass(frozen=True)
class Scenario:
    """One thing that is measured.

    Attributes:
        place: `module:function` below `tests.benchmarks.scenarios`.
        unit: of its value.
        full, quick: messages, before a contender's share.
        who: `all`, `ours` or `baseline`.
        columns: only these; empty means all of a contender.
        marks: numbers to mark for each message.
        repeats: at most so many; none: as the run has it.
        patience: seconds after which a cell has failed.
    """

    name: str
    title: str
    place: str
    unit: str
    full: int
    quick: int
    who: str = "all"
    columns: tuple[str, ...] = ()
    scaled: bool = True
    marks: int = 1
    repeats: int | None = None
    lower_is_better: bool = False
    patience: float = 120.0

    def function(self) -> Callable[..., Any]:
        """The function that measures it."""
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] = getattr(
            importlib.import_module(f"tests.benchmarks.scenarios.{module}"), name
        )
        return function


_ALL = [
    Scenario("drain", "Drain of no-ops, 2 worker processes", "versus:drain", "tasks/s",
             50_000, 30_000),
    Scenario("enqueue", "Enqueue one by one", "versus:enqueue", "calls/s", 10_000, 5_000),
    Scenario("bulk", "Bulk enqueue", "versus:bulk", "calls/s", 100_000, 50_000),
    Scenario("round-trip", "Round trip, idle system, median", "versus:round_trip", "ms",
             1_000, 200, scaled=False, lower_is_better=True),
    Scenario("payload", "100 KB in and 100 KB out", "versus:payload", "MB/s", 1_000, 300,
             scaled=False),
    Scenario("cold-start", "Cold start: worker to first result", "versus:cold_start", "ms", 1, 1,
             scaled=False, lower_is_better=True),
    Scenario("depth", "Claim rate with {count:,} ready against 10,000", "depth:depth", "ratio",
             1_000_000, 100_000, who="ours", columns=("fsync",), repeats=3, patience=300),
    Scenario("due", "{count:,} messages due at one instant, time against a plain drain", "due:due",
             "ratio", 100_000, 20_000, who="ours", columns=("fsync",), marks=2, repeats=3,
             lower_is_better=True),
    Scenario("slow-among-fast", "p99 of 1 ms tasks beside 1 s tasks, against without",
             "fairness:slow_among_fast", "ratio", 2_000, 600, who="ours", columns=("fsync",),
             marks=3, repeats=3, lower_is_better=True),
    Scenario("idle", "Idle for {count} s: CPU of broker, launcher and 4 children", "idle:idle",
             "% of a core", 300, 20, who="ours", columns=("fsync",), repeats=1, patience=400,
             lower_is_better=True),
    Scenario("kill-worker", "SIGKILL of a worker child under load: time to 95 % of the rate",
             "crash:kill_worker", "ms", 300_000, 150_000, who="ours", columns=("fsync",),
             repeats=3, lower_is_better=True),
    Scenario("kill-broker", "SIGKILL of the broker under load: time to 95 % of the rate",
             "crash:kill_broker", "ms", 300_000, 150_000, who="ours", columns=("fsync",),
             repeats=3, lower_is_better=True),
    Scenario("import", "import taskq", "start:import_taskq", "ms", 20, 7, who="ours",
             columns=("fsync",), lower_is_better=True),
    Scenario("help", "taskq --help", "start:show_help", "ms", 10, 3, who="ours",
             columns=("fsync",), lower_is_better=True),
    Scenario("cold-broker", "Cold start with no broker running", "start:cold_broker", "ms", 1, 1,
             who="ours", columns=("fsync",), lower_is_better=True),
    Scenario("baseline", "What bounds the figures on this machine", "baselines:baseline", "µs",
             2_000, 1_000, who="baseline", lower_is_better=True),
]  # fmt: skip
SCENARIOS = {each.name: each for each in _ALL}


@dataclass(frozen=True)
class Cell:
    """One scenario of one contender in one column, with the number of its messages."""

    scenario: Scenario
    contender: str
    column: str
    durability: str
    ack: str
    count: int


def cells(only: Iterable[str], peers: Iterable[str], quick: bool) -> list[Cell]:
    """The cells of one repeat, in their order: a scenario's contenders stand side by side.

    Args:
        only: names of scenarios; empty means all.
        peers: names of contenders; empty means all.
        quick: smaller counts, and of the peers the tuned column only.

    Raises:
        ValueError: an unknown name.
    """
    wanted, chosen = list(only), list(peers)
    _refuse_unknown("scenario", wanted, SCENARIOS)
    _refuse_unknown("contender", chosen, CONTENDERS)
    return [
        cell
        for scenario in SCENARIOS.values()
        if not wanted or scenario.name in wanted
        for cell in _cells_of(scenario, chosen, quick)
    ]


def _refuse_unknown(kind: str, names: list[str], known: dict[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {kind} {name!r}; there are {', '.join(known)}")


def _cells_of(scenario: Scenario, chosen: list[str], quick: bool) -> Iterator[Cell]:
    count = scenario.quick if quick else scenario.full
    if scenario.who == "baseline":
        for name in BASELINES:
            yield Cell(scenario, name, "", "", "", count)
        return
    for contender in (OURS,) if scenario.who == "ours" else (OURS, *PEERS):
        if chosen and contender.name not in chosen:
            continue
        for column in contender.columns:
            if _plays(scenario, contender, column.name, quick):
                yield Cell(
                    scenario,
                    contender.name,
                    column.name,
                    column.durability,
                    contender.ack,
                    _count_of(scenario, contender, column.name, count),
                )


def _count_of(scenario: Scenario, contender: Contender, column: str, count: int) -> int:
    if scenario.scaled:
        count = max(int(count * contender.share_of(column)), min(LEAST, count))
    if scenario.name == "round-trip" and column == "stock" and contender.store:
        return min(count, LEAST)  # stock settings look for a result every 50 to 200 ms
    return count


NO_BULK = ("huey", "huey-sqlite", "dramatiq", "celery", "executor", "pool")


def _plays(scenario: Scenario, contender: Contender, column: str, quick: bool) -> bool:
    if scenario.columns and column not in scenario.columns:
        return False
    if scenario.name == "bulk" and contender.name in NO_BULK:
        return False
    if contender is OURS or contender.store == "":
        # a pool's stock column is `submit`, which the goals name; the other scenarios have one way
        return contender is OURS or column == "stock" or scenario.name == "drain"
    return column == "tuned" or (not quick and scenario.name in ("drain", "round-trip"))
