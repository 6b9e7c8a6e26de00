"""The judge of chaos runs sees every kind of broken promise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash import history, verdict
from tests.crash.history import Ending, History, Run

WORKER, CHILD, OTHER = 10, 11, 12


def sound() -> History:
    """Three messages: a plain one, a retried one, and one whose child was killed."""
    return History(
        acknowledged={"a": 1, "b": 2, "c": 3},
        runs={
            "a": [Run("a", 1, CHILD, WORKER, 0.0, "ok")],
            "b": [Run("b", 2, CHILD, WORKER, 0.1, "failed"), Run("b", 4, OTHER, WORKER, 0.3, "ok")],
            "c": [Run("c", 3, 99, WORKER, 0.2), Run("c", 5, OTHER, WORKER, 0.4, "ok")],
        },
        endings={
            "a": Ending("succeeded", 1, 1),
            "b": Ending("succeeded", 2, 4),
            "c": Ending("succeeded", 3, 5),
        },
        killed={99: 0.25},
        due={"a": 0.0, "b": 0.1, "c": 0.2},
        audited={"a", "b", "c"},
        awaited={"a": "1"},
        accepted=3,
    )


def test_a_sound_history_keeps_every_promise() -> None:
    rules = verdict.judge(sound())
    assert [rule for rule in rules if rule.broken] == []
    assert verdict.repeated(sound()) == 1
    assert "BROKEN" not in verdict.table(rules)


def cancel_without_being_asked(it: History) -> None:
    it.endings["a"] = Ending("cancelled")


def begin_early(it: History) -> None:
    it.due["b"] = 0.2


def miss_in_a_group(it: History) -> None:
    it.audited.remove("b")


def await_in_vain(it: History) -> None:
    it.awaited["a"] = "TimeoutError()"


def lose(it: History) -> None:
    it.endings["a"] = Ending("unknown")


def bury(it: History) -> None:
    it.endings["a"] = Ending("dead")


def mix_up(it: History) -> None:
    it.endings["a"] = Ending("succeeded", 2, 1)


def keep_a_stale_result(it: History) -> None:
    it.runs["c"][0].ended = "ok"
    it.endings["c"] = Ending("succeeded", 3, 3)


def invent_a_result(it: History) -> None:
    it.endings["a"] = Ending("succeeded", 1, 7)


def give_a_fence_twice(it: History) -> None:
    it.runs["c"][0].fence = 5


def lower_a_fence(it: History) -> None:
    it.runs["b"].reverse()


def repeat_without_a_reason(it: History) -> None:
    it.killed.clear()


def repeat_what_was_settled_long_before(it: History) -> None:
    it.killed[99] = 60.0


def repeat_too_much(it: History) -> None:
    for n in range(verdict.IN_HAND + 1):
        id = f"x{n}"
        it.acknowledged[id] = n
        it.runs[id] = [Run(id, 100, 99, WORKER, 1.0, "ok"), Run(id, 101, OTHER, WORKER, 2.0, "ok")]
        it.endings[id] = Ending("succeeded", n, 101)
    it.accepted = len(it.acknowledged)


def run_a_stranger(it: History) -> None:
    it.runs["z"] = [Run("z", 9, CHILD, WORKER, 0.0, "ok")]


def accept_too_much(it: History) -> None:
    it.accepted = 4


@pytest.mark.parametrize(
    ("harm", "promise"),
    [
        (lose, "finished"),
        (bury, "finished"),
        (cancel_without_being_asked, "finished"),
        (begin_early, "not early"),
        (miss_in_a_group, "second group"),
        (await_in_vain, "awaited"),
        (mix_up, "own result"),
        (keep_a_stale_result, "last delivery"),
        (invent_a_result, "last delivery"),
        (give_a_fence_twice, "fences"),
        (lower_a_fence, "fences"),
        (repeat_without_a_reason, "no repeats"),
        (repeat_what_was_settled_long_before, "no repeats"),
        (repeat_too_much, "in hand"),
        (run_a_stranger, "accepted"),
        (accept_too_much, "accepted"),
    ],
)
def test_each_broken_promise_is_seen(harm: Callable[[History], None], promise: str) -> None:
    it = sound()
    harm(it)
    assert promise in {rule.name for rule in verdict.judge(it) if rule.broken}
    assert "BROKEN" in verdict.table(verdict.judge(it))


def test_a_late_start_of_a_stopped_process_is_no_fault_of_fences() -> None:
    it = sound()
    it.killed.clear()
    it.stopped[99] = [(0.1, 3.0)]
    late = it.runs["c"][0]
    late.began = 3.1  # it was claimed first, and began when another had it
    it.runs["c"].reverse()
    assert not any(rule.broken for rule in verdict.judge(it))


def test_a_history_is_kept_for_another_look(tmp_path: Path) -> None:
    it = sound()
    it.stopped[5] = [(1.0, 2.0)]
    history.save(it, tmp_path / "history.json")
    assert history.load(tmp_path / "history.json") == it


def test_notes_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(history.VARIABLE, str(tmp_path))
    history.Notes("acked").write("a", 1, 0.5)
    runs = history.Notes("runs")
    runs.write("began", "a", 5, 42, 1.5)
    runs.write("failed", "a", 5)
    runs.write("began", "a", 6, 42, 2.5)
    it = history.read(tmp_path)
    assert (it.acknowledged, it.due) == ({"a": 1}, {"a": 0.5})
    assert [(run.fence, run.parent, run.ended) for run in it.runs["a"]] == [
        (5, 42, "failed"),
        (6, 42, ""),
    ]
