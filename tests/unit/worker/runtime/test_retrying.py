"""The worker's line to the broker."""

from __future__ import annotations

from typing import Any

import pytest

from taskq.backends.port import Connection
from taskq.errors import BrokerUnavailable, UnknownConsumer
from taskq.protocol.base import Done
from taskq.protocol.operating import Ping
from taskq.worker.runtime.retrying import LoggedReconnector, RetryingConnection
from tests.kit.fakes import FakeBroker, FakeConnection
from tests.kit.messages import missing


def test_the_log_says_once_that_the_broker_is_gone_and_once_that_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "taskq.worker.link")
    reconnector = LoggedReconnector(budget=30.0)
    for now in (0.0, 1.9):
        reconnector.failed_because("refused", now)
    reconnector.succeeded()
    assert caplog.messages == []  # it was restarted
    for now in (5.0, 7.0, 9.0):
        reconnector.failed_because("refused", now)
    reconnector.succeeded()
    reconnector.succeeded()
    lost, back = caplog.messages
    assert not missing(lost, "28 s", "refused")
    assert "back" in back


def reach(connection: Connection) -> Any:
    return connection.call(Ping())


def lost(request: object) -> Any:
    raise BrokerUnavailable("gone")


def test_a_step_is_repeated_on_a_new_connection() -> None:
    first, second = FakeConnection(lost), FakeConnection(lambda request: Done(count=7))
    broker = FakeBroker(first, BrokerUnavailable("starting"), second)
    pauses: list[float] = []
    link = RetryingConnection(
        broker, lambda: Ping(rid=9), lambda s: bool(pauses.append(s)), budget=60.0
    )
    assert link.attempt(reach) == Done(count=7)
    assert first.closed
    assert len(pauses) == 2
    assert [greeting.rid for greeting in broker.greetings] == [9, 9]


def test_it_gives_up_when_the_budget_is_spent() -> None:
    link = RetryingConnection(FakeBroker(FakeConnection(lost)), None, lambda s: False, budget=0.0)
    with pytest.raises(BrokerUnavailable):
        link.attempt(reach)


def test_a_refusal_is_not_repeated_and_closes_the_connection() -> None:
    def refuse(request: object) -> Any:
        raise UnknownConsumer("register first")

    connection = FakeConnection(refuse)
    link = RetryingConnection(FakeBroker(connection), None, lambda s: False, budget=60.0)
    with pytest.raises(UnknownConsumer):
        link.attempt(reach)
    assert connection.closed
