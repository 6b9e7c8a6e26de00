"""Reports of progress between a task and the thread that sends them."""

from __future__ import annotations

import pytest

from taskq.errors import LeaseLost
from taskq.protocol.consuming import Report
from taskq.protocol.values import Progress
from taskq.worker.runtime.progress import ProgressReports
from tests.kit.races import interrupted


def test_only_the_latest_report_of_a_task_is_sent() -> None:
    reports = ProgressReports()
    reports.put(1, "a", Progress(1))
    reports.put(1, "a", Progress(2))
    assert reports.take() == [Report(receipt=1, id="a", progress=Progress(2))]
    assert reports.take() == []


@pytest.mark.parametrize("line", range(8))
def test_a_report_that_is_not_taken_is_announced(line: int) -> None:
    """Whenever the guard looks in between: its look is over, so it must be called."""
    reports, announced = ProgressReports(), []
    reports.put(1, "a", Progress(1))
    reports.on_report = lambda: announced.append(dict(reports.pending))

    def take() -> None:
        reports.take()
        announced.clear()

    put = lambda: reports.put(1, "a", Progress(2))  # noqa: E731
    interrupted(put, ProgressReports.put.__code__, line, take)
    assert not reports.pending or announced[-1] == reports.pending


@pytest.mark.parametrize("line", range(8))
def test_a_task_may_end_while_its_report_is_taken(line: int) -> None:
    reports = ProgressReports()
    reports.put(1, "a", Progress(1))
    code = ProgressReports.take.__code__
    taken = interrupted(reports.take, code, line, lambda: reports.forget(1))
    assert taken in ([], [Report(receipt=1, id="a", progress=Progress(1))])
    assert not reports.pending


def test_a_running_task_learns_that_its_report_was_refused() -> None:
    reports = ProgressReports()
    reports.put(1, "a", Progress(1))
    reports.take()
    reports.refused(1)
    with pytest.raises(LeaseLost):
        reports.put(1, "a", Progress(2))


def test_nothing_is_kept_of_a_task_that_has_ended() -> None:
    reports = ProgressReports()
    reports.put(1, "a", Progress(1))
    assert reports.running
    reports.take()
    reports.forget(1)
    reports.refused(1)  # the reply comes after the end
    assert not reports.running
    reports.put(1, "a", Progress(2))  # and what is kept of it would be seen here
