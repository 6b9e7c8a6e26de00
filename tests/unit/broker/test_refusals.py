"""What peers can make the broker log."""

from __future__ import annotations

import pytest

from taskq.broker.refusals import MOST, PERIOD, Refusals
from tests.kit.messages import missing


def test_67_a_flood_of_refusals_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for number in range(10_000):
        refusals.note("closed a connection", f"rubbish {number}", 0.0)
    assert len(caplog.messages) == MOST
    assert caplog.messages[0] == "closed a connection: rubbish 0"
    refusals.note("closed a connection", "later", PERIOD)
    (summary, later) = caplog.messages[MOST:]
    assert not missing(summary, f"{10_000 - MOST} more connections")
    assert later == "closed a connection: later"


def test_a_few_refusals_are_all_logged(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for minute in range(3):
        refusals.note("refused a connection", minute, minute * PERIOD)
    assert caplog.messages == [f"refused a connection: {minute}" for minute in range(3)]
