"""The thread that hands back what waits behind a long task."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from taskq.errors import BrokerUnavailable, LeaseLost
from taskq.protocol.base import Done
from taskq.protocol.consuming import Report, Settle, Settled
from taskq.protocol.values import Ack, Delivered, Progress, Release
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.progress import ProgressReports
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.slow_task_guard import PATIENCE, SlowTaskGuard
from tests.kit.fakes import FakeBroker, FakeConnection


def delivered(receipt: int) -> Delivered:
    return Delivered(receipt, f"id{receipt}", "q", "t", b"", 1, None, 30.0)


def make(
    answer: Any = lambda request: Settled(rejected=[]),
) -> tuple[SlowTaskGuard, InFlight, FakeConnection]:
    in_flight = InFlight("audit")
    connection = FakeConnection(answer)
    link = RetryingConnection(FakeBroker(connection), None, lambda s: False, budget=0.0)
    return SlowTaskGuard(in_flight, link, ProgressReports()), in_flight, connection


def test_it_looks_again_when_the_batch_will_be_old() -> None:
    guard, in_flight, connection = make()
    in_flight.began = 10.0
    in_flight.take([delivered(1)])
    assert guard.poll(10.0) == pytest.approx(PATIENCE)
    assert guard.poll(10.0 + PATIENCE / 4) == pytest.approx(PATIENCE * 3 / 4)
    assert connection.sent == []


def test_an_old_batch_is_handed_back_and_what_is_finished_is_settled() -> None:
    guard, in_flight, connection = make()
    in_flight.began = 10.0
    in_flight.take([delivered(2), delivered(3)])
    in_flight.held.add(1)
    in_flight.outbox.append(Ack(1, "id1", b""))
    assert guard.poll(10.0 + PATIENCE) is None
    (settle,) = connection.sent
    assert isinstance(settle, Settle)
    assert settle.outcomes == [Ack(1, "id1", b""), Release(2, "id2"), Release(3, "id3")]
    assert settle.group == "audit"  # which its connection has not registered for
    assert in_flight.held == set()
    assert not in_flight.inbox


def test_a_long_task_with_nothing_behind_it_costs_no_message() -> None:
    guard, in_flight, connection = make()
    in_flight.began = 10.0
    assert guard.poll(60.0) is None
    assert connection.sent == []


def test_a_stop_hands_back_at_once() -> None:
    guard, in_flight, connection = make()
    in_flight.began = 10.0
    in_flight.stopping = True
    in_flight.take([delivered(1)])
    guard.poll(10.0)
    assert len(connection.sent) == 1


def test_it_falls_asleep_when_the_consumer_stays_idle() -> None:
    guard, _, _ = make()
    looks = 0
    while guard.poll(float(looks)) is not None:
        looks += 1
        assert looks < 100
    assert looks > 1  # it lingers, so that a consumer that is seldom idle need not wake it


def test_without_a_broker_everything_stays_in_hand() -> None:
    def gone(request: object) -> Any:
        raise BrokerUnavailable("gone")

    guard, in_flight, _ = make(gone)
    in_flight.began = 10.0
    in_flight.take([delivered(1)])
    guard.poll(20.0)
    assert list(in_flight.outbox) == [Release(1, "id1")]
    assert in_flight.held == {1}


def test_its_end_waits_until_the_broker_has_what_was_handed_back() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def slowly(request: object) -> Settled:
        asked.set()
        may_answer.wait()
        return Settled(rejected=[])

    guard, in_flight, _ = make(slowly)
    in_flight.outbox.append(Ack(1, "id1", b""))
    in_flight.began, in_flight.stopping = 10.0, True
    guard.start()
    guard.wake()
    assert asked.wait(10)
    ending = threading.Thread(target=guard.end)
    ending.start()
    ending.join(0.05)
    assert ending.is_alive()  # or the process would end, and the task would run again
    may_answer.set()
    ending.join(10)
    assert not ending.is_alive()


class LateBatch(InFlight):
    """A batch begins when the guard has looked `looks` times, and at once it is an old one."""

    __slots__ = ("looks",)

    @property
    def began(self) -> float:  # type: ignore[override]
        self.looks -= 1
        return 0.0 if self.looks >= 0 else 1.0

    @began.setter
    def began(self, when: float) -> None: ...


def test_a_batch_that_begins_while_it_falls_asleep_is_not_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskq.worker.runtime.slow_task_guard.PATIENCE", 0.001)
    handed_back = threading.Event()

    def answer(request: Any) -> Settled:
        handed_back.set()
        return Settled(rejected=[])

    in_flight = LateBatch()
    in_flight.looks = 5  # then it would sleep for good
    in_flight.take([delivered(1)])
    link = RetryingConnection(FakeBroker(FakeConnection(answer)), None, lambda s: False, budget=0.0)
    guard = SlowTaskGuard(in_flight, link, ProgressReports())
    guard.start()
    assert handed_back.wait(10)
    guard.end()


class ReportingBatch(InFlight):
    """A task reports when the guard looks at the batch for the last time before it sleeps."""

    __slots__ = ("looks", "report")

    @property
    def began(self) -> float:  # type: ignore[override]
        self.looks -= 1
        if self.looks == 0:
            self.report()
        return 0.0

    @began.setter
    def began(self, when: float) -> None: ...


def test_a_report_that_comes_while_it_falls_asleep_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskq.worker.runtime.slow_task_guard.PATIENCE", 0.001)
    monkeypatch.setattr("taskq.worker.runtime.slow_task_guard.REPORT_EVERY", 0.001)
    sent = threading.Event()

    def answer(request: Any) -> Done:
        sent.set()
        return Done()

    in_flight, reports = ReportingBatch(), ProgressReports()
    in_flight.looks = 5  # the next one finds it asleep
    in_flight.report = lambda: reports.put(1, "id", Progress(3))
    link = RetryingConnection(FakeBroker(FakeConnection(answer)), None, lambda s: False, budget=0.0)
    guard = SlowTaskGuard(in_flight, link, reports)
    guard.asleep = False
    guard.start()
    assert sent.wait(10)
    guard.end()


def test_it_sends_the_progress_of_tasks_and_remembers_whose_message_is_lost() -> None:
    def answer(request: Any) -> Any:
        if request.receipt == 2:
            raise LeaseLost("gone")
        return Done()

    reports = ProgressReports()
    first, second = FakeConnection(answer), FakeConnection(answer)
    link = RetryingConnection(FakeBroker(first, second), None, lambda s: False, budget=0.0)
    guard = SlowTaskGuard(InFlight(), link, reports)
    reports.put(1, "a", Progress(3))
    assert not guard.asleep  # it was woken
    reports.put(1, "a", Progress(4))
    reports.put(2, "b", Progress(5))
    guard.poll(10.0)
    sent = sorted([*first.sent, *second.sent], key=lambda report: report.receipt)
    assert sent == [
        Report(receipt=1, id="a", progress=Progress(4)),
        Report(receipt=2, id="b", progress=Progress(5)),
    ]
    with pytest.raises(LeaseLost):
        reports.put(2, "b", Progress(6))
    assert not reports.pending
