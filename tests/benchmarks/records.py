"""What a run of the suite leaves: samples, and one record a cell with median, minimum, maximum."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Sample:
    """One measurement of one cell.

    Attributes:
        value: in the scenario's unit.
        count: messages it was measured with.
        lost: messages that never ran; `None` where none were to run.
        duplicates: runs beyond the first one of a message; `None` likewise.
        extra: further figures of the same measurement.
    """

    value: float
    count: int = 0
    lost: int | None = None
    duplicates: int | None = None
    extra: dict[str, float] = field(default_factory=dict)


@dataclass
class Record:
    """One cell: a scenario, a contender and a column.

    Attributes:
        durability: what survives: `none`, `survives kill` or `fsync`.
        ack: when a message is acknowledged.
        errors: what repeats failed with; they are no part of the figures.
    """

    scenario: str
    unit: str
    contender: str
    column: str
    durability: str
    ack: str
    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        """The measured values, in the order of the repeats."""
        return [sample.value for sample in self.samples]

    @property
    def median(self) -> float | None:
        """The median; `None` where no repeat succeeded."""
        return statistics.median(self.values) if self.samples else None

    @property
    def lost(self) -> int | None:
        """Messages that never ran, in all repeats together; `None` where that was not counted."""
        counted = [sample.lost for sample in self.samples if sample.lost is not None]
        return sum(counted) if counted else None

    @property
    def duplicates(self) -> int | None:
        """Runs beyond the first ones, in all repeats together; `None` where not counted."""
        counted = [sample.duplicates for sample in self.samples if sample.duplicates is not None]
        return sum(counted) if counted else None

    @property
    def count(self) -> int:
        """Messages of one repeat."""
        return max((sample.count for sample in self.samples), default=0)

    def extra(self, name: str) -> float | None:
        """The median of a further figure."""
        values = [sample.extra[name] for sample in self.samples if name in sample.extra]
        return statistics.median(values) if values else None

    def as_json(self) -> dict[str, Any]:
        """The record as one JSON object."""
        return {
            **asdict(self),
            "median": self.median,
            "min": min(self.values, default=None),
            "max": max(self.values, default=None),
            "lost": self.lost,
            "duplicates": self.duplicates,
        }


DERIVED = ("median", "min", "max", "lost", "duplicates")


def from_json(data: dict[str, Any]) -> Record:
    """The record of a JSON object that `as_json` made."""
    fields = {name: value for name, value in data.items() if name not in DERIVED}
    fields["samples"] = [Sample(**sample) for sample in fields["samples"]]
    return Record(**fields)


class Records:
    """The records of a run, found by cell."""

    def __init__(self, records: list[Record]) -> None:
        self.all = records
        self._by_cell = {(r.scenario, r.contender, r.column): r for r in records}

    def find(self, scenario: str, contender: str, column: str) -> Record | None:
        """The record of a cell, if it was measured."""
        return self._by_cell.get((scenario, contender, column))

    def median(self, scenario: str, contender: str, column: str) -> float | None:
        """The median of a cell, if it was measured and did not fail."""
        record = self.find(scenario, contender, column)
        return None if record is None else record.median

    def extra(self, scenario: str, contender: str, column: str, name: str) -> float | None:
        """A further figure of a cell."""
        record = self.find(scenario, contender, column)
        return None if record is None else record.extra(name)

    def of(self, scenario: str) -> list[Record]:
        """The records of a scenario, in the order in which they were planned."""
        return [record for record in self.all if record.scenario == scenario]
