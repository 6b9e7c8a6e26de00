"""The goals, as ratios within one run where they compare, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.records import Records

TIMES = "\N{MULTIPLICATION SIGN}"
Measure = Callable[[Records], float | None]


@dataclass(frozen=True)
class Goal:
    """One goal.

    Attributes:
        text: what is measured; `{count}` becomes the number of messages of our cell with fsync.
        target: what it has to be: at least, or with `at_most` at most.
        measure: finds it among the records; `None` where it was not measured.
        scenario: where that number is taken from.
        unit: printed behind the figures; `TIMES` for ratios.
    """

    text: str
    target: float
    unit: str
    measure: Measure
    at_most: bool = False
    scenario: str = ""

    def outcome(self, records: Records) -> Outcome | None:
        """How a run stands to it; `None` where it was not measured."""
        value = self.measure(records)
        if value is None:
            return None
        reached = value <= self.target if self.at_most else value >= self.target
        record = records.find(self.scenario, "taskq", "fsync")
        text = self.text.format(count=record.count if record else 0)
        return Outcome(self, text, value, reached)


@dataclass(frozen=True)
class Outcome:
    """A goal with what was measured."""

    goal: Goal
    text: str
    value: float
    reached: bool

    def verdict(self) -> str:
        """`reached`, or by how much it was missed."""
        if self.reached:
            return "reached"
        if self.goal.target == 0:
            return f"**missed** by {self.value:,.0f}"
        share = self.value / self.goal.target
        return f"**missed**: {share:.3g} {TIMES} the goal"


def value(scenario: str, contender: str, column: str) -> Measure:
    """The median of a cell."""
    return lambda records: records.median(scenario, contender, column)


def extra(scenario: str, name: str) -> Measure:
    """A further figure of ours with fsync."""
    return lambda records: records.extra(scenario, "taskq", "fsync", name)


def best(scenario: str, contender: str, lower: bool = False) -> Measure:
    """The better one of a peer's columns."""

    def measure(records: Records) -> float | None:
        found = [records.median(scenario, contender, name) for name in ("stock", "tuned")]
        values = [each for each in found if each is not None]
        return (min(values) if lower else max(values)) if values else None

    return measure


def ratio(above: Measure, below: Measure) -> Measure:
    """One divided by the other."""

    def measure(records: Records) -> float | None:
        upper, lower = above(records), below(records)
        return None if upper is None or not lower else upper / lower

    return measure


def ours(scenario: str, column: str = "fsync") -> Measure:
    """Our median."""
    return value(scenario, "taskq", column)


def lost(records: Records) -> float | None:
    """Messages of ours that never ran, in all scenarios together."""
    mine = [record for record in records.all if record.contender == "taskq"]
    return sum(record.lost or 0 for record in mine) if mine else None


SUBMIT = "`ProcessPoolExecutor.submit`"
GOALS = (
    Goal("drain, fsync, relative to huey (Redis)", 6, TIMES,
         ratio(ours("drain"), best("drain", "huey"))),
    Goal(f"drain, fsync, relative to {SUBMIT}", 4, TIMES,
         ratio(ours("drain"), value("drain", "executor", "stock"))),
    Goal(f"round trip p50, fsync, relative to {SUBMIT}", 1, TIMES,
         ratio(ours("round-trip"), value("round-trip", "executor", "stock")), at_most=True),
    Goal(f"round trip p50, os, relative to {SUBMIT}", 0.5, TIMES,
         ratio(ours("round-trip", "os"), value("round-trip", "executor", "stock")), at_most=True),
    Goal("enqueue one by one, fsync, relative to huey (Redis)", 0.6, TIMES,
         ratio(ours("enqueue"), best("enqueue", "huey"))),
    Goal("enqueue one by one, os, relative to huey (Redis)", 1.2, TIMES,
         ratio(ours("enqueue", "os"), best("enqueue", "huey"))),
    Goal("`map`, fsync, relative to huey (Redis) one by one", 8, TIMES,
         ratio(ours("bulk"), best("enqueue", "huey"))),
    Goal("claim rate with {count:,} ready messages, relative to 10,000", 0.9, TIMES, ours("depth"),
         scenario="depth"),
    Goal("broker memory of a ready message", 700, "bytes", extra("depth", "bytes a message"),
         at_most=True),
    Goal("restart with {count:,} ready messages", 10, "s", extra("depth", "restart"), at_most=True,
         scenario="depth"),
    Goal("{count:,} messages due at the same time, relative to a drain", 1.3, TIMES, ours("due"),
         at_most=True, scenario="due"),
    Goal("messages started before their due time", 0, "", extra("due", "early"), at_most=True),
    Goal("p99 of 1 ms tasks with 1 s tasks, relative to without", 3, TIMES, ours("slow-among-fast"),
         at_most=True),
    Goal("p99 of a round trip while {count:,} messages fall due, expire, are waited for or purged, "
         "relative to without", 5, TIMES, ours("bystander"), at_most=True, scenario="bystander"),
    Goal("idle for {count} s: broker, launcher, 4 children", 0.5, "% of a core", ours("idle"),
         at_most=True, scenario="idle"),
    Goal("idle: wake-ups a second, process with the most", 2, "",
         extra("idle", "wake-ups a second, most of a process"), at_most=True),
    Goal("`import taskq`", 60, "ms", ours("import"), at_most=True),
    Goal("`taskq --help`", 150, "ms", ours("help"), at_most=True),
    Goal("cold start: worker to first result", 700, "ms", ours("cold-start"), at_most=True),
    Goal("cold start without a running broker", 700, "ms", ours("cold-broker"), at_most=True),
    Goal("payloads of 100 KB, fsync", 150, "MB/s", ours("payload")),
    Goal("messages lost, in all scenarios", 0, "", lost, at_most=True),
)  # fmt: skip


def outcomes(records: Records) -> list[Outcome]:
    """The goals that a run says something about."""
    found = [goal.outcome(records) for goal in GOALS]
    return [outcome for outcome in found if outcome is not None]
