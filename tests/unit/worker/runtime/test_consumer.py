"""One consumer's life, on an engine in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskq.backends.memory import MemoryBroker, MemoryConnection
from taskq.backends.port import Broker
from taskq.errors import BrokerUnavailable
from taskq.protocol.base import R, Request
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Inspect
from taskq.protocol.values import JobInfo, Outcome
from taskq.worker.identity import Identity
from taskq.worker.runtime.consumer import Bounds, Consumer, Ending
from taskq.worker.runtime.executors import Executor, ExecutorContext, Main
from taskq.worker.runtime.slot import Slot
from taskq.worker.runtime.waking import Waker
from tests.kit.fakes import FakeAlarm, FakeApp


def add(a: int, b: int) -> int:
    return a + b


class MortalBroker:
    """A broker that can lose its books, and its connections with them."""

    url = MemoryBroker.url
    max_payload = MemoryBroker.max_payload

    def __init__(self) -> None:
        self.payload_key = b"k" * 32
        self._broker = MemoryBroker()
        self._open: list[MemoryConnection] = []

    def lose_books(self) -> None:
        while self._open:
            self._open.pop().close()
        self._broker = MemoryBroker()

    def connect(self, *arguments: Any, **options: Any) -> MemoryConnection:
        self._open.append(self._broker.connect(*arguments, **options))
        return self._open[-1]

    def call(self, request: Request[R], *, timeout: float | None = None) -> R:
        return self._broker.call(request, timeout=timeout)

    def close(self) -> None:
        self._broker.close()


class ConsumerBench:
    """A consumer of some functions."""

    def __init__(
        self,
        *functions: Any,
        memory: int = 0,
        broker: Broker | None = None,
        group: str = "default",
        **bounds: Any,
    ) -> None:
        self.app = FakeApp(*functions)
        self.app.broker = broker or self.app.broker
        self.slot = Slot()
        self.waker = Waker()
        self.consumer = Consumer(
            self.app,
            Identity("w", "w/1", group, (("q", 1),)),
            Bounds(**bounds),
            self.slot,
            FakeAlarm(),
            self.waker,
            memory=lambda: memory,
            executor=self.make,
        )

    def make(self, context: ExecutorContext) -> Executor:
        self.in_flight = context.in_flight
        return Main(context)

    def run(self) -> Ending:
        ending = self.consumer.run()
        self.waker.close()
        return ending

    def job(self, id: str) -> JobInfo:
        return self.app.broker.call(Inspect(id=id)).jobs[0]


def test_outcomes_are_settled_in_the_group_of_the_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[tuple[int, str]] = []
    turn = MemoryConnection.turn

    def record(connection: MemoryConnection, outcomes: list[Outcome], *others: Any) -> list[int]:
        settled.append((len(outcomes), others[-1]))
        return turn(connection, outcomes, *others)

    monkeypatch.setattr(MemoryConnection, "turn", record)
    bench = ConsumerBench(add, group="audit", burst=True)
    bench.app.enqueue("add", "id", 1, 1)
    assert bench.run() is Ending.DRAINED
    assert settled == [(1, "audit")]


def test_burst_runs_all_and_leaves() -> None:
    bench = ConsumerBench(add, burst=True)
    for number in range(50):
        bench.app.enqueue("add", f"id{number}", number, 1)
    assert bench.run() is Ending.DRAINED
    (group,) = bench.app.broker.call(GetStats()).queues
    assert (group.succeeded, group.leased, group.ready) == (50, 0, 0)


def test_it_leaves_after_so_many_tasks_and_hands_back_the_rest() -> None:
    bench = ConsumerBench(add, max_tasks=7)
    for number in range(50):
        bench.app.enqueue("add", f"id{number}", number, 1)
    assert bench.run() is Ending.WORN_OUT
    (group,) = bench.app.broker.call(GetStats()).queues
    assert (group.succeeded, group.leased, group.ready) == (7, 0, 43)


def test_it_leaves_when_it_has_grown() -> None:
    bench = ConsumerBench(add, memory=1001, max_memory=1000)
    bench.app.enqueue("add", "first", 1, 1)
    assert bench.run() is Ending.WORN_OUT
    # an app that is larger by itself must not be restarted for ever without having run anything
    assert bench.job("first").state == "succeeded"


def test_a_stop_ends_it_after_the_running_task() -> None:
    def stop() -> None:
        bench.consumer.stop()

    bench = ConsumerBench(stop)
    bench.app.enqueue("stop", "first")
    bench.app.enqueue("stop", "second")
    assert bench.run() is Ending.STOPPED
    assert bench.job("first").state == "succeeded"
    assert (bench.job("second").state, bench.job("second").attempts) == ("ready", 0)


def test_a_stop_counts_what_only_this_worker_can_still_run() -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        if not seen:
            waiting = [bench.app.claim_as("w/1", "look", id, ack_early=True) for id in ("b", "c")]
            bench.in_flight.take(waiting)
            bench.consumer.stop()
        slot = bench.slot
        seen.append((slot.early_running, slot.early_waiting))

    bench = ConsumerBench(look)
    bench.app.enqueue("look", "a", ack_early=True)
    assert bench.run() is Ending.STOPPED
    assert seen == [(1, 2), (1, 1), (1, 0)]
    assert (bench.slot.early_running, bench.slot.early_waiting) == (0, 0)


@pytest.fixture
def lose_broker(monkeypatch: pytest.MonkeyPatch) -> Callable[[ConsumerBench], None]:
    """Have a bench's consumer find no broker any more."""
    monkeypatch.setenv("TASKQ_RECONNECT", "0")

    def gone(*args: Any, **more: Any) -> Any:
        raise BrokerUnavailable("gone")

    return lambda bench: monkeypatch.setattr(bench.app.broker, "connect", gone)


