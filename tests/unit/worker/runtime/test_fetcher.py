"""Claims and settlements of one consumer."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from taskq.errors import BrokerUnavailable, LeaseLost
from taskq.protocol.consuming import Begin, Claim, Claimed, Settle, Settled
from taskq.protocol.values import Ack, Delivered, Release
from taskq.worker.runtime.fetcher import Fetcher
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.rotation import Rotation
from tests.kit.fakes import FakeBroker, FakeConnection


def delivered(receipt: int) -> Delivered:
    return Delivered(receipt, f"id{receipt}", "q", "t", b"", 1, None, 30.0)


class FetcherBench:
    """A fetcher on a fake connection; waiting for the claim brings `coming`, or a stop."""

    def __init__(self, coming: list[Delivered] | None, rejected: list[int] | None = None) -> None:
        self.desk = InFlight("audit")
        self.connection = FakeConnection(self.answer)
        self.rejected = rejected or []
        self.coming = coming
        self.drained = False  # what the answer says of the queues
        link = RetryingConnection(FakeBroker(self.connection), None, lambda s: False, budget=0.0)
        self.fetcher = Fetcher(link, self.desk, Rotation([("q", 1)]), self.wait, self.desk.take)

    def answer(self, request: Any) -> Any:
        return (
            Settled(rejected=self.rejected) if isinstance(request, Settle) else Claimed(messages=[])
        )

    def wait(self, fd: int | None, seconds: float | None = None) -> bool:
        if self.coming is None:
            return False
        claim = self.connection.sent[-1]
        self.connection.parked[id(claim)] = Claimed(messages=self.coming, drained=self.drained)
        return True


def test_a_claim_fills_the_inbox() -> None:
    bench = FetcherBench([delivered(1), delivered(2)])
    bench.fetcher.turn(5)
    (claim,) = bench.connection.sent
    assert isinstance(claim, Claim)
    assert claim.n == 5
    assert [message.receipt for message in bench.desk.inbox] == [1, 2]
    assert bench.desk.held == {1, 2}


def test_settlement_and_claim_share_a_round_trip() -> None:
    bench = FetcherBench([])
    bench.desk.held = {1}
    bench.desk.outbox.append(Ack(1, "id1", b"x"))
    bench.fetcher.turn(1)
    settle, claim = bench.connection.sent
    assert isinstance(settle, Settle)
    assert settle.outcomes == [Ack(1, "id1", b"x")]
    assert isinstance(claim, Claim)
    assert bench.desk.held == set()


def test_what_could_not_be_settled_is_kept_in_order() -> None:
    bench = FetcherBench([])

    def gone(request: object) -> Any:
        raise BrokerUnavailable("gone")

    bench.connection.answer = gone
    outcomes = [Ack(1, "id1", b""), Ack(2, "id2", b"")]
    bench.desk.held = {1, 2}
    bench.desk.outbox.extend(outcomes)
    with pytest.raises(BrokerUnavailable):
        bench.fetcher.turn(1)
    assert list(bench.desk.outbox) == outcomes
    assert bench.desk.held == {1, 2}


def test_a_claim_that_was_answered_while_stopping_is_handed_back() -> None:
    bench = FetcherBench(None)
    bench.fetcher.turn(4)
    (claim,) = bench.connection.sent
    assert not bench.desk.inbox
    bench.connection.parked[id(claim)] = Claimed(messages=[delivered(1)])
    bench.fetcher.leave()
    withdrawal, settle = bench.connection.sent[1:]
    assert isinstance(withdrawal, Claim)
    assert (withdrawal.queues, withdrawal.n) == ([], 0)
    assert isinstance(settle, Settle)
    assert settle.outcomes == [Release(1, "id1")]
    assert bench.desk.held == set()


def test_a_late_outcome_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = FetcherBench([], rejected=[1, 2])
    bench.desk.outbox.extend([Ack(1, "late", b""), Release(2, "back"), Ack(3, "fine", b"")])
    with caplog.at_level(logging.WARNING, "taskq.worker"):
        bench.fetcher.settle()
    assert "LeaseLost: late" in caplog.text
    assert "back" not in caplog.text
    assert "fine" not in caplog.text


def test_drained_is_noticed() -> None:
    bench = FetcherBench([])

    bench.drained = True
    bench.fetcher.turn(1)
    assert bench.fetcher.drained


def announced(receipt: int) -> Delivered:
    message = delivered(receipt)
    message.announce = True
    return message


def test_a_message_that_is_dealt_alone_is_announced_before_it_runs() -> None:
    bench = FetcherBench([announced(1)])
    bench.fetcher.turn(5)
    assert bench.connection.sent[-1] == Begin(receipt=1, id="id1", group="audit")
    assert [message.receipt for message in bench.desk.inbox] == [1]


def test_an_announced_message_that_was_lost_meanwhile_is_no_error() -> None:
    bench = FetcherBench([announced(1)])
    bench.fetcher.turn(5)
    bench.connection.parked[id(bench.connection.sent[-1])] = LeaseLost("gone")
    bench.coming = [delivered(2)]
    bench.fetcher.turn(5)
    assert [message.receipt for message in bench.desk.inbox] == [1, 2]
