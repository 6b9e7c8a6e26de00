"""What can be measured: every scenario with its counts, who plays it, and its patience."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HAVE_BULK = ("taskq", "taskiq", "saq", "rq")
QUICKEST = ("taskq", "huey", "dramatiq")  # whom the dearer comparisons are made with
COMPARED = (*QUICKEST, "celery", "executor")
BASELINES = {
    "pipe": "echo through a pipe",
    "manager": "call of a stock manager",
    "fdatasync": "fdatasync of 4 KiB into a file written before",
    "append": "fdatasync of a 4 KiB append",
    "sqlite": "SQLite commit of 100 rows, fsync",
    "redis-stream": "Redis XADD, XREADGROUP, XACK in pipelines",
}


@dataclass(frozen=True)
class Scenario:
    """One thing that is measured.

    Attributes:
        place: `module:function` below `tests.benchmarks.scenarios`.
        unit: of its value.
        full, quick: messages (or what the scenario counts), before a contender's share; a quick run
            leaves a scenario with 0 out.
        who: `all`, `ours`, `budget` (ours, with a table of its own) or `baseline`.
        columns: only these; empty means all of a contender.
        contenders: only these; empty means all.
        scaled: whether slow contenders get fewer messages.
        marks: numbers to mark for each message.
        repeats: at most so many; none: as the run has it.
        patience: seconds after which a cell has failed.
        on_request: only where it is named: it takes too long for a full run.
    """

    name: str
    title: str
    place: str
    unit: str
    full: int
    quick: int
    who: str = "all"
    columns: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    scaled: bool = True
    marks: int = 1
    repeats: int | None = None
    lower_is_better: bool = False
    patience: float = 120.0
    on_request: bool = False

    def function(self) -> Callable[..., Any]:
        """The function that measures it."""
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] = getattr(
            importlib.import_module(f"tests.benchmarks.scenarios.{module}"), name
        )
        return function


_ALL = [
    Scenario("drain", "Drain of no-op tasks, 2 worker processes", "versus:drain", "tasks/s",
             50_000, 30_000),
    Scenario("enqueue", "Enqueue one by one", "versus:enqueue", "calls/s", 10_000, 5_000),
    Scenario("bulk", "Bulk enqueue", "versus:bulk", "calls/s", 100_000, 50_000,
             contenders=HAVE_BULK),
    Scenario("round-trip", "Round trip, idle system, median", "versus:round_trip", "ms",
             1_000, 200, scaled=False, lower_is_better=True),
    Scenario("payload", "Payloads of 100 KB, argument and result", "versus:payload", "MB/s", 500, 300,
             scaled=False),
    Scenario("cold-start", "Cold start: worker to first result", "versus:cold_start", "ms", 1, 1,
             scaled=False, lower_is_better=True),
    Scenario("producers", "Enqueue one by one, 4 concurrent producers", "producers:producers",
             "calls/s", 8_000, 2_000, columns=("fsync", "os", "tuned"), contenders=QUICKEST,
             repeats=3),
    Scenario("sleep-1ms", "Drain of tasks that sleep for 1 ms", "versus:drain", "tasks/s",
             2_000, 800, columns=("fsync", "tuned", "stock"), contenders=COMPARED, scaled=False,
             repeats=3),
    Scenario("cpu-5ms", "Drain of tasks that compute for 5 ms", "versus:drain", "tasks/s",
             600, 0, columns=("fsync", "tuned", "stock"), contenders=COMPARED, scaled=False,
             repeats=3),
    Scenario("latency-1", "Latency at 1 call a second, median", "latency:at_1", "ms", 10, 0,
             columns=("fsync",), contenders=("taskq",), scaled=False, repeats=1,
             lower_is_better=True),
    Scenario("latency-100", "Latency at 100 calls a second, median", "latency:at_100", "ms",
             300, 100, columns=("fsync", "os", "tuned"), contenders=QUICKEST, scaled=False,
             repeats=3, lower_is_better=True),
    Scenario("latency-1000", "Latency at 1,000 calls a second, median", "latency:at_1000", "ms",
             2_000, 1_000, columns=("fsync", "os", "tuned"), contenders=QUICKEST, scaled=False,
             repeats=3, lower_is_better=True),
    Scenario("budget", "Time budget of a message", "budget:budget", "µs",
             30_000, 10_000, who="budget", columns=("fsync",), repeats=3, lower_is_better=True),
    Scenario("load", "p99 latency at 70 % of the own rate", "load:under_load", "ms", 3, 1,
             who="ours", columns=("fsync",), repeats=3, lower_is_better=True),
    Scenario("depth", "Claim rate with {count:,} ready messages, relative to 10,000", "depth:depth",
             "ratio", 1_000_000, 100_000, who="ours", columns=("fsync",), repeats=3, patience=300),
    Scenario("due", "{count:,} messages due at the same time, duration relative to a drain",
             "due:due", "ratio", 100_000, 20_000, who="ours", columns=("fsync",), marks=2, repeats=3,
             lower_is_better=True),
    Scenario("due-spread", "{count:,} messages due at 1,667 a second: p99 of the delay of their start",
             "due:spread", "ms", 100_000, 5_000, who="ours", columns=("fsync",), repeats=1,
             lower_is_better=True),
    Scenario("bystander", "p99 of a round trip while {count:,} messages fall due, expire, are waited "
             "for or purged, relative to without", "bystander:bystander", "ratio", 1_000_000, 100_000,
             who="ours", columns=("fsync",), repeats=1, patience=600, lower_is_better=True),
    Scenario("groups", "Deliveries a second to 4 groups, relative to 1", "groups:groups", "ratio",
             20_000, 5_000, who="ours", columns=("fsync",), repeats=3),
    Scenario("waiting", "Wait for {count:,} finished calls, per call", "waiting:waiting", "µs",
             10_000, 10_000, who="ours", columns=("fsync",), repeats=3, lower_is_better=True),
    Scenario("retry-storm", "p99 of healthy tasks with 2,000 failing ones, relative to without",
             "storm:retry_storm", "ratio", 500, 200, who="ours", columns=("fsync",), marks=2,
             repeats=3, lower_is_better=True),
    Scenario("slow-among-fast", "p99 of 1 ms tasks with 1 s tasks, relative to without",
             "fairness:slow_among_fast", "ratio", 1_200, 600, who="ours", columns=("fsync",),
             marks=3, repeats=3, lower_is_better=True),
    Scenario("idle", "Idle for {count} s: CPU of broker, launcher and 4 children", "idle:idle",
             "% of a core", 300, 15, who="ours", columns=("fsync",), repeats=1, patience=600,
             lower_is_better=True),
    Scenario("kill-worker", "SIGKILL of a worker child at 70 % load: time until 95 % of the rate",
             "crash:kill_worker", "ms", 1_000_000, 1_000_000, who="ours", columns=("fsync",),
             repeats=3, lower_is_better=True),
    Scenario("kill-broker", "SIGKILL of the broker at 70 % load: time until 95 % of the rate",
             "crash:kill_broker", "ms", 1_000_000, 1_000_000, who="ours", columns=("fsync",),
             repeats=3, lower_is_better=True),
    Scenario("sustained", "{count} s at 70 % load: memory at the end, relative to the beginning",
             "sustained:sustained", "ratio", 600, 20, who="ours", columns=("fsync",), repeats=1,
             lower_is_better=True, patience=1_500, on_request=True),
    Scenario("import", "import taskq", "start:import_taskq", "ms", 20, 7, who="ours",
             columns=("fsync",), lower_is_better=True),
    Scenario("help", "taskq --help", "start:show_help", "ms", 10, 3, who="ours",
             columns=("fsync",), lower_is_better=True),
    Scenario("cold-broker", "Cold start without a running broker", "start:cold_broker", "ms", 1, 1,
             who="ours", columns=("fsync",), lower_is_better=True),
    Scenario("baseline", "Baselines of the machine", "baselines:baseline", "µs",
             2_000, 1_000, who="baseline", lower_is_better=True),
]  # fmt: skip
SCENARIOS = {each.name: each for each in _ALL}
