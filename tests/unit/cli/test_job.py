"""`taskq job show`: what it says of a message that a worker has."""

from __future__ import annotations

import re
from typing import Any

import pytest

from taskq.cli.commands.job import describe
from taskq.protocol.values import JobInfo
from tests.kit.messages import missing


def rows(**fields: Any) -> dict[str, str]:
    """The lines of a leased message, by their names."""
    job = JobInfo(
        id="a",
        state="leased",
        queue="q",
        task="m.f",
        group="default",
        priority=4,
        attempts=0,
        deliveries=1,
        enqueued_at=1000.0,
        due_at=1000.0,
        started_at=1002.0,
        finished_at=None,
        worker="w",
        errors=[],
        progress=None,
        size=7,
        **fields,
    )
    pairs = [re.split(r"\s{1,}", line, maxsplit=1) for line in describe(job)]
    return {pair[0]: pair[1] for pair in pairs}


@pytest.mark.parametrize(
    ("is_running", "since", "token"),
    [
        (True, "started", "runs it"),
        (False, "delivered", "not known"),
    ],
)
def test_it_says_who_has_it_since_when_and_whether_it_has_begun(
    is_running: bool, since: str, token: str
) -> None:
    shown = rows(consumer="w/1.1", is_running=is_running)
    assert not missing(shown["worker"], "w/1.1", token)
    assert {"started", "delivered"} & set(shown) == {since}


def test_where_no_process_has_it_there_is_the_worker_that_had_it() -> None:
    shown = rows()
    assert shown["worker"] == "w"
    assert "started" in shown
