"""The heartbeat of a worker."""

from __future__ import annotations

from typing import Any

import pytest

from taskq.errors import AuthenticationFailed, BrokerTimeout, BrokerUnavailable
from taskq.protocol.base import Done
from taskq.protocol.consuming import Heartbeat, HeartbeatReply, Leave, Reap, Reaped
from taskq.protocol.values import Stop, WorkerInfo
from taskq.worker.pool.heartbeat import Heartbeater
from tests.kit.fakes import FakeBroker, FakeConnection


class FakeFinder:
    """Finds the broker at once, or when `is_there` is set."""

    def __init__(self, is_there: bool = True) -> None:
        self.is_there = is_there
        self.searches = 0

    def fileno(self) -> int | None:
        return None if self.is_there else 99

    def found(self) -> bool:
        self.searches += 1
        return self.is_there

    def wait(self, seconds: float) -> None:
        self.is_there = True

    def close(self) -> None:
        """Nothing goes on."""


class Prompt(FakeConnection):
    """Answers what is sent through `arrived`, but for heartbeats, at once."""

    def arrived(self, request: Any) -> bool:
        if not isinstance(request, Heartbeat) and request not in self.sent:
            self.parked[id(request)] = self.call(request)
        return super().arrived(request)


def make(
    *connections: FakeConnection | Exception, finder: FakeFinder | None = None
) -> tuple[Heartbeater, list[HeartbeatReply]]:
    replies: list[HeartbeatReply] = []
    broker = FakeBroker(*connections)
    finder = finder or FakeFinder()
    heartbeater = Heartbeater(
        broker, finder, "w", WorkerInfo(), replies.append, lambda: [4], budget=1.0
    )
    return heartbeater, replies


def done(request: object) -> Done | Reaped:
    return Reaped() if isinstance(request, Reap) else Done()


def test_one_heartbeat_is_always_parked() -> None:
    connection = FakeConnection(done)
    heartbeater, replies = make(connection)
    assert heartbeater.poll(0.0) is None
    (beat,) = connection.sent
    assert isinstance(beat, Heartbeat)
    assert beat.running == [4]
    connection.parked[id(beat)] = attended = HeartbeatReply(renew_in=10.0, stop=[Stop(5, "w/1")])
    heartbeater.poll(1.0)
    assert replies == [attended]
    assert [type(request) for request in connection.sent] == [Heartbeat, Heartbeat]
    heartbeater.poll(2.0)
    assert len(connection.sent) == 2


def test_a_broker_that_does_not_answer_is_noticed_when_its_reply_is_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = FakeConnection(done)

    def overdue(request: object) -> bool:
        raise BrokerTimeout("did not answer")

    monkeypatch.setattr(silent, "due", lambda: 40.0)
    heartbeater, _ = make(silent)
    assert heartbeater.poll(1.0) == 39.0
    monkeypatch.setattr(silent, "arrived", overdue)
    delay = heartbeater.poll(40.0)
    assert delay is not None
    assert delay < 1.0  # it looks for the broker again
    assert silent.closed


def test_a_death_is_reported_once() -> None:
    connection = Prompt(done)
    heartbeater, _ = make(connection)
    reap = Reap(worker="w", consumer="w/1", running=[3], reason="killed")
    answers: list[Reaped] = []
    heartbeater.reap(reap, answers.append)
    heartbeater.poll(0.0)
    heartbeater.poll(1.0)
    assert connection.sent.count(reap) == 1
    assert answers == [Reaped()]


def test_a_broker_that_is_slow_to_answer_a_death_keeps_nobody_waiting() -> None:
    silent = FakeConnection(done)
    heartbeater, _ = make(silent)
    reap = Reap(worker="w", consumer="w/1", running=[3], reason="killed")
    answers: list[Reaped] = []
    heartbeater.reap(reap, answers.append)
    heartbeater.poll(0.0)
    assert answers == []
    silent.parked[id(reap)] = Reaped()
    heartbeater.poll(1.0)
    assert answers == [Reaped()]


def test_while_the_broker_is_looked_for_nothing_else_waits() -> None:
    finder = FakeFinder(is_there=False)
    second = FakeConnection(done)
    heartbeater, _ = make(BrokerUnavailable("gone"), second, finder=finder)
    delay = heartbeater.poll(0.0)
    assert delay is not None
    assert finder.searches == 0  # the first time it is a child that has just spoken to it
    assert heartbeater.poll(delay) is None
    assert heartbeater.fileno() == 99
    assert heartbeater.poll(2 * delay) is None
    finder.is_there = True
    heartbeater.poll(3 * delay)
    assert [type(request) for request in second.sent] == [Heartbeat]


def test_at_the_end_it_waits_for_the_broker_that_is_looked_for() -> None:
    finder = FakeFinder(is_there=False)
    second = FakeConnection(done)
    heartbeater, _ = make(BrokerUnavailable("gone"), second, finder=finder)
    heartbeater.poll(0.0)
    heartbeater.leave()
    assert [type(request) for request in second.sent] == [Heartbeat, Leave]


def test_a_death_is_reported_after_a_reconnect() -> None:
    def gone(request: object) -> Any:
        raise BrokerUnavailable("gone")

    first, second = Prompt(gone), Prompt(done)
    heartbeater, _ = make(first, second)
    reap = Reap(worker="w", consumer="w/1", running=[3], reason="killed")
    heartbeater.reap(reap, lambda reaped: None)
    delay = heartbeater.poll(0.0)
    assert delay is not None
    assert heartbeater.poll(delay / 2) == delay / 2  # too soon
    heartbeater.poll(delay)
    assert reap in second.sent
    assert heartbeater.lost is None


def test_it_reports_when_the_budget_is_spent() -> None:
    heartbeater, _ = make(*(BrokerUnavailable("gone") for _ in range(100)))
    now = 0.0
    while (delay := heartbeater.poll(now)) is not None:
        now += delay
    assert isinstance(heartbeater.lost, BrokerUnavailable)
    assert 1.0 <= now < 1.5


def test_a_wrong_key_ends_it_at_once() -> None:
    heartbeater, _ = make(AuthenticationFailed("wrong key"))
    assert heartbeater.poll(0.0) is None
    assert isinstance(heartbeater.lost, AuthenticationFailed)


def test_a_death_that_was_sent_before_it_leaves_is_not_sent_again() -> None:
    class Slow(FakeConnection):
        """Sends what `arrived` is asked for; the reply comes when it is waited for."""

        def arrived(self, request: Any) -> bool:
            if request not in self.sent:
                self.parked[id(request)] = self.call(request)
            return False

    connection = Slow(done)
    heartbeater, _ = make(connection)
    reap = Reap(worker="w", consumer="w/1", running=[3], reason="killed")
    answers: list[Reaped] = []
    heartbeater.reap(reap, answers.append)
    heartbeater.poll(0.0)
    heartbeater.leave()
    assert [type(request) for request in connection.sent] == [Heartbeat, Reap, Leave]
    assert answers == [Reaped()]


def test_it_leaves_after_the_last_death_was_reported() -> None:
    connection = FakeConnection(done)
    heartbeater, _ = make(connection)
    reap = Reap(worker="w", consumer="w/1", running=[], reason="")
    heartbeater.reap(reap, lambda reaped: None)
    heartbeater.leave()
    assert [type(request) for request in connection.sent] == [Heartbeat, Reap, Leave]
    assert connection.closed
    assert heartbeater.fileno() is None
