"""The records as tables: plain text for the terminal, Markdown for the documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.benchmarks import goals, ways
from tests.benchmarks.catalogue import BASELINES, SCENARIOS
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.goals import TIMES
from tests.benchmarks.records import Record, Records

NOTHING = "\N{EN DASH}"
REFERENCES = (("huey", "tuned", f"{TIMES} huey"), ("executor", "stock", f"{TIMES} executor"))
Table = list[list[str]]


def figure(value: float | None) -> str:
    """A number with three digits that count, and thousands separators."""
    if value is None:
        return NOTHING
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def title_of(record: Record) -> str:
    """Contender and column, for a person."""
    if record.contender in BASELINES:
        return BASELINES[record.contender]
    return f"{CONTENDERS[record.contender].title}, {record.column}"


def scenario_table(records: Records, scenario: str) -> Table:
    """One scenario: a row a cell, with its durability and its ratios to the references."""
    unit = SCENARIOS[scenario].unit
    rows = records.of(scenario)
    references = [
        (name, records.median(scenario, contender, column))
        for contender, column, name in REFERENCES
    ]
    known = [(name, value) for name, value in references if value]
    extras = list(dict.fromkeys(name for row in rows for s in row.samples for name in s.extra))
    if SCENARIOS[scenario].who == "ours":
        extras = []  # they have a table of their own
    header = ["", "survives", "acknowledged", unit, "min", "max"]
    table = [[*header, *(name for name, _ in known), *extras, "lost", "twice"]]
    for row in rows:
        ratios = [_ratio(row.median, value) for _, value in known]
        table.append(
            [
                title_of(row),
                row.durability,
                row.ack,
                figure(row.median) if row.median is not None else "failed",
                figure(min(row.values, default=None)),
                figure(max(row.values, default=None)),
                *ratios,
                *(figure(row.extra(name)) for name in extras),
                *_counted(row),
            ]
        )
    return _without_empty(table)


def _ratio(value: float | None, reference: float) -> str:
    return NOTHING if value is None else figure(value / reference)


def _counted(row: Record) -> list[str]:
    return [NOTHING if each is None else str(each) for each in (row.lost, row.duplicates)]


def _without_empty(table: Table) -> Table:
    """Without the columns that say nothing in any row."""
    kept = [
        i
        for i in range(len(table[0]))
        if i == 0 or any(row[i] not in ("", NOTHING) for row in table[1:])
    ]
    return [[row[i] for i in kept] for row in table]


def own_table(records: Records) -> Table:
    """The scenarios that only we play, with all their figures."""
    table = [["scenario", "figure", "median", "min", "max"]]
    for scenario in SCENARIOS.values():
        for row in records.of(scenario.name) if scenario.who == "ours" else []:
            title = scenario.title.format(count=row.count)
            table.append([title, scenario.unit, *_spread(row.values)])
            for name in dict.fromkeys(name for s in row.samples for name in s.extra):
                values = [s.extra[name] for s in row.samples if name in s.extra]
                table.append(["", name, *_spread(values)])
    return table


def _spread(values: Sequence[float]) -> list[str]:
    ordered = sorted(values)
    if not ordered:
        return ["failed", NOTHING, NOTHING]
    return [figure(ordered[len(ordered) // 2]), figure(ordered[0]), figure(ordered[-1])]


def goal_table(records: Records) -> Table:
    """The goals, what was measured, and whether that is enough."""
    table = [["goal", "", "measured", ""]]
    for each in goals.outcomes(records):
        sign = "≤" if each.goal.at_most else "≥"
        unit = f" {each.goal.unit}" if each.goal.unit else ""
        table.append(
            [
                each.text,
                f"{sign} {figure(each.goal.target)}{unit}",
                f"{figure(each.value)}{unit}",
                each.verdict(),
            ]
        )
    return table


def failures(records: Records) -> list[str]:
    """What could not be measured, and why."""
    return [
        f"{record.scenario}, {title_of(record)}: {error}"
        for record in records.all
        for error in record.errors
    ]


def sections(records: Records) -> Iterator[tuple[str, Table]]:
    """All tables with their titles; those of nothing are left out."""
    if records.all:
        yield "Goals", goal_table(records)
    for scenario in SCENARIOS.values():
        if scenario.who == "all" and records.of(scenario.name):
            yield scenario.title, scenario_table(records, scenario.name)
    own = own_table(records)
    if len(own) > 1:
        yield "taskq alone, fsync", own
    if budget := ways.table(records):
        yield SCENARIOS["budget"].title, budget
    for scenario in SCENARIOS.values():
        if scenario.who == "baseline" and records.of(scenario.name):
            yield scenario.title, scenario_table(records, scenario.name)


# --- forms ------------------------------------------------------------------------------------


def as_text(records: Records) -> str:
    """All tables for the terminal."""
    parts = [f"{title}\n{_aligned(table)}" for title, table in sections(records) if len(table) > 1]
    told = failures(records)
    if told:
        parts.append("Failed\n" + "\n".join(told))
    return "\n" + "\n\n".join(parts)


def _aligned(table: Table) -> str:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 or not _is_number(cell) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").lstrip("-").isdigit()


def as_markdown(table: Table) -> str:
    """One table for a page; columns of numbers stand to the right."""
    header, *rows = table
    right = [
        bool(rows) and all(_is_number(row[i]) or row[i] in (NOTHING, "failed", "") for row in rows)
        for i in range(len(header))
    ]
    rule = ["---:" if is_right else "---" for is_right in right]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def notes(records: Records) -> dict[str, str]:
    """What is to be said below a table, by its title."""
    return {SCENARIOS["budget"].title: ways.note(records)}


def facts_line(machine: dict[str, Any]) -> str:
    """The machine as one sentence."""
    return ", ".join(f"{name} {value}" for name, value in machine.items() if value)
