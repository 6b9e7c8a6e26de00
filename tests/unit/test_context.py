from __future__ import annotations

import pytest

from taskq import current
from taskq.context import TaskContext, enter, leave
from tests.kit.messages import naming


def test_there_is_none_outside_of_a_task() -> None:
    with pytest.raises(RuntimeError, match="inside a running task"):
        current()


def test_it_passes_on_what_a_task_says(caplog: pytest.LogCaptureFixture) -> None:
    said: list[object] = []
    context = TaskContext(
        "i",
        2,
        7,
        "q",
        "m.f",
        report=lambda done, total, note: said.append((done, total, note)),
        extend=said.append,
        cancelled=lambda: True,
    )
    token = enter(context)
    try:
        assert current() is context
        current().progress(1, 3, "one")
        for wrong in (("x",), (1, "x"), (1, 2, 3)):
            with pytest.raises(TypeError, match=naming("progress()", repr(wrong[-1]))):
                current().progress(*wrong)  # type: ignore[arg-type]
        current().extend(60)
        assert current().cancelled
        current().log.warning("hello")
        for seconds in (-1.0, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="not negative"):
                current().extend(seconds)
    finally:
        leave(token)
    assert said == [(1, 3, "one"), 60]
    assert (context.id, context.attempt, context.fence, context.queue) == ("i", 2, 7, "q")
    record = caplog.records[0]
    assert (record.name, record.task_id, record.attempt) == ("taskq.task.m.f", "i", 2)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        current()
