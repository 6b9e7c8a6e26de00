"""Settling in parts: what is settled when the broker is lost between two of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from taskq.backends.port import Connection
from taskq.errors import BrokerUnavailable, PayloadTooLarge
from taskq.protocol import outcomes as parts
from taskq.protocol.consuming import Claim, Register
from taskq.protocol.producing import Inspect
from taskq.protocol.values import Ack, ErrorInfo, Fail, Outcome
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.settling import settle_outcomes
from tests.kit.fakes import FakeApp


def add(a: int, b: int) -> int:
    return a + b


class NarrowConnection:
    """Takes one outcome at a time, and is lost where `lose` says so."""

    def __init__(
        self, inner: Connection, lose: Callable[[Outcome], bool], groups: list[str]
    ) -> None:
        self._inner = inner
        self._lose = lose
        self._groups = groups

    def turn(
        self, outcomes: Sequence[Outcome], claim: Claim | None = None, group: str = "default"
    ) -> list[int]:
        self._groups.append(group)
        if len(outcomes) > 1:
            raise PayloadTooLarge("too large together")
        if self._lose(outcomes[0]):
            raise BrokerUnavailable("gone")
        return self._inner.turn(outcomes, claim, group)

    def close(self) -> None:
        """The leases stay."""


class Bench:
    """Three messages in the hands of a consumer: `first` has failed, the others have succeeded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Outcome], bool]) -> None:
        monkeypatch.setattr(parts, "PART", 1)
        self.app = FakeApp(add)
        messages = [
            self.app.claim_as("w/1", "add", id, 1, 2, retries=1) for id in ("first", "b", "c")
        ]
        self.in_flight = InFlight()
        self.in_flight.held = {message.receipt for message in messages}
        first, *others = messages
        error = ErrorInfo("ValueError", "no")
        self.outcomes: list[Outcome] = [Fail(first.receipt, first.id, error, delay=0.0)]
        self.outcomes += [Ack(message.receipt, message.id, b"") for message in others]
        self.connections = 0
        self.groups: list[str] = []  # of each turn
        self._lose = lose
        self.link = RetryingConnection(self, None, lambda seconds: False, 10.0)  # type: ignore[arg-type]

    def connect(self, *_: object, **__: object) -> Any:
        self.connections += 1
        return NarrowConnection(self.app.broker.connect(), self._lose, self.groups)

    def claim_elsewhere(self) -> list[str]:
        register = Register(worker="other", consumer="other", group="default", queues=["q"])
        connection = self.app.broker.connect(lambda: register)
        messages = connection.call(Claim(queues=["q"], n=10, wait=0)).messages
        return [message.id for message in messages]

    def states(self) -> list[tuple[str, int]]:
        jobs = [self.app.broker.call(Inspect(id=id)).jobs[0] for id in ("first", "b", "c")]
        return [(job.state, job.attempts) for job in jobs]


def test_what_was_settled_before_the_broker_was_lost_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delivered: list[str] = []

    def lose(outcome: Outcome) -> bool:
        if outcome.id == "b" and not delivered:
            delivered.extend(bench.claim_elsewhere())  # the first one, which is to be retried
            return True
        return False

    bench = Bench(monkeypatch, lose)
    with caplog.at_level(logging.WARNING, "taskq.worker"):
        settle_outcomes(bench.link, bench.in_flight, bench.outcomes)
    assert delivered == ["first"]
    assert bench.connections == 3  # after the outcomes that are too large, and after the loss
    assert "LeaseLost" not in caplog.text
    assert bench.states() == [("leased", 1), ("succeeded", 1), ("succeeded", 1)]
    assert (bench.in_flight.held, list(bench.in_flight.outbox)) == (set(), [])


def test_an_outcome_that_is_too_large_even_alone_is_an_error_and_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(outcome: Outcome) -> bool:
        if outcome.id == "b":
            raise PayloadTooLarge("too large by itself")
        return False

    bench = Bench(monkeypatch, refuse)
    with pytest.raises(PayloadTooLarge, match="by itself"):
        settle_outcomes(bench.link, bench.in_flight, bench.outcomes)
    assert list(bench.in_flight.outbox) == bench.outcomes[1:]


def test_every_part_is_settled_for_the_group_of_the_consumer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, lambda outcome: False)
    bench.in_flight.group = "mailers"
    settle_outcomes(bench.link, bench.in_flight, bench.outcomes)
    assert bench.groups == ["mailers"] * 4  # all together, and in three parts


def test_what_is_left_when_the_broker_stays_away_is_kept_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch, lambda outcome: outcome.id == "b")
    bench.link = RetryingConnection(bench, None, lambda seconds: False, 0.0)  # type: ignore[arg-type]
    with pytest.raises(BrokerUnavailable):
        settle_outcomes(bench.link, bench.in_flight, bench.outcomes)
    assert list(bench.in_flight.outbox) == bench.outcomes[1:]
    assert bench.in_flight.held == {outcome.receipt for outcome in bench.outcomes[1:]}
    assert bench.states() == [("ready", 1), ("leased", 0), ("leased", 0)]