LoseBroker = Callable[[ConsumerBench], None]


def test_a_stop_with_nothing_in_hand_needs_no_broker(lose_broker: LoseBroker) -> None:
    bench = ConsumerBench(add)
    bench.consumer.stop()
    lose_broker(bench)
    assert bench.run() is Ending.STOPPED


def test_a_stop_with_an_unsettled_outcome_needs_the_broker(lose_broker: LoseBroker) -> None:
    bench = ConsumerBench(add)
    bench.in_flight.held.add(7)
    bench.consumer.stop()
    lose_broker(bench)
    with pytest.raises(BrokerUnavailable):
        bench.run()


def record_runs(bench: ConsumerBench) -> list[int]:
    """The first arguments of the calls of `add`, from now on."""
    ran: list[int] = []
    bench.app.tasks["add"].fn = lambda a, b: ran.append(a)
    return ran


def test_a_stop_without_a_broker_runs_what_is_acknowledged_early(lose_broker: LoseBroker) -> None:
    bench = ConsumerBench(add)
    ran = record_runs(bench)
    bench.in_flight.take([bench.app.claim_as("w/1", "add", "id", 1, 2, ack_early=True)])
    bench.consumer.stop()
    lose_broker(bench)
    assert bench.run() is Ending.STOPPED
    assert ran == [1]


def test_a_consumer_that_loses_its_broker_for_good_runs_what_is_acknowledged_early_and_no_more(
    lose_broker: LoseBroker,
) -> None:
    bench = ConsumerBench(add)
    ran = record_runs(bench)
    for number, early in enumerate([False, True, False, True]):
        message = bench.app.claim_as("w/1", "add", f"id{number}", number, 0, ack_early=early)
        bench.in_flight.take([message])
    bench.consumer.stop()
    lose_broker(bench)
    with pytest.raises(BrokerUnavailable):
        bench.run()
    assert ran == [1, 3]  # the others come back to the queue with the end of their leases


@pytest.mark.parametrize("early", [True, False])
def test_what_is_acknowledged_early_is_run_even_when_stopping(early: bool) -> None:
    bench = ConsumerBench(add)
    ran = record_runs(bench)
    message = bench.app.claim_as("w/1", "add", "id", 1, 2, ack_early=early)
    bench.in_flight.take([message])
    bench.consumer.stop()
    assert bench.run() is Ending.STOPPED
    assert ran == ([1] if early else [])


def test_what_comes_of_books_that_the_broker_has_lost_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = MortalBroker()

    def lose() -> None:
        broker.lose_books()
        bench.app.enqueue("add", "id", 20, 22)  # the id is free there

    bench = ConsumerBench(lose, add, broker=broker, burst=True)
    bench.app.enqueue("lose", "id")
    assert bench.run() is Ending.DRAINED
    job = bench.job("id")
    assert (job.task, job.state, job.deliveries) == ("add", "succeeded", 1)
    assert "the broker has come back without its messages" in caplog.text
