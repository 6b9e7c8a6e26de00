"""The figures of `taskq bench`: their names, units and meanings, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskq.cli.support.output import Row, table

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Kind:
    """One figure: its name, unit and meaning in a sentence."""

    name: str
    unit: str
    meaning: str


KINDS = (
    Kind("disk", "µs", "one fdatasync of 4 KiB on this disk, in a file written before: the floor "
         "under a single durable call of any program."),
    Kind("enqueue", "calls/s", "one process calls a task again and again, and each call returns "
         "when the broker has it in its journal."),
    Kind("bulk", "calls/s", "the same calls through task.map: many travel together and share one "
         "commit."),
    Kind("drain", "tasks/s", "workers run tasks that do nothing, and each result and "
         "acknowledgement is in the journal: the most that any task can reach here."),
    Kind("round trip", "µs", "a call, its run in a worker and its result, on an idle system; half of "
         "them took less."),
    Kind("round trip p99", "µs", "the same; one in a hundred took longer."),
    Kind("deep drain", "tasks/s", "the drain when many more messages wait behind it; close to the "
         "plain one, if depth costs nothing."),
    Kind("memory", "bytes", "what the broker's resident memory grew by, for each waiting message."),
)  # fmt: skip
CLASSES = {
    "fsync": "what was acknowledged survives power loss",
    "os": "it survives any process being killed",
    "none": "it lives in the broker's memory only",
}


def as_table(results: Mapping[str, Figures]) -> str:
    """One row a figure, one column a durability class."""
    rows: list[Row] = []
    for kind in KINDS:
        cells = [figures.get(kind.name) for figures in results.values()]
        if any(cell is not None for cell in cells):
            rows.append(
                [kind.name, *(None if cell is None else round(cell) for cell in cells), kind.unit]
            )
    return table(["", *results, ""], rows)


def meanings(results: Mapping[str, Figures]) -> str:
    """A sentence on each durability class and each figure."""
    shown = [
        kind
        for kind in KINDS
        if any(figures.get(kind.name) is not None for figures in results.values())
    ]
    lines = [f"  {name}: {CLASSES[name]}." for name in results]
    return "\n".join([*lines, "", *(f"  {kind.name}: {kind.meaning}" for kind in shown)])
