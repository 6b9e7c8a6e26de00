"""Which cells a run of the benchmark suite consists of."""

from __future__ import annotations

import pytest

from tests.benchmarks.catalogue import BASELINES, SCENARIOS
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.plan import cells


def names(*, only: list[str], quick: bool, peers: list[str] | None = None) -> list[tuple[str, str]]:
    return [(cell.contender, cell.column) for cell in cells(only, peers or [], quick)]


def test_a_scenario_has_all_contenders_side_by_side() -> None:
    found = cells([], [], quick=False)
    order = [cell.scenario.name for cell in found]
    asked = [name for name, scenario in SCENARIOS.items() if not scenario.on_request]
    assert list(dict.fromkeys(order)) == asked
    assert order == sorted(order, key=list(SCENARIOS).index)
    assert {cell.contender for cell in found} == {*CONTENDERS, *BASELINES}


def test_no_cell_is_planned_twice() -> None:
    found = [(cell.scenario.name, cell.contender, cell.column) for cell in cells([], [], False)]
    assert len(found) == len(set(found))


def test_we_play_in_each_durability() -> None:
    assert names(only=["drain"], quick=True, peers=["taskq"]) == [
        ("taskq", "fsync"),
        ("taskq", "os"),
        ("taskq", "none"),
    ]


def test_a_quick_run_leaves_the_peers_stock_settings_out() -> None:
    assert names(only=["drain"], quick=True, peers=["huey"]) == [("huey", "tuned")]
    assert names(only=["drain"], quick=False, peers=["huey"]) == [
        ("huey", "stock"),
        ("huey", "tuned"),
    ]


def test_the_executor_is_compared_by_single_calls() -> None:
    assert names(only=["round-trip"], quick=True, peers=["executor"]) == [("executor", "stock")]
    assert ("executor", "stock") in names(only=["drain"], quick=True)


def test_who_has_no_bulk_call_does_not_play_bulk() -> None:
    assert {name for name, _ in names(only=["bulk"], quick=False)} == {
        "taskq",
        "taskiq",
        "saq",
        "rq",
    }


def test_slow_contenders_get_fewer_messages() -> None:
    counts = {cell.contender: cell.count for cell in cells(["drain"], [], quick=True)}
    assert counts["taskq"] == SCENARIOS["drain"].quick
    assert 50 <= counts["celery"] < counts["huey"] < counts["taskq"]


def test_the_durability_is_that_of_the_column() -> None:
    found = {(cell.contender, cell.column): cell.durability for cell in cells(["drain"], [], False)}
    assert found["taskq", "fsync"] == "fsync"
    assert found["taskq", "os"] == "survives kill"
    assert found["huey", "tuned"] == "none"
    assert found["huey-sqlite", "stock"] == "fsync"
    assert found["huey-sqlite", "tuned"] == "survives kill"


@pytest.mark.parametrize(
    ("only", "peers", "word"),
    [(["dran"], [], "scenario 'dran'"), ([], ["hue"], "contender 'hue'")],
)
def test_an_unknown_name_is_refused_with_the_known_ones(
    only: list[str], peers: list[str], word: str
) -> None:
    with pytest.raises(ValueError, match=word) as told:
        cells(only, peers, quick=True)
    assert "drain" in str(told.value) or "huey" in str(told.value)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_titles_take_a_count(scenario: object) -> None:
    assert "{" not in SCENARIOS[scenario.name].title.format(count=1)  # type: ignore[attr-defined]


def test_a_long_scenario_is_measured_only_where_it_is_named() -> None:
    assert "sustained" not in {cell.scenario.name for cell in cells([], [], quick=False)}
    assert names(only=["sustained"], quick=False) == [("taskq", "fsync")]


def test_a_quick_run_leaves_scenarios_without_a_quick_count_out() -> None:
    found = {cell.scenario.name for cell in cells([], [], quick=True)}
    assert {name for name, each in SCENARIOS.items() if not each.quick}.isdisjoint(found)
    (cell, *_) = cells(["latency-1"], [], quick=True)
    assert cell.count == SCENARIOS["latency-1"].full


def test_some_scenarios_have_chosen_contenders() -> None:
    assert {name for name, _ in names(only=["producers"], quick=False)} == {
        "taskq",
        "huey",
        "dramatiq",
    }
    assert names(only=["producers"], peers=["celery"], quick=False) == []


def test_what_takes_long_is_repeated_less_often() -> None:
    def rounds(only: str, peer: str, column: str) -> int:
        (cell,) = [each for each in cells([only], [peer], quick=False) if each.column == column]
        return sum(cell.is_due(turn) for turn in range(10))

    assert rounds("drain", "taskq", "fsync") == rounds("drain", "huey", "tuned") == 10
    assert rounds("drain", "huey", "stock") == 3
    assert rounds("drain", "executor", "stock") == 10
    assert rounds("idle", "taskq", "fsync") == 1
