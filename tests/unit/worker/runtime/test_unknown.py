from __future__ import annotations

import pytest

from taskq.worker.runtime.unknown import MOST, UnknownTasks
from tests.kit.messages import missing


def test_an_unknown_task_is_logged_once_with_its_module(caplog: pytest.LogCaptureFixture) -> None:
    unknown = UnknownTasks()
    for task in ("shop.mail.send", "shop.mail.send", "order"):
        unknown.log(task)
    mail, order = caplog.messages
    assert not missing(mail, "shop.mail.send", "taskq worker APP --include shop.mail")
    assert not missing(mail, "TaskQueue of its own: taskq worker shop.mail;")
    assert not missing(order, "task order")
    assert "--include" not in order


def test_a_task_that_was_renamed_is_explained(caplog: pytest.LogCaptureFixture) -> None:
    UnknownTasks("audit").log("rn.old")
    UnknownTasks().log("old")
    (in_module, named) = caplog.messages
    assert not missing(in_module, "if workers import rn already", "@queue.task(name='rn.old')")
    assert not missing(in_module, "--include rn -g audit", "taskq queue purge QUEUE -g audit")
    assert not missing(named, "if none has it any more", "@queue.task(name='old')")


def test_names_without_end_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    unknown = UnknownTasks()
    for n in range(MOST + 5):
        unknown.log(f"x\n{n}")
    assert len(caplog.records) == MOST
    assert "\n" not in caplog.text.splitlines()[0]
    assert not missing(caplog.messages[0], "task x 0")
