from __future__ import annotations

import pytest

from taskq.worker.runtime.unknown import MOST, UnknownTasks


def test_an_unknown_task_is_logged_once_with_its_module(caplog: pytest.LogCaptureFixture) -> None:
    unknown = UnknownTasks()
    for task in ("shop.mail.send", "shop.mail.send", "order"):
        unknown.log(task)
    assert [record.getMessage() for record in caplog.records] == [
        "this worker does not know the task shop.mail.send, so its calls wait; "
        "start one that imports its module: taskq worker APP --include shop.mail",
        "this worker does not know the task order, so its calls wait; "
        "start one with the code that has it",
    ]


def test_names_without_end_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    unknown = UnknownTasks()
    for n in range(MOST + 5):
        unknown.log(f"x\n{n}")
    assert len(caplog.records) == MOST
    assert "\n" not in caplog.text.splitlines()[0]
    assert caplog.records[0].getMessage().startswith("this worker does not know the task x 0,")
