"""The budget of a message: every stage is measured, and its table adds up."""

from __future__ import annotations

from pathlib import Path

from taskq import TaskQueue
from tests.benchmarks import report, stages, ways
from tests.benchmarks.records import Record, Records, Sample


def double(n: int) -> int:
    """What the message of the circuit runs."""
    return 2 * n


def budget(**figures: float) -> Records:
    extra = {
        ways.key(way, name): value
        for way in ways.WAYS
        for name, value in {ways.MEASURED: 100.0, ways.WAKES: 5.0, **figures}.items()
    }
    sample = Sample(100.0, 10, extra=extra)
    return Records([Record("budget", "µs", "taskq", "fsync", "fsync", "", [sample])])


def test_a_call_passes_every_stage_once(tmp_path: Path) -> None:
    task = TaskQueue("budget", broker="memory:").task(double)
    circuit = stages.Circuit(task, tmp_path)
    circuit.park()
    for _ in range(3):
        circuit.call_and_result()
        circuit.watch.end_round()
    circuit.close()
    typical = circuit.watch.typical()
    assert set(typical) == set(stages.STAGES)
    assert all(seconds > 0 for seconds in typical.values())


def test_a_drain_by_batches_has_no_client(tmp_path: Path) -> None:
    task = TaskQueue("budget", broker="memory:").task(double)
    circuit = stages.Circuit(task, tmp_path)
    circuit.enqueue(20)
    circuit.watch.forget_all()
    circuit.claim(10)
    circuit.turn(10)
    circuit.turn(10)
    circuit.watch.end_round()
    circuit.close()
    found = circuit.watch.average()
    assert not [name for name in found if name.startswith("client")]
    assert found[stages.COMMIT] > 0


def test_the_table_has_the_sum_and_the_measured_whole() -> None:
    records = budget(**{stages.COMMIT: 40.0, stages.RUN: 2.0})
    rows = {row[0]: row[1:] for row in ways.table(records)}
    assert rows[stages.COMMIT] == ["40.0"] * 4
    assert rows[ways.SUM] == ["47.0"] * 4
    assert rows[ways.MEASURED] == ["100"] * 4
    titles = [title for title, _ in report.sections(records)]
    assert "Time budget of a message" in titles


def test_the_note_says_what_bounds_a_drain() -> None:
    told = ways.note(budget(**{stages.COMMIT: 40.0, stages.RUN: 20.0}))
    assert "two commits take 40" in told
    assert "limits any number of workers to 25,000" in told
    assert "the limit is 33,333" in told


def test_without_a_budget_there_is_no_table() -> None:
    assert ways.table(Records([])) == []
    assert ways.note(Records([])) == ""
