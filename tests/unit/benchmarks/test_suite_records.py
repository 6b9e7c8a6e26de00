"""Records of the benchmark suite: medians, marks, goals, tables, chart."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks import chart, goals, marks, pages, report
from tests.benchmarks.records import Record, Records, Sample, from_json


def record(scenario: str, contender: str, column: str, *values: float, **more: object) -> Record:
    samples = [Sample(value, 10, lost=0, duplicates=0) for value in values]
    durability = {"fsync": "fsync", "os": "survives kill"}.get(column, "none")
    found = Record(scenario, "tasks/s", contender, column, durability, "after the run", samples)
    for name, value in more.items():
        setattr(found, name, value)
    return found


RUN = Records(
    [
        record("drain", "taskq", "fsync", 60_000, 70_000, 50_000),
        record("drain", "taskq", "os", 80_000),
        record("drain", "huey", "stock", 6_000),
        record("drain", "huey", "tuned", 12_000),
        record("drain", "executor", "stock", 10_000),
        record("drain", "celery", "tuned", errors=["not finished within 120 s"]),
    ]
)


def rows(table: report.Table) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in table}


# --- records ----------------------------------------------------------------------------------


def test_median_minimum_and_maximum() -> None:
    data = record("drain", "taskq", "fsync", 3.0, 1.0, 2.0).as_json()
    assert (data["median"], data["min"], data["max"]) == (2.0, 1.0, 3.0)


def test_a_record_survives_json() -> None:
    before = record("drain", "taskq", "fsync", 3.0, 1.0)
    before.samples[0].extra["p99"] = 7.0
    assert from_json(json.loads(json.dumps(before.as_json()))) == before


def test_losses_of_all_repeats_count_and_unknown_ones_stay_unknown() -> None:
    counted = record("drain", "taskq", "fsync", 1.0, 2.0)
    counted.samples[0].lost, counted.samples[1].lost = 2, 3
    assert counted.lost == 5
    assert Record("enqueue", "", "taskq", "os", "", "", [Sample(1.0)]).lost is None


# --- marks ------------------------------------------------------------------------------------


def test_marks_show_losses_and_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(marks.VARIABLE, "")
    monkeypatch.setattr(marks, "_marks", None)
    path = tmp_path / "marks"
    marks.make(path, 5)
    found = marks.Marks(path, 5)
    for n in (0, 1, 1, 1, 3, -1, -1):
        marks.mark(n)
    assert (found.ran(), found.lost(), found.duplicates()) == (3, 2, 2)
    assert (found.ran(2), found.lost(2), found.duplicates(2)) == (2, 0, 2)


def test_without_a_file_nothing_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "_marks", None)
    marks.mark(10**9)


# --- goals ------------------------------------------------------------------------------------


def test_goals_compare_with_the_better_column_of_a_peer() -> None:
    found = {outcome.text: outcome for outcome in goals.outcomes(RUN)}
    relative_to_huey = found["drain, fsync, relative to huey (Redis)"]
    assert relative_to_huey.value == 5.0
    assert not relative_to_huey.reached
    assert relative_to_huey.verdict().startswith("**missed**: 0.833")
    assert found["drain, fsync, relative to `ProcessPoolExecutor.submit`"].verdict() == "reached"


def test_goals_of_what_was_not_measured_are_left_out() -> None:
    texts = [outcome.text for outcome in goals.outcomes(RUN)]
    assert not [text for text in texts if "round trip" in text or "import" in text]


def test_a_goal_at_most() -> None:
    def verdict(value: float) -> str:
        run = Records([record("import", "taskq", "fsync", value)])
        return next(o.verdict() for o in goals.outcomes(run) if "import" in o.text)

    assert verdict(60.0) == "reached"
    assert verdict(90.0).startswith("**missed**: 1.5 ")


def test_a_lost_message_misses_its_goal() -> None:
    lossy = record("kill-broker", "taskq", "fsync", 100.0)
    lossy.samples[0].lost = 3
    found = [o for o in goals.outcomes(Records([lossy])) if "lost" in o.text]
    assert [outcome.verdict() for outcome in found] == ["**missed** by 3"]


def test_the_depth_that_was_measured_is_named() -> None:
    deep = record("depth", "taskq", "fsync", 0.95)
    deep.samples[0].count = 1_000_000
    (outcome, *_) = goals.outcomes(Records([deep]))
    assert outcome.text.startswith("claim rate with 1,000,000 ready")


# --- tables -----------------------------------------------------------------------------------


def test_a_row_has_its_durability_and_its_ratios() -> None:
    table = report.scenario_table(RUN, "drain")
    assert table[0][:4] == ["", "survives", "acknowledged", "tasks/s"]
    found = rows(table)
    assert found["taskq, fsync"][:5] == ["fsync", "after the run", "60,000", "50,000", "70,000"]
    assert found["taskq, fsync"][5:7] == ["5", "6"]
    assert found["huey (Redis), tuned"][5] == "1"


def test_a_cell_that_failed_is_shown_and_listed() -> None:
    assert rows(report.scenario_table(RUN, "drain"))["Celery (prefork), tuned"][2] == "failed"
    assert report.failures(RUN) == ["drain, Celery (prefork), tuned: not finished within 120 s"]
    assert "not finished within 120 s" in report.as_text(RUN)


def test_columns_without_a_word_are_left_out() -> None:
    uncounted = Record("enqueue", "calls/s", "taskq", "os", "survives kill", "", [Sample(5.0)])
    (header, _) = report.scenario_table(Records([uncounted]), "enqueue")
    assert header == ["", "survives", "calls/s", "min", "max"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.12345, "0.123"), (12.34, "12.3"), (1234567.8, "1,234,568")],  # noqa: RUF001 - what a table shows for nothing
)
def test_figure(value: float | None, text: str) -> None:
    assert report.figure(value) == text


def test_markdown_tables_are_whole() -> None:
    lines = report.as_markdown(report.scenario_table(RUN, "drain")).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1].startswith("| --- | --- | --- | ---: ")


# --- chart and page ---------------------------------------------------------------------------


def test_the_chart_is_svg_with_a_bar_a_cell() -> None:
    root = ElementTree.fromstring(chart.draw(RUN))
    bars = [
        rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if rect.get("x") == "250"
    ]
    lengths = [float(bar.attrib["width"]) for bar in bars]
    assert len(lengths) == 5  # the failed one has none
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == pytest.approx(400)
    names = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "taskq, fsync" in names


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="generated part once"):
        pages.page("# nothing\n", {"quick": True, "repeats": 1, "began": "", "machine": {}}, RUN)


def test_the_committed_page_and_chart_follow_from_the_committed_records() -> None:
    data = json.loads(pages.DATA.read_text(encoding="utf-8"))
    records = Records([from_json(each) for each in data["records"]])
    text = pages.PAGE.read_text(encoding="utf-8")
    hint = "run: python -m tests.benchmarks --render docs/benchmarks.json --docs"
    assert text == pages.page(text, data, records), hint
    assert pages.CHART.read_text(encoding="utf-8") == chart.draw(records), hint
