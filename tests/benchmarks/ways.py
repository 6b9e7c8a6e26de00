"""The budget of a message: the ways that are measured, their table, and what bounds them."""

from __future__ import annotations

from tests.benchmarks.catalogue import SCENARIOS
from tests.benchmarks.records import Record, Records

ENQUEUE, ROUND_TRIP = "enqueue, alone", "round trip, alone"
BULK, DRAIN = "enqueue, by 100", "drain, by 100"
WAYS = (ENQUEUE, ROUND_TRIP, BULK, DRAIN)
WAKES, SUM, MEASURED = "waking processes", "sum", "measured"
# processes that one message wakes, one after the other; in bulk nobody sleeps for long
WAKE_UPS = {ENQUEUE: 2.0, ROUND_TRIP: 4.0, BULK: 0.0, DRAIN: 2 / 100}
PROCESSORS = 2  # of the machine that the goals are for


def key(way: str, name: str) -> str:
    """Under which a figure is kept in a sample."""
    return f"{way}: {name}"


def _figures(record: Record, way: str) -> dict[str, float]:
    names = dict.fromkeys(name for sample in record.samples for name in sample.extra)
    found = {}
    for name in names:
        start, _, stage = name.partition(": ")
        if start == way and (value := record.extra(name)) is not None:
            found[stage] = value
    return found


def table(records: Records) -> list[list[str]]:
    """A row a stage, a column a way; empty where the budget was not measured."""
    record = _found(records)
    if record is None:
        return []
    columns = [_figures(record, way) for way in WAYS]
    stages = [name for name in columns[1] if name not in (WAKES, MEASURED)]
    stages += [name for column in columns for name in column if name not in columns[1]]
    rows = [["µs of one message", *WAYS]]
    rows += [[name, *(_micro(column.get(name)) for column in columns)] for name in (*stages, WAKES)]
    sums = [sum(v for name, v in column.items() if name != MEASURED) for column in columns]
    rows.append([SUM, *map(_micro, sums)])
    rows.append([MEASURED, *(_micro(column.get(MEASURED)) for column in columns)])
    return rows


def _micro(value: float | None) -> str:
    return "\N{EN DASH}" if not value else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def note(records: Records) -> str:
    """What bounds what, in the figures of the table."""
    record = _found(records)
    if record is None:
        return ""
    lone, trip, drain = (_figures(record, way) for way in (ENQUEUE, ROUND_TRIP, DRAIN))
    commit = "broker: commit"
    broker = _of(drain, "broker")
    worker = _of(drain, "worker")
    shared = (broker + worker) / PROCESSORS
    return (
        "The stages are measured separately, in one process with the real components. *measured* "
        "is the total, through sockets, with a broker and two children. Figures of single messages "
        "are medians, those of batches of 100 are means.\n\n"
        f"A single call is bound by the disk and by process wake-ups. Of the {trip[MEASURED]:,.0f}"
        f" µs of a round trip, two commits take {trip[commit]:,.0f}, four wake-ups "
        f"{trip[WAKES]:,.0f}, and the code of client, broker and worker {_code(trip, commit):,.0f}."
        f" Of the {lone[MEASURED]:,.0f} µs of an enqueue, the commit takes {lone[commit]:,.0f}. If "
        "the sum is lower than the measured total, the difference is spent in the kernel, for "
        "example on processors that wake from idle states. If it is higher, stages overlap.\n\n"
        f"A drain is bound by the processors. A message takes {broker:.1f} µs in the broker and "
        f"{worker:.1f} µs in a worker, and a hundred messages share one commit. The broker is one "
        f"process, so it limits any number of workers to {1e6 / broker:,.0f} tasks a second. On "
        f"{PROCESSORS} processors, shared with two children, the limit is {1e6 / shared:,.0f}. "
        f"Measured: {1e6 / drain[MEASURED]:,.0f}."
    )


def _found(records: Records) -> Record | None:
    record = records.find("budget", "taskq", SCENARIOS["budget"].columns[0])
    return record if record is not None and record.samples else None


def _of(figures: dict[str, float], who: str) -> float:
    return sum(value for name, value in figures.items() if name.startswith(f"{who}: "))


def _code(figures: dict[str, float], commit: str) -> float:
    return sum(v for name, v in figures.items() if name not in (commit, WAKES, MEASURED))
